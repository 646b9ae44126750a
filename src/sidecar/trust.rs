//! TLS to servers: whom they are trusted to be, and the certificate that they are shown.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

/// Files that a call over TLS needs; none: the CAs that the system trusts, and no certificate of our own.
#[derive(Debug, Clone, Default)]
pub struct TlsFiles {
    /// The CAs that servers' certificates come from (`--ca-file`).
    pub ca: Option<PathBuf>,
    /// Our certificate, and those between it and its root (`--cert-file`).
    pub cert: Option<PathBuf>,
    /// Its private key (`--cert-key-file`).
    pub key: Option<PathBuf>,
}

impl TlsFiles {
    /// What calls over TLS are made with.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub(super) fn read(&self) -> Result<ClientConfig, String> {
        let roots = match &self.ca {
            Some(path) => of_file(path)?,
            None => of_system()?,
        };
        let builder = builder()?.with_root_certificates(roots);
        match (&self.cert, &self.key) {
            (None, None) => Ok(builder.with_no_client_auth()),
            (Some(cert), Some(key)) => {
                let shown = cert.display();
                builder
                    .with_client_auth_cert(certificates(cert)?, private_key(key)?)
                    .map_err(|error| format!("{shown} and its key cannot be used: {error}"))
            }
            _ => Err("--cert-file and --cert-key-file belong together: give both".into()),
        }
    }
}

/// What calls without TLS are made with: nobody would be trusted.
///
/// # Errors
/// There is no TLS to be had.
pub(super) fn nobody() -> Result<ClientConfig, String> {
    Ok(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]);
    builder.map_err(|error| format!("TLS is not to be had: {error}"))
}

fn of_file(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let shown = path.display();
        let added = roots.add(certificate);
        added.map_err(|error| format!("{shown} has a certificate that is no CA's: {error}"))?;
    }
    Ok(roots)
}

fn of_system() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("this system trusts no CA: name the server's with --ca-file".into());
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let read: Vec<_> = read.map_err(|error| format!("{shown} cannot be read: {error}"))?;
    match read.is_empty() {
        true => Err(format!("{shown} has no certificate (`-----BEGIN CERTIFICATE-----`)")),
        false => Ok(read),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let shown = path.display();
    PrivateKeyDer::from_pem_file(path)
        .map_err(|error| format!("{shown} has no private key: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_file_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let pair = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        std::fs::write(at("cert"), pair.cert.pem()).unwrap();
        std::fs::write(at("key"), pair.signing_key.serialize_pem()).unwrap();
        std::fs::write(at("empty"), "").unwrap();
        let files = |ca: &str, cert: Option<&str>, key: Option<&str>| TlsFiles {
            ca: Some(at(ca)),
            cert: cert.map(at),
            key: key.map(at),
        };
        assert!(files("cert", None, None).read().is_ok());
        assert!(files("cert", Some("cert"), Some("key")).read().is_ok());
        for (files, reason) in [
            (files("none", None, None), "cannot be read"),
            (files("empty", None, None), "has no certificate"),
            (files("cert", Some("cert"), None), "belong together"),
            (files("cert", Some("cert"), Some("empty")), "has no private key"),
        ] {
            let told = files.read().unwrap_err();
            assert!(told.contains(reason), "{told}");
        }
    }
}
