//! Reads what a request says in JSON, strictly: an unknown, repeated or mistyped field is refused and named.
//!
//! The types that are read here are flat, and what they do not name is refused before its value is read, so
//! nothing nests deeper than they do.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;

use axum::http::StatusCode;

use super::problem::{Problem, shown};
use crate::nearest;

/// Reads a JSON object. 400: it is not JSON, or no object; 422: a field of it is wrong.
pub fn read<'de, T: Deserialize<'de>>(octets: &'de [u8]) -> Result<T, Problem> {
    // What is right, which most is, is read without keeping account of where in it the reader is.
    match serde_json::from_slice(octets) {
        Ok(value) if octets.trim_ascii_start().starts_with(b"{") => Ok(value),
        _ => read_again(octets),
    }
}

/// Reads what is not right, to say what is wrong with it and where.
fn read_again<'de, T: Deserialize<'de>>(octets: &'de [u8]) -> Result<T, Problem> {
    match octets.trim_ascii_start().first() {
        Some(b'{') => {}
        Some(_) => return Err(malformed("the body must be a JSON object")),
        None => return Err(malformed("the body is empty, and must be a JSON object")),
    }
    let mut deserializer = serde_json::Deserializer::from_slice(octets);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        match inner.classify() {
            Category::Data => wrong_field(&path, &inner.to_string()),
            _ => malformed(format!("the body is not JSON: {inner}")),
        }
    })?;
    let end = deserializer.end();
    end.map_err(|error| malformed(format!("the body goes on after its JSON: {error}")))?;
    Ok(value)
}

/// Reads the query of a URL, in which everything is optional; what is unknown or wrong is a 422.
pub fn read_query<T: DeserializeOwned>(uri: &axum::http::Uri) -> Result<T, Problem> {
    axum::extract::Query::try_from_uri(uri).map(|query| query.0).map_err(|rejection| {
        let text = rejection.body_text();
        let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
        match text.split_once(": ") {
            Some((path, message)) if !path.contains(' ') => wrong_field(path, message),
            _ => wrong_field(".", text),
        }
    })
}

fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

/// A problem from serde's words about the value at `path`.
fn wrong_field(path: &str, message: &str) -> Problem {
    // serde_json adds where in the text it is; the path says it better.
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    if let Some((field, near)) = nearest::unknown_field(message) {
        let meant = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
        let field = shown(&field);
        return Problem::field(field.clone(), format!("there is no field `{field}`{meant}"));
    }
    for (words, detail) in [("missing field", "is missing"), ("duplicate field", "is given twice")]
    {
        if let Some(rest) = message.strip_prefix(words) {
            return Problem::field(rest.trim_matches([' ', '`']), detail);
        }
    }
    let field = (path != ".").then(|| shown(path));
    Problem { field, ..Problem::field("", shown(&spelt_out(message))) }
}

/// serde's names of types in words for people.
fn spelt_out(message: &str) -> String {
    [
        ("expected u16", "expected a whole number from 0 to 65535"),
        ("expected i64", "expected a whole number or null"),
        ("expected a string", "expected text"),
        ("expected a sequence", "expected a list"),
        ("expected a map", "expected an object"),
    ]
    .iter()
    .find_map(|(typed, spelt)| message.strip_suffix(typed).map(|start| format!("{start}{spelt}")))
    .unwrap_or_else(|| message.to_owned())
}

/// An object's members as they were written, so that a repeated one is seen and not overwritten.
#[derive(Debug, PartialEq, Eq)]
pub struct Members<V>(pub Vec<(String, V)>);

impl<V> Default for Members<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Members<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor(PhantomData))
    }
}

struct MembersVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for MembersVisitor<V> {
    type Value = Members<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// For a field that may be null: tells "null" (`Some(None)`) from "left out" (`None`, by `serde(default)`).
pub fn or_null<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        port: u16,
        #[serde(default)]
        ports: Members<u16>,
        #[serde(default)]
        tags: Vec<String>,
        #[serde(default, deserialize_with = "or_null")]
        lease_secs: Option<Option<i64>>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Page {
        limit: Option<u16>,
        after: Option<String>,
    }

