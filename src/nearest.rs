//! "Did you mean": the field or key that an unknown one was probably meant to be.
//!
//! serde tells of an unknown field in words only, so its words are taken apart here, in one place, for the
//! configuration and the HTTP door alike.

/// How alike two names must be (Jaro-Winkler, 0 to 1) for one to be offered in place of the other: `zone` and
/// `zones` have 0.97, `ttl` and `ttl_secs` 0.86, unrelated names seldom more than 0.75.
const ALIKE: f64 = 0.8;

/// The unknown field that a message of serde's is about, and the known name nearest to it, if one is near.
/// `None` if the message is about something else.
pub fn unknown_field(message: &str) -> Option<(String, Option<String>)> {
    let rest = &message[message.find(UNKNOWN)? + UNKNOWN.len()..];
    // The field is whatever a stranger wrote and may hold these very words; serde's own come last.
    let (field, known) = match rest.rsplit_once("`, expected ") {
        Some(parts) => parts,
        None => (rest.rsplit_once("`, there are no fields")?.0, ""),
    };
    // What is between backticks: `a`, "`a` or `b`", "one of `a`, `b`, `c`".
    let names = known.split('`').skip(1).step_by(2);
    Some((field.to_owned(), nearest(field, names)))
}

const UNKNOWN: &str = "unknown field `";

/// The name of `names` that `given` was probably meant to be.
pub fn nearest<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let given = given.to_ascii_lowercase();
    let alike = |name| match strsim::osa_distance(&given, name) {
        // One slip of the fingers, which weighs much in a short name.
        0 | 1 if given.len() > 2 => 1.0,
        _ => strsim::jaro_winkler(&given, name),
    };
    names
        .into_iter()
        .map(|name| (alike(name), name))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serdes_words_are_taken_apart() {
        let table = [
            ("unknown field `zone`, expected one of `listen`, `zones`, `workers`", "zone", "zones"),
            ("unknown field `adress`, expected `addresses` or `port`", "adress", "addresses"),
            ("unknown field `Ttl`, expected `ttl_secs`", "Ttl", "ttl_secs"),
            ("unknown field `dsn`, expected one of `dns`, `http`", "dsn", "dns"),
            ("unknown field `colour`, expected one of `a`, `listen`, `port`", "colour", ""),
            ("unknown field `x`, there are no fields", "x", ""),
            ("unknown field `tag`, expected `tags` or `port` at line 1 column 9", "tag", "tags"),
            ("a.b: unknown field `prot`, expected `port`", "prot", "port"),
            ("unknown field ``, expected `port`", "", ""),
            ("unknown field `a`, expected `b`, expected `port`", "a`, expected `b", ""),
        ];
        for (message, field, near) in table {
            let near = (!near.is_empty()).then(|| near.to_owned());
            assert_eq!(unknown_field(message), Some((field.to_owned(), near)), "{message}");
        }
    }

    #[test]
    fn other_messages_are_not_about_a_field() {
        for message in ["missing field `port`", "unknown field `", "unknown field `a", ""] {
            assert_eq!(unknown_field(message), None, "{message}");
        }
    }

    #[test]
    fn serde_still_words_it_so() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct None {}
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(dead_code)]
        struct Two {
            port: u16,
            tags: u16,
        }
        let message = serde_json::from_str::<Two>(r#"{"tag":1}"#).unwrap_err().to_string();
        assert_eq!(unknown_field(&message), Some(("tag".into(), Some("tags".into()))));
        let message = serde_json::from_str::<None>(r#"{"tag":1}"#).unwrap_err().to_string();
        assert_eq!(unknown_field(&message), Some(("tag".into(), Option::None)));
    }
}
