//! Ports: who is on those of the server, and on port 53, which is the only one that resolv.conf can name. And the
//! room that the kernel gives a worker for queries that wait.

use std::net::{Ipv4Addr, SocketAddr};

use super::machine::Machine;
use super::report::Finding;
use crate::cli::query::reachable;
use crate::net::holder::{Holder, Protocol};
use crate::net::udp::RECEIVE_BUFFER_OCTETS;

/// Where the kernel says how much room a socket may ask for.
const RMEM_MAX: &str = "/proc/sys/net/core/rmem_max";
/// The port of DNS.
const DNS_PORT: u16 = 53;
/// Our name, as `ps` shows it.
const OUR_NAME: &str = "rollcall";

/// Whether the server answers on its addresses, and who is there if not.
pub(super) fn listeners(machine: &Machine) -> Vec<Finding> {
    machine.config.dns.listen.iter().map(|address| listener(machine, *address)).collect()
}

fn listener(machine: &Machine, address: SocketAddr) -> Finding {
    const ABOUT: &str = "dns.listen";
    let zone = machine.zone();
    let told = (machine.ask)(reachable(address), zone);
    let holder = (machine.holder)(Protocol::Udp, address);
    let who = holder.as_ref().map_or_else(String::new, |holder| format!(" ({})", shown(holder)));
    match (told, holder) {
        (Ok(told), _) if told.authoritative && told.found => {
            Finding::well(ABOUT, format!("{address} answers for {zone} in {} ms{who}", told.millis))
        }
        (Err(_), None) => Finding::note(
            ABOUT,
            format!("no server answers on {address}"),
            "start it: `rollcall serve`, with --config if it has a file",
        ),
        (Err(reason), Some(holder)) if holder.name == OUR_NAME => Finding::problem(
            ABOUT,
            format!("{address} is held by {}, which does not answer: {reason}", shown(&holder)),
            "see its log",
        ),
        (Err(_), Some(holder)) => Finding::problem(
            ABOUT,
            format!("{address} is held by {}", shown(&holder)),
            "stop that, or set dns.listen to another address",
        ),
        (Ok(told), _) => Finding::problem(
            ABOUT,
            format!("the server on {address}{who} does not have {zone}: it says {}", told.rcode),
            "it is another one, or runs with another configuration: stop it, or set dns.listen or dns.zones",
        ),
    }
}

/// Who holds port 53, if the server is not configured to.
pub(super) fn port_53(machine: &Machine) -> Option<Finding> {
    const ABOUT: &str = "port 53";
    let listen = &machine.config.dns.listen;
    if listen.iter().any(|address| address.port() == DNS_PORT) {
        return None;
    }
    let place = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), DNS_PORT);
    let holders = [Protocol::Udp, Protocol::Tcp].map(|protocol| (machine.holder)(protocol, place));
    let way_out = "resolv.conf can name no other port: to be asked by every program, this server needs it \
                   (dns.listen), or a resolver there that sends its zones here";
    Some(match holders.into_iter().flatten().next() {
        Some(holder) => Finding::note(ABOUT, format!("is held by {}", shown(&holder)), way_out),
        None => {
            let text = "nobody that can be seen from here is on 127.0.0.1:53, and dns.listen does not name it";
            Finding::note(ABOUT, text, way_out)
        }
    })
}

fn shown(Holder { pid, name }: &Holder) -> String {
    format!("process {pid}, {}", name.escape_debug())
}

/// Whether a worker gets the receive buffer that it asks for.
pub(super) fn buffers(machine: &Machine) -> Finding {
    const ABOUT: &str = "receive buffers";
    let most = machine.read(RMEM_MAX).and_then(|text| text.trim().parse::<usize>().ok());
    let wanted = RECEIVE_BUFFER_OCTETS;
    match most {
        Some(most) if most >= wanted => Finding::well(
            ABOUT,
            format!("net.core.rmem_max is {most}, and a worker asks for {wanted}"),
        ),
        Some(most) => Finding::note(
            ABOUT,
            format!(
                "net.core.rmem_max is {most}, and a worker asks for {wanted} octets: queries that come in a burst \
                 are lost sooner"
            ),
            format!(
                "`sysctl -w net.core.rmem_max={wanted}`, and the same in a file in /etc/sysctl.d for the next start"
            ),
        ),
        None => Finding::note(
            ABOUT,
            "the limit of net.core.rmem_max cannot be read",
            format!("`sysctl net.core.rmem_max` should say {wanted} or more"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::machine::testing::{config, machine, root, told};
    use super::super::report::Standing::{self, Note, Problem, Well};
    use super::*;

    fn held_by(name: &str) -> impl Fn(Protocol, SocketAddr) -> Option<Holder> {
        let holder = Holder { pid: 7, name: name.into() };
        move |_, _| Some(holder.clone())
    }

    #[test]
    fn a_listener_answers_or_somebody_else_is_there() {
        let config = config("");
        let nobody = machine(Path::new("/nowhere"), &config);
        let check = |machine: &Machine, standing: Standing, text: &str| {
            let [found] = &*listeners(machine) else { panic!("one address") };
            assert_eq!((found.standing, &*found.text), (standing, text));
        };
        check(&nobody, Note, "no server answers on 127.0.0.1:5300");
        let (ours, other) = (held_by("rollcall"), held_by("unbound"));
        let text = "127.0.0.1:5300 is held by process 7, rollcall, which does not answer: no reply from 127.0.0.1:5300";
        check(&Machine { holder: &ours, ..nobody }, Problem, text);
        let nobody = machine(Path::new("/nowhere"), &config);
        check(
            &Machine { holder: &other, ..nobody },
            Problem,
            "127.0.0.1:5300 is held by process 7, unbound",
        );
        for (rcode, authoritative, standing, text) in [
            (
                "NOERROR",
                true,
                Well,
                "127.0.0.1:5300 answers for svc.internal. in 3 ms (process 7, rollcall)",
            ),
            (
                "REFUSED",
                false,
                Problem,
                "the server on 127.0.0.1:5300 (process 7, rollcall) does not have svc.internal.: it says REFUSED",
            ),
        ] {
            let answering = |_: SocketAddr, zone: &str| {
                assert_eq!(zone, "svc.internal.");
                told(rcode, authoritative)
            };
            let nobody = machine(Path::new("/nowhere"), &config);
            check(&Machine { holder: &ours, ask: &answering, ..nobody }, standing, text);
        }
    }

    #[test]
    fn port_53_is_somebodys() {
        let default = config("");
        let nobody = machine(Path::new("/nowhere"), &default);
        let found = port_53(&nobody).unwrap();
        assert!(
            found.text.starts_with("nobody that can be seen")
                && found.way_out.contains("dns.listen")
        );
        let other = held_by("dnsmasq");
        let found = port_53(&Machine { holder: &other, ..nobody }).unwrap();
        assert_eq!((found.standing, &*found.text), (Note, "is held by process 7, dnsmasq"));
        let config = config("dns.listen = ['127.0.0.1:53']");
        assert_eq!(port_53(&machine(Path::new("/nowhere"), &config)), None);
    }

    #[test]
    fn buffers_are_large_enough_or_not() {
        let config = config("");
        for (text, standing) in [("4194304\n", Well), ("212992\n", Note), ("many", Note)] {
            let root = root(&[("proc/sys/net/core/rmem_max", text)]);
            let found = buffers(&machine(root.path(), &config));
            assert_eq!(found.standing, standing, "{text}");
            assert_eq!(found.way_out.contains("4194304"), standing != Well);
        }
    }
}
