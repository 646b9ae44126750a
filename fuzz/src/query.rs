//! A query as it comes to any of the DNS doors.

use std::cell::RefCell;
use std::net::SocketAddr;

use hickory_proto::op::{Message, MessageType};
use hickory_proto::serialize::binary::BinDecodable;
use rollcall::answer::{Reply, Responder, Transport};

use crate::world::world;

/// Octets of a reply over UDP, and of one over TCP.
const UDP_MOST: usize = 1232;
const TCP_MOST: usize = 65_535;

thread_local! {
    static RESPONDER: RefCell<Responder> = {
        let world = world();
        RefCell::new(Responder::new(world.view.clone(), &world.recursion))
    };
}

/// The first octet says how it comes, the rest is the query. What is answered is a message that others can read too: it has
/// the query's id and question, says that it is a reply, and is no longer than may be sent that way.
pub fn query(data: &[u8]) {
    let Some((way, query)) = data.split_first() else { return };
    let transport = match way % 5 {
        0 => Transport::Udp,
        1 => Transport::Tcp,
        2 => Transport::Tls,
        3 => Transport::Https,
        _ => Transport::Quic,
    };
    let most = if transport == Transport::Udp { UDP_MOST } else { TCP_MOST };
    let mut room = vec![0; TCP_MOST];
    let peer: SocketAddr = ([192, 0, 2, 1], 4000).into();
    let now = world().registrar.now();
    let reply = RESPONDER.with_borrow_mut(|responder| {
        responder.batch(now, |batch| {
            batch.look_ahead(std::iter::once(query));
            batch.respond(0, query, peer, transport, &mut room[..most])
        })
    });
    let (Reply::Len(length) | Reply::Due(length)) = reply else { return };
    check(query, &room[..length]);
}

fn check(query: &[u8], reply: &[u8]) {
    assert_eq!(reply[..2], query[..2], "the id");
    assert_eq!(query[2] & 0x80, 0, "a reply was answered");
    let message = Message::from_bytes(reply).expect("a message that others can read");
    assert_eq!(message.metadata.message_type, MessageType::Response);
    if let Some(question) = message.queries.first() {
        let asked = Message::from_bytes(query);
        let same = asked.is_ok_and(|asked| asked.queries.first() == Some(question));
        // Others may refuse what follows the question, which we do not look at.
        assert!(same || Message::from_bytes(query).is_err(), "the question");
    }
}
