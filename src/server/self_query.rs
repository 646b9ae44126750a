//! Questions to ourselves, by the way that clients take: over UDP, through the kernel, to each address we listen on.
//!
//! The kernel gives a client's queries to one worker, by its port. So there are as many asking ports as workers, new
//! ones each time; one that got no answer is kept until it does, or a worker that hangs would be missed most of the time.
//! A query that gets lost, as many do in a flood, is sent again and again: what has too much to do is not dead.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::dns::message::{NotTheReply, Query, Wishes};

/// How long an answer is waited for before the question is sent again: one from here takes less than a millisecond.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Ports that an address is asked from at most in one round.
const PORTS_MOST: usize = 64;
/// Octets of a reply that are looked at.
const REPLY_OCTETS: usize = 4096;

/// Who asks us.
#[derive(Debug)]
pub(super) struct SelfQuery {
    /// Where we listen, and with how many sockets.
    listen: Vec<(SocketAddr, usize)>,
    /// Askers that have no answer yet.
    unanswered: Vec<Asker>,
    /// Draws the queries' ids: they need not be hard to guess, as nobody else has the ports.
    next_id: u16,
}

/// A port from which an address is asked.
#[derive(Debug)]
struct Asker {
    socket: UdpSocket,
    address: SocketAddr,
}

impl SelfQuery {
    /// Asks these addresses, each from as many ports as it has sockets.
    pub(super) fn new(listen: &[(SocketAddr, usize)]) -> Self {
        Self { listen: listen.to_vec(), unanswered: Vec::new(), next_id: 0 }
    }

    /// Asks every address for the SOA record of a zone of ours, until all have answered or the time is over.
    ///
    /// # Errors
    /// What was not answered, or answered wrongly.
    pub(super) fn ask(&mut self, zone: &str, within: Duration) -> Result<(), String> {
        let end = Instant::now() + within;
        if self.unanswered.is_empty() {
            self.unanswered = self.askers()?;
        }
        while let Some(asker) = self.unanswered.last() {
            self.next_id = self.next_id.wrapping_add(1);
            let wishes = Wishes { recursion: false, dnssec: false };
            let query = Query::new(self.next_id, zone, "SOA", wishes)?;
            asker.ask(&query, end)?;
            self.unanswered.pop();
        }
        Ok(())
    }

    /// New ports. Addresses that this machine does not have now cannot be asked by anybody.
    fn askers(&self) -> Result<Vec<Asker>, String> {
        let mut askers = Vec::new();
        for (address, sockets) in &self.listen {
            let address = reachable(*address);
            for _ in 0..(*sockets).clamp(1, PORTS_MOST) {
                match asker(address) {
                    Ok(socket) => askers.push(Asker { socket, address }),
                    Err(error) if error.kind() == ErrorKind::AddrNotAvailable => break,
                    Err(error) => return Err(format!("{address} cannot be asked: {error}")),
                }
            }
        }
        Ok(askers)
    }
}

/// From the address itself, whose packets do not leave the machine.
fn asker(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((address.ip(), 0))?;
    socket.connect(address)?;
    Ok(socket)
}

/// Where somebody on this machine finds who listens on an address.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

