//! A line: how a datagram is cut into words, fields and signature. What a command says is in `change.rs`.
//!
//! Nothing here allocates: a renewal is cut and answered on the stack.

use crate::access::key::digit;
use crate::api::percent;
use crate::registry::MAX_ID_OCTETS;

/// Octets that a line may have at most, its end not counted: it travels in one packet on any path (RFC 8200,
/// section 5, grants 1,280 octets with headers).
pub const MAX_LINE_OCTETS: usize = 1200;
/// What every line begins with: the protocol and its version.
const MAGIC: &str = "RC1 ";
/// What stands before the mac, which ends the line.
pub(super) const MAC: &str = " mac=";
/// The mac's hexadecimal digits.
pub(super) const MAC_DIGITS: usize = 64;
/// Octets of the signature at the end of a line, request or reply.
pub(super) const SIGNATURE_OCTETS: usize = MAC.len() + MAC_DIGITS;

/// The field in which something is wrong, as the line's writer called it.
pub(super) type Wrong<'a> = std::borrow::Cow<'a, str>;

/// A datagram that is no line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoLine {
    /// It is longer than [`MAX_LINE_OCTETS`].
    TooLong,
    /// It is not printable ASCII, or does not begin with `RC1 `.
    NotOurs,
}

/// Cuts the datagram's line: without `RC1 ` and without its end.
pub(super) fn line_of(datagram: &[u8]) -> Result<&str, NoLine> {
    let line = datagram.strip_suffix(b"\n").unwrap_or(datagram);
    let line =
        if line.len() < datagram.len() { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
    if line.len() > MAX_LINE_OCTETS {
        return Err(NoLine::TooLong);
    }
    // All octets are looked at, without a branch for each: many at a time.
    let is_text = line.iter().fold(true, |all, c| all & (b' '..=b'~').contains(c));
    if !is_text || !line.starts_with(MAGIC.as_bytes()) {
        return Err(NoLine::NotOurs);
    }
    std::str::from_utf8(line).map_err(|_| NoLine::NotOurs)
}

/// Splits a line into what is signed and its mac, if it ends in ` mac=` and 64 octets without a capital letter: whether
/// they are digits, who reads them sees.
///
/// The digits are in lower case, so that there is one way to write a mac and a flipped bit breaks it.
pub(super) fn split_mac(line: &str) -> Option<(&str, &[u8; MAC_DIGITS])> {
    let (signed, signature) = line.split_at_checked(line.len().checked_sub(SIGNATURE_OCTETS)?)?;
    let digits = signature.strip_prefix(MAC)?.as_bytes();
    let lower = digits.iter().fold(true, |all, c| all & !c.is_ascii_uppercase());
    if lower { Some((signed, digits.try_into().ok()?)) } else { None }
}

/// What a line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// List the instance, or change what is listed.
    Register,
    /// Renew its lease.
    Renew,
    /// Declare that it is draining.
    Drain,
    /// Take it off the list.
    Deregister,
}

impl Verb {
    /// What it is called in the audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Renew => "renew",
            Self::Drain => "declare",
            Self::Deregister => "deregister",
        }
    }
}

impl Verb {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "REGISTER" => Some(Verb::Register),
            "RENEW" => Some(Verb::Renew),
            "DRAIN" => Some(Verb::Drain),
            "DEREGISTER" => Some(Verb::Deregister),
            _ => None,
        }
    }
}

/// A line in its parts, not looked into yet; a part that is missing is empty.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) word: &'a str,
    pub(super) service: &'a str,
    pub(super) id: &'a str,
    /// `REGISTER`'s address and port.
    pub(super) address: &'a str,
    fields: &'a str,
}

impl<'a> Line<'a> {
    /// Cuts a line into its parts, by single or several spaces.
    pub(super) fn cut(line: &'a str) -> Self {
        let mut rest = line.strip_prefix(MAGIC).unwrap_or_default();
        let word = next_word(&mut rest);
        let service = next_word(&mut rest);
        let id = next_word(&mut rest);
        let register = Verb::parse(word) == Some(Verb::Register);
        let address = if register { next_word(&mut rest) } else { "" };
        Self { word, service, id, address, fields: rest }
    }

