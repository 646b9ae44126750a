//! `rollcall query`: asks a DNS server one question and shows the whole reply.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};

use crate::config::{Config, Overrides};
use crate::dns::ask::{AskError, Asked, How, ask};
use crate::dns::message::{Query, Record, Reply, Wishes, reverse_name};

use super::connect::Connect;
use super::failure::Failure;
use super::output::{finish, json_line, stdout};
use super::run::time;

/// Where a server listens that nobody configured.
const DEFAULT_SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5300);
/// The port of DNS: what `--server` means when it names an address alone.
const DNS_PORT: u16 = 53;
/// How often a datagram is sent: one may be lost, and another.
const TRIES: u32 = 3;

/// What to ask, whom and how.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name; an address without a type is asked for its name (PTR)
    name: String,
    /// The type, such as A, SRV or TYPE65280 [default: A]
    #[arg(value_name = "TYPE")]
    rtype: Option<String>,
    /// The configuration file of the server: its first dns.listen is asked [default: 127.0.0.1:5300]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask over TCP from the beginning
    #[arg(long)]
    tcp: bool,
    /// Ask for signatures too (DO)
    #[arg(long)]
    dnssec: bool,
    /// Ask for no more than the server knows itself (without RD)
    #[arg(long)]
    no_recurse: bool,
    /// How long a reply is waited for; over UDP it is asked three times
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time)]
    timeout: Duration,
}

/// Asks and shows.
pub(super) fn run(connect: &Connect, args: Args) -> Result<(), Failure> {
    let server = match connect.server_flag()? {
        Some(text) => server_address(text)?,
        None => configured(args.config)?,
    };
    let wishes = Wishes { recursion: !args.no_recurse, dnssec: args.dnssec };
    let query = question(&args.name, args.rtype.as_deref(), wishes)?;
    let how = How { tcp: args.tcp, timeout: args.timeout, tries: TRIES };
    let asked = ask(server, &query, how).map_err(|error| match error {
        AskError::Unreachable(text) => Failure::unreachable(text),
        AskError::Unusable(text) => Failure::failed(text),
    })?;
    let mut out = stdout();
    match connect.json {
        true => json_line(&mut out, &as_json(server, &asked))?,
        false => show(server, &asked, &mut out)?,
    }
    finish(out)?;
    outcome(&asked.reply, &query)
}

fn question(name: &str, rtype: Option<&str>, wishes: Wishes) -> Result<Query, Failure> {
    let (name, rtype) = match (rtype, name.parse()) {
        (None, Ok(ip)) => (reverse_name(ip), "PTR"),
        (rtype, _) => (name.to_owned(), rtype.unwrap_or("A")),
    };
    Query::new(draw_id()?, &name, rtype, wishes).map_err(Failure::usage)
}

/// An id that nobody can guess.
pub(super) fn draw_id() -> Result<u16, Failure> {
    let mut id = [0; 2];
    let drawn = SystemRandom::new().fill(&mut id);
    drawn.map_err(|_| Failure::failed("the system has no random numbers"))?;
    Ok(u16::from_be_bytes(id))
}

/// `ADDR:PORT`, or an address alone.
fn server_address(text: &str) -> Result<SocketAddr, Failure> {
    let alone = || text.parse().map(|ip| SocketAddr::new(ip, DNS_PORT));
    text.parse().or_else(|_| alone()).map_err(|_: std::net::AddrParseError| {
        let shown = text.escape_debug();
        Failure::usage(format!(
            "--server: `{shown}` is no address with a port, such as 127.0.0.1:5300 or [::1]:5300"
        ))
    })
}

/// The first address of the configuration, as a client reaches it.
fn configured(file: Option<PathBuf>) -> Result<SocketAddr, Failure> {
    let Some(file) = file else { return Ok(DEFAULT_SERVER) };
    let config = Config::load(Some(&file), &Overrides::default());
    let config = config.map_err(|error| Failure::usage(error.to_string()))?;
    Ok(config.dns.listen.first().copied().map_or(DEFAULT_SERVER, reachable))
}

