//! Who is asked for names that are not ours: `192.0.2.53`, `tcp://192.0.2.53`, `tls://192.0.2.53#dns.example`,
//! `https://192.0.2.53/dns-query#dns.example`.
//!
//! All of them have an address in them, so that no name has to be resolved before names can be. What is encrypted also
//! has the name that the upstream proves to have.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use hyper::http::uri::PathAndQuery;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};

/// The ports of an upstream that names none: DNS, DNS over TLS (RFC 7858, section 3.1), HTTPS.
const DNS_PORT: u16 = 53;
const TLS_PORT: u16 = 853;
const HTTPS_PORT: u16 = 443;
/// Octets of a path at most: it is sent with each question.
const PATH_MOST: usize = 255;
/// Octets of a file of CAs at most: what systems trust takes a quarter of a mebibyte.
const CA_FILE_MOST: u64 = 4 << 20;

/// Somebody who is asked for names that are not ours.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Upstream {
    /// Where.
    pub address: SocketAddr,
    /// How.
    pub transport: Transport,
}

/// How an upstream is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Over UDP, and over TCP what that cannot carry; whoever is on the way can read it.
    Plain,
    /// Over TCP alone.
    Tcp,
    /// DNS over TLS (RFC 7858).
    Tls {
        /// Whom the certificate must be for.
        name: ServerName<'static>,
    },
    /// DNS over HTTPS (RFC 8484).
    Https {
        /// Whom the certificate must be for.
        name: ServerName<'static>,
        /// The path of the requests, from its slash.
        path: String,
    },
}

/// A file of CAs' certificates (PEM), as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaFile {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it: one at least.
    pub certificates: Vec<CertificateDer<'static>>,
}

impl Upstream {
    /// Whether nobody on the way can read what it is asked.
    pub fn is_encrypted(&self) -> bool {
        matches!(self.transport, Transport::Tls { .. } | Transport::Https { .. })
    }
}

/// Reads an upstream. What is wrong with it is the end of a sentence that begins with it.
pub(super) fn upstream(text: &str) -> Result<Upstream, String> {
    match text.split_once("://") {
        None => Ok(Upstream { address: address(text, DNS_PORT)?, transport: Transport::Plain }),
        Some(("tcp", rest)) => {
            Ok(Upstream { address: address(rest, DNS_PORT)?, transport: Transport::Tcp })
        }
        Some(("tls", rest)) => tls(rest),
        Some(("https", rest)) => https(rest),
        Some((scheme, _)) => Err(format!(
            "is an upstream over `{}`, which is not spoken here: name an address, such as `192.0.2.53`, or write \
             `tcp://192.0.2.53`, `tls://192.0.2.53#dns.example` or `https://192.0.2.53/dns-query#dns.example`",
            scheme.escape_debug()
        )),
    }
}

fn tls(rest: &str) -> Result<Upstream, String> {
    let (place, name) = named(rest, "tls://192.0.2.53#dns.example")?;
    if place.contains('/') {
        return Err("has a path, and only `https://` has one: leave it out".into());
    }
    let name = server_name(name)?;
    Ok(Upstream { address: address(place, TLS_PORT)?, transport: Transport::Tls { name } })
}

fn https(rest: &str) -> Result<Upstream, String> {
    let (place, name) = named(rest, "https://192.0.2.53/dns-query#dns.example")?;
    let slash = place.find('/').ok_or(
        "has no path: write the one that its owner names, often `/dns-query`, before the `#`",
    )?;
    let (place, path) = place.split_at(slash);
    if path.contains('{') {
        return Err(
            "has a template in its path: leave out what is in braces, since it is asked by POST"
                .into(),
        );
    }
    if path.len() > PATH_MOST || path.parse::<PathAndQuery>().is_err() {
        return Err(format!("has a path that is none, or longer than {PATH_MOST} octets"));
    }
    let transport = Transport::Https { name: server_name(name)?, path: path.into() };
    Ok(Upstream { address: address(place, HTTPS_PORT)?, transport })
}

