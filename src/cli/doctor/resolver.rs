//! Whom this machine's programs ask: the name servers of resolv.conf, what systemd-resolved does behind its stub, and
//! whether that leads to this server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::machine::{Machine, read};
use super::report::Finding;
use crate::cli::query::reachable;

const ABOUT: &str = "resolv.conf";
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Whom systemd-resolved asks, for programs that would rather not ask its stub.
const RESOLVED_UPSTREAMS: &str = "/run/systemd/resolve/resolv.conf";
/// Where systemd-resolved is configured.
const RESOLVED_CONF: &str = "/etc/systemd/resolved.conf";
const RESOLVED_CONF_DIR: &str = "/etc/systemd/resolved.conf.d";
/// Name servers that the C library asks at most (MAXNS).
const MAX_SERVERS: usize = 3;
/// Name servers that are looked at.
const MAX_LOOKED_AT: usize = 8;
/// Files of a directory that are looked at.
const MAX_FILES: usize = 100;
/// Where systemd-resolved listens on every machine that it runs on.
const STUBS: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 53), Ipv4Addr::new(127, 0, 0, 54)];
/// The port of DNS: resolv.conf can name no other.
const DNS_PORT: u16 = 53;

/// Where asking a name server leads.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Leads {
    /// To this server, or one like it.
    Here,
    /// To one that asks this server, or one like it.
    Through,
    /// Elsewhere: it answers, and does not have our zone. With the code that it says.
    Elsewhere(String),
    /// Nowhere, and why.
    Nowhere(String),
}

/// Looks at every name server that programs ask.
pub(super) fn look(machine: &Machine) -> Vec<Finding> {
    let Some(text) = machine.read(RESOLV_CONF) else {
        let text = format!("{RESOLV_CONF} cannot be read: programs ask 127.0.0.1 then");
        return vec![Finding::note(ABOUT, text, "make it, with a line `nameserver ADDRESS`")];
    };
    let servers = name_servers(&text);
    let mut findings = Vec::new();
    let mut leads = Vec::new();
    for ip in servers.iter().take(MAX_LOOKED_AT) {
        let found = follow(machine, *ip);
        findings.push(name_server(machine, *ip, &found));
        leads.push(found);
    }
    if servers.is_empty() {
        let text = "names no server: programs ask 127.0.0.1 then";
        findings.push(Finding::note(ABOUT, text, "add a line `nameserver ADDRESS`"));
    }
    if servers.len() > MAX_SERVERS {
        let text = format!(
            "names {} servers, and the C library asks the first {MAX_SERVERS}",
            servers.len()
        );
        findings.push(Finding::note(ABOUT, text, "leave the others out"));
    }
    findings.extend(disagreement(&leads));
    if servers.iter().any(is_stub) {
        findings.push(resolved(machine));
    }
    findings
}

/// The addresses of the lines `nameserver ADDRESS` (resolv.conf(5)), without the zone of a link-local one.
fn name_servers(text: &str) -> Vec<IpAddr> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        address.split('%').next()?.parse().ok()
    });
    lines.collect()
}

fn is_stub(ip: &IpAddr) -> bool {
    STUBS.iter().any(|stub| *ip == IpAddr::V4(*stub))
}

fn follow(machine: &Machine, ip: IpAddr) -> Leads {
    match (machine.ask)(SocketAddr::new(ip, DNS_PORT), machine.zone()) {
        Ok(told) if told.found && told.authoritative => Leads::Here,
        Ok(told) if told.found => Leads::Through,
        Ok(told) => Leads::Elsewhere(told.rcode),
        Err(reason) => Leads::Nowhere(reason),
    }
}

fn name_server(machine: &Machine, ip: IpAddr, leads: &Leads) -> Finding {
    let zone = machine.zone();
    let address = our_address(machine);
    match leads {
        Leads::Here => Finding::well(ABOUT, format!("{ip} has {zone}")),
        Leads::Through => Finding::well(ABOUT, format!("{ip} finds {zone} by asking others")),
        Leads::Elsewhere(rcode) if is_stub(&ip) => Finding::note(
            ABOUT,
            format!("{ip}, the stub of systemd-resolved, does not find {zone}: it says {rcode}"),
            format!(
                "write `[Resolve]`, `DNS={address}` and `Domains={}` as three lines into \
                 {RESOLVED_CONF_DIR}/rollcall.conf, then `systemctl restart systemd-resolved`",
                route(machine)
            ),
        ),
        Leads::Elsewhere(rcode) => Finding::note(
            ABOUT,
            format!("{ip} does not find {zone}: it says {rcode}"),
            format!("have it forward {zone} to {address}, if programs here are to find services"),
        ),
        Leads::Nowhere(reason) => Finding::problem(
            ABOUT,
            format!("{ip} does not answer: {reason}"),
            format!(
                "start it, or take it out of {RESOLV_CONF}: programs wait for it at every look-up"
            ),
        ),
    }
}

