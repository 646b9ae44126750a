//! The Eureka server that is copied: its address, and its lists.

use std::io::Read;
use std::time::Duration;

use data_encoding::BASE64;
use flate2::read::GzDecoder;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, HeaderMap, HeaderValue, LOCATION,
};
use hyper::{StatusCode, Uri};

use super::copy::Wanted;
use super::instance::List;
use crate::sidecar::client::trust;
use crate::sidecar::error::ClientError;
use crate::sidecar::http::{Http, Reply, Trouble};
use crate::sidecar::trust::TlsFiles;
use crate::sidecar::url::http_url;

/// How long a list may take to come.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Octets of a list at most, as it was before it was compressed: some 300,000 instances.
const MAX_OCTETS: usize = 512 << 20;
/// Octets of the address at most: our server keeps it with each copy.
const MAX_URL_OCTETS: usize = 512;
/// Characters of a stranger's words that are shown at most.
const MAX_SHOWN: usize = 200;

/// A Eureka server.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its address without user, password and slash at the end.
    base: String,
    name: HeaderValue,
    authorization: Option<HeaderValue>,
    http: Http,
}

/// What the source has given.
#[derive(Debug)]
pub(super) enum Fetched {
    Full(List),
    Delta(List),
    /// It has no list of changes, or not for us.
    NoDelta,
}

impl Source {
    /// The server at `http[s]://[user:password@]host[:port]/path`: what `/apps` comes after.
    ///
    /// # Errors
    /// Says what is wrong with the address or the files, and never the password.
    pub fn new(url: &str, tls: &TlsFiles) -> Result<Self, ClientError> {
        let (base, user) = parse(url).map_err(ClientError::Usage)?;
        let authorization =
            user.map(|user| basic(&user)).transpose().map_err(ClientError::Usage)?;
        let name = HeaderValue::from_str(&base)
            .map_err(|_| ClientError::Usage(format!("`{base}` has characters that no URL has")))?;
        let tls = trust(&base, tls).map_err(ClientError::Usage)?;
        Ok(Self { name, authorization, http: Http::over_tcp(TIMEOUT, true, tls), base })
    }

    /// Its address, as it is shown.
    pub fn shown(&self) -> &str {
        &self.base
    }

    /// The same, for a header.
    pub(super) fn name(&self) -> HeaderValue {
        self.name.clone()
    }

    /// Asks for a list.
    pub(super) async fn fetch(&self, wanted: Wanted) -> Result<Fetched, ClientError> {
        let path = match wanted {
            Wanted::Full => "/apps",
            Wanted::Delta => "/apps/delta",
        };
        let url = format!("{}{path}", self.base);
        let uri: Uri = url.parse().map_err(|_| ClientError::Usage(format!("`{url}` is no URL")))?;
        let mut headers = vec![
            (ACCEPT, HeaderValue::from_static("application/json")),
            (ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
        ];
        headers.extend(self.authorization.iter().map(|value| (AUTHORIZATION, value.clone())));
        let reply = self.http.get(uri, headers, MAX_OCTETS).await;
        let reply = reply.map_err(|trouble| self.unreachable(trouble))?;
        match (wanted, reply.status) {
            (_, StatusCode::OK) => {}
            (Wanted::Delta, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN) => {
                return Ok(Fetched::NoDelta);
            }
            _ => return Err(self.refusal(&url, &reply)),
        }
        // It may be large, and renewals must not wait for it.
        let read = tokio::task::spawn_blocking(move || read(&reply.headers, &reply.body)).await;
        let read = read.unwrap_or_else(|_| Err("it could not be read".into()));
        let list = read.map_err(|reason| {
            ClientError::Refused(format!(
                "what {url} answers is no list of a Eureka server: {reason}; is the URL right?"
            ))
        })?;
        Ok(match wanted {
            Wanted::Full => Fetched::Full(list),
            Wanted::Delta => Fetched::Delta(list),
        })
    }

    fn unreachable(&self, trouble: Trouble) -> ClientError {
        let server = self.base.clone();
        let reason = match trouble {
            Trouble::Refused => {
                format!("nothing listens at {server}: does Eureka run there, and is the URL right?")
            }
            Trouble::TimedOut(time) => format!(
                "{server} did not answer within {} s: can it be reached from here?",
                time.as_secs_f32()
            ),
            Trouble::Other(reason) => {
                format!("cannot reach {server}: {reason}; is the URL right?")
            }
        };
        ClientError::Unreachable { server, reason }
    }

    fn refusal(&self, url: &str, reply: &Reply) -> ClientError {
        let server = self.base.clone();
        let status = reply.status;
        match status.as_u16() {
            401 => {
                let reason = match self.authorization {
                    Some(_) => "it takes another user or password than those in the URL",
                    None => "it wants a user and a password: give http://USER:PASSWORD@HOST/…",
                };
                ClientError::Denied { server, reason: reason.into() }
            }
            300..=399 => {
                let to = reply.headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("");
                let to: String = to.chars().take(MAX_SHOWN).collect();
                ClientError::Refused(format!("{url} leads on to `{to}` ({status}): give that URL"))
            }
            404 => ClientError::Refused(format!(
                "{url} is not there (404): give the URL that clients have as serviceUrl, such as \
                 http://HOST:8761/eureka"
            )),
            // What a server says that has not heard from the others yet.
            403 => {
                let reason = "it does not give its list yet (403)".into();
                ClientError::Unavailable { server, reason }
            }
            408 | 429 | 500.. => ClientError::Unavailable { server, reason: status.to_string() },
            _ => ClientError::Refused(format!("{url} answers {status}: is the URL right?")),
        }
    }
}

/// A list, decompressed if it has to be.
fn read(headers: &HeaderMap, body: &[u8]) -> Result<List, String> {
    let encoding = headers.get(CONTENT_ENCODING).and_then(|it| it.to_str().ok()).unwrap_or("");
    match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => List::parse(body),
        "gzip" | "x-gzip" => List::parse(&decompressed(body, MAX_OCTETS)?),
        other => Err(format!("it is encoded as `{other}`, and was asked for as gzip")),
    }
}

