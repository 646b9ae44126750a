//! Admission and settlement: from a datagram to what it asks for, and from an outcome to its reply.
//!
//! The checks come in this order: length, magic, key, mac (compared in constant time), time, sequence, access,
//! and then the command. Whoever cannot make a mac learns nothing: before it is found good there is silence. The
//! registrar is not called here, no socket is touched and no clock is read.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::counters::{Counter, Counters};
use super::line::{IdBuffer, Line, NoLine, Stamp, Verb, Wrong, line_of, split_mac};
use super::replay::{Entry, Place, Senders, TIME_WINDOW_MS};
use super::reply::{Reply, Seal};
use super::{Asked, Authorise, Settings, change};
use crate::access::key::{Keys, unhex};
use crate::config::Lease;
use crate::registry::Command;

/// What a datagram came to.
pub(super) enum Admitted<'a> {
    /// Nothing is said.
    Silent,
    /// This is said, and that is all.
    Told(Seal, Reply),
    /// A lease is to be renewed.
    Renewal { ticket: Ticket, service: &'a str, id: &'a str },
    /// A command is to be carried out.
    Change { ticket: Ticket, command: Command },
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
    keys: Arc<Keys>,
    lease: Arc<RwLock<Lease>>,
    unsigned_from_afar: bool,
    authorise: Box<Authorise>,
    /// The server's start: what was stamped before it may have been accepted by the server before this one.
    start_unix_ms: AtomicU64,
    pub(super) senders: Senders,
    pub(super) counters: Counters,
}

impl Admission {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            keys: settings.keys,
            lease: settings.lease,
            unsigned_from_afar: settings.insecure_unsigned,
            authorise: settings.authorise,
            start_unix_ms: AtomicU64::new(settings.start_unix_ms),
            senders: Senders::new(),
            counters: Counters::default(),
        }
    }

    /// Checks one datagram; `buffer` is room for the id it names.
    pub(super) fn admit<'a>(
        &self,
        datagram: &'a [u8],
        peer: IpAddr,
        now: u64,
        buffer: &'a mut IdBuffer,
    ) -> Admitted<'a> {
        self.counters.received.count();
        let line = match line_of(datagram) {
            Ok(line) => line,
            Err(NoLine::TooLong) => return silent(&self.counters.too_long),
            Err(NoLine::NotOurs) => return silent(&self.counters.not_a_line),
        };
        if self.keys.is_empty() {
            self.admit_unsigned(line, peer, buffer)
        } else {
            self.admit_signed(line, now, buffer)
        }
    }

    fn admit_unsigned<'a>(
        &self,
        line: &'a str,
        peer: IpAddr,
        buffer: &'a mut IdBuffer,
    ) -> Admitted<'a> {
        if !peer.to_canonical().is_loopback() && !self.unsigned_from_afar {
            return silent(&self.counters.unsigned_from_afar);
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
                self.decide(Ticket { verb, seal: Seal::Unsigned, place: None }, &line, id, None)
            }
            Err(wrong) => self.invalid(Seal::Unsigned, None, wrong),
        }
    }

    fn admit_signed<'a>(&self, text: &'a str, now: u64, buffer: &'a mut IdBuffer) -> Admitted<'a> {
        let split = split_mac(text);
        let signed = split.map_or(text, |(signed, _)| signed);
        let line = Line::cut(signed);
        let Some(key) = line.field("key").and_then(|id| self.keys.find(id)) else {
            return silent(&self.counters.unknown_key);
        };
        let mac = split.map(|(_, digits)| digits);
        let Some(mac) = mac
            .filter(|mac| unhex::<32>(*mac).is_some_and(|mac| key.verify(signed.as_bytes(), &mac)))
        else {
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
        let slot = self.senders.seeds.slot(line.service, id);
        let place = Place { slot, boot, seq, mark: mark(mac) };
        match self.senders.enter(&place, time, verb, now) {
            Entry::Accepted => {
                let ticket = Ticket { verb, seal, place: Some(place) };
                self.decide(ticket, &line, id, Some(key.id()))
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

    /// What is left when a line is known to be new and genuine: whether it may be, and what it says.
    fn decide<'a>(
        &self,
        ticket: Ticket,
        line: &Line<'a>,
        id: &'a str,
        key: Option<&str>,
    ) -> Admitted<'a> {
        let service = line.service;
        let asked = Asked { key, verb: ticket.verb, service, id };
        if let Err(reason) = (self.authorise)(&asked) {
            return self.refuse(
                ticket.seal,
                ticket.place,
                Reply::Denied(reason.into_owned().into()),
            );
        }
        let decided = if ticket.verb == Verb::Renew {
            change::check_renewal(line).map(|()| None)
        } else {
            change::parse(ticket.verb, line, id, &self.lease.read()).map(Some)
        };
        match decided {
            Ok(None) => Admitted::Renewal { ticket, service, id },
            Ok(Some(command)) => Admitted::Change { ticket, command },
            Err(wrong) => self.invalid(ticket.seal, ticket.place, wrong),
        }
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
