//! Who is on a port, and what to say when it cannot be had.
//!
//! `/proc/net` knows which socket (by inode) has an address, `/proc/PID/fd` which process has the socket.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Sockets that are considered: those on one port that conflict, a worker each at a server like ours.
const SOCKETS_MOST: usize = 1024;

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Datagrams.
    Udp,
    /// Streams.
    Tcp,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }
}

/// A process that has a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// Its name, as `ps` shows it.
    pub name: String,
}

/// The process whose socket keeps others from `addr`; `None` if there is none or we may not look (another
/// user's).
pub fn who_holds(protocol: Protocol, addr: SocketAddr) -> Option<Holder> {
    let tables = match (protocol, addr) {
        // A socket for IPv6 may take IPv4 as well.
        (Protocol::Udp, SocketAddr::V4(_)) => &["udp", "udp6"][..],
        (Protocol::Udp, SocketAddr::V6(_)) => &["udp6"],
        (Protocol::Tcp, SocketAddr::V4(_)) => &["tcp", "tcp6"],
        (Protocol::Tcp, SocketAddr::V6(_)) => &["tcp6"],
    };
    tables.iter().find_map(|table| {
        let table = fs::read_to_string(format!("/proc/net/{table}")).ok()?;
        let lines = table.lines().skip(1);
        let in_the_way = lines.filter_map(|line| conflicting(line, protocol, addr));
        process_with(&in_the_way.take(SOCKETS_MOST).collect::<Vec<_>>())
    })
}

/// What to say when `addr`, which the config option `option` names, cannot be listened on.
pub fn bind_error(protocol: Protocol, addr: SocketAddr, option: &str, error: &io::Error) -> String {
    let place = format!("cannot listen on {addr} ({})", protocol.name());
    match error.kind() {
        io::ErrorKind::AddrInUse => match who_holds(protocol, addr) {
            Some(Holder { pid, .. }) if pid == std::process::id() => {
                format!("{place}: this server listens there already; name it once in {option}")
            }
            Some(Holder { pid, name }) => {
                format!("{place}: in use by process {pid} ({name}); stop it or set {option}")
            }
            None => format!(
                "{place}: in use by another process (`ss -lnp 'sport = :{}'` as root says which); stop it or \
                 set {option}",
                addr.port()
            ),
        },
        io::ErrorKind::PermissionDenied if addr.port() < 1024 => format!(
            "{place}: a port below 1024 needs the capability CAP_NET_BIND_SERVICE (in a systemd unit: \
             AmbientCapabilities=CAP_NET_BIND_SERVICE); grant it or set {option}"
        ),
        io::ErrorKind::AddrNotAvailable => format!(
            "{place}: no interface here has that address (`ip address` lists them); add it or set {option}"
        ),
        _ if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            format!(
                "{place}: the system does without that kind of address; enable it or set {option}"
            )
        }
        _ => format!("{place}: {error}; set {option}"),
    }
}

/// The inode of a socket that keeps others from `addr`, from its line in a table of `/proc/net`:
/// `sl local remote state queues timer retransmits uid timeout inode …`.
fn conflicting(line: &str, protocol: Protocol, addr: SocketAddr) -> Option<u64> {
    const LISTENING: &str = "0A";
    let mut fields = line.split_ascii_whitespace();
    let (ip, port) = fields.nth(1)?.split_once(':')?;
    let state = fields.nth(1)?;
    if u16::from_str_radix(port, 16).ok()? != addr.port()
        || (protocol == Protocol::Tcp && state != LISTENING)
    {
        return None;
    }
    let ip = table_ip(ip)?;
    let conflicts = ip == addr.ip() || ip.is_unspecified() || addr.ip().is_unspecified();
    let inode = fields.nth(5)?.parse().ok()?;
    (conflicts && inode != 0).then_some(inode)
}

/// An address of a table: 32-bit words of the machine's order in hexadecimal.
fn table_ip(text: &str) -> Option<IpAddr> {
    let mut octets = [0; 16];
    let mut filled = 0;
    for (place, word) in octets.chunks_exact_mut(4).zip(text.as_bytes().chunks(8)) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        place.copy_from_slice(&word.to_ne_bytes());
        filled += 4;
    }
    match filled {
        4 => Some(Ipv4Addr::from(*octets.first_chunk::<4>()?).into()),
        16 => Some(Ipv6Addr::from(octets).to_canonical()),
        _ => None,
    }
}

fn process_with(inodes: &[u64]) -> Option<Holder> {
    if inodes.is_empty() {
        return None;
    }
    let links: Vec<_> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .find(|(_, process)| has_any(process, &links))
        .map(|(pid, process)| {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            Holder { pid, name: name.trim_end().to_owned() }
        })
}

