//! The TLS of a door whose clients may show a certificate too: as a whole it can be replaced while the door is open.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::RwLock;
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use webpki::EndEntityCert;

use super::{Certificates, Dates, builder, provider, read_chain, server_config};

/// Names of a client's certificate that are looked at: those that programs are called by are one or two.
const NAMES_MOST: usize = 32;

/// Where a door's TLS comes from.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// Our certificate, and those between it and its root.
    pub cert: &'a Path,
    /// Its private key.
    pub key: &'a Path,
    /// The CAs that clients' certificates come from; `None`: clients are not asked for any.
    pub client_ca: Option<&'a Path>,
}

/// A door's TLS. Clones share it: [`DoorTls::reload`] replaces it for the connections that are made from then on.
#[derive(Clone)]
pub struct DoorTls(Arc<RwLock<Current>>);

struct Current {
    certificates: Certificates,
    config: Arc<ServerConfig>,
    alpn: &'static [&'static [u8]],
}

impl DoorTls {
    /// Reads the files; the protocols of `alpn` are offered, best first.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn load(files: Files<'_>, alpn: &'static [&'static [u8]]) -> Result<Self, String> {
        Ok(Self(Arc::new(RwLock::new(Current::load(files, alpn)?))))
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// As [`Self::load`]; all stays as it was.
    pub fn reload(&self, files: Files<'_>) -> Result<(), String> {
        let alpn = self.0.read().alpn;
        let new = Current::load(files, alpn)?;
        *self.0.write() = new;
        Ok(())
    }

    /// What connections are accepted with now.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.0.read().config.clone()
    }

    /// What the dates of our certificate say at a moment.
    pub fn dates(&self, now: SystemTime) -> Dates {
        self.0.read().certificates.dates(now)
    }

    /// Why clients refuse our certificate at a moment, or soon will, if its dates say so.
    pub fn warning(&self, now: SystemTime) -> Option<String> {
        self.0.read().certificates.warning(now)
    }
}

impl fmt::Debug for DoorTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.read().certificates.fmt(f)
    }
}

impl Current {
    fn load(files: Files<'_>, alpn: &'static [&'static [u8]]) -> Result<Self, String> {
        let certificates = Certificates::load(files.cert, files.key)?;
        let config = match files.client_ca {
            Some(client_ca) => mutual(&certificates, alpn, client_ca)?,
            None => server_config(&certificates, alpn)?,
        };
        Ok(Self { certificates, config, alpn })
    }
}

/// Asks clients for a certificate, and takes those that have none: who may do what is decided later. Nothing is
/// resumed, since a client's certificate would not be looked at then.
fn mutual(
    certificates: &Certificates,
    alpn: &[&[u8]],
    client_ca: &Path,
) -> Result<Arc<ServerConfig>, String> {
    let shown = client_ca.display();
    let mut roots = RootCertStore::empty();
    for root in read_chain(client_ca)? {
        roots
            .add(root)
            .map_err(|error| format!("{shown} has a certificate that is no CA's: {error}"))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let verifier = verifier
        .allow_unauthenticated()
        .build()
        .map_err(|error| format!("{shown} cannot be used: {error}"))?;
    let mut config = builder()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(certificates.clone()));
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The names in a certificate's subjectAltName (RFC 5280, section 4.2.1.6) that programs are called by: `dns:` in lower
/// case, and `uri:`.
pub fn names_of(certificate: &CertificateDer<'_>) -> Vec<Box<str>> {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let dns =
        certificate.valid_dns_names().map(|name| format!("dns:{}", name.to_ascii_lowercase()));
    let uris = certificate.valid_uri_names().map(|name| format!("uri:{name}"));
    dns.chain(uris).take(NAMES_MOST).map(String::into_boxed_str).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType, string::Ia5String};

    use super::*;

    #[test]
    fn names_are_those_that_programs_have() {
        let mut params = CertificateParams::new(vec!["Web-1.Example".to_owned()]).unwrap();
        let uri = Ia5String::try_from("spiffe://example/Web").unwrap();
        params.subject_alt_names.push(SanType::URI(uri));
        params.subject_alt_names.push(SanType::IpAddress([192, 0, 2, 1].into()));
        let signed = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let names = names_of(signed.der());
        assert_eq!(names, ["dns:web-1.example".into(), "uri:spiffe://example/Web".into()]);
        assert!(names_of(&CertificateDer::from(vec![0x30, 3, 1, 2, 3])).is_empty());
    }
}
