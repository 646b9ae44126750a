//! Encrypted connections to upstreams: whom they are trusted to be with, and how they are opened.
//!
//! The profile is the strict one (RFC 8310, section 5): the certificate must be for the name that the configuration says
//! and come from a CA that is trusted; else nothing is asked, and never in plain text instead.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, RootCertStore};
use tokio_rustls::{Connect, TlsConnector};

use super::tcp::{self, Lost};
use super::trouble::Trouble;

/// From the connection to the end of the handshake: two round trips and some arithmetic, and a question has 4 s in all.
pub const HANDSHAKE_MOST: Duration = Duration::from_secs(2);
/// After a handshake that failed the next is tried no sooner: what was wrong with the certificate still is, and neither
/// side should pay for each question.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What is spoken inside (RFC 7301): DNS over TLS, HTTP/2.
const DOT: &[u8] = b"dot";
const H2: &[u8] = b"h2";

/// Whom encrypted upstreams are trusted to be, and the sessions that can be resumed with them. Clones are the same.
#[derive(Clone)]
pub struct Tls {
    dot: Arc<ClientConfig>,
    h2: Arc<ClientConfig>,
}

impl Tls {
    /// Trusts what these CAs say, and nobody else; a certificate that is none is left out.
    ///
    /// # Errors
    /// There is no TLS to be had.
    pub fn trusting(
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        let roots = Arc::new(roots);
        let speaking = |protocol: &[u8]| {
            let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_protocol_versions(&[&TLS13, &TLS12])?;
            let mut config = config.with_root_certificates(roots.clone()).with_no_client_auth();
            config.alpn_protocols = vec![protocol.to_vec()];
            Ok::<_, Error>(Arc::new(config))
        };
        Ok(Self { dot: speaking(DOT)?, h2: speaking(H2)? })
    }

    /// Opens connections for DNS over TLS.
    pub(crate) fn for_dot(
        &self,
        addr: SocketAddr,
        name: &ServerName<'static>,
        trouble: &Arc<Trouble>,
    ) -> Opener {
        Opener::new(self.dot.clone(), addr, name, trouble)
    }

    /// Opens connections for HTTP/2.
    pub(crate) fn for_h2(
        &self,
        addr: SocketAddr,
        name: &ServerName<'static>,
        trouble: &Arc<Trouble>,
    ) -> Opener {
        Opener::new(self.h2.clone(), addr, name, trouble)
    }
}

/// The CAs that this system trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
///
/// # Errors
/// There are none, and why.
pub fn system_cas() -> Result<Vec<CertificateDer<'static>>, String> {
    let found = rustls_native_certs::load_native_certs();
    if !found.certs.is_empty() {
        return Ok(found.certs);
    }
    let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
    Err(format!(
        "this system has no CA certificates{why}, so no encrypted upstream can be trusted: install the package \
         ca-certificates, or name a file in forward.ca_file"
    ))
}

/// Opens encrypted connections to one upstream.
pub struct Opener {
    config: Arc<ClientConfig>,
    addr: SocketAddr,
    name: ServerName<'static>,
    trouble: Arc<Trouble>,
    /// When a handshake last failed.
    failed_at: Mutex<Option<Instant>>,
}

impl Opener {
    fn new(
        config: Arc<ClientConfig>,
        addr: SocketAddr,
        name: &ServerName<'static>,
        trouble: &Arc<Trouble>,
    ) -> Self {
        let (name, trouble) = (name.clone(), trouble.clone());
        Self { config, addr, name, trouble, failed_at: Mutex::new(None) }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn name(&self) -> &ServerName<'static> {
        &self.name
    }

    pub(super) fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// Opens a connection, in bounded time. What is wrong with the upstream's TLS is noted.
    pub(super) async fn open(&self) -> Result<TlsStream<TcpStream>, Lost> {
        let failed_at = *self.failed_at.lock();
        if failed_at.is_some_and(|at| Instant::now() < at + RETRY_AFTER) {
            return Err(Lost::Untrusted);
        }
        let stream = tcp::connect(self.addr).await?;
        let connect = TlsConnector::from(self.config.clone()).connect(self.name.clone(), stream);
        match self.shake_hands(connect).await {
            Ok(stream) => Ok(stream),
            Err(reason) => {
                let now = Instant::now();
                *self.failed_at.lock() = Some(now);
                self.trouble.note(&reason, now);
                Err(Lost::Untrusted)
            }
        }
    }

    async fn shake_hands(
        &self,
        connect: Connect<TcpStream>,
    ) -> Result<TlsStream<TcpStream>, String> {
        match timeout(HANDSHAKE_MOST, connect).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(reason(&error, &self.name.to_str())),
            Err(_) => Err(format!(
                "it has not completed a TLS handshake within {} s: see whether TLS is spoken on the port",
                HANDSHAKE_MOST.as_secs()
            )),
        }
    }
}

/// What is wrong, and what to do about it.
fn reason(error: &io::Error, name: &str) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        None if error.kind() == ErrorKind::UnexpectedEof => {
            "it closed the connection in the TLS handshake: see whether TLS is spoken on the port"
                .into()
        }
        None => format!("the TLS handshake failed: {error}"),
        Some(Error::InvalidCertificate(wrong)) => certificate(wrong, name),
        Some(Error::InvalidMessage(_) | Error::InappropriateMessage { .. }) => {
            "what it sends is no TLS: name the port on which it speaks TLS".into()
        }
        Some(Error::AlertReceived(alert)) => {
            format!("it refuses the TLS handshake ({alert:?}): see its own log")
        }
        Some(error) => format!("the TLS handshake failed: {error}"),
    }
}

fn certificate(wrong: &CertificateError, name: &str) -> String {
    match wrong {
        CertificateError::NotValidForName => {
            format!("its certificate is not for `{name}`: put the server's name after the `#`")
        }
        CertificateError::NotValidForNameContext { presented, .. } => format!(
            "its certificate is not for `{name}` but for {}: put the server's name after the `#`",
            presented.join(", ")
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired: whoever runs it must renew it, unless this system's clock is wrong".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet: see whether this system's clock is right".into()
        }
        // A CA that has the name of one that is trusted, and is another, makes the signature bad.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate comes from a CA that is not trusted here: name that CA's certificate in forward.ca_file"
                .into()
        }
        wrong if format!("{wrong:?}").contains("CaUsedAsEndEntity") => {
            "its certificate is that of a CA itself: have it use one that the CA has signed".into()
        }
        wrong => format!("its certificate is refused: {wrong}"),
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