    pub(super) fn verb(&self) -> Result<Verb, Wrong<'a>> {
        Verb::parse(self.word).ok_or(Wrong::Borrowed("command"))
    }

    /// Whether the line is a reply: it gets none, or two doors could be made to talk to each other for ever.
    pub(super) fn is_reply(&self) -> bool {
        matches!(self.word, "OK" | "UNKNOWN" | "DENIED" | "INVALID" | "BADTIME")
    }

    /// The `key=value` fields, in their order; a field without `=` has no value.
    pub(super) fn fields(&self) -> Fields<'a> {
        Fields(self.fields)
    }

    /// The first value of the field `key`.
    pub(super) fn field(&self, key: &str) -> Option<&'a str> {
        self.fields().find(|(name, _)| *name == key)?.1
    }

    /// The id as it is meant, in `buffer`.
    pub(super) fn decoded_id<'b>(&self, buffer: &'b mut IdBuffer) -> Result<&'b str, Wrong<'a>> {
        let id = percent::decode_into(self.id, buffer).filter(|id| !id.is_empty());
        id.ok_or(Wrong::Borrowed("id"))
    }
}

/// The fields of a line. They are cut octet by octet: so short as they are, a search costs more than it saves.
pub(super) struct Fields<'a>(&'a str);

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, Option<&'a str>);

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.0.trim_start_matches(' ');
        let octets = line.as_bytes();
        let end = octets.iter().position(|c| *c == b' ').unwrap_or(octets.len());
        let (field, rest) = line.split_at_checked(end).filter(|_| end > 0)?;
        self.0 = rest;
        let key = field.bytes().position(|c| c == b'=').unwrap_or(end);
        let (key, value) = field.split_at_checked(key)?;
        Some((key, value.strip_prefix('=')))
    }
}

/// Room for one decoded instance id.
pub(super) type IdBuffer = [u8; MAX_ID_OCTETS];

fn next_word<'a>(rest: &mut &'a str) -> &'a str {
    let line = rest.trim_start_matches(' ');
    let (word, after) = line.split_once(' ').unwrap_or((line, ""));
    *rest = after;
    word
}

/// The fields that say when, and in which order, a line was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    /// `time=`: milliseconds since 1970 UTC.
    pub(super) time: Option<u64>,
    /// `boot=`: a number that the sender drew when it started.
    pub(super) boot: Option<u128>,
    /// `seq=`: counts the sender's datagrams.
    pub(super) seq: Option<u64>,
}

/// Whether a field is the signature's, not the command's.
pub(super) fn is_stamp(key: &str) -> bool {
    matches!(key, "key" | "time" | "boot" | "seq")
}

impl Stamp {
    /// Reads the stamp; a field that is there must be well formed, and there once.
    pub(super) fn read<'a>(line: &Line<'a>) -> Result<Self, Wrong<'a>> {
        let mut stamp = Stamp::default();
        let mut keys = 0;
        for (key, value) in line.fields() {
            let wrong = Wrong::Borrowed(key);
            let value = value.unwrap_or_default();
            let first = match key {
                "time" => stamp.time.replace(number(value).ok_or(wrong)?).is_none(),
                "boot" => stamp.boot.replace(boot(value).ok_or(wrong)?).is_none(),
                "seq" => stamp.seq.replace(number(value).ok_or(wrong)?).is_none(),
                "key" => std::mem::replace(&mut keys, 1) == 0,
                _ => true,
            };
            if !first {
                return Err(Wrong::Borrowed(key));
            }
        }
        Ok(stamp)
    }
}

/// A number in decimal digits.
pub(super) fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    // `parse` would take a sign.
    text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A boot id: 1 to 32 hexadecimal digits.
