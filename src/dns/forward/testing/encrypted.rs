//! Upstreams with certificates, good and bad.

use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{ALL_VERSIONS, HandshakeKind, ServerConfig, SupportedProtocolVersion};
use tokio_rustls::server::TlsStream;

use super::{Act, Behaviour, Fake, Heard, on_connection};
use crate::dns::forward::exchange::tls::Tls;

/// Whom good certificates are for.
pub const NAME: &str = "dns.example";

pub fn server_name(name: &str) -> ServerName<'static> {
    ServerName::try_from(name.to_owned()).unwrap()
}

/// A CA.
pub struct Ca {
    pub certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    pub fn new() -> Self {
        Self::named("a CA")
    }

    pub fn named(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// Whoever trusts it, and nobody else.
    pub fn trusted(&self) -> Tls {
        Tls::trusting([self.certificate.clone()]).unwrap()
    }

    /// A server with a certificate for [`NAME`], speaking `protocol`.
    pub fn server(&self, protocol: &str) -> TlsAcceptor {
        self.server_with(protocol, ALL_VERSIONS, |_| {})
    }

    /// The same with a certificate that is changed, or other versions of TLS.
    pub fn server_with(
        &self,
        protocol: &str,
        versions: &[&'static SupportedProtocolVersion],
        change: impl FnOnce(&mut CertificateParams),
    ) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            );
        let mut config = config.unwrap();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Arc::new(config).into()
    }
}

/// How the handshakes went, in their order.
pub type Handshakes = Arc<Mutex<Vec<HandshakeKind>>>;

/// An upstream that speaks DNS over TLS.
pub async fn dot(
    acceptor: TlsAcceptor,
    behaviour: impl Fn(usize, &[u8]) -> Vec<Act> + Send + Sync + 'static,
) -> (Fake, Handshakes) {
    let behaviour: Arc<Behaviour> = Arc::new(behaviour);
    let heard = Arc::<Heard>::default();
    let told = heard.clone();
    let talk = move |stream| on_connection(stream, behaviour.clone(), told.clone());
    start(acceptor, heard, talk).await
}

/// Accepts connections and has `talk` go on.
async fn start<F: Future<Output = ()> + Send + 'static>(
    acceptor: TlsAcceptor,
    heard: Arc<Heard>,
    talk: impl Fn(TlsStream<TcpStream>) -> F + Clone + Send + 'static,
) -> (Fake, Handshakes) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, handshakes) = (listener.local_addr().unwrap(), Handshakes::default());
    let (counted, kinds) = (heard.clone(), handshakes.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut talks = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            *counted.connections.lock() += 1;
            let (acceptor, talk, kinds) = (acceptor.clone(), talk.clone(), kinds.clone());
            talks.spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    kinds.lock().push(stream.get_ref().1.handshake_kind().unwrap());
                    talk(stream).await;
                }
            });
        }
    });
    (Fake { addr, heard, _tasks: tasks }, handshakes)
}

/// What an upstream says to a request; `None`: it ends the connection.
pub type Said = Option<Response<Full<Bytes>>>;

/// A good response.
pub fn response(message: Vec<u8>) -> Response<Full<Bytes>> {
    let response = Response::builder().header("content-type", "application/dns-message");
    response.body(Full::new(message.into())).unwrap()
}

/// What was asked.
pub type Requests = Arc<Mutex<Vec<Request<Vec<u8>>>>>;

/// An upstream that speaks DNS over HTTPS. `say` is told which request it is, from 0, and waits for as long as it likes.
pub async fn doh<F: Future<Output = Said> + Send + 'static>(
    acceptor: TlsAcceptor,
    say: impl Fn(usize, Vec<u8>) -> F + Clone + Send + Sync + 'static,
) -> (Fake, Requests) {
    let requests = Requests::default();
    let noted = requests.clone();
    let talk = move |stream| {
        let (say, noted) = (say.clone(), noted.clone());
        async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let (say, noted) = (say.clone(), noted.clone());
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.map_err(|_| "no body")?.to_bytes().to_vec();
                    let nth = {
                        let mut noted = noted.lock();
                        noted.push(Request::from_parts(parts, body.clone()));
                        noted.len() - 1
                    };
                    say(nth, body).await.ok_or("the connection ends")
                }
            });
            // It ends when the upstream is asked to end it.
            let connection = http2::Builder::new(TokioExecutor::new());
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        }
    };
    let (fake, _) = start(acceptor, Arc::default(), talk).await;
    (fake, requests)
}

/// Nobody is there.
pub async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
