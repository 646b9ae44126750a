//! Tests that compare whole replies. Queries are built by hand, replies are read with hickory-proto and
//! printed as dig would, so the encoder has a second opinion.

mod cached;
mod clients;
mod codec;
mod errors;
mod explain;
mod files;
mod registry;
mod rotation;
mod streams;

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use hickory_proto::op::Message;
use hickory_proto::rr::{Record, RecordType};
use hickory_proto::serialize::binary::BinDecodable;

use super::{Reply, Responder, Transport};
use crate::shared::Shared;
use crate::view::zones::{FileZone, ZoneSettings, Zones};
use crate::view::{LeaseTime, View, wire};

/// The moment at which tests ask, so that there is a past.
const NOW: LeaseTime = LeaseTime::from_millis(100_000);
const CLIENT: &str = "192.0.2.1:40000";

/// A query to be built, with everything that can be odd about it.
#[derive(Clone)]
struct Ask {
    name: &'static str,
    rtype: u16,
    class: u16,
    flags: [u8; 2],
    edns: Option<(u16, u32)>,
    options: &'static [u8],
    transport: Transport,
}

impl Ask {
    /// From `web.svc.internal. A`.
    fn of(question: &'static str) -> Self {
        let (name, rtype) = question.split_once(' ').unwrap();
        let rtype = match (rtype, rtype.strip_prefix("TYPE")) {
            ("IXFR", _) => 251,
            (_, Some(number)) => number.parse().unwrap(),
            (name, None) => RecordType::from_str(name).unwrap().into(),
        };
        let transport = Transport::Udp;
        Self { name, rtype, class: 1, flags: [0, 0], edns: None, options: &[], transport }
    }

    fn edns(self, size: u16) -> Self {
        Self { edns: Some((size, 0)), ..self }
    }

    fn edns_ttl(self, ttl: u32) -> Self {
        Self { edns: Some((1232, ttl)), ..self }
    }

    fn tcp(self) -> Self {
        Self { transport: Transport::Tcp, ..self }
    }

    fn question(&self) -> Vec<u8> {
        let mut bytes = wire::parse(self.name, b"\0").unwrap().to_vec();
        bytes.extend(self.rtype.to_be_bytes());
        bytes.extend(self.class.to_be_bytes());
        bytes
    }

    fn opt(&self) -> Vec<u8> {
        let Some((size, ttl)) = self.edns else { return Vec::new() };
        let mut bytes = vec![0, 0, 41];
        bytes.extend(size.to_be_bytes());
        bytes.extend(ttl.to_be_bytes());
        bytes.extend(u16::try_from(self.options.len()).unwrap().to_be_bytes());
        bytes.extend(self.options);
        bytes
    }

    fn bytes(&self) -> Vec<u8> {
        let [high, low] = self.flags;
        let opts = u8::from(self.edns.is_some());
        let mut bytes = vec![0xab, 0xcd, high, low, 0, 1, 0, 0, 0, 0, 0, opts];
        bytes.extend(self.question());
        bytes.extend(self.opt());
        bytes
    }
}

/// A server without sockets.
struct Server {
    view: Arc<View>,
    responder: Responder,
}

impl Server {
    /// With the zones `svc.internal.` and `lab.example.`, the reverse zones of `10/8` and `fd00::/8`, and these
    /// zone files.
    fn new(files: &[(&str, &str)]) -> Self {
        let view = Arc::new(View::default());
        view.set_zones(zones(files));
        view.put_state(7, true);
        Self { responder: Responder::new(view.clone(), &Shared::default()), view }
    }

    fn send(&mut self, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
        self.send_from(query, CLIENT, transport)
    }

    fn send_from(&mut self, query: &[u8], peer: &str, transport: Transport) -> Option<Vec<u8>> {
        let mut out = vec![0xee; if transport == Transport::Udp { 1232 } else { 65_535 }];
        let peer: SocketAddr = peer.parse().unwrap();
        let reply = self.responder.batch(NOW, |batch| {
            batch.look_ahead(std::iter::once(query));
            batch.respond(0, query, peer, transport, &mut out)
        });
        match reply {
            Reply::Len(length) => Some(out[..length].to_vec()),
            Reply::Drop => None,
            other => panic!("{other:?}"),
        }
    }

    fn ask(&mut self, ask: &Ask) -> String {
        let reply = self.send(&ask.bytes(), ask.transport).expect("a reply");
        assert_eq!(reply[..2], [0xab, 0xcd], "the id is the query's");
        print(&reply)
    }

    /// Asks, and compares the whole reply.
    #[track_caller]
    fn check(&mut self, ask: &Ask, expected: &str) {
        let reply = self.ask(ask);
        let expected: Vec<_> =
            expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let expected = expected.join("\n") + "\n";
        assert!(
            reply == expected,
            "{} {}\n--- expected\n{expected}--- but was\n{reply}",
            ask.name,
            ask.rtype
        );
    }
}

fn zones(files: &[(&str, &str)]) -> Zones {
    let settings = ZoneSettings {
        zones: &["svc.internal.".into(), "lab.example.".into()],
        reverse_zones: &["10.in-addr.arpa.".into(), "d.f.ip6.arpa.".into()],
        negative_ttl_secs: 2,
        ns_addresses: &["192.0.2.53".parse().unwrap(), "2001:db8::53".parse().unwrap()],
        texts: &[],
    };
    Zones::build(&settings, files.iter().map(|(origin, text)| file(origin, text)).collect())
        .unwrap()
}

fn file(origin: &str, text: &str) -> FileZone {
    let path = format!("{origin}zone");
    crate::dns::zone_file::load(Path::new(&path), origin, text).unwrap()
}

/// A reply as text: a line of code and flags, EDNS if it has it, the question, each section.
fn print(reply: &[u8]) -> String {
    let message = Message::from_bytes(reply).expect("a reply that hickory-proto reads");
    let meta = &message.metadata;
    let mut text = match u16::from(meta.response_code) {
        16 => "BADVERS".into(), // the library knows 16 as BADSIG only
        _ => format!("{:?}", meta.response_code).to_uppercase(),
    };
    for (flag, name) in [
        (meta.authoritative, " aa"),
        (meta.truncation, " tc"),
        (meta.recursion_desired, " rd"),
        (meta.recursion_available, " ra"),
        (meta.authentic_data, " ad"),
        (meta.checking_disabled, " cd"),
    ] {
        text.push_str(if flag { name } else { "" });
    }
    text.push('\n');
    if let Some(edns) = &message.edns {
        let flags = if edns.flags().dnssec_ok { " do" } else { "" };
        let _ = write!(text, "EDNS {} {}{flags}", edns.version(), edns.max_payload());
        assert_eq!(edns.flags().z, 0);
        for (_, option) in edns.options().as_ref() {
            let _ = write!(text, " {option:?}");
        }
        text.push('\n');
    }
    for query in &message.queries {
        let _ = writeln!(text, "? {} {}", query.name(), print_type(query.query_type()));
    }
    for (name, records) in [
        ("", &message.answers),
        ("authority ", &message.authorities),
        ("additional ", &message.additionals),
    ] {
        for record in records {
            let _ = writeln!(text, "{name}{}", print_record(record));
        }
    }
    text
}

fn print_record(record: &Record) -> String {
    let Record { name, ttl, data, .. } = record;
    let text = format!("{name} {ttl} {} {data}", print_type(record.record_type()));
    text.trim_end().into()
}

fn print_type(rtype: RecordType) -> String {
    match rtype {
        RecordType::Unknown(number) => format!("TYPE{number}"),
        known => known.to_string(),
    }
}
