//! Which door a socket is for that was passed: by the name that it was given, else by where it is bound.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use crate::config::{Config, Listening};
use crate::net::passed::{Passed, Socket};

/// The sockets that were passed, by door.
#[derive(Debug, Default)]
pub(super) struct PassedSockets {
    pub(super) dns_udp: Vec<UdpSocket>,
    pub(super) dns_tcp: Vec<TcpListener>,
    pub(super) http: Vec<TcpListener>,
    pub(super) http_tls: Vec<TcpListener>,
    pub(super) udp: Vec<UdpSocket>,
    pub(super) tls: Vec<TcpListener>,
    pub(super) https: Vec<TcpListener>,
    pub(super) quic: Vec<UdpSocket>,
    /// Where they are.
    pub(super) addresses: Listening,
}

/// A door that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Dns,
    Http,
    HttpTls,
    Udp,
    Tls,
    Https,
    Quic,
}

impl Door {
    const ALL: [Self; 7] =
        [Self::Dns, Self::Http, Self::HttpTls, Self::Udp, Self::Tls, Self::Https, Self::Quic];

    /// What `FileDescriptorName=` says.
    fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Http => "http",
            Self::HttpTls => "http-tls",
            Self::Udp => "udp",
            Self::Tls => "tls",
            Self::Https => "https",
            Self::Quic => "quic",
        }
    }

    /// The setting with its addresses.
    fn option(self) -> &'static str {
        match self {
            Self::Dns => "dns.listen",
            Self::Http => "http.listen",
            Self::HttpTls => "http.tls_listen",
            Self::Udp => "udp.listen",
            Self::Tls => "dns.tls_listen",
            Self::Https => "dns.https_listen",
            Self::Quic => "dns.quic_listen",
        }
    }

    fn takes(self, socket: &Socket) -> bool {
        match (self, socket) {
            (Self::Dns, _)
            | (Self::Udp | Self::Quic, Socket::Udp(_))
            | (Self::Http | Self::HttpTls | Self::Tls | Self::Https, Socket::Tcp(_)) => true,
            (Self::Udp | Self::Quic, Socket::Tcp(_))
            | (Self::Http | Self::HttpTls | Self::Tls | Self::Https, Socket::Udp(_)) => false,
        }
    }

    fn configured(self, config: &Config) -> &[SocketAddr] {
        match self {
            Self::Dns => &config.dns.listen,
            Self::Http => &config.http.listen,
            Self::HttpTls => &config.http.tls_listen,
            Self::Udp => &config.udp.listen,
            Self::Tls => &config.dns.tls_listen,
            Self::Https => &config.dns.https_listen,
            Self::Quic => &config.dns.quic_listen,
        }
    }

    fn of(self, addresses: &mut Listening) -> &mut Vec<SocketAddr> {
        match self {
            Self::Dns => &mut addresses.dns,
            Self::Http => &mut addresses.http,
            Self::HttpTls => &mut addresses.http_tls,
            Self::Udp => &mut addresses.udp,
            Self::Tls => &mut addresses.tls,
            Self::Https => &mut addresses.https,
            Self::Quic => &mut addresses.quic,
        }
    }
}

impl PassedSockets {
    /// Gives each socket to its door; the error names one that no door wants.
    pub(super) fn sort(passed: Vec<Passed>, config: &Config) -> Result<Self, String> {
        let mut sorted = Self::default();
        for one in passed {
            let door = door_of(&one, config)?;
            let addresses = door.of(&mut sorted.addresses);
            if !addresses.contains(&one.address) {
                addresses.push(one.address);
            }
            sorted.keep(door, one);
        }
        Ok(sorted)
    }

    fn keep(&mut self, door: Door, passed: Passed) {
        match (door, passed.socket) {
            (Door::Dns, Socket::Udp(socket)) => self.dns_udp.push(socket),
            (Door::Dns, Socket::Tcp(listener)) => self.dns_tcp.push(listener),
            (Door::Http, Socket::Tcp(listener)) => self.http.push(listener),
            (Door::HttpTls, Socket::Tcp(listener)) => self.http_tls.push(listener),
            (Door::Tls, Socket::Tcp(listener)) => self.tls.push(listener),
            (Door::Https, Socket::Tcp(listener)) => self.https.push(listener),
            (Door::Udp, Socket::Udp(socket)) => self.udp.push(socket),
            (Door::Quic, Socket::Udp(socket)) => self.quic.push(socket),
            // `door_of` gives a door none that it does not take.
            (Door::Http | Door::HttpTls | Door::Tls | Door::Https, Socket::Udp(_))
            | (Door::Udp | Door::Quic, Socket::Tcp(_)) => {}
        }
    }

    /// A line for the log for each door that listens elsewhere than the configuration says.
    pub(super) fn differences(&self, config: &Config) -> Vec<String> {
        let mut addresses = self.addresses.clone();
        let mut told = Vec::new();
        for door in Door::ALL {
            let passed = door.of(&mut addresses);
            let mut configured = door.configured(config).to_vec();
            passed.sort_unstable();
            configured.sort_unstable();
            if !passed.is_empty() && *passed != configured {
                let option = door.option();
                told.push(format!(
                    "{option} is {passed:?}, where the sockets are that were passed, and not {configured:?} as \
                     configured: let both say the same"
                ));
            }
        }
        let (workers, sockets) = (config.dns.workers, self.dns_udp.len());
        if sockets > 0 && workers > 0 && workers != sockets {
            told.push(format!(
                "dns.workers does not count: {sockets} UDP sockets were passed, and each has a thread"
            ));
        }
        told
    }
}