    #[test]
    fn null_is_not_left_out() {
        let lease = |text: &str| read::<Example>(text.as_bytes()).unwrap().lease_secs;
        assert_eq!(lease(r#"{"port":1}"#), None);
        assert_eq!(lease(r#"{"port":1,"lease_secs":null}"#), Some(None));
        assert_eq!(lease(" {\"port\":1,\"lease_secs\":-5}\n"), Some(Some(-5)));
    }

    #[test]
    fn a_problem_names_the_field() {
        let deep = format!(r#"{{"port":1,"x":{}"#, "[".repeat(10_000));
        for (text, status, field, detail) in [
            ("", 400, None, "the body is empty, and must be a JSON object"),
            ("[1]", 400, None, "the body must be a JSON object"),
            ("port=1", 400, None, "the body must be a JSON object"),
            (
                r#"{"port":1"#,
                400,
                None,
                "the body is not JSON: EOF while parsing an object at line 1 column 9",
            ),
            (
                r#"{"port":1} {}"#,
                400,
                None,
                "the body goes on after its JSON: trailing characters at line 1 column 12",
            ),
            (r#"{"prot":1}"#, 422, Some("prot"), "there is no field `prot`: did you mean `port`?"),
            (r#"{"xyz":1}"#, 422, Some("xyz"), "there is no field `xyz`"),
            (&deep, 422, Some("x"), "there is no field `x`"),
            ("{}", 422, Some("port"), "is missing"),
            (r#"{"port":1,"port":2}"#, 422, Some("port"), "is given twice"),
            (
                r#"{"port":"80"}"#,
                422,
                Some("port"),
                "invalid type: string \"80\", expected a whole number from 0 to 65535",
            ),
            (
                r#"{"port":70000}"#,
                422,
                Some("port"),
                "invalid value: integer `70000`, expected a whole number from 0 to 65535",
            ),
            (
                r#"{"port":1,"ports":{"metrics":-1}}"#,
                422,
                Some("ports.metrics"),
                "invalid value: integer `-1`, expected a whole number from 0 to 65535",
            ),
            (
                r#"{"port":1,"ports":[]}"#,
                422,
                Some("ports"),
                "invalid type: sequence, expected an object",
            ),
            (
                r#"{"port":1,"tags":["a",7]}"#,
                422,
                Some("tags[1]"),
                "invalid type: integer `7`, expected text",
            ),
        ] {
            let problem = read::<Example>(text.as_bytes()).unwrap_err();
            assert_eq!(
                (problem.status.as_u16(), problem.field.as_deref(), &*problem.detail),
                (status, field, detail),
                "{}",
                shown(text)
            );
        }
    }

    #[test]
    fn repeated_members_are_kept() {
        let read = read::<Example>(br#"{"port":1,"ports":{"a":1,"a":2}}"#).unwrap();
        assert_eq!(read.ports, Members(vec![("a".into(), 1), ("a".into(), 2)]));
    }

    #[test]
    fn queries_are_strict_too() {
        let read = |text: &str| read_query::<Page>(&text.parse().unwrap());
        assert_eq!(read("/x?"), Ok(Page { limit: None, after: None }));
        assert_eq!(
            read("/x?after=a%2Fb+c%20d&limit=5"),
            Ok(Page { limit: Some(5), after: Some("a/b c d".into()) })
        );
        for (text, field, detail) in [
            ("/x?limt=5", "limt", "there is no field `limt`: did you mean `limit`?"),
            ("/x?limit=1&limit=2", "limit", "is given twice"),
            ("/x?limit=many", "limit", "invalid digit found in string"),
        ] {
            assert_eq!(read(text), Err(Problem::field(field, detail)), "{text}");
        }
    }
}
