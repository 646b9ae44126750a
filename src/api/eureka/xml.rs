//! Instances in XML, as XStream has them: a class is an attribute, and a key of metadata the name of an element.
//!
//! What cannot be in such a name is written with an escape, as XStream does it: `_` is `__`, `$` is `_-`, and another
//! character `_.` with four hexadecimal digits. So one client's odd key spoils no other client's list.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use serde_json::{Map, Value};

use super::wire::Port;
use super::write::Write;

/// Elements within each other at most; an instance needs four.
const MAX_DEPTH: usize = 16;

/// Writes an instance in XML.
pub(super) struct Xml;

impl Write for Xml {
    const OVERRIDDEN: &'static str = "overriddenstatus";

    fn begin(out: &mut String) -> Self {
        out.push_str("<instance>");
        Self
    }

    fn end(self, out: &mut String) {
        out.push_str("</instance>");
    }

    fn text(&mut self, out: &mut String, key: &str, value: &str) {
        element(out, key, value);
    }

    fn number(&mut self, out: &mut String, key: &str, value: i64) {
        element(out, key, &value.to_string());
    }

    fn port(&mut self, out: &mut String, key: &str, Port(number, enabled): Port) {
        out.push_str(&format!(r#"<{key} enabled="{enabled}">{number}</{key}>"#));
    }

    fn open(&mut self, out: &mut String, key: &str, class: Option<&str>) {
        match class {
            Some(class) => out.push_str(&format!(r#"<{key} class="{class}">"#)),
            None => out.extend(["<", key, ">"]),
        }
    }

    fn close(&mut self, out: &mut String, key: &str) {
        out.extend(["</", key, ">"]);
    }

    fn pair(&mut self, out: &mut String, key: &str, value: &str) {
        element(out, &encoded(key), value);
    }

    fn application(app: &str, instances: impl FnOnce(&mut String)) -> String {
        let mut out = String::from("<application>");
        element(&mut out, "name", app);
        instances(&mut out);
        out.push_str("</application>");
        out
    }

    fn between() -> &'static str {
        ""
    }
}

fn element(out: &mut String, name: &str, text: &str) {
    out.extend(["<", name, ">"]);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // Else a reader takes it for an end of line.
            '\r' => out.push_str("&#13;"),
            c if is_char(c) => out.push(c),
            _ => out.push(char::REPLACEMENT_CHARACTER),
        }
    }
    out.extend(["</", name, ">"]);
}

/// What may be in a document (XML 1.0, section 2.2).
fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// A key as the name of an element.
fn encoded(key: &str) -> String {
    let mut name = String::with_capacity(key.len());
    for (at, c) in key.chars().enumerate() {
        match c {
            '_' => name.push_str("__"),
            '$' => name.push_str("_-"),
            c if c.is_ascii_alphabetic() => name.push(c),
            c if at > 0 && (c.is_ascii_digit() || matches!(c, '-' | '.')) => name.push(c),
            // Of two units each, beyond the first plane, as Java has them.
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    name.push_str(&format!("_.{unit:04x}"));
                }
            }
        }
    }
    name
}

/// The key that an element's name stands for; what is no escape stays as it is.
fn decoded(name: &str) -> String {
    let mut units: Vec<u16> = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let hex = rest.strip_prefix("_.").and_then(|hex| hex.get(..4));
        let unit = hex.and_then(|hex| u16::from_str_radix(hex, 16).ok());
        let (unit, octets) = match unit {
            Some(unit) => (Some(unit), 6),
            None if rest.starts_with("__") => (Some(u16::from(b'_')), 2),
            None if rest.starts_with("_-") => (Some(u16::from(b'$')), 2),
            None => (None, c.len_utf8()),
        };
        match unit {
            Some(unit) => units.push(unit),
            None => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
        }
        rest = rest.get(octets..).unwrap_or_default();
    }
    String::from_utf16_lossy(&units)
}