/// What is before and after the `#`.
fn named<'t>(rest: &'t str, example: &str) -> Result<(&'t str, &'t str), String> {
    let (place, name) = rest.split_once('#').unwrap_or((rest, ""));
    if name.is_empty() {
        return Err(format!(
            "does not say for whom its certificate must be: put that name behind its address, such as `{example}`"
        ));
    }
    Ok((place, name))
}

/// A name or an address, which some certificates are for.
fn server_name(text: &str) -> Result<ServerName<'static>, String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    ServerName::try_from(name).map_err(|_| {
        format!("names `{}` after the `#`, which is no server's name", text.escape_debug())
    })
}

/// An address with or without a port.
fn address(text: &str, port: u16) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let alone = bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port));
    let address = alone.or_else(|_| text.parse::<SocketAddr>()).map_err(|_| match port {
        DNS_PORT => {
            "is no address with or without a port, such as `192.0.2.53`, `192.0.2.53:5353` or \
                     `[fd00::53]:53`"
                .to_owned()
        }
        _ => format!(
            "has `{}` where an address must be, with or without a port, such as `192.0.2.53` or \
             `[fd00::53]:{port}`: its name, behind the `#`, is not looked up",
            text.escape_debug()
        ),
    })?;
    let ip = address.ip().to_canonical();
    if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err("cannot be asked: name the address of one server".into());
    }
    if address.port() == 0 {
        return Err("has port 0, on which nobody can be asked".into());
    }
    Ok(match (ip, address) {
        (IpAddr::V4(_), _) => SocketAddr::new(ip, address.port()),
        // With its zone, which a link-local address needs.
        (IpAddr::V6(_), address) => address,
    })
}

