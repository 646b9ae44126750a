//! DNS cookies (RFC 7873): what a client shows so that we know that it is where its queries say.
//!
//! A server cookie is not kept anywhere: it is a keyed hash of the client's cookie, its address and the time, in the
//! form of RFC 9018, so that all servers with the same secret know each other's. The moment is passed in.

use std::fmt;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

/// Octets of a client's cookie (RFC 7873, section 4).
const CLIENT_OCTETS: usize = 8;
/// Octets of a server cookie of ours: version, reserved, time, hash (RFC 9018, section 4).
const SERVER_OCTETS: usize = 16;
/// Octets that any server's cookie may have (RFC 7873, section 4).
const SERVER_OCTETS_LEAST: usize = 8;
const SERVER_OCTETS_MOST: usize = 32;
/// Octets of both cookies, as a reply has them.
pub const COOKIE_OCTETS: usize = CLIENT_OCTETS + SERVER_OCTETS;
/// Octets of a secret.
pub const SECRET_OCTETS: usize = 16;

const VERSION: u8 = 1;
/// Octets that are hashed: both cookies without the hash, and an address.
const HASHED_FIXED: usize = 16;
const HASHED_MOST: usize = HASHED_FIXED + 16;

/// Seconds for which a server cookie is good (RFC 9018, section 4.3).
const GOOD_SECS: i32 = 3600;
/// Seconds that it may be ahead of our clock, for servers whose clocks differ (RFC 9018, section 4.3).
const AHEAD_SECS: i32 = 300;
/// Seconds after which the client gets a new one (RFC 9018, section 4.3).
const RENEWED_SECS: i32 = 1800;

/// The cookies in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    client: [u8; CLIENT_OCTETS],
    server: Server,
}

/// The server cookie in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    /// There is none.
    None,
    /// It is of another form than ours.
    Foreign,
    /// It is of our form.
    Ours([u8; SERVER_OCTETS]),
}

impl Shown {
    /// Reads an option's data; `None`: it has no length that cookies have.
    pub fn read(data: &[u8]) -> Option<Self> {
        let (client, server) = data.split_first_chunk()?;
        let server = match server.len() {
            0 => Server::None,
            SERVER_OCTETS_LEAST..=SERVER_OCTETS_MOST => {
                <[u8; SERVER_OCTETS]>::try_from(server).map_or(Server::Foreign, Server::Ours)
            }
            _ => return None,
        };
        Some(Self { client: *client, server })
    }

    /// Whether its server cookie has the form of ours, and so as many octets as the reply's.
    pub fn is_of_our_form(&self) -> bool {
        matches!(self.server, Server::Ours(_))
    }

    /// Whether the client has a server cookie, whatever it is worth.
    pub fn has_server(&self) -> bool {
        self.server != Server::None
    }
}

/// What a query's cookies come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// Whether the client has shown that it receives what is sent to its address.
    pub is_valid: bool,
    /// The cookies that its reply has.
    pub reply: [u8; COOKIE_OCTETS],
}

/// The secrets that server cookies are made with.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    current: [u8; SECRET_OCTETS],
    previous: Option<[u8; SECRET_OCTETS]>,
}

impl Secrets {
    /// One secret.
    pub fn new(current: [u8; SECRET_OCTETS]) -> Self {
        Self { current, previous: None }
    }

    /// Reads a secret as a file has it, without the white space around it.
    pub fn parse(text: &str) -> Result<[u8; SECRET_OCTETS], String> {
        let wrong =
            "must hold 32 hexadecimal digits and nothing else, as `openssl rand -hex 16` writes";
        let mut secret = [0; SECRET_OCTETS];
        let digits = text.as_bytes();
        if digits.len() != 2 * SECRET_OCTETS {
            return Err(wrong.into());
        }
        for (octet, pair) in secret.iter_mut().zip(digits.chunks_exact(2)) {
            let value =
                |digit: &u8| char::from(*digit).to_digit(16).and_then(|d| u8::try_from(d).ok());
            let &[high, low] = pair else { return Err(wrong.into()) };
            let (Some(high), Some(low)) = (value(&high), value(&low)) else {
                return Err(wrong.into());
            };
            *octet = high << 4 | low;
        }
        Ok(secret)
    }

