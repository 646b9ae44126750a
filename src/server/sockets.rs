//! The sockets of all doors: those that were passed, and those that are bound here.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::thread::available_parallelism;

use super::encrypted::Encrypted;
use super::passed::PassedSockets;
use crate::api::http::UnixSocket;
use crate::config::Config;
use crate::net::holder::{Protocol, bind_error};
use crate::net::{tcp, udp};

/// All sockets of all doors, bound before anything is started.
pub(super) struct Sockets {
    pub(super) dns_udp: Vec<UdpSocket>,
    pub(super) dns_tcp: Vec<TcpListener>,
    pub(super) http: Vec<TcpListener>,
    pub(super) http_tls: Vec<TcpListener>,
    pub(super) http_unix: Option<UnixSocket>,
    /// For clients of Eureka alone.
    pub(super) eureka: Vec<TcpListener>,
    pub(super) datagram: Vec<UdpSocket>,
    pub(super) encrypted: Encrypted,
    /// The addresses of the DNS doors, and how many UDP sockets each has.
    pub(super) dns: Vec<(SocketAddr, usize)>,
    pub(super) addresses: String,
}

impl Sockets {
    /// Takes those that were passed and binds the others; the error says who is there, or what else is wrong.
    ///
    /// The configuration has the addresses of those that were passed. Where DNS was given one protocol alone, the other
    /// is opened beside it.
    pub(super) fn bind(config: &Config, passed: PassedSockets) -> Result<Self, String> {
        let workers = match config.dns.workers {
            0 => available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let (mut udp_passed, mut tcp_passed) = (passed.dns_udp, passed.dns_tcp);
        let mut dns_udp = Vec::new();
        let mut dns_tcp = Vec::new();
        let mut dns = Vec::new();
        for address in &config.dns.listen {
            let here = |socket: &mut UdpSocket| socket.local_addr().is_ok_and(|at| at == *address);
            let mut sockets: Vec<_> = udp_passed.extract_if(.., here).collect();
            if sockets.is_empty() {
                sockets = udp::bind(*address, workers)
                    .map_err(|error| bind_error(Protocol::Udp, *address, "dns.listen", &error))?;
            }
            // Port 0: TCP is on the port that UDP got.
            let address = sockets.first().map_or(Ok(*address), UdpSocket::local_addr);
            let address = address.map_err(|error| format!("a socket has no address: {error}"))?;
            let here =
                |listener: &mut TcpListener| listener.local_addr().is_ok_and(|at| at == address);
            let mut listeners: Vec<_> = tcp_passed.extract_if(.., here).collect();
            if listeners.is_empty() {
                let listener = tcp::bind(address)
                    .map_err(|error| bind_error(Protocol::Tcp, address, "dns.listen", &error))?;
                listeners.push(listener);
            }
            dns.push((address, sockets.len()));
            dns_udp.extend(sockets);
            dns_tcp.extend(listeners);
        }
        let http =
            bind_each(passed.http, &config.http.listen, Protocol::Tcp, "http.listen", tcp::bind)?;
        let http_tls = bind_each(
            passed.http_tls,
            &config.http.tls_listen,
            Protocol::Tcp,
            "http.tls_listen",
            tcp::bind,
        )?;
        let eureka = &config.eureka.listen;
        let eureka = bind_each(Vec::new(), eureka, Protocol::Tcp, "eureka.listen", tcp::bind)?;
        let http_unix = config.http.unix_socket.as_deref().map(UnixSocket::bind).transpose()?;
        let datagram =
            bind_each(passed.udp, &config.udp.listen, Protocol::Udp, "udp.listen", udp::bind_one)?;
        let http_addresses = http.iter().filter_map(|listener| listener.local_addr().ok());
        let udp_addresses = datagram.iter().filter_map(|socket| socket.local_addr().ok());
        let encrypted = Encrypted::bind(&config.dns, passed.tls, passed.https, passed.quic)?;
        let mut addresses = format!(
            "dns={} http={} udp={}{}",
            list(dns.iter().map(|(address, _)| *address)),
            list(http_addresses),
            list(udp_addresses),
            encrypted.addresses()
        );
        if !http_tls.is_empty() {
            let at = http_tls.iter().filter_map(|listener| listener.local_addr().ok());
            addresses += &format!(" http_tls={}", list(at));
        }
        if !eureka.is_empty() {
            let at = eureka.iter().filter_map(|listener| listener.local_addr().ok());
            addresses += &format!(" eureka={}", list(at));
        }
        if let Some(path) = &config.http.unix_socket {
            addresses += &format!(" http_unix={}", path.display());
        }
        Ok(Self {
            dns_udp,
            dns_tcp,
            http,
            http_tls,
            http_unix,
            eureka,
            datagram,
            encrypted,
            dns,
            addresses,
        })
    }
}

/// A door's sockets: those that were passed, or one bound to each address.
pub(super) fn bind_each<S>(
    passed: Vec<S>,
    addresses: &[SocketAddr],
    protocol: Protocol,
    option: &str,
    bind: impl Fn(SocketAddr) -> io::Result<S>,
) -> Result<Vec<S>, String> {
    if !passed.is_empty() {
        return Ok(passed);
    }
    let bind = |address: &SocketAddr| {
        bind(*address).map_err(|error| bind_error(protocol, *address, option, &error))
    };
    addresses.iter().map(bind).collect()
}

pub(super) fn list(addresses: impl Iterator<Item = SocketAddr>) -> String {
    let addresses: Vec<_> = addresses.map(|address| address.to_string()).collect();
    if addresses.is_empty() { "none".to_owned() } else { addresses.join(",") }
}
