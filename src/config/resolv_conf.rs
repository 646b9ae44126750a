//! The upstreams that a resolv.conf names (resolv.conf(5)), without ourselves.
//!
//! The system's own file may well name us, that being what we are for: asking ourselves would be a loop, so such
//! lines are left out, and told.

use std::io::Read;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::path::Path;

/// The port of a nameserver: the file has no word for another.
const PORT: u16 = 53;
/// Octets of a file that are read: it has a few lines, and who names more upstreams than fit here has none too few.
pub const FILE_OCTETS_MOST: usize = 64 << 10;
/// Upstreams that are taken: the C library takes three. With more than this, not all would ever be asked.
pub const NAMESERVERS_MOST: usize = 8;

/// Reads a file, for a server that listens on `listen`.
///
/// # Errors
/// Why the file cannot be used: the end of a sentence that begins with its path.
pub fn read(path: &Path, listen: &[SocketAddr]) -> Result<ResolvConf, String> {
    let mut octets = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_OCTETS_MOST as u64).read_to_end(&mut octets))
        .map_err(|error| format!("cannot be read: {error}"))?;
    let text = String::from_utf8_lossy(&octets);
    Ok(ResolvConf::parse(&text, |addr| reaches(listen, addr), interface))
}

/// What a resolv.conf says that matters to us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// The upstreams, each once, in the file's order.
    pub nameservers: Vec<SocketAddr>,
    /// Addresses of ours, which are left out.
    pub ours: Vec<SocketAddr>,
    /// `options use-vc`: they want to be asked over TCP.
    pub use_tcp: bool,
    /// Lines that say nothing we understand where they should: number, from 1, and what is wrong.
    pub problems: Vec<(usize, String)>,
}

impl ResolvConf {
    /// Reads the text of a file, up to [`FILE_OCTETS_MOST`]. `is_ours` says whether we listen at an address, and
    /// `scope` the number of an interface.
    pub fn parse(
        text: &str,
        is_ours: impl Fn(SocketAddr) -> bool,
        scope: impl Fn(&str) -> Option<u32>,
    ) -> Self {
        let mut read = Self::default();
        let end = text.floor_char_boundary(FILE_OCTETS_MOST);
        for (number, line) in (1..).zip(text.get(..end).unwrap_or_default().lines()) {
            // A comment has its line to itself; but what follows an address was never looked at.
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    if let Err(problem) = read.nameserver(words.next(), &is_ours, &scope) {
                        read.problems.push((number, problem));
                    }
                }
                Some("options") => read.use_tcp |= words.any(|word| word == "use-vc"),
                _ => {}
            }
        }
        read
    }

    fn nameserver(
        &mut self,
        word: Option<&str>,
        is_ours: impl Fn(SocketAddr) -> bool,
        scope: impl Fn(&str) -> Option<u32>,
    ) -> Result<(), String> {
        let word = word.ok_or("`nameserver` has no address")?;
        let addr = address(word, scope)?;
        let known = if is_ours(addr) { &mut self.ours } else { &mut self.nameservers };
        if known.contains(&addr) {
            return Ok(());
        }
        if known.len() >= NAMESERVERS_MOST {
            return Err(format!("more than {NAMESERVERS_MOST} nameservers: this one is left out"));
        }
        known.push(addr);
        Ok(())
    }
}

/// An address, with IPv6 perhaps followed by `%` and an interface (RFC 4007, section 11).
fn address(word: &str, scope: impl Fn(&str) -> Option<u32>) -> Result<SocketAddr, String> {
    let wrong = || format!("`{}` is no address", crate::view::wire::shown(word));
    let (ip, zone) = word.split_once('%').map_or((word, None), |(ip, zone)| (ip, Some(zone)));
    let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
    match (ip, zone) {
        (ip, None) => Ok((ip, PORT).into()),
        (IpAddr::V6(ip), Some(zone)) => {
            let unknown = || format!("`{}` is no interface", crate::view::wire::shown(zone));
            let id = zone.parse().ok().or_else(|| scope(zone)).ok_or_else(unknown)?;
            Ok(SocketAddrV6::new(ip, PORT, 0, id).into())
        }
        (IpAddr::V4(_), Some(_)) => Err(wrong()),
    }
}

/// The number of the network interface of that name, if this system has it.
fn interface(name: &str) -> Option<u32> {
    if name.contains('/') || name.starts_with('.') {
        return None;
    }
    let number = std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok()?;
    number.trim().parse().ok()
}

