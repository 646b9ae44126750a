//! Typed calls to one server.

use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{Method, StatusCode, Uri};
use rustls::ClientConfig;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::ClientError;
use super::http::{CALL_TIMEOUT, Header, Http, Reply, Trouble};
use super::messages::{
    CacheFlushed, CacheStats, Creation, Declared, Issued, Listed, Override, Page, Principal,
    Registered, Registration, Renewed, RenewedMany, State, Summary,
};
use super::trust::{self, TlsFiles};
use super::url::{Server, segment};

/// What who has no token is told.
const GIVE_TOKEN: &str = "; give the server's token with --token-file, or in ROLLCALL_TOKEN";

/// Octets of a stranger's reply that are shown at most.
const MAX_SHOWN_CHARS: usize = 200;

/// Calls one server over HTTP.
#[derive(Debug, Clone)]
pub struct Client {
    server: Server,
    /// How it is shown.
    shown: String,
    tls: TlsFiles,
    token: Option<HeaderValue>,
    http: Http,
}

type Result<T> = std::result::Result<T, ClientError>;

impl Client {
    /// A client of the server at `http://host:port`, `https://…`, `host:port` or `unix:/path`, with a bearer token if it needs
    /// one. The files are for TLS.
    pub fn new(server: &str, token: Option<&str>, tls: TlsFiles) -> Result<Self> {
        let server = Server::parse(server).map_err(|reason| {
            ClientError::Usage(format!("the server {reason} (--server, ROLLCALL_SERVER)"))
        })?;
        let token = token.map(bearer).transpose()?;
        let http = http(&server, &tls).map_err(ClientError::Usage)?;
        Ok(Self { shown: server.shown(), server, tls, token, http })
    }

