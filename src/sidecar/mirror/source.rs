//! The Eureka server that is copied from.

use std::io::Read;
use std::time::Duration;

use data_encoding::BASE64;
use flate2::read::GzDecoder;
use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderName, HeaderValue};
use hyper::{Method, Uri};

use super::super::client::trust;
use super::super::http::{Http, Trouble};
use super::super::trust::TlsFiles;
use super::list::List;

/// How long a list may take: a server with 100,000 instances sends some 10 MB.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);
/// Octets of a list at most, once it is decompressed: 400,000 instances.
const MAX_LIST_OCTETS: u64 = 512 << 20;

/// Asks it.
#[derive(Debug, Clone)]
pub struct Source {
    base: String,
    authorization: Option<HeaderValue>,
    http: Http,
}

/// Why there is no list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoList {
    /// It has no deltas to give: the whole list is to be asked for.
    NoDelta,
    /// In words.
    Trouble(String),
}

impl Source {
    /// The server at `http://[user:password@]host:port/eureka`; the error says what is wrong with that.
    pub fn new(url: &str, tls: &TlsFiles) -> Result<Self, String> {
        let url = url.trim().trim_end_matches('/');
        let url = url.strip_suffix("/apps").unwrap_or(url);
        let (scheme, rest) = url
            .split_once("://")
            .filter(|(scheme, _)| matches!(*scheme, "http" | "https"))
            .ok_or("must be a URL, such as http://eureka.example:8761/eureka")?;
        let authority = rest.split('/').next().unwrap_or_default();
        let (base, authorization) = match authority.rsplit_once('@') {
            None => (url.to_owned(), None),
            Some((user_info, host)) => {
                let path = rest.get(authority.len()..).unwrap_or_default();
                (format!("{scheme}://{host}{path}"), Some(basic(user_info)?))
            }
        };
        let uri: Result<Uri, _> = base.parse();
        if uri.is_err() || authority.is_empty() {
            return Err("is no URL".into());
        }
        let http = Http::over_tcp(FETCH_TIMEOUT, true, trust(&base, tls)?);
        Ok(Self { base, authorization, http })
    }

    /// Its URL, without a password.
    pub fn shown(&self) -> &str {
        &self.base
    }

    /// The whole list.
    pub async fn all(&self) -> Result<List, NoList> {
        self.fetch("apps/").await
    }

    /// What has changed lately.
    pub async fn delta(&self) -> Result<List, NoList> {
        self.fetch("apps/delta").await
    }

    async fn fetch(&self, path: &str) -> Result<List, NoList> {
        let trouble = |text: String| NoList::Trouble(format!("{}: {text}", self.base));
        let uri: Uri =
            format!("{}/{path}", self.base).parse().map_err(|_| trouble("is no URL".to_owned()))?;
        let mut headers: Vec<(HeaderName, HeaderValue)> =
            vec![(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))];
        headers.extend(self.authorization.clone().map(|value| (AUTHORIZATION, value)));
        let reply = self.http.call(Method::GET, uri, &headers, None).await;
        let reply = reply.map_err(|error| {
            trouble(match error {
                Trouble::Refused => "nothing listens there".to_owned(),
                Trouble::TimedOut(time) => format!("no reply within {} s", time.as_secs()),
                Trouble::Other(reason) => reason,
            })
        })?;
        match reply.status.as_u16() {
            200 => {}
            403 | 404 if path.ends_with("delta") => return Err(NoList::NoDelta),
            401 | 403 => {
                let text = format!("{}: give user and password in the URL", reply.status);
                return Err(trouble(text));
            }
            _ => return Err(trouble(format!("it says {}", reply.status))),
        }
        let plain = plain(&reply.body).map_err(trouble)?;
        List::read(&plain).map_err(trouble)
    }
}

fn basic(user_info: &str) -> Result<HeaderValue, String> {
    let decoded = percent_decoded(user_info);
    let value = HeaderValue::from_str(&format!("Basic {}", BASE64.encode(&decoded)));
    let mut value = value.map_err(|_| "has a user that cannot be sent".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut octets = text.as_bytes().iter();
    let mut decoded = Vec::new();
    while let Some(&octet) = octets.next() {
        let rest = octets.as_slice();
        let hex = rest.get(..2).filter(|_| octet == b'%');
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(value) => {
                decoded.push(value);
                octets.nth(1);
            }
            None => decoded.push(octet),
        }
    }
    decoded
}

/// A body as it was before it was compressed: gzip says so in its first two octets.
fn plain(body: &[u8]) -> Result<Vec<u8>, String> {
    if !body.starts_with(&[0x1f, 0x8b]) {
        return Ok(body.to_vec());
    }
    let mut plain = Vec::new();
    let read = GzDecoder::new(body).take(MAX_LIST_OCTETS + 1).read_to_end(&mut plain);
    read.map_err(|error| format!("its reply is no gzip ({error})"))?;
    match plain.len() as u64 {
        0..=MAX_LIST_OCTETS => Ok(plain),
        _ => Err(format!("its list has more than {MAX_LIST_OCTETS} octets")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_as_people_write_it() {
        let tls = TlsFiles::default();
        for (url, shown) in [
            ("http://h:8761/eureka/", "http://h:8761/eureka"),
            ("http://h:8761/eureka/apps", "http://h:8761/eureka"),
            ("http://u:p%40@h/eureka/v2", "http://h/eureka/v2"),
        ] {
            let source = Source::new(url, &tls).unwrap();
            assert_eq!(source.shown(), shown);
            assert!(!format!("{source:?}").contains("p@"));
        }
        for url in ["", "h:8761", "ftp://h", "http://", "http://a b/"] {
            assert!(Source::new(url, &tls).is_err(), "{url}");
        }
        assert_eq!(percent_decoded("u:p%40%zz%4"), b"u:p@%zz%4");
    }
}