/// An address to ask at for an address to listen on: whoever listens on all is reached on loopback.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The exit code follows the reply's code, so that scripts need not read the reply.
fn outcome(reply: &Reply, query: &Query) -> Result<(), Failure> {
    let said = format!("{}: {}", query.question(), reply.rcode);
    match &*reply.rcode {
        "NOERROR" => Ok(()),
        "NXDOMAIN" => Err(Failure::not_listed(said)),
        _ => Err(Failure::failed(said)),
    }
}

/// Lines as in a zone file; what is not a record is a comment.
fn show(server: SocketAddr, asked: &Asked, mut out: impl Write) -> io::Result<()> {
    let Asked { reply, octets, .. } = asked;
    let (flags, took, over) = (reply.flags.join(" "), millis(asked), transport(asked));
    writeln!(out, ";; question: {}", reply.question)?;
    writeln!(out, ";; {}, flags: {flags}", reply.rcode)?;
    for error in &reply.errors {
        writeln!(out, ";; extended error {error}")?;
    }
    if !reply.answered_by.is_empty() {
        writeln!(out, ";; answered by: {}", reply.answered_by.join(", "))?;
    }
    for (section, records) in sections(reply) {
        if !records.is_empty() {
            writeln!(out, "\n;; {section}")?;
        }
        for record in records {
            writeln!(out, "{record}")?;
        }
    }
    writeln!(out, "\n;; {octets} octets from {server} over {over} in {took:.1} ms")
}

fn as_json(server: SocketAddr, asked: &Asked) -> Value {
    let reply = &asked.reply;
    let errors = reply
        .errors
        .iter()
        .map(|error| json!({ "code": error.code, "meaning": error.meaning, "text": error.text }));
    let mut value = json!({
        "question": reply.question,
        "rcode": reply.rcode,
        "flags": reply.flags,
        "errors": errors.collect::<Vec<_>>(),
        "answered_by": reply.answered_by,
        "server": server.to_string(),
        "transport": transport(asked),
        "octets": asked.octets,
        "took_ms": millis(asked),
    });
    for (section, records) in sections(reply) {
        value[section] = records.iter().map(record_as_json).collect();
    }
    value
}

fn record_as_json(record: &Record) -> Value {
    let Record { name, ttl, class, rtype, data } = record;
    json!({ "name": name, "ttl": ttl, "class": class, "type": rtype, "data": data })
}

fn sections(reply: &Reply) -> [(&'static str, &[Record]); 3] {
    [("answer", &reply.answer), ("authority", &reply.authority), ("additional", &reply.additional)]
}

fn transport(asked: &Asked) -> &'static str {
    if asked.tcp { "TCP" } else { "UDP" }
}

/// Milliseconds with three digits after the point.
fn millis(asked: &Asked) -> f64 {
    (asked.took.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read() {
        for (text, address) in [
            ("127.0.0.1:5300", "127.0.0.1:5300"),
            ("[::1]:5300", "[::1]:5300"),
            ("192.0.2.53", "192.0.2.53:53"),
            ("fd00::53", "[fd00::53]:53"),
        ] {
            assert_eq!(server_address(text).unwrap(), address.parse().unwrap(), "{text}");
        }
        for bad in ["", "localhost:53", "http://127.0.0.1:8053", "127.0.0.1:99999"] {
            let told = server_address(bad).unwrap_err();
            assert!(told.message().contains("no address with a port"), "{bad}");
        }
    }

    #[test]
    fn a_server_on_all_addresses_is_asked_on_loopback() {
        for (listen, reached) in [
            ("0.0.0.0:53", "127.0.0.1:53"),
            ("[::]:53", "[::1]:53"),
            ("10.0.0.1:5300", "10.0.0.1:5300"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), reached.parse().unwrap());
        }
    }

    #[test]
    fn an_address_alone_is_asked_for_its_name() {
        let wishes = Wishes { recursion: true, dnssec: false };
        let asked = |name, rtype| question(name, rtype, wishes).map(|query| query.question());
        assert_eq!(asked("10.0.0.5", None).unwrap(), "5.0.0.10.in-addr.arpa. PTR");
        assert_eq!(asked("10.0.0.5", Some("A")).unwrap(), "10.0.0.5. A");
        assert_eq!(asked("web.svc.internal", None).unwrap(), "web.svc.internal. A");
        assert!(asked("a..b", None).is_err());
    }
}