    /// The same, with another bound on the time of a whole call.
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { http: self.http.with_timeout(timeout), ..self }
    }

    /// Takes up certificates that were replaced; the error is why the old ones stay.
    pub fn read_tls_again(&mut self) -> std::result::Result<(), String> {
        if self.is_over_tls() {
            self.http = http(&self.server, &self.tls)?;
        }
        Ok(())
    }

    fn is_over_tls(&self) -> bool {
        matches!(&self.server, Server::Url(base) if is_https(base))
    }

    /// Uses another token from now on.
    pub fn set_token(&mut self, token: Option<&str>) -> Result<()> {
        self.token = token.map(bearer).transpose()?;
        Ok(())
    }

    /// The server's address.
    pub fn server(&self) -> &str {
        &self.shown
    }

    /// Lists an instance, or changes what is listed of it; renews its lease.
    pub async fn register(
        &self,
        service: &str,
        id: &str,
        registration: &Registration,
    ) -> Result<Registered> {
        let path = instance_path(service, id)?;
        let reply = self.call(Method::PUT, &path, Some(json(registration)?)).await;
        let reply = reply.map_err(|error| self.not_ours(error))?;
        let mut registered: Registered = self.read(&reply)?;
        registered.created = reply.status == StatusCode::CREATED;
        Ok(registered)
    }

    /// Renews a lease.
    pub async fn renew(&self, service: &str, id: &str) -> Result<Renewed> {
        let path = instance_path(service, id)? + "/lease";
        let reply = self.call(Method::PUT, &path, Some(b"{}".to_vec())).await;
        self.read(&reply.map_err(|error| name_instance(error, service, id))?)
    }

    /// Renews many leases, each named by service and id.
    pub async fn renew_many(&self, instances: &[(String, String)]) -> Result<RenewedMany> {
        #[derive(Serialize)]
        struct Body<'a> {
            instances: &'a [(String, String)],
        }
        let body = json(&Body { instances })?;
        let reply = self.call(Method::POST, "/api/v1/renewals", Some(body)).await;
        self.read(&reply.map_err(|error| self.not_ours(error))?)
    }

    /// Declares the owner's state.
    pub async fn declare(&self, service: &str, id: &str, state: State, reason: &str) -> Result<()> {
        let path = instance_path(service, id)? + "/state";
        let body = json(&Declared { state, reason: reason.to_owned() })?;
        let reply = self.call(Method::PUT, &path, Some(body)).await;
        reply.map(drop).map_err(|error| name_instance(error, service, id))
    }

    /// Sets an operator's state above the owner's.
    pub async fn set_override(&self, service: &str, id: &str, set: &Override) -> Result<()> {
        let path = instance_path(service, id)? + "/override";
        let reply = self.call(Method::PUT, &path, Some(json(set)?)).await;
        reply.map(drop).map_err(|error| name_instance(error, service, id))
    }

    /// Ends an operator's override.
    pub async fn clear_override(&self, service: &str, id: &str) -> Result<()> {
        let path = instance_path(service, id)? + "/override";
        let reply = self.call(Method::DELETE, &path, None).await;
        reply.map(drop).map_err(|error| name_instance(error, service, id))
    }

    /// Takes an instance off the list.
    pub async fn deregister(&self, service: &str, id: &str) -> Result<()> {
        let path = instance_path(service, id)?;
        let reply = self.call(Method::DELETE, &path, None).await;
        reply.map(drop).map_err(|error| name_instance(error, service, id))
    }

    /// Takes all instances of a service off the list.
    pub async fn deregister_service(&self, service: &str) -> Result<()> {
        let path = service_path(service)?;
        let reply = self.call(Method::DELETE, &path, None).await;
        reply.map(drop).map_err(|error| name_service(error, service))
    }

    /// What is in the cache of upstream answers.
    pub async fn cache_stats(&self) -> Result<CacheStats> {
        self.read(&self.call(Method::GET, "/api/v1/cache", None).await?)
    }

    /// Forgets what upstream said of a name, and with `subtree` of all names below it.
    pub async fn flush_cache(&self, name: &str, subtree: bool) -> Result<CacheFlushed> {
        let path = format!("/api/v1/cache/{}?subtree={subtree}", segment(name));
        self.read(&self.call(Method::DELETE, &path, None).await?)
    }

    /// Makes a token (`tokens`) or a key (`keys`) for a principal.
    pub async fn create(&self, kind: &str, principal: &str, creation: &Creation) -> Result<Issued> {
        let path = format!("/api/v1/principals/{}/{kind}", segment(principal));
        self.read(&self.call(Method::POST, &path, Some(json(creation)?)).await?)
    }

    /// Takes a token (`tokens`) or a key (`keys`) away.
    pub async fn revoke(&self, kind: &str, id: &str) -> Result<()> {
        let path = format!("/api/v1/{kind}/{}", segment(id));
        self.call(Method::DELETE, &path, None).await.map(drop)
    }

    /// The principals, with their tokens and keys.
    pub async fn principals(&self) -> Result<Vec<Principal>> {
        #[derive(Deserialize)]
        struct Body {
            principals: Vec<Principal>,
        }
        let reply = self.call(Method::GET, "/api/v1/principals", None).await?;
        let body: Body = self.read(&reply)?;
        Ok(body.principals)
    }

    /// One page of the services, from the beginning or from where the page before it said.
    pub async fn services(&self, next: Option<&str>) -> Result<Page<Summary>> {
        #[derive(Deserialize)]
        struct Body {
            services: Vec<Summary>,
            next: Option<String>,
        }
        let path = paged("/api/v1/services".to_owned(), next);
        let reply = self.call(Method::GET, &path, None).await;
        let body: Body = self.read(&reply.map_err(|error| self.not_ours(error))?)?;
        Ok(Page { items: body.services, next: body.next })
    }

    /// One page of a service's instances, from the beginning or from where the page before it said.
    pub async fn instances(&self, service: &str, next: Option<&str>) -> Result<Page<Listed>> {
        #[derive(Deserialize)]
        struct Body {
            instances: Vec<Listed>,
            next: Option<String>,
        }
        let path = paged(service_path(service)?, next);
        let reply = self.call(Method::GET, &path, None).await;
        let body: Body = self.read(&reply.map_err(|error| name_service(error, service))?)?;
        Ok(Page { items: body.instances, next: body.next })
    }

    /// One listed instance.
    pub async fn instance(&self, service: &str, id: &str) -> Result<Listed> {
        let path = instance_path(service, id)?;
        let reply = self.call(Method::GET, &path, None).await;
        self.read(&reply.map_err(|error| name_instance(error, service, id))?)
    }

    /// Sends a body of JSON to a path of another API, with a header of that; gives the reply's.
    pub(super) async fn post(&self, path: &str, header: Header, json: Vec<u8>) -> Result<Bytes> {
        let reply = self.call_with(Method::POST, path, vec![header], Some(json)).await?;
        Ok(reply.body)
    }

    /// Makes a call; a reply that is no success is an error.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        json: Option<Vec<u8>>,
    ) -> Result<Reply> {
        self.call_with(method, path, Vec::new(), json).await
    }

    async fn call_with(
        &self,
        method: Method,
        path: &str,
        mut headers: Vec<Header>,
        json: Option<Vec<u8>>,
    ) -> Result<Reply> {
        let base = match &self.server {
            Server::Url(base) => base,
            // Whatever a unix socket leads to calls itself so.
            Server::Unix(_) => "http://localhost",
        };
        let url = format!("{base}{path}");
        let uri: Uri = url.parse().map_err(|_| ClientError::Usage(format!("`{url}` is no URL")))?;
        headers.extend(self.token.iter().map(|token| (AUTHORIZATION, token.clone())));
        let reply = self.http.call(method, uri, headers, json).await;
        let reply = reply.map_err(|trouble| self.unreachable(trouble))?;
        match reply.status.is_success() {
            true => Ok(reply),
            false => Err(self.refusal(&reply)),
        }
    }

    pub(super) fn read<T: DeserializeOwned>(&self, reply: &Reply) -> Result<T> {
        serde_json::from_slice(&reply.body).map_err(|error| self.bad_reply(error.to_string()))
    }

    fn unreachable(&self, trouble: Trouble) -> ClientError {
        let server = self.shown.clone();
        let reason = match trouble {
            Trouble::Refused => format!(
                "nothing listens on {server}: is `rollcall serve` running? set --server or ROLLCALL_SERVER"
            ),
            Trouble::TimedOut(time) => format!(
                "{server} did not reply within {} s: is it reachable from here, and the port right? set \
                 --server or ROLLCALL_SERVER",
                time.as_secs_f32()
            ),
            Trouble::Other(reason) => {
                format!("cannot reach {server}: {reason}; set --server or ROLLCALL_SERVER")
            }
        };
        ClientError::Unreachable { server, reason }
    }

    /// "Not found" for a path that every Rollcall server has.
    fn not_ours(&self, error: ClientError) -> ClientError {
        match error {
            ClientError::NotListed(reason) => self.bad_reply(reason),
            other => other,
        }
    }

    pub(super) fn bad_reply(&self, reason: String) -> ClientError {
        ClientError::BadReply { server: self.shown.clone(), reason }
    }

    /// What a reply that is no success says: a problem (RFC 9457), or something a stranger said.
    fn refusal(&self, reply: &Reply) -> ClientError {
        let server = self.shown.clone();
        let problem = serde_json::from_slice::<Problem>(&reply.body).ok();
        let complete_since = problem.as_ref().and_then(|problem| problem.complete_since);
        let reason = match problem.and_then(Problem::into_words) {
            Some(words) => words,
            None => stranger(reply),
        };
        match reply.status.as_u16() {
            401 => ClientError::Denied { server, reason: format!("{reason}{GIVE_TOKEN}") },
            403 => ClientError::Denied { server, reason },
            404 => ClientError::NotListed(reason),
            410 if let Some(complete_since) = complete_since => {
                ClientError::TooOld { complete_since, reason }
            }
            408 | 429 | 500.. => ClientError::Unavailable { server, reason },
            400.. => ClientError::Refused(reason),
            _ => ClientError::BadReply { server, reason },
        }
    }
}

