//! The dates of a certificate (RFC 5280, section 4.1.2.5). Whether it is good otherwise is for clients to say.

use std::fmt;

/// The tag of UTCTime, whose years have two digits, and that of GeneralizedTime, whose years have four.
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The tag of a certificate's version, which those of version 1 leave out.
const VERSION: u8 = 0xa0;
/// Octets that a length may have; a certificate is no larger than what they can say.
const LENGTH_OCTETS_MOST: usize = 4;
/// Fields between the version and the dates: serial number, algorithm, issuer.
const FIELDS_BEFORE: usize = 3;
const DAY_SECS: i64 = 86_400;
/// How long before its end a certificate is warned about: those that are renewed by a program have a third of their
/// term left by then, and a person has time to.
const SOON_SECS: i64 = 14 * DAY_SECS;

/// From when to when a certificate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    from: Date,
    until: Date,
}

/// What a certificate's dates say at a moment; each with words that follow "the certificate".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dates {
    /// It holds, and will for some time.
    Hold(String),
    /// It holds, for less than two weeks.
    EndsSoon(String),
    /// It does not hold yet, or not any more; or has no dates that can be read.
    Off(String),
}

/// A moment, and the calendar's name of its day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Date {
    unix_secs: i64,
    day: [i64; 3],
}

impl Validity {
    /// Reads the dates of a certificate in DER; `None`: it has none.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let (_, certificate, _) = element(certificate)?;
        let (_, signed, _) = element(certificate)?;
        let (tag, _, after) = element(signed)?;
        let mut rest = if tag == VERSION { after } else { signed };
        for _ in 0..FIELDS_BEFORE {
            (_, _, rest) = element(rest)?;
        }
        let (_, dates, _) = element(rest)?;
        let (tag, from, rest) = element(dates)?;
        let from = Date::read(tag, from)?;
        let (tag, until, _) = element(rest)?;
        Some(Self { from, until: Date::read(tag, until)? })
    }

    /// What the dates say at a moment, in seconds since 1970.
    pub(super) fn at(&self, unix_secs: i64) -> Dates {
        if unix_secs < self.from.unix_secs {
            return Dates::Off(format!("holds only from {}", self.from));
        }
        match self.until.unix_secs - unix_secs {
            ..0 => Dates::Off(format!("is over since {}", self.until)),
            0..SOON_SECS => Dates::EndsSoon(format!("holds only until {}", self.until)),
            _ => Dates::Hold(format!("holds until {}", self.until)),
        }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [year, month, day] = self.day;
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl Date {
    /// Reads `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
    fn read(tag: u8, text: &[u8]) -> Option<Self> {
        let digits = text.strip_suffix(b"Z")?;
        let (year, rest) = match tag {
            UTC_TIME => {
                let (year, rest) = digits.split_at_checked(2)?;
                let year = number(year)?;
                (if year < 50 { 2000 + year } else { 1900 + year }, rest)
            }
            GENERALIZED_TIME => {
                let (year, rest) = digits.split_at_checked(4)?;
                (number(year)?, rest)
            }
            _ => return None,
        };
        let pair = |digits: &[u8]| number(digits).filter(|_| digits.len() == 2);
        let pairs: Option<Vec<i64>> = rest.chunks(2).map(pair).collect();
        let &[month @ 1..=12, day @ 1..=31, hour, minute, second] = pairs?.as_slice() else {
            return None;
        };
        let unix_secs =
            days_since_1970(year, month, day) * DAY_SECS + hour * 3600 + minute * 60 + second;
        Some(Self { unix_secs, day: [year, month, day] })
    }
}

/// The first element in DER: its tag, what it holds, and what follows it (X.690, section 8.1).
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = der else { return None };
    let (length, rest) = match usize::from(*length) {
        short @ 0..0x80 => (short, rest),
        long => {
            let octets = long & 0x7f;
            if octets > LENGTH_OCTETS_MOST {
                return None;
            }
            let (length, rest) = rest.split_at_checked(octets)?;
            (length.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

fn number(digits: &[u8]) -> Option<i64> {
    let digits = digits.iter().all(u8::is_ascii_digit).then_some(digits)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Days of the Gregorian calendar, with years that begin in March, so that a leap day is a year's last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days_before_month = (153 * month + 2) / 5;
    // From 1 March of the year 0 to 1 January 1970 there are 719,468 days.
    year * 365 + leap_days + days_before_month + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_the_calendar_has_them() {
        // Seconds as `date -u -d DATE +%s` gives them.
        for (tag, text, secs) in [
            (UTC_TIME, "700101000000Z", 0),
            (UTC_TIME, "491231235959Z", 2_524_607_999),
            (UTC_TIME, "500101000000Z", -631_152_000),
            (UTC_TIME, "240229120000Z", 1_709_208_000),
            (UTC_TIME, "240301000000Z", 1_709_251_200),
            (GENERALIZED_TIME, "20000229000000Z", 951_782_400),
            (GENERALIZED_TIME, "99991231235959Z", 253_402_300_799),
        ] {
            assert_eq!(Date::read(tag, text.as_bytes()).unwrap().unix_secs, secs, "{text}");
        }
        for (tag, text) in [
            (UTC_TIME, "700101000000"),
            (UTC_TIME, "701301000000Z"),
            (UTC_TIME, "70010100000Z"),
            (UTC_TIME, "7001010000+1Z"),
            (GENERALIZED_TIME, "700101000000Z"),
            (0x04, "700101000000Z"),
        ] {
            assert_eq!(Date::read(tag, text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn an_end_is_told_two_weeks_ahead() {
        let date = |day, unix_secs| Date { unix_secs, day };
        let from = date([2001, 1, 1], 1_000);
        let validity = Validity { from, until: date([2001, 3, 4], 10_000_000) };
        let last = 10_000_000;
        for (unix_secs, dates) in [
            (999, Dates::Off("holds only from 2001-01-01".into())),
            (1_000, Dates::Hold("holds until 2001-03-04".into())),
            (last - SOON_SECS, Dates::Hold("holds until 2001-03-04".into())),
            (last - SOON_SECS + 1, Dates::EndsSoon("holds only until 2001-03-04".into())),
            (last, Dates::EndsSoon("holds only until 2001-03-04".into())),
            (last + 1, Dates::Off("is over since 2001-03-04".into())),
        ] {
            assert_eq!(validity.at(unix_secs), dates, "{unix_secs}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_dates() {
        let certificate = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let certificate = certificate.cert.der();
        assert!(Validity::of(certificate).is_some());
        for end in 0..certificate.len() {
            assert_eq!(Validity::of(&certificate[..end]), None, "{end}");
        }
        assert_eq!(element(&[0x30, 0x85, 0, 0, 0, 0, 0]), None);
    }
}
