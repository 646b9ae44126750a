//! Servers of one reply or none.

use std::net::TcpListener;
use std::thread;

use super::super::message::Wishes;
use super::*;

const HOW: How = How { tcp: false, timeout: Duration::from_millis(200), tries: 2 };

fn query() -> Query {
    Query::new(7, "a.example", "A", Wishes { recursion: true, dnssec: false }).unwrap()
}

/// The query as its own reply: no records, with these flags.
fn echo(query: &[u8], flags: u8) -> Vec<u8> {
    let mut reply = query.to_vec();
    reply[2] |= flags;
    reply
}

/// A server over UDP that sends what `replies` makes of the nth query.
fn udp_server(replies: impl Fn(usize, &[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    thread::spawn(move || {
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut room = [0; 512];
        for nth in 0.. {
            let Ok((length, peer)) = socket.recv_from(&mut room) else { return };
            for reply in replies(nth, &room[..length]) {
                socket.send_to(&reply, peer).unwrap();
            }
        }
    });
    addr
}

#[test]
fn a_lost_datagram_is_sent_again_and_foreign_ones_are_waited_past() {
    let server = udp_server(|nth, query| match nth {
        0 => vec![],
        _ => {
            let mut other_id = echo(query, 0x80);
            other_id[0] ^= 1;
            let mut other_name = echo(query, 0x80);
            other_name[13] ^= 1;
            vec![vec![], vec![0; 5], query.to_vec(), other_id, other_name, echo(query, 0x84)]
        }
    });
    let asked = ask(server, &query(), HOW).unwrap();
    assert_eq!((asked.tcp, asked.octets), (false, query().bytes().len()));
    assert_eq!(asked.reply.flags, ["qr", "aa", "rd"]);
    assert_eq!(asked.reply.question, "a.example. A");
}

#[test]
fn a_cut_reply_is_asked_for_over_tcp() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(server).unwrap();
    let serving = thread::spawn(move || {
        let mut room = [0; 512];
        let (length, peer) = udp.recv_from(&mut room).unwrap();
        // Cut in the middle of what cannot be read.
        udp.send_to(&echo(&room[..length - 3], 0x82), peer).unwrap();
        let (mut stream, _) = tcp.accept().unwrap();
        let mut framed = vec![0; length + 2];
        stream.read_exact(&mut framed).unwrap();
        framed[4] |= 0x80;
        for part in framed.chunks(5) {
            stream.write_all(part).unwrap();
        }
    });
    let asked = ask(server, &query(), HOW).unwrap();
    serving.join().unwrap();
    assert!(asked.tcp && !asked.reply.is_cut);
}

#[test]
fn what_is_wrong_is_told() {
    let silent = udp_server(|_, _| vec![]);
    let told = ask(silent, &query(), HOW).unwrap_err();
    let text = format!("no reply from {silent} over UDP within 2 × 200 ms");
    assert_eq!(told, AskError::Unreachable(text));

    let broken = udp_server(|_, query| vec![echo(&query[..query.len() - 3], 0x80)]);
    let told = ask(broken, &query(), HOW).unwrap_err();
    assert!(matches!(&told, AskError::Unusable(text) if text.contains("cannot be read")), "{told}");

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (tcp, over) in [(false, "UDP"), (true, "TCP")] {
        let told = ask(nobody, &query(), How { tcp, ..HOW }).unwrap_err();
        let text = format!("nobody listens on {nobody} ({over})");
        assert_eq!(told, AskError::Unreachable(text));
    }
}
