//! The doors with TLS: their sockets and their certificate.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::SystemTime;

use super::sockets::{bind_each, list};
use crate::api::http::{ALPN, Listener, UnixSocket};
use crate::config::{Dns, Http};
use crate::net::holder::Protocol;
use crate::net::tls::{Certificates, DoorTls, Files};
use crate::net::{tcp, udp};

/// The sockets of the doors with TLS.
pub(super) struct Encrypted {
    /// DNS over TLS.
    pub(super) tls: Vec<TcpListener>,
    /// DNS over HTTPS.
    pub(super) https: Vec<TcpListener>,
    /// DNS over QUIC: one socket an address.
    pub(super) quic: Vec<UdpSocket>,
}

impl Encrypted {
    /// Takes those that were passed and binds the others; the error says who is there, or what else is wrong.
    pub(super) fn bind(
        dns: &Dns,
        tls: Vec<TcpListener>,
        https: Vec<TcpListener>,
        quic: Vec<UdpSocket>,
    ) -> Result<Self, String> {
        let tls = bind_each(tls, &dns.tls_listen, Protocol::Tcp, "dns.tls_listen", tcp::bind)?;
        let https =
            bind_each(https, &dns.https_listen, Protocol::Tcp, "dns.https_listen", tcp::bind)?;
        let quic =
            bind_each(quic, &dns.quic_listen, Protocol::Udp, "dns.quic_listen", udp::bind_one)?;
        Ok(Self { tls, https, quic })
    }

    /// Where the doors are, for the log, with a space before each; those that are not there are not named.
    pub(super) fn addresses(&self) -> String {
        let of = |listeners: &[TcpListener]| -> Vec<_> {
            listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
        };
        let quic = self.quic.iter().filter_map(|socket| socket.local_addr().ok()).collect();
        [("tls", of(&self.tls)), ("https", of(&self.https)), ("quic", quic)]
            .into_iter()
            .filter(|(_, addresses): &(_, Vec<SocketAddr>)| !addresses.is_empty())
            .map(|(name, addresses)| format!(" {name}={}", list(addresses.into_iter())))
            .collect()
    }
}

/// Reads the certificate if a door needs one. Dates that are wrong are logged and no more: clients judge them.
pub(super) fn load_certificates(dns: &Dns) -> Result<Option<Certificates>, String> {
    let certificates = read_certificates(dns)?;
    if let Some(certificates) = &certificates {
        warn_of_dates(certificates);
    }
    Ok(certificates)
}

/// Reads the certificate if a door needs one, and says nothing of its dates.
pub(super) fn read_certificates(dns: &Dns) -> Result<Option<Certificates>, String> {
    let Some((cert, key)) = dns.certificate_files() else { return Ok(None) };
    let read = Certificates::load(cert, key);
    read.map(Some).map_err(|reason| format!("the certificate: {reason}"))
}

/// Reads the certificate again; the old one stays if that fails.
pub(super) fn reload_certificates(certificates: &Certificates, dns: &Dns) {
    let Some((cert, key)) = dns.certificate_files() else { return };
    match certificates.reload(cert, key) {
        Ok(()) => warn_of_dates(certificates),
        Err(reason) => tracing::error!("the certificate stays as it was: {reason}"),
    }
}

/// Reads what the HTTP door with TLS needs, if there is one.
pub(super) fn load_http_tls(http: &Http) -> Result<Option<DoorTls>, String> {
    let tls = read_http_tls(http)?;
    if let Some(tls) = &tls {
        warn(tls.warning(SystemTime::now()));
    }
    Ok(tls)
}

/// Reads what the HTTP door with TLS needs, and says nothing of dates.
pub(super) fn read_http_tls(http: &Http) -> Result<Option<DoorTls>, String> {
    let Some(files) = http_files(http) else { return Ok(None) };
    DoorTls::load(files, ALPN).map(Some).map_err(|reason| format!("TLS for HTTP: {reason}"))
}

/// Reads it again; all stays as it was if that fails.
pub(super) fn reload_http_tls(tls: &DoorTls, http: &Http) {
    let Some(files) = http_files(http) else { return };
    match tls.reload(files) {
        Ok(()) => warn(tls.warning(SystemTime::now())),
        Err(reason) => tracing::error!("TLS for HTTP stays as it was: {reason}"),
    }
}

fn http_files(http: &Http) -> Option<Files<'_>> {
    let (cert, key) = http.certificate_files()?;
    Some(Files { cert, key, client_ca: http.tls_client_ca_file.as_deref() })
}

/// All that HTTP is spoken on.
pub(super) fn http_listeners(
    plain: Vec<TcpListener>,
    with_tls: Vec<TcpListener>,
    unix: Option<UnixSocket>,
    tls: Option<&DoorTls>,
) -> Vec<Listener> {
    let with_tls = with_tls
        .into_iter()
        .zip(tls.cloned().into_iter().cycle())
        .map(|(listener, tls)| Listener::Tls(listener, tls));
    let plain = plain.into_iter().map(Listener::Plain);
    plain.chain(with_tls).chain(unix.map(Listener::Unix)).collect()
}

fn warn_of_dates(certificates: &Certificates) {
    warn(certificates.warning(SystemTime::now()));
}

fn warn(warning: Option<String>) {
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
    }
}
