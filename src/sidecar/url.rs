//! Addresses: of a server, and of a check.

use std::path::PathBuf;

use hyper::Uri;

/// The port of a server whose address names none, and no scheme either.
pub const DEFAULT_PORT: u16 = 8053;
/// Where a server is looked for when none is named.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8053";

/// Where a server is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// A URL, without a slash at its end.
    Url(String),
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl Server {
    /// Reads `http://host[:port][/prefix]`, `https://…`, `host:port`, `host`, or `unix:/path`; the error says what is wrong
    /// with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(_) => Err(format!("`{text}` must be `unix:` and an absolute path")),
            None => base(text).map(Self::Url),
        }
    }

    /// How it is shown.
    pub fn shown(&self) -> String {
        match self {
            Self::Url(base) => base.clone(),
            Self::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

fn base(text: &str) -> Result<String, String> {
    if text.contains("://") {
        let uri = http_url(text)?;
        if uri.query().is_some() {
            return Err(format!("`{text}` must not have a query"));
        }
        return Ok(text.trim_end_matches('/').to_owned());
    }
    if text.is_empty() || text.contains(['/', '?', '#', '@']) {
        return Err(format!("`{text}` must be `http://host:port` or `host:port`"));
    }
    let bare_v6 = text.parse::<std::net::Ipv6Addr>().is_ok();
    let host = if bare_v6 { format!("[{text}]") } else { text.to_owned() };
    let has_port = host.rfind(':') > host.rfind(']');
    let base = match has_port {
        true => format!("http://{host}"),
        false => format!("http://{host}:{DEFAULT_PORT}"),
    };
    http_url(&base).map(|_| base)
}

/// An `http://` or `https://` URL with a host; the error says what is wrong with it.
pub fn http_url(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("`{text}` is no URL: {error}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(format!("`{text}` must begin with http:// or https://"));
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return Err(format!("`{text}` must not hold a user name; give a token instead"));
    }
    // The parser takes any digits for a port.
    let has_port = authority.rfind(':') > authority.rfind(']');
    let port_is_good = !has_port || uri.port_u16().is_some_and(|port| port > 0);
    if uri.host().is_none_or(str::is_empty) || !port_is_good {
        return Err(format!("`{text}` must be `http://host:port`, with a port of 1 to 65535"));
    }
    Ok(uri)
}

/// One path segment, percent-encoded (RFC 3986, section 2.1): all but the unreserved characters.
pub fn segment(text: &str) -> String {
    // A dot segment would be taken out of the path (RFC 3986, section 5.2.4).
    let dots = matches!(text, "." | "..");
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'.' if dots => encoded.push_str("%2E"),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                encoded.push('%');
                encoded.push(char::from(HEX[usize::from(byte >> 4)]));
                encoded.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_in_several_ways() {
        for (text, base) in [
            ("http://127.0.0.1:8053", "http://127.0.0.1:8053"),
            ("http://10.0.0.1:8053/", "http://10.0.0.1:8053"),
            ("http://rollcall.example/dns", "http://rollcall.example/dns"),
            ("https://rollcall.example/", "https://rollcall.example"),
            ("10.0.0.1:80", "http://10.0.0.1:80"),
            ("rollcall.example", "http://rollcall.example:8053"),
            ("[fd00::1]:80", "http://[fd00::1]:80"),
            ("[fd00::1]", "http://[fd00::1]:8053"),
            ("fd00::1", "http://[fd00::1]:8053"),
        ] {
            assert_eq!(Server::parse(text), Ok(Server::Url(base.into())), "{text}");
        }
        let socket = Server::parse("unix:/run/rollcall/http.sock").unwrap();
        assert_eq!(socket, Server::Unix("/run/rollcall/http.sock".into()));
        assert_eq!(socket.shown(), "unix:/run/rollcall/http.sock");
        for (text, reason) in [
            ("unix:http.sock", "an absolute path"),
            ("ftp://a:1", "must begin with http://"),
            ("http://me@a:1", "user name"),
            ("http://a:1?x=1", "query"),
            ("http://a:", "must be `http://host:port`"),
            ("http://a:99999", "1 to 65535"),
            ("a:0", "1 to 65535"),
            ("", "must be `http://host:port`"),
            ("a/b", "must be `http://host:port`"),
            ("a b:1", "is no URL"),
        ] {
            let error = Server::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn segments_are_encoded() {
        for (text, encoded) in [
            ("web-1", "web-1"),
            ("a/b?c#d", "a%2Fb%3Fc%23d"),
            ("Web Server #1", "Web%20Server%20%231"),
            ("é", "%C3%A9"),
            ("..", "%2E%2E"),
            ("1.2", "1.2"),
            ("100%", "100%25"),
        ] {
            assert_eq!(segment(text), encoded);
        }
    }
}