impl Asker {
    fn ask(&self, query: &Query, end: Instant) -> Result<(), String> {
        let address = self.address;
        let failed = |error: io::Error| format!("{address} cannot be asked: {error}");
        let mut room = [0; REPLY_OCTETS];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("{address} does not answer {}", query.question()));
            }
            if let Err(error) = self.socket.send(query.bytes())
                && !is_refusal(&error)
            {
                return Err(failed(error));
            }
            self.socket.set_read_timeout(Some(AGAIN_AFTER.min(left))).map_err(failed)?;
            match self.socket.recv(&mut room) {
                Ok(length) => match query.read_reply(room.get(..length).unwrap_or_default()) {
                    // Beyond its network's limit a client is told to come back over TCP, and that is an answer.
                    Ok(reply) if reply.is_cut || reply.rcode == "NOERROR" => return Ok(()),
                    Ok(reply) => {
                        let question = query.question();
                        return Err(format!("{address} answers {question} with {}", reply.rcode));
                    }
                    Err(NotTheReply::Foreign) => {}
                    Err(NotTheReply::Broken(reason)) => {
                        return Err(format!(
                            "{address} sends a reply that cannot be read: {reason}"
                        ));
                    }
                },
                // As when nobody listens there: it is not asked more often for that.
                Err(error) if is_refusal(&error) => std::thread::sleep(AGAIN_AFTER.min(left)),
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

/// An earlier datagram came to nobody.
fn is_refusal(error: &io::Error) -> bool {
    error.kind() == ErrorKind::ConnectionRefused
}

/// A socket whose time is over says either, by the system.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;
    use std::thread;

    use parking_lot::Mutex;

    use super::*;

    const ZONE: &str = "svc.internal.";
    const SOON: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(20);

    /// A server whose replies are the queries with these flags, the first `lost` of which it does not answer.
    fn server(flags: [u8; 2], lost: usize) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut room = [0; 512];
            let mut left = lost;
            while let Ok((length, peer)) = socket.recv_from(&mut room) {
                room[2..4].copy_from_slice(&flags);
                if left == 0 {
                    socket.send_to(&room[..length], peer).unwrap();
                } else {
                    left -= 1;
                }
            }
        });
        address
    }

    #[test]
    fn an_answer_is_a_sign_of_life_however_often_it_takes() {
        for (flags, lost) in [([0x84, 0], 0), ([0x84, 0], 3), ([0x86, 0], 0), ([0x86, 5], 0)] {
            assert_eq!(SelfQuery::new(&[(server(flags, lost), 2)]).ask(ZONE, LONG), Ok(()));
        }
    }

    #[test]
    fn what_is_no_answer_is_told() {
        let failing = server([0x84, 2], 0);
        let told = SelfQuery::new(&[(failing, 1)]).ask(ZONE, LONG).unwrap_err();
        assert_eq!(told, format!("{failing} answers svc.internal. SOA with SERVFAIL"));
        let (silent, echo) = (server([0x84, 0], usize::MAX), server([0, 0], 0));
        let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for address in [silent, echo, nobody] {
            let told = SelfQuery::new(&[(address, 1)]).ask(ZONE, SOON).unwrap_err();
            assert_eq!(told, format!("{address} does not answer svc.internal. SOA"));
        }
    }

    #[test]
    fn an_asker_without_an_answer_is_kept_until_it_has_one() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut asks = SelfQuery::new(&[(socket.local_addr().unwrap(), 1)]);
        assert!(asks.ask(ZONE, SOON).is_err());
        assert!(asks.ask(ZONE, SOON).is_err());
        let ports = Arc::new(Mutex::new(HashSet::new()));
        let seen = ports.clone();
        thread::spawn(move || {
            let mut room = [0; 512];
            // What was sent in vain is answered too, and is the answer to something else.
            while let Ok((length, peer)) = socket.recv_from(&mut room) {
                seen.lock().insert(peer.port());
                room[2] = 0x84;
                socket.send_to(&room[..length], peer).unwrap();
            }
        });
        assert_eq!(asks.ask(ZONE, LONG), Ok(()));
        assert_eq!(ports.lock().len(), 1, "one port for all three");
        assert_eq!(asks.ask(ZONE, LONG), Ok(()));
        assert_eq!(ports.lock().len(), 2, "a new one after the answer");
    }

    #[test]
    fn wildcards_are_asked_on_loopback_and_what_is_not_here_is_not_asked() {
        for (listen, asked) in [
            ("0.0.0.0:53", "127.0.0.1:53"),
            ("[::]:53", "[::1]:53"),
            ("10.0.0.1:53", "10.0.0.1:53"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse().unwrap());
        }
        // TEST-NET-1 (RFC 5737) is nobody's.
        let nowhere = "192.0.2.1:53".parse().unwrap();
        assert_eq!(SelfQuery::new(&[(nowhere, 3)]).ask(ZONE, SOON), Ok(()));
    }
}
