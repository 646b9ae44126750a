//! TLS for the doors that have it: our certificate, which can be replaced while they are open, and what they
//! offer (RFC 8446, RFC 5246; RFC 9325 on which versions).

mod door;
mod validity;

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::RwLock;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, Ticketer};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ConfigBuilder, InconsistentKeys, ServerConfig, WantsVerifier};

use crate::secret;
pub use door::{DoorTls, Files, names_of};
pub use validity::Dates;
use validity::Validity;

/// Octets that a file with certificates may have: a chain has a handful of some 2 KiB each.
const CERT_FILE_OCTETS_MOST: u64 = 256 << 10;

/// Octets that a file with a private key may have: RSA's largest keys take 13 KiB.
const KEY_FILE_OCTETS_MOST: u64 = 32 << 10;

/// Our certificate with its key, for all doors with TLS. Clones share it: [`Certificates::reload`] replaces it for
/// the connections that are made from then on.
#[derive(Clone)]
pub struct Certificates(Arc<RwLock<Arc<CertifiedKey>>>);

impl Certificates {
    /// Reads the certificates (our own first, then those up to its root) and the private key from two PEM files.
    ///
    /// # Errors
    /// Names the file and what is wrong with it. A certificate whose time is over is none: see [`Self::warning`].
    pub fn load(cert_file: &Path, key_file: &Path) -> Result<Self, String> {
        Ok(Self(Arc::new(RwLock::new(Arc::new(certified_key(cert_file, key_file)?)))))
    }

    /// Reads both files again.
    ///
    /// # Errors
    /// As [`Self::load`]; the old certificate is kept.
    pub fn reload(&self, cert_file: &Path, key_file: &Path) -> Result<(), String> {
        let new = Arc::new(certified_key(cert_file, key_file)?);
        *self.0.write() = new;
        Ok(())
    }

    /// What the dates of our own certificate say at a moment.
    pub fn dates(&self, now: SystemTime) -> Dates {
        let current = self.0.read().clone();
        let Some(validity) = current.cert.first().and_then(|own| Validity::of(own)) else {
            return Dates::Off("has no readable dates".into());
        };
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        validity.at(i64::try_from(now).unwrap_or(i64::MAX))
    }

    /// Why clients refuse the certificate at a moment, or soon will, if its dates say so.
    pub fn warning(&self, now: SystemTime) -> Option<String> {
        match self.dates(now) {
            Dates::Hold(_) => None,
            Dates::EndsSoon(until) => Some(format!("the certificate {until}: renew it")),
            Dates::Off(why) => Some(format!("the certificate {why}: clients will refuse it")),
        }
    }
}

impl fmt::Debug for Certificates {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("chain", &self.0.read().cert.len()).finish()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().clone())
    }
}

/// What a door with TLS offers: TLS 1.3 and 1.2, the protocols of `alpn`, and resumption by tickets, which the client
/// keeps and not we. A client that names no protocol is taken; one that names only others is refused (RFC 7301).
/// There is no early data: whoever records a query could send it again.
///
/// # Errors
/// The system has no random octets for the tickets' keys.
pub fn server_config(
    certificates: &Certificates,
    alpn: &[&[u8]],
) -> Result<Arc<ServerConfig>, String> {
    let mut config =
        builder()?.with_no_client_auth().with_cert_resolver(Arc::new(certificates.clone()));
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config.ticketer = Ticketer::new().map_err(|error| unavailable(&error))?;
    Ok(Arc::new(config))
}

fn builder() -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, String> {
    let builder = ServerConfig::builder_with_provider(provider());
    builder.with_protocol_versions(&[&TLS13, &TLS12]).map_err(|error| unavailable(&error))
}