impl CaFile {
    /// Reads a file. What is wrong with it is the end of a sentence that begins with its path.
    pub(super) fn read(path: PathBuf) -> Result<Self, String> {
        let pem = read(&path).map_err(|error| format!("cannot be read: {error}"))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let certificates = certificates.map_err(|error| format!("is no PEM: {error}"))?;
        let mut roots = RootCertStore::empty();
        for (n, certificate) in (1..).zip(&certificates) {
            let refused =
                |error| format!("has a certificate, the {n}. in it, that is none: {error}");
            roots.add(certificate.clone()).map_err(refused)?;
        }
        if roots.is_empty() {
            return Err("has no certificate in it (`-----BEGIN CERTIFICATE-----`)".into());
        }
        Ok(Self { path, certificates })
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    File::open(path)?.take(CA_FILE_MOST).read_to_end(&mut octets)?;
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = include_str!("../../tests/fixtures/tls/ca.pem");

    #[test]
    fn plain_upstreams_are_read() {
        for (text, address) in [
            ("192.0.2.53", "192.0.2.53:53"),
            ("192.0.2.53:5353", "192.0.2.53:5353"),
            ("fd00::53", "[fd00::53]:53"),
            ("[fd00::53]", "[fd00::53]:53"),
            ("[fd00::53]:5353", "[fd00::53]:5353"),
            ("[fe80::1%3]:53", "[fe80::1%3]:53"),
            ("::ffff:192.0.2.53", "192.0.2.53:53"),
        ] {
            let address = address.parse().unwrap();
            let plain = Upstream { address, transport: Transport::Plain };
            assert!(!plain.is_encrypted());
            assert_eq!(upstream(text), Ok(plain), "{text}");
            let tcp = Upstream { address, transport: Transport::Tcp };
            assert!(!tcp.is_encrypted());
            assert_eq!(upstream(&format!("tcp://{text}")), Ok(tcp), "{text}");
        }
    }

    #[test]
    fn encrypted_upstreams_are_read() {
        let name = |name: &str| ServerName::try_from(name.to_owned()).unwrap();
        for (text, address, server) in [
            ("tls://192.0.2.53#dns.example", "192.0.2.53:853", "dns.example"),
            ("tls://192.0.2.53:8853#DNS.Example.", "192.0.2.53:8853", "dns.example"),
            ("tls://fd00::53#192.0.2.53", "[fd00::53]:853", "192.0.2.53"),
            ("tls://[fd00::53]:853#fd00::53", "[fd00::53]:853", "fd00::53"),
        ] {
            let transport = Transport::Tls { name: name(server) };
            let expected = Upstream { address: address.parse().unwrap(), transport };
            assert!(expected.is_encrypted());
            assert_eq!(upstream(text), Ok(expected), "{text}");
        }
        for (text, address, path) in [
            ("https://192.0.2.53/dns-query#a.example", "192.0.2.53:443", "/dns-query"),
            ("https://[fd00::53]:8443/a/b?c=d#a.example", "[fd00::53]:8443", "/a/b?c=d"),
            ("https://192.0.2.53/#a.example", "192.0.2.53:443", "/"),
        ] {
            let transport = Transport::Https { name: name("a.example"), path: path.into() };
            let expected = Upstream { address: address.parse().unwrap(), transport };
            assert_eq!(upstream(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused_with_its_reason() {
        let long = format!("https://192.0.2.53/{}#a.example", "x".repeat(PATH_MOST));
        for (text, reason) in [
            ("quic://192.0.2.53", "over `quic`, which is not spoken"),
            ("tcp://dns.example", "is no address"),
            ("tcp://192.0.2.53#dns.example", "is no address"),
            ("tls://192.0.2.53", "for whom its certificate must be"),
            ("tls://192.0.2.53#", "for whom its certificate must be"),
            ("https://192.0.2.53/dns-query", "for whom its certificate must be"),
            ("tls://dns.example#dns.example", "has `dns.example` where an address must be"),
            ("https://dns.example/q#dns.example", "has `dns.example` where an address must be"),
            ("tls://192.0.2.53/dns-query#a.example", "only `https://` has one"),
            ("tls://192.0.2.53#a b", "names `a b` after the `#`"),
            ("tls://192.0.2.53#-", "names `-` after the `#`"),
            ("https://192.0.2.53#a.example", "has no path"),
            ("https://192.0.2.53/q{?dns}#a.example", "template"),
            ("https://192.0.2.53/a b#a.example", "a path that is none"),
            (&long, "longer than 255 octets"),
            ("tls://0.0.0.0#a.example", "cannot be asked"),
            ("tls://192.0.2.53:0#a.example", "port 0"),
            ("dns.example", "no address with or without a port"),
            ("[192.0.2.53", "no address with or without a port"),
            ("192.0.2.53:99999", "no address with or without a port"),
            ("192.0.2.53#dns.example", "no address with or without a port"),
            ("", "no address with or without a port"),
            ("0.0.0.0", "cannot be asked"),
            ("[::]:53", "cannot be asked"),
            ("224.0.0.251:5353", "cannot be asked"),
            ("255.255.255.255", "cannot be asked"),
            ("192.0.2.53:0", "port 0"),
        ] {
            let told = upstream(text).unwrap_err();
            assert!(told.contains(reason), "{text}: {told}");
        }
    }

    #[test]
    fn files_of_cas_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            CaFile::read(path.clone())
        };
        assert_eq!(read(CERTIFICATE).unwrap().certificates.len(), 1);
        assert_eq!(read(&CERTIFICATE.repeat(2)).unwrap().certificates.len(), 2);
        let broken = CERTIFICATE.replace("-----BEGIN", "-----BEGUN");
        let cut = CERTIFICATE.replace("-----END", "-----FIN");
        let garbled = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n";
        for (text, reason) in [
            ("", "has no certificate in it"),
            (&broken, "has no certificate in it"),
            (&cut, "is no PEM"),
            (garbled, "the 1. in it, that is none"),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.contains(reason), "{told}");
        }
    }
}