fn decompressed(octets: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let read = GzDecoder::new(octets).take(limit).read_to_end(&mut plain);
    read.map_err(|error| format!("it is no gzip: {error}"))?;
    match plain.len() <= most {
        true => Ok(plain),
        false => Err(format!("it has more than {most} octets")),
    }
}

/// An address, and the user with the password in it. What is wrong is said without either.
fn parse(url: &str) -> Result<(String, Option<String>), String> {
    let url = url.trim();
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(
            "the URL must be that of a Eureka server, such as http://HOST:8761/eureka".into()
        );
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if path.contains('@') {
        return Err("the URL has an `@` in its path: a `/`, `?` or `#` in a password is written as %2F, %3F or \
                    %23"
            .into());
    }
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(decoded(user)?), host),
        None => (None, authority),
    };
    let base = format!("{scheme}://{host}{}", path.trim_end_matches('/'));
    let uri = http_url(&base)?;
    if uri.query().is_some() || path.contains('#') {
        return Err(format!("`{base}` must not have a query"));
    }
    match base.len() {
        0..=MAX_URL_OCTETS => Ok((base, user.filter(|user| !user.is_empty()))),
        _ => Err(format!("the URL may have {MAX_URL_OCTETS} octets")),
    }
}

/// The octets that `%XX` stand for.
fn decoded(text: &str) -> Result<String, String> {
    let wrong = || "the user or password in the URL has a `%` that is not `%XX`".to_owned();
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            octets.push(*first);
            continue;
        }
        let digits =
            rest.get(..2).and_then(|two| std::str::from_utf8(two).ok()).ok_or_else(wrong)?;
        octets.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = &rest[2..];
    }
    String::from_utf8(octets).map_err(|_| wrong())
}

fn basic(user: &str) -> Result<HeaderValue, String> {
    let with_colon = if user.contains(':') { user.to_owned() } else { format!("{user}:") };
    let value = format!("Basic {}", BASE64.encode(with_colon.as_bytes()));
    let mut header = HeaderValue::from_str(&value).map_err(|error| error.to_string())?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn addresses_are_read() {
        for (url, base, user) in [
            ("http://a:8761/eureka/", "http://a:8761/eureka", None),
            (" https://a/eureka/v2// ", "https://a/eureka/v2", None),
            ("http://a", "http://a", None),
            ("http://me:se%40cret@a:1/e", "http://a:1/e", Some("me:se@cret")),
            ("http://me:p@ss@[::1]:1", "http://[::1]:1", Some("me:p@ss")),
            ("http://@a/", "http://a", None),
        ] {
            assert_eq!(parse(url), Ok((base.into(), user.map(Into::into))), "{url}");
        }
        for (url, reason) in [
            ("a:8761", "such as http://HOST:8761/eureka"),
            ("", "such as"),
            ("ftp://me:secret@a", "must begin with http://"),
            ("http://me:se/cret@a:1/e", "%2F"),
            ("http://me:se%xcret@a:1/e", "%XX"),
            ("http://me:secret@a:1/e?x", "query"),
            ("http://me:secret@a:99999/e", "1 to 65535"),
            ("http://me:secret@/e", "is no URL"),
            (&format!("http://me:secret@a/{}", "x".repeat(MAX_URL_OCTETS)), "512 octets"),
        ] {
            let error = parse(url).unwrap_err();
            assert!(error.contains(reason), "{url}: {error}");
            assert!(!error.contains("cret"), "{error}");
        }
    }

    #[test]
    fn a_user_is_shown_to_the_source_alone() {
        let source = Source::new("http://me:secret@a:1/eureka", &TlsFiles::default()).unwrap();
        assert_eq!(source.shown(), "http://a:1/eureka");
        assert_eq!(source.authorization.as_ref().unwrap(), "Basic bWU6c2VjcmV0");
        assert!(!format!("{source:?}").contains("secret"));
        assert_eq!(basic("me").unwrap(), "Basic bWU6");
    }

    #[test]
    fn what_is_compressed_is_bounded_too() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&[b'x'; 100_000]).unwrap();
        let octets = encoder.finish().unwrap();
        assert_eq!(decompressed(&octets, 100_000).unwrap().len(), 100_000);
        assert!(decompressed(&octets, 99_999).unwrap_err().contains("more than 99999"));
        assert!(decompressed(b"plain", 99).unwrap_err().contains("no gzip"));
    }
}