fn unavailable(error: &rustls::Error) -> String {
    format!("TLS is not to be had: {error}")
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certified_key(cert_file: &Path, key_file: &Path) -> Result<CertifiedKey, String> {
    let chain = read_chain(cert_file)?;
    let key = read_key(key_file)?;
    let (cert_shown, key_shown) = (cert_file.display(), key_file.display());
    let provider = ring::default_provider();
    let key = provider.key_provider.load_private_key(key).map_err(|error| {
        format!("{key_shown} has a key that cannot be used (RSA, ECDSA on P-256 and P-384, Ed25519 can): {error}")
    })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(format!(
            "the key in {key_shown} is not that of the first certificate in {cert_shown}"
        )),
        Err(error) => Err(format!("the first certificate in {cert_shown} cannot be used: {error}")),
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let mut text = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(CERT_FILE_OCTETS_MOST + 1).read_to_end(&mut text))
        .map_err(|error| format!("cannot read {shown}: {error}"))?;
    if text.len() as u64 > CERT_FILE_OCTETS_MOST {
        return Err(format!("{shown} is longer than {CERT_FILE_OCTETS_MOST} octets"));
    }
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| format!("{shown} is no PEM file: {error}"))?;
    if chain.is_empty() {
        return Err(format!("{shown} has no certificate (`-----BEGIN CERTIFICATE-----`)"));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let shown = path.display();
    let text = secret::read_up_to(path, KEY_FILE_OCTETS_MOST)?;
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            format!(
                "{shown} has no private key without a passphrase (`-----BEGIN PRIVATE KEY-----`)"
            )
        }
        error => format!("{shown} is no PEM file: {error}"),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;

    /// A certificate and its key in files of a directory of their own.
    pub(crate) struct Pair {
        pub(crate) cert: PathBuf,
        pub(crate) key: PathBuf,
        pub(crate) der: CertificateDer<'static>,
        directory: TempDir,
    }

    impl Pair {
        /// One for `localhost`, which is its own root.
        pub(crate) fn new() -> Self {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            let directory = tempfile::tempdir().unwrap();
            let (cert, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
            fs::write(&cert, made.cert.pem()).unwrap();
            fs::write(&key, made.signing_key.serialize_pem()).unwrap();
            fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
            Self { cert, key, der: made.cert.der().clone(), directory }
        }

        fn file(&self, name: &str, text: &str) -> PathBuf {
            let path = self.directory.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            path
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_name() {
        let (one, other) = (Pair::new(), Pair::new());
        let empty = one.file("empty.pem", "");
        let torn = one.file("torn.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
        let locked = one.file(
            "locked.pem",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        );
        let strange = one
            .file("strange.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
        let no_cert = one
            .file("nocert.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let long = one.file("long.pem", &"x".repeat((256 << 10) + 1));
        let none = one.directory.path().join("none.pem");
        for (cert, key, named, reason) in [
            (&none, &one.key, &none, "cannot read"),
            (&empty, &one.key, &empty, "has no certificate"),
            (&torn, &one.key, &torn, "is no PEM file"),
            (&long, &one.key, &long, "is longer than"),
            (&no_cert, &one.key, &no_cert, "cannot be used"),
            (&one.cert, &none, &none, "cannot read"),
            (&one.cert, &one.cert, &one.cert, "can be used by others"),
            (&one.cert, &empty, &empty, "has no private key"),
            (&one.cert, &locked, &locked, "without a passphrase"),
            (&one.cert, &strange, &strange, "cannot be used"),
            (&one.cert, &other.key, &other.key, "is not that of the first certificate"),
        ] {
            let error = Certificates::load(cert, key).unwrap_err();
            let named = named.display().to_string();
            assert!(error.contains(reason) && error.contains(&named), "{error}");
        }
    }

    #[test]
    fn a_certificate_is_replaced_whole_or_not_at_all() {
        let (one, other) = (Pair::new(), Pair::new());
        let certificates = Certificates::load(&one.cert, &one.key).unwrap();
        let shared = certificates.clone();
        let shown = || shared.0.read().cert.first().cloned();
        assert!(certificates.reload(&other.cert, &one.key).is_err());
        assert_eq!(shown(), Some(one.der.clone()));
        certificates.reload(&other.cert, &other.key).unwrap();
        assert_eq!(shown(), Some(other.der.clone()));
        assert_eq!(format!("{certificates:?}"), "Certificates { chain: 1 }");
    }

    #[test]
    fn a_certificate_whose_time_is_not_now_is_told_about() {
        let pair = Pair::new();
        let certificates = Certificates::load(&pair.cert, &pair.key).unwrap();
        // rcgen's certificates hold from 1975 to 4096.
        let at = |years: u64| SystemTime::UNIX_EPOCH + Duration::from_hours(years * 8766);
        assert_eq!(certificates.warning(at(50)), None);
        let warning = certificates.warning(at(2130)).unwrap();
        assert!(warning.contains("is over since 4096-01-01"), "{warning}");
        let warning = certificates.warning(at(1)).unwrap();
        assert!(warning.contains("holds only from 1975-01-01"), "{warning}");
    }
}
