//! A line at the datagram door, signed and unsigned.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::RwLock;
use rollcall::access::key::{Key, KeyFile};
use rollcall::access::{Access, Configured, Principal};
use rollcall::api::datagram::{Door, Handled, MAX_LINE_OCTETS, Settings};
use rollcall::audit::Audit;
use rollcall::config::Lease;

use crate::world::still_registrar;

/// The moment at which lines come: milliseconds since 1970.
const NOW: u64 = 1_800_000_000_000;
const SECRET: [u8; 32] = [7; 32];

thread_local! {
    static DOORS: OnceCell<[Door; 2]> = const { OnceCell::new() };
}

/// The first octet says whether the rest is a line as it is, or one that we sign. A reply is one line of printable ASCII,
/// and one that is signed is no longer than what asked for it.
pub fn datagram(data: &[u8]) {
    let Some((how, line)) = data.split_first() else { return };
    let is_signed = how % 2 == 1;
    let line = if is_signed { signed(line) } else { line.to_vec() };
    let peer: SocketAddr = ([127, 0, 0, 1], 4000).into();
    let mut out = [0; MAX_LINE_OCTETS];
    let handled = DOORS.with(|doors| {
        let door = &doors.get_or_init(|| [door(&[]), door(&["k1"])])[usize::from(is_signed)];
        door.batch(NOW).handle(&line, peer, &mut out, || Box::new(check))
    });
    let Handled::Reply(length) = handled else { return };
    check(&out[..length]);
    assert!(!is_signed || length <= line.len(), "a reply that is longer than its request");
}

fn check(reply: &[u8]) {
    assert!(reply.starts_with(b"RC1 "));
    assert!(reply.iter().all(|octet| (0x20..0x7f).contains(octet)), "not printable");
}

fn signed(line: &[u8]) -> Vec<u8> {
    let mut line = [line, b" key=k1 time=1800000000000 boot=ab seq=1"].concat();
    let mac = Key::new("k1", &SECRET, Principal::anonymous(), None).sign(&[&line]);
    line.extend(b" mac=");
    for octet in mac.as_ref() {
        line.extend(format!("{octet:02x}").bytes());
    }
    line
}

fn door(ids: &[&str]) -> Door {
    let access = Access::default();
    let digits = rollcall::access::hex(&SECRET);
    let keys = ids.iter().map(|id| KeyFile::parse(id, &digits).expect("a key")).collect();
    access.configure(Configured { keys, ..Configured::default() });
    let settings = Settings {
        access: Arc::new(access),
        audit: Audit::default(),
        lease: Arc::new(RwLock::new(Lease { default_secs: 30, min_secs: 2, max_secs: 60 })),
        start_unix_ms: 0,
    };
    Door::new(settings, still_registrar())
}
