//! A reply of an upstream server, and what it leaves in the cache.

use rollcall::cache::{Cache, Lookup, Question};
use rollcall::dns::forward::accept::{self, Judge};
use rollcall::dns::forward::message::{self, Letters, Query};
use rollcall::view::LeaseTime;
use rollcall::view::wire::{self, Name};

/// The type A.
const A: u16 = 1;
const NOW: LeaseTime = LeaseTime::from_millis(100_000);
/// Octets of a cache.
const CACHE_OCTETS: usize = 1 << 20;

/// Names in `svc.internal.` are ours, and nothing else is dropped.
struct Ours;

impl Judge for Ours {
    fn is_ours(&self, name: &[u8]) -> bool {
        name.ends_with(b"\x03svc\x08internal\0")
    }

    fn may_lead_on(&self) -> bool {
        true
    }

    fn drops(&self, _rtype: u16, _rdata: &[u8]) -> bool {
        false
    }
}

/// The reply to a question for the type that the first two octets say, with what follows after its id. What is made of it
/// is what it says, and can be read again; nothing in it is about names of ours.
pub fn upstream(data: &[u8]) {
    let Some((kind, rest)) = data.split_first_chunk::<2>() else { return };
    let name = wire::parse("www.example.", b"\0").ok().and_then(|wire| Name::read(&wire));
    let name = name.expect("a name");
    let rtype = match u16::from_be_bytes(*kind) {
        0 => A,
        rtype => rtype,
    };
    let asked = message::Question::new(&name, rtype);
    let query = Query::new(&asked, Letters::Lower).expect("chance");
    let mut reply = query.id().to_be_bytes().to_vec();
    reply.extend(rest);
    let matched = query.matches(&reply);
    let _ = query.is_not_understood(&reply);
    query.restore(&mut reply);
    let question = Question { name: &name, rtype, dnssec_ok: true, checking_disabled: false };
    let Ok(entry) = accept::accept(&reply, question, &Ours, NOW) else { return };
    assert!(matched.is_some() || reply.len() < 12, "what does not match was taken");
    let cache = Cache::new(CACHE_OCTETS);
    let kept = cache.answered(question, entry, NOW);
    for room in [0, 100, 512, usize::MAX] {
        let fitting = kept.fitting(room);
        assert!(fitting.octets.len() <= room);
        // A TTL has 31 bits (RFC 2181, section 8), and stands in the octets.
        for (at, ttl) in fitting.ttls() {
            assert!(ttl <= u32::MAX >> 1 && at + 4 <= fitting.octets.len());
        }
    }
    assert!(matches!(
        cache.read().look_up(question, NOW),
        Lookup::Fresh(_)
            | Lookup::Due(_)
            | Lookup::Nothing
            | Lookup::Stale { .. }
            | Lookup::Failed(_)
    ));
}