/// Whether a question to `addr` would reach one of our own `listeners`. Who listens at a wildcard address listens at
/// every address of the system.
pub fn reaches(listeners: &[SocketAddr], addr: SocketAddr) -> bool {
    // To the unspecified address means to this system.
    let to = match addr.ip().to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    listeners.iter().filter(|listener| listener.port() == addr.port()).any(|listener| {
        let at = listener.ip().to_canonical();
        // One for IPv6 may take IPv4 as well.
        let all = at.is_unspecified() && (at.is_ipv6() || to.is_ipv4());
        at == to || (all && is_of_this_system(to))
    })
}

/// The kernel binds a socket to addresses of this system only.
fn is_of_this_system(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ResolvConf {
        let ours = |addr| reaches(&["127.0.0.1:53".parse().unwrap()], addr);
        ResolvConf::parse(text, ours, |name| (name == "eth0").then_some(7))
    }

    #[test]
    fn what_a_file_may_hold_is_read() {
        let text = "# written by hand\n; nameserver 192.0.2.99\nsearch corp.example\ndomain x\n\
             nameserver 192.0.2.1\n\tnameserver\t2001:db8::1 # the second\nnameserver 192.0.2.1\n\
             nameserver fe80::1%eth0\nnameserver fe80::2%3\noptions ndots:2 use-vc edns0\n\
             nameserver 127.0.0.1\nnameserverx 192.0.2.7\nsortlist 192.0.2.0\r\n";
        let read = parse(text);
        let addrs: Vec<_> = read.nameservers.iter().map(ToString::to_string).collect();
        assert_eq!(addrs, ["192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1%7]:53", "[fe80::2%3]:53"]);
        assert_eq!(read.ours, ["127.0.0.1:53".parse().unwrap()]);
        assert!(read.use_tcp);
        assert_eq!(read.problems, []);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let read = parse(
            "nameserver\nnameserver example.\nnameserver 192.0.2.1%eth0\n\nnameserver fe80::1%eth9\nnameserver 192.0.2.1",
        );
        let told: Vec<_> =
            read.problems.iter().map(|(line, wrong)| format!("{line}: {wrong}")).collect();
        assert_eq!(
            told,
            [
                "1: `nameserver` has no address",
                "2: `example.` is no address",
                "3: `192.0.2.1%eth0` is no address",
                "5: `eth9` is no interface"
            ]
        );
        assert_eq!(read.nameservers.len(), 1);
        assert!(!read.use_tcp);
    }

    #[test]
    fn many_nameservers_and_endless_files_are_bounded() {
        let many: String = (0..20).map(|n| format!("nameserver 192.0.2.{n}\n")).collect();
        let read = parse(&many);
        assert_eq!((read.nameservers.len(), read.problems.len()), (NAMESERVERS_MOST, 12));
        let endless = "é".repeat(FILE_OCTETS_MOST) + "\nnameserver 192.0.2.1\n";
        assert_eq!(parse(&endless), ResolvConf::default());
        assert_eq!(parse(""), ResolvConf::default());
    }

    #[test]
    fn our_own_addresses_are_known_however_they_are_written() {
        let reaches = |listeners: &[&str], addr: &str| {
            let listeners: Vec<_> = listeners.iter().map(|l| l.parse().unwrap()).collect();
            super::reaches(&listeners, addr.parse().unwrap())
        };
        assert!(reaches(&["127.0.0.1:53"], "127.0.0.1:53"));
        assert!(reaches(&["127.0.0.1:53"], "[::ffff:127.0.0.1]:53"));
        assert!(reaches(&["127.0.0.1:53"], "0.0.0.0:53"));
        assert!(reaches(&["0.0.0.0:53"], "127.0.0.53:53"));
        assert!(reaches(&["[::]:53"], "127.0.0.1:53"));
        assert!(!reaches(&["127.0.0.1:53"], "127.0.0.53:53"));
        assert!(!reaches(&["127.0.0.1:5300"], "127.0.0.1:53"));
        assert!(!reaches(&["0.0.0.0:53"], "192.0.2.1:53"));
        assert!(!reaches(&["0.0.0.0:53"], "[::1]:53"));
    }

    #[test]
    fn a_file_is_read_and_a_missing_one_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolv.conf");
        std::fs::write(&path, b"nameserver 192.0.2.53\nnameserver 127.0.0.1\n\xff\n").unwrap();
        let listen = ["127.0.0.1:53".parse().unwrap()];
        let read = super::read(&path, &listen).unwrap();
        assert_eq!(read.nameservers, ["192.0.2.53:53".parse().unwrap()]);
        let missing = super::read(&directory.path().join("none"), &listen).unwrap_err();
        assert!(missing.starts_with("cannot be read: "), "{missing}");
    }

    #[test]
    fn interfaces_are_found_by_name() {
        assert_eq!(interface("no such interface"), None);
        assert_eq!(interface("../../etc"), None);
        assert_eq!(interface(""), None);
    }
}