/// Clients differ in whom they ask first, and "no such name" is final for all of them.
fn disagreement(leads: &[Leads]) -> Option<Finding> {
    let finds = |leads: &Leads| matches!(leads, Leads::Here | Leads::Through);
    let differs = |leads: &Leads| matches!(leads, Leads::Elsewhere(_));
    (leads.iter().any(finds) && leads.iter().any(differs)).then(|| {
        Finding::problem(
            ABOUT,
            "some name servers find our zones and some do not: names come and go by who is asked",
            "name only those that find them, or have the others forward our zones",
        )
    })
}

/// Whom systemd-resolved asks, and whether it is told about us.
fn resolved(machine: &Machine) -> Finding {
    const ABOUT: &str = "systemd-resolved";
    let configured = resolved_files(machine).iter().filter_map(|path| read(path)).any(|text| {
        let servers = text.lines().filter_map(|line| line.trim().strip_prefix("DNS="));
        servers.flat_map(str::split_ascii_whitespace).any(|server| is_ours(machine, server))
    });
    let upstreams = machine.read(RESOLVED_UPSTREAMS).map(|text| name_servers(&text));
    let listed = |ips: &[IpAddr]| ips.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
    let asks = match upstreams.as_deref() {
        None => "whom it asks cannot be read".to_owned(),
        Some([]) => "it asks nobody by default".to_owned(),
        Some(upstreams) => format!("it asks {}", listed(upstreams)),
    };
    if configured {
        return Finding::well(ABOUT, format!("is told to ask this server; {asks}"));
    }
    Finding::note(
        ABOUT,
        format!("is not told to ask this server in {RESOLVED_CONF} or its directory; {asks}"),
        "a link or a DHCP server may have told it; `resolvectl status` says",
    )
}

/// The main file and those beside it.
fn resolved_files(machine: &Machine) -> Vec<PathBuf> {
    let mut files = vec![machine.path(RESOLVED_CONF)];
    let entries =
        std::fs::read_dir(machine.path(RESOLVED_CONF_DIR)).into_iter().flatten().flatten();
    let paths = entries.take(MAX_FILES).map(|entry| entry.path());
    files.extend(paths.filter(|path| path.extension().is_some_and(|end| end == "conf")));
    files
}

/// Whether a server of `DNS=` (`ADDRESS`, `ADDRESS:PORT`, with `%INTERFACE` or `#NAME` behind it) is this one.
fn is_ours(machine: &Machine, server: &str) -> bool {
    let address = server.split(['#', '%']).next().unwrap_or_default();
    let address = address
        .parse::<SocketAddr>()
        .or_else(|_| address.parse().map(|ip| SocketAddr::new(ip, DNS_PORT)));
    address.is_ok_and(|address| {
        machine.config.dns.listen.iter().any(|listen| {
            listen.port() == address.port()
                && (listen.ip() == address.ip()
                    || listen.ip().is_unspecified() && address.ip().is_loopback())
        })
    })
}

fn our_address(machine: &Machine) -> String {
    let listen = machine.config.dns.listen.first();
    listen.map_or_else(String::new, |address| reachable(*address).to_string())
}

