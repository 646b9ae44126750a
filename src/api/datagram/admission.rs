//! Admission and settlement: from a datagram to what it asks for, and from an outcome to its reply.
//!
//! The checks come in this order: length, magic, key, mac (compared in constant time), time, sequence, access,
//! and then the command. Whoever cannot make a mac learns nothing: before it is found good there is silence. The
//! registrar is not called here, no socket is touched and no clock is read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::counters::{Counter, Counters};
use super::line::{IdBuffer, Line, NoLine, Stamp, Verb, Wrong, line_of, split_mac};
use super::replay::{Entry, Place, Senders, TIME_WINDOW_MS};
use super::reply::{Reply, Seal};
use super::{Settings, change};
use crate::access::key::unhex;
use crate::access::{Access, Asker, Authorised, Denied, Door, Principal, Source};
use crate::audit::Audit;
use crate::config::Lease;
use crate::registry::{Actor, Command, LeaseTerm};

/// What a datagram came to.
pub(super) enum Admitted<'a> {
    /// Nothing is said.
    Silent,
    /// This is said, and that is all.
    Told(Seal, Reply),
    /// A lease is to be renewed.
    Renewal { ticket: Ticket, principal: Principal, actor: Actor, service: &'a str, id: &'a str },
    /// A command is to be carried out.
    Change { ticket: Ticket, command: Command, by: Authorised },
}

/// What an admitted datagram's reply needs; settled once.
pub(super) struct Ticket {
    pub(super) verb: Verb,
    seal: Seal,
    /// `None`: unsigned lines have no place in the replay table.
    place: Option<Place>,
}

/// The state behind the checks.
pub(super) struct Admission {
    access: Arc<Access>,
    audit: Audit,
    lease: Arc<RwLock<Lease>>,
    /// The server's start: what was stamped before it may have been accepted by the server before this one.
    start_unix_ms: AtomicU64,
    pub(super) senders: Senders,
    pub(super) counters: Counters,
}