fn boot(text: &str) -> Option<u128> {
    if text.is_empty() || text.len() > 32 {
        return None;
    }
    text.bytes().try_fold(0, |boot, c| Some(boot << 4 | u128::from(digit(c)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_printable_ascii_with_our_magic() {
        let long = format!("RC1 {}", "x".repeat(MAX_LINE_OCTETS - 4));
        for (datagram, line) in [
            ("RC1 RENEW web web-1", Ok("RC1 RENEW web web-1")),
            ("RC1 RENEW web web-1\n", Ok("RC1 RENEW web web-1")),
            ("RC1 RENEW web web-1\r\n", Ok("RC1 RENEW web web-1")),
            ("RC1 RENEW web web-1\r", Err(NoLine::NotOurs)),
            ("RC1 RENEW web web-1\n\n", Err(NoLine::NotOurs)),
            ("RC1 RENEW web\tweb-1", Err(NoLine::NotOurs)),
            ("RC1 RENEW web wéb-1", Err(NoLine::NotOurs)),
            ("RC2 RENEW web web-1", Err(NoLine::NotOurs)),
            ("RC1", Err(NoLine::NotOurs)),
            ("", Err(NoLine::NotOurs)),
            (&format!("{long}\r\n"), Ok(&*long)),
            (&format!("{long}x"), Err(NoLine::TooLong)),
        ] {
            assert_eq!(line_of(datagram.as_bytes()), line, "{datagram:?}");
        }
    }

    #[test]
    fn the_mac_is_64_lower_case_digits_at_the_end() {
        let mac = "0123456789abcdef".repeat(4);
        let signed = format!("RC1 RENEW a b mac={mac}");
        assert_eq!(split_mac(&signed), Some(("RC1 RENEW a b", mac.as_bytes().try_into().unwrap())));
        for bad in [
            format!("RC1 RENEW a b mac={}", mac.to_uppercase()),
            format!("RC1 RENEW a b mac={mac} "),
            format!("RC1 RENEW a b mac=0{mac}"),
            format!("RC1 RENEW a b mac={}", &mac[1..]),
            format!("RC1 RENEW a b  ac={mac}"),
            "mac=".into(),
        ] {
            assert_eq!(split_mac(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_line_is_cut_into_words_and_fields() {
        let line = Line::cut("RC1 REGISTER web  web-1 10.0.0.5:80 a=1 b  c==2 d=");
        let parts = (line.word, line.service, line.id, line.address);
        assert_eq!(parts, ("REGISTER", "web", "web-1", "10.0.0.5:80"));
        let fields: Vec<_> = line.fields().collect();
        assert_eq!(fields, [("a", Some("1")), ("b", None), ("c", Some("=2")), ("d", Some(""))]);
        let empty = Line { word: "RENEW", service: "web", id: "", address: "", fields: "" };
        assert_eq!(Line::cut("RC1 RENEW web"), empty);
        // An id is any text, also one that looks like a field.
        assert_eq!(Line::cut("RC1 RENEW web key=k1 key=k2").field("key"), Some("k2"));
    }

    #[test]
    fn the_stamp_is_read_strictly() {
        let read = |fields: &str| {
            let line = format!("RC1 RENEW web web-1 {fields}");
            Stamp::read(&Line::cut(&line)).map_err(|wrong| wrong.into_owned())
        };
        let stamp = Stamp { time: Some(7), boot: Some(0xA1), seq: Some(u64::MAX) };
        assert_eq!(read("seq=18446744073709551615 boot=00a1 x key=k time=7"), Ok(stamp));
        assert_eq!(read(""), Ok(Stamp::default()));
        let full = Some(u128::MAX);
        assert_eq!(read(&format!("boot={}", "F".repeat(32))).unwrap().boot, full);
        for (fields, wrong) in [
            ("time=", "time"),
            ("time", "time"),
            ("time=+7", "time"),
            ("time=-7", "time"),
            ("time=7 time=7", "time"),
            ("seq=18446744073709551616", "seq"),
            ("seq=1 boot=x", "boot"),
            ("boot=", "boot"),
            ("boot=111111111111111111111111111111111", "boot"),
            ("key=a key=a", "key"),
        ] {
            assert_eq!(read(fields), Err(wrong.into()), "{fields}");
        }
    }
}
