//! EDNS: the OPT record of a query, and that of its reply (RFC 6891).
//!
//! A reply's options are written straight into the message, each by a line of [`OptRecord::write`]; their octets are known
//! before its records are written, so that there is always room.

use super::Transport;
use super::cookie;
use super::rule::{self, Rules};
use super::writer::{Full, Writer};
use crate::view::zones::types;

/// Octets that we take and send over UDP at most, and that our OPT records name: what an IPv6 datagram of the least
/// MTU has room for, which passes everywhere unfragmented (RFC 9715, section 3).
pub const UDP_MOST: u16 = 1232;
/// Octets that every client takes over UDP (RFC 1035, section 2.3.4).
const UDP_LEAST: u16 = 512;
/// Octets that a reply may have over TCP.
const TCP_MOST: usize = 65_535;

/// Octets of an OPT record without options: root, type, class, TTL, length.
const OPT_OCTETS: usize = 11;
/// Octets of an option before its data: code, length.
const OPTION_HEAD: usize = 4;
/// Octets of an extended error without text: INFO-CODE.
const ERROR_OCTETS: usize = 2;
/// The option of the server's name (RFC 5001, section 2.3).
const NSID_OPTION: u16 = 3;
/// The option of cookies (RFC 7873, section 4).
const COOKIE_OPTION: u16 = 10;
/// The option of extended errors (RFC 8914, section 2).
const ERROR_OPTION: u16 = 15;
const DNSSEC_OK: u16 = 0x8000;

/// What a query's OPT record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns {
    /// Octets that the client takes over UDP.
    pub udp_size: u16,
    /// The version that it speaks; we speak 0.
    pub version: u8,
    /// Whether it wants signatures: copied, for there are none.
    pub dnssec_ok: bool,
    /// Whether it asks for the server's name.
    pub asks_nsid: bool,
    /// Whether it asks which rule answers.
    pub asks_rule: bool,
    /// The client's cookies.
    pub cookie: Option<cookie::Shown>,
}

/// What a reply's OPT record carries because the query asked for it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Carried<'q> {
    /// The server's name; empty: it is not told.
    pub nsid: &'q [u8],
    /// Whether it is told which rule answered.
    pub tells_rule: bool,
    /// The client's cookie and ours.
    pub cookie: Option<[u8; cookie::COOKIE_OCTETS]>,
}

/// Why an answer is not all that it could be (RFC 8914, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtendedError {
    /// Instances are in it whose lease has lapsed and whom the brake holds; or upstream failed, and this is what it
    /// said before.
    Stale,
    /// The registry is still being loaded.
    NotReady,
    /// The client is none of those for whom names of others are looked up.
    Prohibited,
    /// Upstream failed; before, it said that the name does not exist.
    StaleNoName,
    /// The name is in none of our zones.
    NotAuthoritative,
    /// What is wrong upstream.
    Upstream(u16),
}

impl ExtendedError {
    /// The INFO-CODE.
    fn code(self) -> u16 {
        match self {
            Self::Stale => 3,
            Self::NotReady => 14,
            Self::Prohibited => 18,
            Self::StaleNoName => 19,
            Self::NotAuthoritative => 20,
            Self::Upstream(code) => code,
        }
    }
}

impl Edns {
    /// Reads an OPT record's class, TTL and options; `None` if the options do not add up, or have a cookie that is none.
    /// Those of a later version may look otherwise: all that counts is that we do not speak it (RFC 6891, section 6.1.3).
    /// Options that we do not know are ignored (section 6.1.2).
    pub fn read(class: u16, ttl: u32, options: &[u8]) -> Option<Self> {
        let [_, version, flags @ ..] = ttl.to_be_bytes();
        let dnssec_ok = u16::from_be_bytes(flags) & DNSSEC_OK != 0;
        let mut edns = Self {
            udp_size: class,
            version,
            dnssec_ok,
            asks_nsid: false,
            asks_rule: false,
            cookie: None,
        };
        let mut rest = if version == 0 { options } else { &[] };
        while let Some((head, after)) = rest.split_first_chunk::<OPTION_HEAD>() {
            let [c0, c1, l0, l1] = *head;
            let (data, next) = after.split_at_checked(u16::from_be_bytes([l0, l1]).into())?;
            edns.read_option(u16::from_be_bytes([c0, c1]), data)?;
            rest = next;
        }
        rest.is_empty().then_some(edns)
    }