impl Admission {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            access: settings.access,
            audit: settings.audit,
            lease: settings.lease,
            start_unix_ms: AtomicU64::new(settings.start_unix_ms),
            senders: Senders::new(),
            counters: Counters::default(),
        }
    }

    /// Checks one datagram; `buffer` is room for the id it names.
    pub(super) fn admit<'a>(
        &self,
        datagram: &'a [u8],
        peer: SocketAddr,
        now: u64,
        buffer: &'a mut IdBuffer,
    ) -> Admitted<'a> {
        self.counters.received.count();
        let line = match line_of(datagram) {
            Ok(line) => line,
            Err(NoLine::TooLong) => return silent(&self.counters.too_long),
            Err(NoLine::NotOurs) => return silent(&self.counters.not_a_line),
        };
        if self.access.signs() {
            self.admit_signed(line, peer, now, buffer)
        } else {
            self.admit_unsigned(line, peer, buffer)
        }
    }

    fn admit_unsigned<'a>(
        &self,
        line: &'a str,
        peer: SocketAddr,
        buffer: &'a mut IdBuffer,
    ) -> Admitted<'a> {
        if !self.access.takes_unsigned(peer.ip()) {
            self.turn_away(peer, "an unsigned line");
            return silent(&self.counters.unsigned_refused);
        }
        let line = Line::cut(line);
        if line.is_reply() {
            return silent(&self.counters.replies_received);
        }
        // A signature that nobody checks would look like one that somebody did.
        let signed = line.fields().find(|(key, _)| matches!(*key, "key" | "mac"));
        let parts = match signed {
            Some((key, _)) => Err(Wrong::Borrowed(key)),
            None => Stamp::read(&line).and_then(|_| parts(&line, buffer)),
        };
        match parts {
            Ok((verb, id)) => {
                let ticket = Ticket { verb, seal: Seal::Unsigned, place: None };
                let principal = Principal::anonymous();
                match self.access.authorise_renewal(&principal, line.service) {
                    Ok(actor) => self.decide(ticket, &line, id, principal, actor, peer),
                    Err(denied) => {
                        let by = asker(principal, peer);
                        self.deny(ticket, &by, verb.as_str(), (line.service, id), &denied)
                    }
                }
            }
            Err(wrong) => self.invalid(Seal::Unsigned, None, wrong),
        }
    }

    fn admit_signed<'a>(
        &self,
        text: &'a str,
        peer: SocketAddr,
        now: u64,
        buffer: &'a mut IdBuffer,
    ) -> Admitted<'a> {
        let split = split_mac(text);
        let signed = split.map_or(text, |(signed, _)| signed);
        let line = Line::cut(signed);
        let Some(key) = line.field("key").and_then(|id| self.access.key(id, now)) else {
            self.turn_away(peer, "no key of this server, or not any more");
            return silent(&self.counters.unknown_key);
        };
        let mac = split.map(|(_, digits)| digits);
        let Some(mac) = mac
            .filter(|mac| unhex::<32>(*mac).is_some_and(|mac| key.verify(signed.as_bytes(), &mac)))
        else {
            self.turn_away(peer, "a mac that its key has not made");
            return silent(&self.counters.bad_mac);
        };
        let seal = Seal::Signed { key: key.clone(), mac: *mac, room: text.len() };
        let (time, boot, seq) = match stamp(&line) {
            Ok(stamp) => stamp,
            Err(wrong) => return self.invalid(seal, None, wrong),
        };
        if !self.is_in_time(time, now) {
            self.counters.bad_time.count();
            return Admitted::Told(seal, Reply::BadTime { now });
        }
        let (verb, id) = match parts(&line, buffer) {
            Ok(parts) => parts,
            Err(wrong) => return self.invalid(seal, None, wrong),
        };
        // Before anything is kept: who may say nothing of a service takes no room.
        let principal = key.principal();
        let actor = match self.access.authorise_renewal(principal, line.service) {
            Ok(actor) => actor,
            Err(denied) => {
                let (ticket, by) =
                    (Ticket { verb, seal, place: None }, asker(principal.clone(), peer));
                return self.deny(ticket, &by, verb.as_str(), (line.service, id), &denied);
            }
        };
        let slot = self.senders.seeds.slot(principal.name(), line.service, id);
        let place = Place { slot, boot, seq, mark: mark(mac) };
        match self.senders.enter(&place, time, verb, now) {
            Entry::Accepted => {
                let ticket = Ticket { verb, seal, place: Some(place) };
                self.decide(ticket, &line, id, principal.clone(), actor, peer)
            }
            Entry::Repeated(reply) => {
                self.counters.repeated.count();
                Admitted::Told(seal, reply)
            }
            Entry::Pending => silent(&self.counters.pending),
            Entry::Refused => silent(&self.counters.out_of_sequence),
            // Its sender may be a new one whose clock is behind the last one's: it is told, and asks later.
            Entry::Overtaken => {
                self.counters.bad_time.count();
                Admitted::Told(seal, Reply::BadTime { now })
            }
            Entry::Full => silent(&self.counters.no_room),
        }
    }

    /// What is left when a line is known to be new and genuine, and its service one that its principal may speak of: what it
    /// says, and whether that may be.
    fn decide<'a>(
        &self,
        ticket: Ticket,
        line: &Line<'a>,
        id: &'a str,
        principal: Principal,
        actor: Actor,
        peer: SocketAddr,
    ) -> Admitted<'a> {
        let service = line.service;
        #[cfg(test)]
        assert_ne!(service, "panic", "a defect, as a test wants it");
        if ticket.verb == Verb::Renew {
            if let Err(wrong) = change::check_renewal(line) {
                return self.invalid(ticket.seal, ticket.place, wrong);
            }
            return Admitted::Renewal { ticket, principal, actor, service, id };
        }
        let most = principal.scope().max_lease_secs;
        let bounds = self.lease.read().within(most);
        let by = asker(principal, peer);
        let mut command = match change::parse(ticket.verb, line, id, &bounds) {
            Ok(command) => command,
            Err(wrong) => return self.invalid(ticket.seal, ticket.place, wrong),
        };
        if let (Command::Register { body, .. }, Some(most)) = (&mut command, most)
            && body.lease == LeaseTerm::Endless
        {
            body.lease = LeaseTerm::Secs(most.min(bounds.max_secs));
        }
        match self.access.authorise(by.clone(), &command) {
            Ok(by) => Admitted::Change { ticket, command, by },
            Err(denied) => self.deny(ticket, &by, command.verb(), (service, id), &denied),
        }
    }

    fn deny<'a>(
        &self,
        ticket: Ticket,
        by: &Asker,
        verb: &'static str,
        (service, id): (&str, &str),
        denied: &Denied,
    ) -> Admitted<'a> {
        let reason = denied.to_string();
        self.audit.denied(by, verb, Some(service), Some(id), &reason);
        self.refuse(ticket.seal, ticket.place, Reply::Denied(reason.into()))
    }

    /// Silence is all that somebody hears who cannot make a mac; whoever reads the audit hears of it.
    fn turn_away(&self, peer: SocketAddr, reason: &str) {
        self.audit.turned_away(Door::Udp, Source::Address(peer), reason);
    }

    /// Tells the audit of a renewal of what is another principal's.
    pub(super) fn tell_of(&self, denied: Principal, peer: SocketAddr, service: &str, id: &str) {
        let reason = "the instance is another principal's";
        self.audit.denied(&asker(denied, peer), "renew", Some(service), Some(id), reason);
    }

    fn invalid<'a>(&self, seal: Seal, place: Option<Place>, wrong: Wrong<'_>) -> Admitted<'a> {
        self.refuse(seal, place, Reply::Invalid(wrong.into_owned().into()))
    }

    fn refuse<'a>(&self, seal: Seal, place: Option<Place>, reply: Reply) -> Admitted<'a> {
        let refused = if matches!(reply, Reply::Denied(_)) {
            &self.counters.denied
        } else {
            &self.counters.invalid
        };
        refused.count();
        if let Some(place) = place {
            self.senders.settle(&place, &reply);
        }
        Admitted::Told(seal, reply)
    }

    /// Keeps what became of an admitted datagram, and writes its reply into `out`; returns its octets, 0 for
    /// silence. `None`: it could not be done now. It is forgotten then, so that its repeat is a new try.
    pub(super) fn settle(&self, ticket: &Ticket, reply: Option<Reply>, out: &mut [u8]) -> usize {
        let Some(reply) = reply else {
            if let Some(place) = &ticket.place {
                self.senders.forget(place);
            }
            self.counters.not_now.count();
            return 0;
        };
        self.counter(ticket.verb, &reply).count();
        if let Some(place) = &ticket.place {
            self.senders.settle(place, &reply);
        }
        ticket.seal.write(&reply, out)
    }

    fn counter(&self, verb: Verb, reply: &Reply) -> &Counter {
        let counters = &self.counters;
        match (reply, verb) {
            (Reply::Unknown, _) => &counters.unknown,
            (Reply::Denied(_), _) => &counters.denied,
            (Reply::Invalid(_), _) => &counters.invalid,
            (Reply::BadTime { .. }, _) => &counters.bad_time,
            (Reply::Ok { .. }, Verb::Renew) => &counters.renewed,
            (Reply::Ok { .. }, Verb::Register) => &counters.registered,
            (Reply::Ok { .. }, Verb::Drain) => &counters.drained,
            (Reply::Ok { .. }, Verb::Deregister) => &counters.deregistered,
        }
    }

    fn is_in_time(&self, time: u64, now: u64) -> bool {
        let mut start = self.start_unix_ms.load(Ordering::Relaxed);
        if now < start {
            // The clock was ahead when the server started and has been set back: so was the start.
            self.start_unix_ms.fetch_min(now, Ordering::Relaxed);
            start = now;
        }
        time >= start && time.abs_diff(now) <= TIME_WINDOW_MS
    }
}

fn asker(principal: Principal, peer: SocketAddr) -> Asker {
    Asker { principal, door: Door::Udp, source: Source::Address(peer) }
}

fn silent<'a>(counter: &Counter) -> Admitted<'a> {
    counter.count();
    Admitted::Silent
}

/// A signed line's time, boot id and sequence.
fn stamp<'a>(line: &Line<'a>) -> Result<(u64, u128, u64), Wrong<'a>> {
    let stamp = Stamp::read(line)?;
    Ok((stamp.time.ok_or("time")?, stamp.boot.ok_or("boot")?, stamp.seq.ok_or("seq")?))
}

fn parts<'a>(line: &Line<'a>, buffer: &'a mut IdBuffer) -> Result<(Verb, &'a str), Wrong<'a>> {
    Ok((line.verb()?, line.decoded_id(buffer)?))
}

fn mark(mac: &[u8]) -> u64 {
    mac.get(..16).and_then(unhex).map_or(0, u64::from_be_bytes)
}
