//! Explaining an answer: the answer room decides, hickory reads the reply, and the plan says who else would be asked.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;

use super::forward::Forwarding;
use crate::answer::explain::Ground;
use crate::answer::{Responder, Transport, UDP_MOST};
use crate::api::explain::{Explain, Explanation, Forward, Reply};
use crate::dns::forward::plan::Group;
use crate::dns::message::{self, Query, Wishes};
use crate::registrar::Clock;
use crate::view::wire;

/// The id of questions that nobody sends.
const ID: u16 = 0;
/// Octets of a reply at most, in a stream.
const ROOM: usize = 65_535;
/// A port that replies are sent to.
const PORT: u16 = 53;

/// What explains answers, by a responder of its own.
pub(super) fn explain(
    responder: Responder,
    clock: Arc<Clock>,
    forwarding: Arc<Forwarding>,
) -> Explain {
    let room = Mutex::new((responder, vec![0; ROOM]));
    Arc::new(move |name: &str, rtype: &str, client: IpAddr| {
        let wishes = Wishes { recursion: true, dnssec: false };
        Query::new(ID, ".", rtype, wishes).map_err(|wrong| ("type", wrong))?;
        let query = Query::new(ID, name, rtype, wishes).map_err(|wrong| ("name", wrong))?;
        let peer = SocketAddr::new(client, PORT);
        let mut room = room.lock();
        let (responder, out) = &mut *room;
        let explained = responder
            .batch(clock.now(), |batch| batch.explain(query.bytes(), peer, Transport::Tcp, out));
        let explained = explained.ok_or(("name", "it cannot be asked for".to_owned()))?;
        let octets = explained.reply.as_ref().map(|reply| reply.len);
        let reply = octets.and_then(|octets| out.get(..octets)).map(|octets| {
            let read = query.read_reply(octets);
            read.map(|reply| shown(reply, octets.len()))
        });
        let reply = reply.transpose().map_err(|wrong| ("name", format!("{wrong:?}")))?;
        let question = query.question();
        let (name, rtype) = question.split_once(' ').unwrap_or((&question, ""));
        let forward = forward(&forwarding, &explained.ground, reply.as_ref());
        Ok(Explanation {
            name: name.to_owned(),
            rtype: rtype.to_owned(),
            reply,
            ground: explained.ground,
            forward,
        })
    })
}

fn shown(reply: message::Reply, octets: usize) -> Reply {
    let lines = |records: &[message::Record]| {
        records.iter().map(|record| record.to_string().replace('\t', " ")).collect()
    };
    Reply {
        rcode: reply.rcode,
        flags: reply.flags,
        answer: lines(&reply.answer),
        authority: lines(&reply.authority),
        ttl_secs: reply.answer.iter().map(|record| record.ttl).min(),
        errors: reply.errors.iter().map(ToString::to_string).collect(),
        answered_by: reply.answered_by,
        octets,
        fits_udp: octets <= UDP_MOST.into(),
    }
}

/// Who is asked for the name, if others are.
fn forward(forwarding: &Forwarding, ground: &Ground, reply: Option<&Reply>) -> Forward {
    let is_others = reply.is_none_or(|reply| reply.answered_by.contains(&"cache"));
    if !is_others {
        return Forward::Off;
    }
    match forwarding.forwarder().plan().find(&ground.name) {
        Group::Nobody => Forward::Nobody,
        Group::Special(special) => Forward::Special(special.zone),
        Group::Upstreams(upstreams) => Forward::Upstreams {
            zone: wire::text(upstreams.zone.wire()),
            upstreams: upstreams.shown(),
        },
    }
}
