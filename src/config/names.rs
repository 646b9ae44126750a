//! Names in the configuration: zones, reverse zones, and host names of the HTTP door.
//!
//! Each function returns the name as it is used inside, or what is wrong with it as the end of a sentence
//! that begins with the name.

/// Octets of a zone's name in wire form at most. The longest name below a zone is `_P._tcp.S.Z`: labels of
/// 63, 4 and 62 octets and their lengths take 132 of the 255 that a name may have (RFC 1035, section 2.3.4).
const MAX_ZONE_OCTETS: usize = 255 - 132;
/// Octets of a label at most (RFC 1035, section 2.3.4).
const MAX_LABEL_OCTETS: usize = 63;
/// Octets of a host name as text at most: 255 in wire form without the first length and the root.
const MAX_HOST_OCTETS: usize = 253;

/// A zone in which services are found: lower case, with a final dot.
pub(super) fn zone(text: &str) -> Result<String, String> {
    let name = absolute(text)?;
    if let Some(reverse) = ["in-addr.arpa.", "ip6.arpa."].into_iter().find(|z| below(&name, z)) {
        return Err(format!("is below {reverse}: reverse zones belong in dns.reverse_zones"));
    }
    if below(&name, "local.") {
        return Err("is below `local.`, which computers ask by multicast and never a server \
             (RFC 6762): use a zone such as `svc.internal.`"
            .into());
    }
    Ok(name)
}

/// A zone that maps addresses to names: lower case, with a final dot.
pub(super) fn reverse_zone(text: &str) -> Result<String, String> {
    let name = absolute(text)?;
    let valid = if let Some(rest) = within(&name, "in-addr.arpa.") {
        rest.len() <= 4 && rest.iter().all(|label| is_decimal_octet(label))
    } else if let Some(rest) = within(&name, "ip6.arpa.") {
        rest.len() <= 32 && rest.iter().all(|label| is_nibble(label))
    } else {
        false
    };
    if valid {
        Ok(name)
    } else {
        Err("is no reverse zone: for 10.1.0.0/16 it is `1.10.in-addr.arpa.`, for fd00::/16 \
             `0.0.d.f.ip6.arpa.`"
            .into())
    }
}

/// A zone whose names are asked elsewhere, which must not be one of ours (`own`); it may be below one, for what that
/// delegates: lower case, with a final dot.
pub(super) fn rule_zone(text: &str, own: &[String]) -> Result<String, String> {
    if text == "." {
        return Err("is the root: for all names there is forward.upstreams".into());
    }
    let name = any_zone(text)?;
    match own.contains(&name) {
        true => Err("is one of dns.zones: its names are answered here".into()),
        false => Ok(name),
    }
}

/// A zone of anybody's but the root: lower case, with a final dot.
pub(super) fn any_zone(text: &str) -> Result<String, String> {
    if text == "." {
        return Err("is the root: name the zones".into());
    }
    absolute(text)
}

/// A name under which the HTTP door may be called: lower case, without a final dot.
pub(super) fn host(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.contains(':') && name.parse::<std::net::IpAddr>().is_err() {
        return Err("has a port or a scheme in it: only the host's name is compared".into());
    }
    if name.len() > MAX_HOST_OCTETS {
        return Err(format!("is longer than {MAX_HOST_OCTETS} octets"));
    }
    if name.parse::<std::net::IpAddr>().is_err() {
        labels(&name)?;
    }
    Ok(name)
}

/// Checks a domain name, adds its final dot, and makes it lower case.
fn absolute(text: &str) -> Result<String, String> {
    if text == "." {
        return Err("is the root: a server for all names would hide every other one; \
             use a zone such as `svc.internal.`"
            .into());
    }
    let relative = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    labels(&relative)?;
    if relative.len() + 2 > MAX_ZONE_OCTETS {
        return Err(format!(
            "is longer than {} octets, which leaves no room for the names in it",
            MAX_ZONE_OCTETS - 2
        ));
    }
    Ok(relative + ".")
}

/// Checks the labels of a name without its final dot: letters, digits, underscores and inner hyphens.
fn labels(name: &str) -> Result<(), String> {
    for label in name.split('.') {
        if label.is_empty() || label.len() > MAX_LABEL_OCTETS {
            return Err(format!(
                "has a label of {} octets, and one has 1 to {MAX_LABEL_OCTETS}",
                label.len()
            ));
        }
        if !label.is_ascii() {
            return Err("is not ASCII: write it in its `xn--` form".into());
        }
        let octets = label.bytes();
        let known = octets.clone().all(|o| o.is_ascii_alphanumeric() || o == b'-' || o == b'_');
        if !known || label.starts_with('-') || label.ends_with('-') {
            let shown = label.escape_debug();
            return Err(format!(
                "has the label `{shown}`, and one has letters, digits, underscores and inner hyphens"
            ));
        }
    }
    Ok(())
}

/// Whether `name` is `zone` or lies below it, by labels.
fn below(name: &str, zone: &str) -> bool {
    within(name, zone).is_some()
}