/// Whether one of a process's descriptors is one of `links`. Not if we may not look.
fn has_any(process: &Path, links: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    descriptors
        .flatten()
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .any(|target| links.iter().any(|link| target.as_os_str() == link.as_str()))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::OwnedFd;
    use std::process::Command;

    use super::*;
    use crate::net::{tcp, udp};

    fn me() -> Option<Holder> {
        let name = fs::read_to_string("/proc/self/comm").unwrap().trim_end().to_owned();
        Some(Holder { pid: std::process::id(), name })
    }

    #[test]
    fn says_which_process_has_an_address_in_the_way() {
        for (held, wanted) in [
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1", "0.0.0.0"),
            ("0.0.0.0", "127.0.0.9"),
            ("[::1]", "[::1]"),
            ("[::]", "[::1]"),
        ] {
            let udp = udp::bind(format!("{held}:0").parse().unwrap(), 2).unwrap();
            let tcp = tcp::bind(format!("{held}:0").parse().unwrap()).unwrap();
            for (protocol, port) in [
                (Protocol::Udp, udp[0].local_addr().unwrap().port()),
                (Protocol::Tcp, tcp.local_addr().unwrap().port()),
            ] {
                let wanted: SocketAddr = format!("{wanted}:{port}").parse().unwrap();
                assert_eq!(who_holds(protocol, wanted), me(), "{protocol:?} {held} {wanted}");
            }
        }
    }

    #[test]
    fn a_line_of_the_table_counts_if_it_is_in_the_way() {
        // As a little-endian machine writes them; a test on another would need other words.
        let v4 = |ip: Ipv4Addr| format!("{:08X}", u32::from_ne_bytes(ip.octets()));
        let line = |ip: &str, port: u16, state: &str| {
            format!("7: {ip}:{port:04X} 00000000:0000 {state} 0:0 0:0 0 0 0 4711 2 0 0")
        };
        let home = v4(Ipv4Addr::LOCALHOST);
        let mapped = format!("0000000000000000{:08X}{home}", u32::from_ne_bytes([0, 0, 255, 255]));
        let any6 = "0".repeat(32);
        let wanted = "127.0.0.1:5300".parse().unwrap();
        for (line, protocol, found) in [
            (line(&home, 5300, "07"), Protocol::Udp, Some(4711)),
            (line(&home, 5301, "07"), Protocol::Udp, None),
            (line(&v4([127, 0, 0, 2].into()), 5300, "07"), Protocol::Udp, None),
            (line(&v4([0; 4].into()), 5300, "07"), Protocol::Udp, Some(4711)),
            (line(&any6, 5300, "07"), Protocol::Udp, Some(4711)),
            (line(&mapped, 5300, "07"), Protocol::Udp, Some(4711)),
            (line(&home, 5300, "0A"), Protocol::Tcp, Some(4711)),
            (line(&home, 5300, "06"), Protocol::Tcp, None),
            ("7: nonsense".into(), Protocol::Udp, None),
        ] {
            assert_eq!(conflicting(&line, protocol, wanted), found, "{line}");
        }
    }

    #[test]
    fn a_refused_address_is_explained() {
        let address = |socket: &UdpSocket| socket.local_addr().unwrap();
        let ours = udp::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
        let theirs = udp::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
        let (ours_at, theirs_at) = (address(&ours), address(&theirs));
        let mut other =
            Command::new("sleep").arg("600").stdin(OwnedFd::from(theirs)).spawn().unwrap();
        let pid = other.id();
        let os = io::Error::from_raw_os_error;
        for (addr, error, said) in [
            (
                theirs_at,
                os(libc::EADDRINUSE),
                format!(
                    "cannot listen on {theirs_at} (UDP): in use by process {pid} (sleep); stop it or set \
                     dns.listen"
                ),
            ),
            (
                ours_at,
                os(libc::EADDRINUSE),
                format!(
                    "cannot listen on {ours_at} (UDP): this server listens there already; name it once in \
                     dns.listen"
                ),
            ),
            (
                "127.0.0.1:53".parse().unwrap(),
                os(libc::EACCES),
                "cannot listen on 127.0.0.1:53 (UDP): a port below 1024 needs the capability \
                 CAP_NET_BIND_SERVICE (in a systemd unit: AmbientCapabilities=CAP_NET_BIND_SERVICE); grant \
                 it or set dns.listen"
                    .into(),
            ),
            (
                "192.0.2.1:5300".parse().unwrap(),
                os(libc::EADDRNOTAVAIL),
                "cannot listen on 192.0.2.1:5300 (UDP): no interface here has that address (`ip address` \
                 lists them); add it or set dns.listen"
                    .into(),
            ),
            (
                "[::1]:5300".parse().unwrap(),
                os(libc::EAFNOSUPPORT),
                "cannot listen on [::1]:5300 (UDP): the system does without that kind of address; enable it \
                 or set dns.listen"
                    .into(),
            ),
        ] {
            assert_eq!(bind_error(Protocol::Udp, addr, "dns.listen", &error), said);
        }
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
