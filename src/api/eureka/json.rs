//! Instances in JSON, as Eureka's own codec has them: most numbers are texts, and nothing is there that it does not know.

use super::wire::Port;
use super::write::Write;

/// Writes an instance in JSON.
pub(super) struct Json {
    /// Whether nothing is written yet of the object that is open.
    is_first: bool,
}

impl Json {
    fn key(&mut self, out: &mut String, key: &str) {
        if !std::mem::take(&mut self.is_first) {
            out.push(',');
        }
        quoted(out, key);
        out.push(':');
    }
}

impl Write for Json {
    const OVERRIDDEN: &'static str = "overriddenStatus";

    fn begin(out: &mut String) -> Self {
        out.push('{');
        Self { is_first: true }
    }

    fn end(self, out: &mut String) {
        out.push('}');
    }

    fn text(&mut self, out: &mut String, key: &str, value: &str) {
        self.key(out, key);
        quoted(out, value);
    }

    fn number(&mut self, out: &mut String, key: &str, value: i64) {
        self.key(out, key);
        out.push_str(&value.to_string());
    }

    fn port(&mut self, out: &mut String, key: &str, Port(number, enabled): Port) {
        self.key(out, key);
        out.push_str(&format!(r#"{{"$":{number},"@enabled":"{enabled}"}}"#));
    }

    fn open(&mut self, out: &mut String, key: &str, class: Option<&str>) {
        self.key(out, key);
        out.push('{');
        self.is_first = true;
        if let Some(class) = class {
            self.text(out, "@class", class);
        }
    }

    fn close(&mut self, out: &mut String, _key: &str) {
        out.push('}');
        self.is_first = false;
    }

    fn pair(&mut self, out: &mut String, key: &str, value: &str) {
        self.text(out, key, value);
    }

    fn application(app: &str, instances: impl FnOnce(&mut String)) -> String {
        let mut out = String::from(r#"{"name":"#);
        quoted(&mut out, app);
        out.push_str(r#","instance":["#);
        instances(&mut out);
        out.push_str("]}");
        out
    }

    fn between() -> &'static str {
        ","
    }
}

/// A text in quotes (RFC 8259, section 7). Most have nothing to escape, and there are millions of them.
fn quoted(out: &mut String, text: &str) {
    if text.bytes().all(|octet| octet >= b' ' && octet != b'"' && octet != b'\\') {
        out.extend(["\"", text, "\""]);
    } else {
        // A text can always be written.
        out.push_str(&serde_json::to_string(text).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_comes_back() {
        for text in ["", "a", "\"\\", "a\"b\\\n\u{1}\u{7f}é\u{2028}", "\0"] {
            let mut out = String::new();
            quoted(&mut out, text);
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }
}