/// A document as JSON would have it: an element with children is an object, one with text a text, and attributes are
/// members, `class` and `enabled` with the `@` that they have there. The error is a sentence.
pub(super) fn read(body: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the XML is not in UTF-8".to_owned())?;
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Open> = Vec::new();
    let mut root = Open::default();
    loop {
        match reader.read_event().map_err(|error| format!("no XML: {error}"))? {
            Event::Start(start) => {
                if open.len() >= MAX_DEPTH {
                    return Err(format!("has more than {MAX_DEPTH} elements within each other"));
                }
                open.push(Open::new(&start)?);
            }
            Event::Empty(start) => {
                open.last_mut().unwrap_or(&mut root).take(Open::new(&start)?);
            }
            Event::End(_) => {
                let ended = open.pop().ok_or("an element ends that has not begun")?;
                open.last_mut().unwrap_or(&mut root).take(ended);
            }
            Event::Text(text) => open.last_mut().unwrap_or(&mut root).text.push_str(&text),
            Event::CData(text) => open.last_mut().unwrap_or(&mut root).text.push_str(&text),
            Event::GeneralRef(reference) => {
                let text = quick_xml::escape::unescape(&format!("&{};", &*reference))
                    .map_err(|error| format!("no XML: {error}"))?
                    .into_owned();
                open.last_mut().unwrap_or(&mut root).text.push_str(&text);
            }
            Event::Eof => break,
            // A document type could have entities; they are not looked at, so that none is known.
            Event::DocType(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
    match (open.is_empty(), root.members.is_empty()) {
        (true, false) => Ok(Value::Object(root.members)),
        _ => Err("no XML: it ends too early".to_owned()),
    }
}

/// An element that is being read.
#[derive(Default)]
struct Open {
    key: String,
    members: Map<String, Value>,
    text: String,
}

impl Open {
    fn new(start: &BytesStart<'_>) -> Result<Self, String> {
        let mut members = Map::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| format!("no XML: {error}"))?;
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|error| format!("no XML: {error}"))?;
            let key = format!("@{}", attribute.key.as_ref());
            members.insert(key, Value::String(value.into_owned()));
        }
        Ok(Self { key: decoded(start.name().as_ref()), members, text: String::new() })
    }

    /// Takes a child that has ended.
    fn take(&mut self, child: Self) {
        let Self { key, mut members, text } = child;
        let is_branch = members.keys().any(|key| !key.starts_with('@'));
        let value = if members.is_empty() {
            Value::String(text)
        } else {
            if !is_branch {
                members.insert("$".into(), Value::String(text));
            }
            Value::Object(members)
        };
        self.members.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_key_is_a_name_and_comes_back() {
        for (key, name) in [
            ("zone", "zone"),
            ("a_b$c", "a__b_-c"),
            ("1a", "_.0031a"),
            ("a1.b-c", "a1.b-c"),
            ("a b<é", "a_.0020b_.003c_.00e9"),
            ("😀", "_.d83d_.de00"),
        ] {
            assert_eq!(encoded(key), name);
            assert_eq!(decoded(name), key);
        }
        for name in ["_", "_x", "_.12", "a_.zzzz"] {
            assert_eq!(decoded(name), name);
        }
    }

    #[test]
    fn a_document_has_the_shape_of_json() {
        let text = r#"<?xml version="1.0"?><!-- x --><instance>
            <app>A&amp;B&#33;</app><port enabled="true">80</port>
            <dataCenterInfo class="c"><name>MyOwn</name></dataCenterInfo>
            <metadata><a__b><![CDATA[<x>]]></a__b><empty/></metadata></instance>"#;
        let expected = serde_json::json!({"instance": {
            "app": "A&B!",
            "port": {"@enabled": "true", "$": "80"},
            "dataCenterInfo": {"@class": "c", "name": "MyOwn"},
            "metadata": {"a_b": "<x>", "empty": ""},
        }});
        assert_eq!(read(text.as_bytes()), Ok(expected));
    }

    #[test]
    fn what_is_no_document_is_refused_and_entities_are_not_made() {
        let deep = "<a>".repeat(MAX_DEPTH + 1);
        let entity = r#"<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>"#;
        for text in ["", "x", "<a>", "<a></b>", "<a b></a>", "</a>", &deep, entity, "<a>&x;</a>"] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(read(b"<a>\xff</a>").is_err());
    }

    #[test]
    fn text_is_what_xml_may_hold() {
        let mut out = String::new();
        element(&mut out, "a", "<&>\u{1}\u{ffff}\ré");
        assert_eq!(out, "<a>&lt;&amp;&gt;\u{fffd}\u{fffd}&#13;é</a>");
    }
}
