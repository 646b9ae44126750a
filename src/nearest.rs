//! "Did you mean …?": the nearest of the known names, for whoever mistyped one in a file or a request.

/// A longer name is no slip of the keyboard, and comparing takes time in its length.
const MAX_COMPARED_OCTETS: usize = 64;
/// Similarity (Jaro and Winkler, 0 to 1) from which one name is taken for another mistyped.
const SIMILAR: f64 = 0.8;

/// The known name that `name` most likely stands for, if one is near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > MAX_COMPARED_OCTETS {
        return None;
    }
    let name = name.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&name, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

/// Reads serde's message about an unknown field: the field, and the nearest known one. `None` if the message
/// is about something else.
pub fn unknown_field(message: &str) -> Option<(String, Option<String>)> {
    let (_, rest) = message.split_once("unknown field `")?;
    if let Some((field, _)) = rest.rsplit_once("`, there are no fields") {
        return Some((field.to_owned(), None));
    }
    let (field, expected) = rest.rsplit_once("`, expected ")?;
    // "one of `a`, `b`", "`a` or `b`", "`a`": every second piece is a name.
    let known = expected.split('`').skip(1).step_by(2);
    Some((field.to_owned(), nearest(field, known).map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [&str; 11] = [
        "addresses",
        "port",
        "protocol",
        "ports",
        "lease_secs",
        "tags",
        "version",
        "weight",
        "priority",
        "meta",
        "state",
    ];

    #[test]
    fn a_slip_finds_its_name() {
        for (written, meant) in [
            ("prot", Some("port")),
            ("Port", Some("port")),
            ("lease", Some("lease_secs")),
            ("lease-secs", Some("lease_secs")),
            ("leaseSecs", Some("lease_secs")),
            ("address", Some("addresses")),
            ("tag", Some("tags")),
            ("metadata", Some("meta")),
            ("wieght", Some("weight")),
            ("ttl", None),
            ("", None),
            (&"port".repeat(17), None),
        ] {
            assert_eq!(nearest(written, FIELDS), meant, "{written}");
        }
    }

    #[test]
    fn every_wording_of_serde_is_read() {
        let found =
            |field: &str, near: Option<&str>| Some((field.to_owned(), near.map(str::to_owned)));
        for (message, expected) in [
            (
                "unknown field `prot`, expected one of `addresses`, `port`, `ports` at line 1 column 7",
                found("prot", Some("port")),
            ),
            ("unknown field `stat`, expected `state` or `reason`", found("stat", Some("state"))),
            ("unknown field `zone`, expected `zones`", found("zone", Some("zones"))),
            ("unknown field `colour`, expected `zones`", found("colour", None)),
            ("unknown field `x`, there are no fields", found("x", None)),
            ("unknown field `st`te`, expected `state`", found("st`te", Some("state"))),
            ("missing field `port`", None),
            ("unknown field", None),
        ] {
            assert_eq!(unknown_field(message), expected, "{message}");
        }
    }
}