/// The labels that `name` has more than `zone`, if it is `zone` or lies below it.
fn within<'a>(name: &'a str, zone: &str) -> Option<Vec<&'a str>> {
    let rest = name.strip_suffix(zone)?;
    if rest.is_empty() {
        return Some(Vec::new());
    }
    Some(rest.strip_suffix('.')?.split('.').collect())
}

/// One octet of an IPv4 address as in-addr.arpa writes it: no leading zeros (RFC 1035, section 3.5).
fn is_decimal_octet(label: &str) -> bool {
    label.parse::<u8>().is_ok_and(|octet| octet.to_string() == label)
}

/// One hexadecimal digit, as ip6.arpa writes it (RFC 3596, section 2.5).
fn is_nibble(label: &str) -> bool {
    label.len() == 1 && label.bytes().all(|octet| octet.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every name with what becomes of it; `!` and a part of the reason: it is refused.
    fn check(parse: fn(&str) -> Result<String, String>, table: &[(&str, &str)]) {
        for (text, expected) in table {
            match (parse(text), expected.strip_prefix('!')) {
                (Ok(name), None) => assert_eq!(name, *expected, "{text}"),
                (Err(reason), Some(part)) => assert!(reason.contains(part), "{text}: {reason}"),
                (got, _) => panic!("{text}: {got:?}, expected {expected}"),
            }
        }
    }

    #[test]
    fn zones() {
        let longest = format!("{}.{}.", "a".repeat(60), "b".repeat(60));
        check(
            zone,
            &[
                ("svc.internal.", "svc.internal."),
                ("SVC.Internal", "svc.internal."),
                ("internal", "internal."),
                ("_x.a_b.example", "_x.a_b.example."),
                ("notlocal.", "notlocal."),
                ("local.example.", "local.example."),
                (&longest[1..], &longest[1..]),
                (&format!("x{longest}"), "!no room"),
                ("", "!label of 0 octets"),
                (".", "!root"),
                ("..", "!label of 0 octets"),
                ("a..b", "!label of 0 octets"),
                (".a", "!label of 0 octets"),
                (&"x".repeat(64), "!label of 64 octets"),
                ("-a.b", "!inner hyphens"),
                ("a-.b", "!inner hyphens"),
                ("a b", "!inner hyphens"),
                ("a\\.b", "!inner hyphens"),
                ("*.b", "!inner hyphens"),
                ("a\nb", "!`a\\nb`"),
                ("bücher.example", "!xn--"),
                ("local", "!RFC 6762"),
                ("Home.LOCAL.", "!RFC 6762"),
                ("10.in-addr.arpa", "!dns.reverse_zones"),
                ("ip6.arpa", "!dns.reverse_zones"),
            ],
        );
    }

    #[test]
    fn reverse_zones() {
        let full = format!("{}ip6.arpa.", "0.".repeat(32));
        check(
            reverse_zone,
            &[
                ("10.in-addr.arpa", "10.in-addr.arpa."),
                ("4.3.2.1.IN-ADDR.ARPA.", "4.3.2.1.in-addr.arpa."),
                ("in-addr.arpa.", "in-addr.arpa."),
                ("0.0.D.F.ip6.arpa", "0.0.d.f.ip6.arpa."),
                (&full, &full),
                (&format!("0.{full}"), "!no reverse zone"),
                ("5.4.3.2.1.in-addr.arpa.", "!no reverse zone"),
                ("256.in-addr.arpa.", "!no reverse zone"),
                ("010.in-addr.arpa.", "!no reverse zone"),
                ("+1.in-addr.arpa.", "!letters, digits"),
                ("fd.ip6.arpa.", "!no reverse zone"),
                ("g.ip6.arpa.", "!no reverse zone"),
                ("10.xin-addr.arpa.", "!no reverse zone"),
                ("svc.internal.", "!no reverse zone"),
                ("10.0.0.0/8", "!label `0/8`"),
                (".", "!root"),
            ],
        );
    }

    #[test]
    fn rule_zones() {
        let own = ["svc.internal.".to_owned()];
        let parse: fn(&str) -> Result<String, String> =
            |text| rule_zone(text, &["svc.internal.".to_owned()]);
        assert_eq!(rule_zone("Internal", &own), Ok("internal.".into()));
        check(
            parse,
            &[
                ("Corp.Example", "corp.example."),
                ("10.in-addr.arpa.", "10.in-addr.arpa."),
                ("local", "local."),
                ("xsvc.internal.", "xsvc.internal."),
                ("SVC.internal", "!is one of dns.zones"),
                ("Sub.svc.internal.", "sub.svc.internal."),
                (".", "!forward.upstreams"),
                ("a..b", "!label of 0 octets"),
            ],
        );
        check(any_zone, &[("A", "a."), (".", "!name the zones"), ("", "!label of 0 octets")]);
    }

    #[test]
    fn hosts() {
        check(
            host,
            &[
                ("Rollcall.Example.", "rollcall.example"),
                ("rollcall", "rollcall"),
                ("10.0.0.1", "10.0.0.1"),
                ("fd00::1", "fd00::1"),
                ("rollcall:8053", "!port"),
                ("http://rollcall", "!scheme"),
                ("", "!label of 0 octets"),
                ("*", "!inner hyphens"),
                (&"abc.".repeat(64), "!longer than 253"),
            ],
        );
    }
}
