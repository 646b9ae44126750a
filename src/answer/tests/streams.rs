//! What EDNS says on connections: how long they may be idle, and padding.

use std::time::Duration;

use super::*;
use crate::answer::clients::Clients;

const QUESTION: &str = "svc.internal. SOA";
const KEEPALIVE: &[u8] = &[0, 11, 0, 0];
const PADDING: &[u8] = &[0, 12, 0, 3, 0, 0, 0];
/// Every way that a query comes.
const ALL: [Transport; 5] =
    [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Https, Transport::Quic];

/// A server whose connections may be idle for so many milliseconds.
fn server(idle_ms: u64) -> Server {
    server_with(idle_ms, &[])
}

fn server_with(idle_ms: u64, files: &[(&str, &str)]) -> Server {
    let Server { view, responder } = Server::new(files);
    let clients = Arc::new(Clients::default());
    clients.idle().set(Duration::from_millis(idle_ms));
    Server { view, responder: responder.with_clients(clients) }
}

fn with(options: &'static [u8]) -> Ask {
    Ask { options, ..Ask::of(QUESTION).edns(1232) }
}

/// The options of a reply, whose OPT record is its last: code and data.
fn options(reply: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let start = reply.windows(5).rposition(|octets| octets == [0, 0, 41, 0x04, 0xd0]).unwrap();
    let mut rest = &reply[start + 11..];
    let mut options = Vec::new();
    while let [c0, c1, l0, l1, after @ ..] = rest {
        let (data, next) = after.split_at(u16::from_be_bytes([*l0, *l1]).into());
        options.push((u16::from_be_bytes([*c0, *c1]), data.to_vec()));
        rest = next;
    }
    assert_eq!(rest, b"");
    options
}

#[test]
fn who_asks_on_a_connection_is_told_how_long_it_may_be_idle() {
    for (idle_ms, units) in
        [(10_000, 100), (0, 0), (150, 1), (3_600_000, 36_000), (u64::MAX, 65_535)]
    {
        let mut server = server(idle_ms);
        for transport in ALL {
            let reply = server.send(&with(KEEPALIVE).bytes(), transport).unwrap();
            let told = matches!(transport, Transport::Tcp | Transport::Tls);
            let expected = if told { vec![(11, u16::to_be_bytes(units).to_vec())] } else { vec![] };
            assert_eq!(options(&reply), expected, "{transport:?}");
        }
    }
}

#[test]
fn a_client_says_no_time_itself() {
    for transport in ALL {
        let told = matches!(transport, Transport::Tcp | Transport::Tls);
        for ask in [with(&[0, 11, 0, 2, 0, 100]), with(&[0, 11, 0, 0, 0, 11, 0, 2, 0, 100])] {
            let reply = server(10_000).send(&ask.bytes(), transport).unwrap();
            assert_eq!(reply[3] & 0xf, u8::from(told), "{transport:?}");
        }
    }
}

#[test]
fn a_reply_is_padded_for_who_asks_where_nobody_reads_along() {
    for transport in ALL {
        let is_secret = !matches!(transport, Transport::Udp | Transport::Tcp);
        let mut server = server(10_000);
        let plain = server.send(&with(&[]).bytes(), transport).unwrap();
        assert_eq!(options(&plain), []);
        let reply = server.send(&with(PADDING).bytes(), transport).unwrap();
        if is_secret {
            assert_eq!(reply.len(), 468, "{transport:?}");
            assert_eq!(options(&reply), [(12, vec![0; 468 - plain.len() - 4])]);
            assert_eq!(print(&reply).lines().next(), print(&plain).lines().next());
        } else {
            assert_eq!(reply, plain, "{transport:?}");
        }
    }
}

#[test]
fn padding_fills_blocks_and_never_more_than_there_is_room_for() {
    // Replies of all lengths around a block's: some fill it to the octet, some leave less than an option's head.
    let records: String = (1..=255)
        .map(|n| format!("n{n} TXT \"{}\" \"{}\"\n", "x".repeat(255), "x".repeat(n)))
        .collect();
    let head = "@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 10.0.0.1\n";
    let mut server = server_with(10_000, &[("p.example", &format!("$TTL 60\n{head}{records}"))]);
    let mut sizes = Vec::new();
    for n in 1..=255 {
        let name: &'static str = format!("n{n}.p.example.").leak();
        let ask =
            Ask { name, ..Ask { options: PADDING, ..Ask::of("n.p.example. TXT").edns(1232) } };
        let query = ask.bytes();
        let bare = server.send(&Ask { options: &[], ..ask }.bytes(), Transport::Tls).unwrap();
        let reply = server.send(&query, Transport::Tls).unwrap();
        assert_eq!(reply.len(), (bare.len() + 4).next_multiple_of(468));
        sizes.push(reply.len());
        // Where there is less room, the reply has all of it.
        let room = (bare.len() + reply.len()) / 2;
        let mut out = vec![0; room];
        let len = server.responder.batch(NOW, |batch| {
            batch.look_ahead(std::iter::once(&query[..]));
            batch.respond(0, &query, CLIENT.parse().unwrap(), Transport::Tls, &mut out)
        });
        if room >= bare.len() + 4 {
            assert_eq!(len, Reply::Len(room));
            assert_eq!(print(&out).replace(" tc", ""), print(&out), "nothing is missing");
        }
    }
    sizes.dedup();
    assert_eq!(sizes, [468, 936]);
}