/// The door that a socket is for. A name that is no door's is that of its unit, and says nothing.
fn door_of(passed: &Passed, config: &Config) -> Result<Door, String> {
    if let Some(door) = Door::ALL.into_iter().find(|door| door.name() == passed.name) {
        return match door.takes(&passed.socket) {
            true => Ok(door),
            false => Err(format!(
                "{passed}: `{}` is not served over {}",
                passed.name,
                passed.socket.protocol()
            )),
        };
    }
    let which = |fits: fn(&SocketAddr, &SocketAddr) -> bool| -> Vec<Door> {
        let listens = |door: &Door| {
            let mut configured = door.configured(config).iter();
            door.takes(&passed.socket) && configured.any(|address| fits(address, &passed.address))
        };
        Door::ALL.into_iter().filter(listens).collect()
    };
    let mut doors = which(|configured, address| configured == address);
    if doors.is_empty() {
        doors = which(|configured, address| configured.port() == address.port());
    }
    let name_it = "FileDescriptorName= in the socket unit says for which: dns, http, http-tls, udp, tls, https or quic";
    match *doors {
        [door] => Ok(door),
        [] => Err(format!("{passed}, is for no door: none is configured with its port. {name_it}")),
        _ => {
            let options: Vec<_> = doors.iter().map(|door| door.option()).collect();
            Err(format!("{passed}, could be for any of {}. {name_it}", options.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    /// Sockets on free ports of loopback: their protocols, and their names with where they are for.
    fn bound(protocol: &str) -> (Socket, SocketAddr) {
        if protocol == "UDP" {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let address = socket.local_addr().unwrap();
            (Socket::Udp(socket), address)
        } else {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            (Socket::Tcp(listener), address)
        }
    }

    fn config(text: &str) -> Config {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        let files = "dns.tls_cert_file = 'c'\ndns.tls_key_file = 'k'\nstore.data_dir = '.'\n";
        std::fs::write(&path, format!("{files}{text}")).unwrap();
        Config::load(Some(&path), &Overrides::default()).unwrap()
    }

    #[test]
    fn a_name_says_for_which_door_a_socket_is() {
        let config = config("");
        for (name, protocols) in [
            ("dns", &["UDP", "TCP"][..]),
            ("http", &["TCP"]),
            ("http-tls", &["TCP"]),
            ("udp", &["UDP"]),
            ("tls", &["TCP"]),
            ("https", &["TCP"]),
            ("quic", &["UDP"]),
        ] {
            for protocol in ["UDP", "TCP"] {
                let (socket, address) = bound(protocol);
                let passed = Passed::new(name, socket, address);
                let door = door_of(&passed, &config).map(Door::name);
                let refused = format!(
                    "the socket `{name}` that was passed (descriptor 3), {protocol} {address}: `{name}` is not served \
                     over {protocol}"
                );
                let expected = if protocols.contains(&protocol) { Ok(name) } else { Err(refused) };
                assert_eq!(door, expected);
            }
        }
    }

    #[test]
    fn without_a_name_the_address_and_then_the_port_says_it() {
        for (listen, protocol, expected) in [
            ("dns.listen = ['HERE']", "UDP", Ok("dns")),
            ("dns.listen = ['HERE']", "TCP", Ok("dns")),
            ("http.listen = ['127.0.0.2:PORT']", "TCP", Ok("http")),
            ("udp.listen = ['127.0.0.2:PORT']\ndns.quic_listen = ['HERE']", "UDP", Ok("quic")),
            (
                "http.listen = ['HERE']",
                "UDP",
                Err("is for no door: none is configured with its port"),
            ),
            (
                "dns.tls_listen = ['127.0.0.2:PORT']\ndns.https_listen = ['127.0.0.3:PORT']",
                "TCP",
                Err("could be for any of dns.tls_listen, dns.https_listen"),
            ),
        ] {
            let (socket, address) = bound(protocol);
            let port = address.port().to_string();
            let text = listen.replace("HERE", &address.to_string()).replace("PORT", &port);
            let passed = Passed::new("rollcall.socket", socket, address);
            match (door_of(&passed, &config(&text)), expected) {
                (Ok(door), Ok(name)) => assert_eq!(door.name(), name, "{text}"),
                (Err(told), Err(reason)) => {
                    let about = format!(
                        "the socket `rollcall.socket` that was passed (descriptor 3), {protocol} {address}, {reason}"
                    );
                    assert!(told.starts_with(&about), "{told}");
                }
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn who_listens_elsewhere_than_configured_is_told() {
        let sockets = [bound("UDP"), bound("UDP"), bound("TCP")];
        let [here, there, http] = [sockets[0].1, sockets[1].1, sockets[2].1];
        let names = ["dns", "dns", "http"];
        let passed = names.iter().zip(sockets);
        let passed = passed.map(|(name, (socket, address))| Passed::new(name, socket, address));
        let same = format!("dns.listen = ['{there}', '{here}']\nhttp.listen = ['{http}']\n");
        let sorted = PassedSockets::sort(passed.collect(), &config(&same)).unwrap();
        assert_eq!(sorted.addresses.dns, [here, there]);
        assert_eq!(sorted.differences(&config(&same)), [""; 0]);
        let other = config("dns.listen = ['127.0.0.1:53']\ndns.workers = 7\n");
        let told = sorted.differences(&other);
        assert!(told[0].starts_with("dns.listen is ["), "{told:?}");
        assert!(told[1].starts_with("http.listen is ["), "{told:?}");
        assert!(told[2].starts_with("dns.workers does not count: 2 UDP sockets"), "{told:?}");
    }
}
