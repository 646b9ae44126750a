//! `http://` addresses: of a server, and of a check.

use hyper::Uri;

/// The port of a server whose address names none, and no scheme either.
pub const DEFAULT_PORT: u16 = 8053;
/// Where a server is looked for when none is named.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8053";

/// The address of a server, without a slash at its end.
///
/// Takes `http://host[:port][/prefix]`, `host:port` and `host`; the error says what is wrong with it.
pub fn server_base(text: &str) -> Result<String, String> {
    let text = text.trim();
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

/// An `http://` URL with a host; the error says what is wrong with it.
pub fn http_url(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("`{text}` is no URL: {error}"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => {
            return Err(format!(
                "`{text}`: https is not supported here yet; use http:// on a network you trust, or a local \
                 TLS proxy"
            ));
        }
        _ => return Err(format!("`{text}` must begin with http://")),
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
            ("10.0.0.1:80", "http://10.0.0.1:80"),
            ("rollcall.example", "http://rollcall.example:8053"),
            ("[fd00::1]:80", "http://[fd00::1]:80"),
            ("[fd00::1]", "http://[fd00::1]:8053"),
            ("fd00::1", "http://[fd00::1]:8053"),
        ] {
            assert_eq!(server_base(text).as_deref(), Ok(base), "{text}");
        }
        for (text, reason) in [
            ("https://a:1", "https is not supported"),
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
            let error = server_base(text).unwrap_err();
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