/// Our zones as systemd-resolved takes them: `~` routes a zone without completing names with it.
fn route(machine: &Machine) -> String {
    let zones =
        machine.config.dns.zones.iter().map(|zone| format!("~{}", zone.trim_end_matches('.')));
    zones.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    use super::super::machine::Told;
    use super::super::machine::testing::{config, machine, root, told};
    use super::super::report::Standing::{self, Note, Problem, Well};
    use super::*;

    /// Which name server says what.
    fn ask(server: SocketAddr, zone: &str) -> Result<Told, String> {
        assert_eq!((zone, server.port()), ("svc.internal.", 53));
        match server.ip().to_string().as_str() {
            "127.0.0.1" => told("NOERROR", true),
            "10.0.0.2" => told("NOERROR", false),
            "127.0.0.53" | "10.0.0.3" => told("NXDOMAIN", false),
            _ => Err("silence".into()),
        }
    }

    fn looked_at(files: &[(&str, &str)], config: &Config) -> Vec<(Standing, String)> {
        let root = root(files);
        let found = look(&Machine { ask: &ask, ..machine(root.path(), config) });
        found.into_iter().map(|found| (found.standing, found.text)).collect()
    }

    #[test]
    fn every_name_server_is_followed() {
        let config = config("");
        let found = |text| looked_at(&[("etc/resolv.conf", text)], &config);
        let one = |standing, text: &str| vec![(standing, text.to_owned())];
        let text = "# nameserver 10.9.9.9\nsearch a\nnameserver 127.0.0.1\noptions edns0";
        assert_eq!(found(text), one(Well, "127.0.0.1 has svc.internal."));
        let text = "nameserver 10.0.0.2";
        assert_eq!(found(text), one(Well, "10.0.0.2 finds svc.internal. by asking others"));
        let text = "nameserver 10.0.0.3";
        assert_eq!(
            found(text),
            one(Note, "10.0.0.3 does not find svc.internal.: it says NXDOMAIN")
        );
        let text = "nameserver fe80::1%eth0\n";
        assert_eq!(found(text), one(Problem, "fe80::1 does not answer: silence"));
        let text = "names no server: programs ask 127.0.0.1 then";
        assert_eq!(found("nameserver\nnameserver x\n"), one(Note, text));
        let text = "/etc/resolv.conf cannot be read: programs ask 127.0.0.1 then";
        assert_eq!(looked_at(&[], &config), one(Note, text));
    }

    #[test]
    fn name_servers_that_disagree_are_a_problem() {
        let text =
            "nameserver 127.0.0.1\nnameserver 10.0.0.3\nnameserver 10.0.0.2\nnameserver 127.0.0.1";
        let found = looked_at(&[("etc/resolv.conf", text)], &config(""));
        let standings: Vec<_> = found.iter().map(|(standing, _)| *standing).collect();
        assert_eq!(standings, [Well, Note, Well, Well, Note, Problem]);
        assert_eq!(found[4].1, "names 4 servers, and the C library asks the first 3");
        assert!(found[5].1.starts_with("some name servers find our zones and some do not"));
    }

    #[test]
    fn the_stub_of_resolved_is_looked_behind() {
        let stub = ("etc/resolv.conf", "nameserver 127.0.0.53");
        let upstreams =
            ("run/systemd/resolve/resolv.conf", "nameserver 10.0.0.1\nnameserver 10.0.0.2");
        let config = config("dns.zones = ['a.', 'b.c.']");
        let ask = |_: SocketAddr, _: &str| told("NXDOMAIN", false);
        let found = |files: &[(&str, &str)]| {
            let root = root(files);
            let mut found = look(&Machine { ask: &ask, ..machine(root.path(), &config) });
            (found.remove(0), found.remove(0))
        };
        let (first, second) = found(&[stub]);
        assert_eq!(
            first.text,
            "127.0.0.53, the stub of systemd-resolved, does not find a.: it says NXDOMAIN"
        );
        assert!(
            first.way_out.contains("`DNS=127.0.0.1:5300` and `Domains=~a ~b.c`"),
            "{}",
            first.way_out
        );
        assert_eq!(second.standing, Note);
        assert!(second.text.ends_with("; whom it asks cannot be read"), "{}", second.text);
        for (text, told) in [
            ("[Resolve]\nDNS=192.0.2.1 127.0.0.1:5300#x\n", true),
            ("[Resolve]\nDNS=127.0.0.1\n#DNS=127.0.0.1:5300\n", false),
        ] {
            let (_, second) =
                found(&[stub, upstreams, ("etc/systemd/resolved.conf.d/r.conf", text)]);
            assert_eq!(second.standing, if told { Well } else { Note }, "{text}");
            assert!(second.text.ends_with("; it asks 10.0.0.1, 10.0.0.2"), "{}", second.text);
        }
    }
}