/// `application/problem+json`, as far as it is shown.
#[derive(Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
    field: Option<String>,
    complete_since: Option<u64>,
}

impl Problem {
    fn into_words(self) -> Option<String> {
        let words = self.detail.filter(|detail| !detail.is_empty()).or(self.title)?;
        match self.field.filter(|field| !field.is_empty() && !words.contains(&**field)) {
            Some(field) => Some(format!("{field}: {words}")),
            None => Some(words),
        }
    }
}

fn stranger(reply: &Reply) -> String {
    let text = String::from_utf8_lossy(&reply.body);
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = text.chars().take(MAX_SHOWN_CHARS).collect();
    format!("{} {shown}", reply.status).trim_end().to_owned()
}

/// Says which instance is not listed, and how it would be.
fn name_instance(error: ClientError, service: &str, id: &str) -> ClientError {
    match error {
        ClientError::NotListed(_) => ClientError::NotListed(format!(
            "{service}/{id} is not listed: register it first, or see `rollcall list {service}`"
        )),
        other => other,
    }
}

fn name_service(error: ClientError, service: &str) -> ClientError {
    match error {
        ClientError::NotListed(_) => ClientError::NotListed(format!(
            "no instance of {service} is listed: see `rollcall list` for what is"
        )),
        other => other,
    }
}

/// How a server is called. The system's CAs are read only where they are needed.
fn http(server: &Server, tls: &TlsFiles) -> std::result::Result<Http, String> {
    match server {
        Server::Unix(path) => Ok(Http::over_unix(CALL_TIMEOUT, path.clone())),
        Server::Url(base) => Ok(Http::over_tcp(CALL_TIMEOUT, true, trust(base, tls)?)),
    }
}

/// What a call of a URL trusts.
pub(super) fn trust(url: &str, tls: &TlsFiles) -> std::result::Result<ClientConfig, String> {
    if is_https(url) { tls.read() } else { trust::nobody() }
}

fn is_https(url: &str) -> bool {
    url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
}

fn bearer(token: &str) -> Result<HeaderValue> {
    let usable = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let header = HeaderValue::from_str(&format!("Bearer {token}"));
    match header {
        Ok(mut header) if usable => {
            header.set_sensitive(true);
            Ok(header)
        }
        _ => Err(ClientError::Usage("the token must be printable ASCII without spaces".to_owned())),
    }
}

fn json(body: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(body).map_err(|error| ClientError::Usage(error.to_string()))
}

fn service_path(service: &str) -> Result<String> {
    if service.is_empty() {
        return Err(ClientError::Usage("the service's name must not be empty".to_owned()));
    }
    Ok(format!("/api/v1/services/{}", segment(service)))
}

fn instance_path(service: &str, id: &str) -> Result<String> {
    // An empty segment would be another resource: the service, of which DELETE takes all.
    if id.is_empty() {
        return Err(ClientError::Usage("the instance's id must not be empty".to_owned()));
    }
    Ok(format!("{}/instances/{}", service_path(service)?, segment(id)))
}

/// The path of a list's page. `next` is a path of its own, or what the page begins after.
fn paged(path: String, next: Option<&str>) -> String {
    match next {
        None => path,
        Some(next) if next.starts_with('/') => next.to_owned(),
        Some(next) => format!("{path}?after={}", segment(next)),
    }
}