    fn read_option(&mut self, code: u16, data: &[u8]) -> Option<()> {
        match code {
            NSID_OPTION => self.asks_nsid = true,
            rule::OPTION => self.asks_rule = data.is_empty(),
            // Of several cookies the first counts (RFC 7873, section 5.2).
            COOKIE_OPTION if self.cookie.is_none() => {
                self.cookie = Some(cookie::Shown::read(data)?);
            }
            _ => {}
        }
        Some(())
    }

    /// Whether it has an option that the reply answers.
    #[inline]
    pub fn asks(&self) -> bool {
        self.asks_nsid || self.asks_rule || self.cookie.is_some()
    }

    /// Octets that a reply to the client may have over UDP.
    fn udp_limit(&self) -> usize {
        usize::from(self.udp_size.clamp(UDP_LEAST, UDP_MOST))
    }
}

/// Octets that a reply may have.
pub fn limit(transport: Transport, edns: Option<&Edns>) -> usize {
    match (transport, edns) {
        (Transport::Tcp, _) => TCP_MOST,
        (Transport::Udp, None) => usize::from(UDP_LEAST),
        (Transport::Udp, Some(edns)) => edns.udp_limit(),
    }
}

/// The OPT record of a reply.
#[derive(Debug, Clone, Copy)]
pub struct OptRecord<'q> {
    /// Whether the query's had DO.
    pub dnssec_ok: bool,
    /// The reply's code, of which the record has the high part.
    pub rcode: u16,
    /// Why the answer is not all that it could be.
    pub error: Option<ExtendedError>,
    /// Which rules answered; none: that is not told.
    pub rules: Rules,
    /// What the query asked for.
    pub carried: &'q Carried<'q>,
}

impl OptRecord<'_> {
    /// How many octets it has.
    #[inline]
    pub fn octets(&self) -> usize {
        OPT_OCTETS + self.option_octets()
    }

    fn option_octets(&self) -> usize {
        let of = |is_there: bool, data: usize| if is_there { OPTION_HEAD + data } else { 0 };
        let Carried { nsid, cookie, .. } = self.carried;
        let rules = self.rules.octets();
        of(self.error.is_some(), ERROR_OCTETS)
            + of(!nsid.is_empty(), nsid.len())
            + of(!rules.is_empty(), rules.len())
            + of(cookie.is_some(), cookie::COOKIE_OCTETS)
    }

    /// Appends it.
    #[inline]
    pub fn write(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        let [_, high_rcode] = (self.rcode >> 4).to_be_bytes();
        let [flags, _] = if self.dnssec_ok { DNSSEC_OK } else { 0 }.to_be_bytes();
        let [_, kind] = types::OPT.to_be_bytes();
        let [size_high, size_low] = UDP_MOST.to_be_bytes();
        let length = u16::try_from(self.option_octets()).map_err(|_| Full)?;
        let [length_high, length_low] = length.to_be_bytes();
        writer.put(&[
            0,
            0,
            kind,
            size_high,
            size_low,
            high_rcode,
            0,
            flags,
            0,
            length_high,
            length_low,
        ])?;
        if length == 0 {
            return Ok(());
        }
        if let Some(error) = self.error {
            option(writer, ERROR_OPTION, &error.code().to_be_bytes())?;
        }
        if !self.carried.nsid.is_empty() {
            option(writer, NSID_OPTION, self.carried.nsid)?;
        }
        if !self.rules.octets().is_empty() {
            option(writer, rule::OPTION, self.rules.octets())?;
        }
        if let Some(cookie) = &self.carried.cookie {
            option(writer, COOKIE_OPTION, cookie)?;
        }
        Ok(())
    }
}

fn option(writer: &mut Writer<'_>, code: u16, data: &[u8]) -> Result<(), Full> {
    writer.put(&code.to_be_bytes())?;
    writer.put(&u16::try_from(data.len()).map_err(|_| Full)?.to_be_bytes())?;
    writer.put(data)
}