    /// With a new secret: cookies of the one before are good as long as they would have been (RFC 9018, section 5).
    /// The same secret again changes nothing.
    #[must_use]
    pub fn replaced(&self, current: [u8; SECRET_OCTETS]) -> Self {
        if current == self.current {
            return self.clone();
        }
        Self { current, previous: Some(self.current) }
    }

    /// Judges the cookies of a query that came from `ip` at `now`, in seconds since 1970 modulo 2^32.
    pub fn judge(&self, shown: &Shown, ip: IpAddr, now: u32) -> Judged {
        let ip = ip.to_canonical();
        let made_by = |secret, server| hash(secret, &shown.client, server, ip) == hash_in(server);
        if let Server::Ours(server) = &shown.server
            && let Some(age) = age(server, now)
        {
            if made_by(&self.current, server) {
                let reply = if age <= RENEWED_SECS { *server } else { self.make(shown, ip, now) };
                return Judged { is_valid: true, reply: joined(&shown.client, &reply) };
            }
            if self.previous.as_ref().is_some_and(|previous| made_by(previous, server)) {
                let reply = joined(&shown.client, &self.make(shown, ip, now));
                return Judged { is_valid: true, reply };
            }
        }
        Judged { is_valid: false, reply: joined(&shown.client, &self.make(shown, ip, now)) }
    }

    fn make(&self, shown: &Shown, ip: IpAddr, now: u32) -> [u8; SERVER_OCTETS] {
        let mut server = [0; SERVER_OCTETS];
        server[0] = VERSION;
        server[4..8].copy_from_slice(&now.to_be_bytes());
        let hash = hash(&self.current, &shown.client, &server, ip);
        server[8..].copy_from_slice(&hash.to_le_bytes());
        server
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

/// How old a server cookie is in seconds, by serial number arithmetic; `None`: it is not of our version, or not of
/// these times.
fn age(server: &[u8; SERVER_OCTETS], now: u32) -> Option<i32> {
    let [version, _, _, _, t0, t1, t2, t3, ..] = *server;
    let age = now.wrapping_sub(u32::from_be_bytes([t0, t1, t2, t3])).cast_signed();
    (version == VERSION && (-AHEAD_SECS..=GOOD_SECS).contains(&age)).then_some(age)
}

/// The hash of both cookies and the address (RFC 9018, section 4.4): SipHash-2-4, whose output is little-endian.
fn hash(
    secret: &[u8; SECRET_OCTETS],
    client: &[u8; CLIENT_OCTETS],
    server: &[u8; SERVER_OCTETS],
    ip: IpAddr,
) -> u64 {
    let mut hashed = [0; HASHED_MOST];
    hashed[..8].copy_from_slice(client);
    hashed[8..HASHED_FIXED].copy_from_slice(&server[..8]);
    let length = match ip {
        IpAddr::V4(ip) => {
            hashed[HASHED_FIXED..HASHED_FIXED + 4].copy_from_slice(&ip.octets());
            HASHED_FIXED + 4
        }
        IpAddr::V6(ip) => {
            hashed[HASHED_FIXED..].copy_from_slice(&ip.octets());
            HASHED_MOST
        }
    };
    SipHasher24::new_with_key(secret).hash(&hashed[..length])
}

fn hash_in(server: &[u8; SERVER_OCTETS]) -> u64 {
    let [.., h0, h1, h2, h3, h4, h5, h6, h7] = *server;
    u64::from_le_bytes([h0, h1, h2, h3, h4, h5, h6, h7])
}

fn joined(client: &[u8; CLIENT_OCTETS], server: &[u8; SERVER_OCTETS]) -> [u8; COOKIE_OCTETS] {
    let mut joined = [0; COOKIE_OCTETS];
    joined[..CLIENT_OCTETS].copy_from_slice(client);
    joined[CLIENT_OCTETS..].copy_from_slice(server);
    joined
}

#[cfg(test)]
mod tests;
