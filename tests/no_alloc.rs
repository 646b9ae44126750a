//! A hot query is answered without an allocation, whatever it comes to, and so is a signed renewal.
#![allow(clippy::unwrap_used, reason = "all of this is a test")]
#![allow(unsafe_code, reason = "an allocator cannot be counted without being one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, mpsc};

use parking_lot::RwLock;
use rollcall::access::key::{Key, KeyFile};
use rollcall::access::{Access, Configured, Principal};
use rollcall::answer::clients::{Clients, Settings as ClientSettings};
use rollcall::answer::cookie::Secrets;
use rollcall::answer::rate::Limit;
use rollcall::answer::{Reply, Responder, Transport};
use rollcall::api::datagram::{Door, Handled, MAX_LINE_OCTETS, Settings};
use rollcall::audit::Audit;
use rollcall::config::Lease;
use rollcall::dns::zone_file;
use rollcall::registrar::{Registrar, Running};
use rollcall::registry::{
    Body, Declared, Instance, InstanceId, Label, LeaseTerm, ServiceName, State,
};
use rollcall::shared::Shared;
use rollcall::store::Store;
use rollcall::view::zones::{ZoneSettings, Zones};
use rollcall::view::{LeaseStart, LeaseTime, View};

/// The system's allocator, with a count of the calls that each thread made to it.
struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that ends may allocate after its count is gone.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `realloc`'s contract.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ZONE: &str = "$TTL 60
short CNAME shorter
shorter CNAME web
out CNAME www.example.org.
mail MX 10 host
host A 192.0.2.1
*.wild TXT any
sub NS ns.sub
ns.sub A 192.0.2.2
";
const NOW: LeaseTime = LeaseTime::from_millis(1000);

fn instance(number: u8) -> Instance {
    let id = InstanceId::parse(&format!("web-{number}")).unwrap();
    let label = Label::candidates(&id).next().unwrap();
    let mut body = Body::new([10, 0, 0, number].into(), 8080, LeaseTerm::Secs(30));
    body.addresses =
        vec![[10, 0, 0, number].into(), [0xfd00, 0, 0, 0, 0, 0, 0, number.into()].into()].into();
    body.weight = number.into();
    Instance {
        service: ServiceName::parse("web").unwrap(),
        label,
        id,
        body,
        declared: Declared { state: State::Up, reason: "".into() },
        override_: None,
        owner: rollcall::registry::Owner::NOBODY,
        registered_unix_ms: 0,
        changed_unix_ms: 0,
        revision: 1,
    }
}

fn view() -> Arc<View> {
    let file = zone_file::load(Path::new("svc.internal.zone"), "svc.internal.", ZONE).unwrap();
    let settings = ZoneSettings {
        zones: &["svc.internal.".into()],
        reverse_zones: &["10.in-addr.arpa.".into()],
        negative_ttl_secs: 2,
        ns_addresses: &["192.0.2.53".parse().unwrap()],
        texts: &[],
    };
    let view = Arc::new(View::default());
    view.set_zones(Zones::build(&settings, vec![file]).unwrap());
    for number in 1..60 {
        view.edit(NOW).list(&Arc::new(instance(number)), LeaseStart::Term);
    }
    view.set_loaded();
    view
}

/// A query with EDNS.
fn query(name: &str, rtype: u8) -> Vec<u8> {
    let mut query = vec![1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in name.split_terminator('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, rtype, 0, 1]);
    query.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    query
}

/// A door with one key, whose rights are decided as the server does it, to a registrar that has web-1 listed.
fn door(dir: &Path) -> (Door, Running) {
    let access = Access::default();
    let keys = vec![KeyFile::parse("k1", &"07".repeat(32)).unwrap()];
    access.configure(Configured { keys, ..Configured::default() });
    let settings = Settings {
        access: Arc::new(access),
        audit: Audit::default(),
        lease: Arc::new(RwLock::new(Lease { default_secs: 30, min_secs: 2, max_secs: 60 })),
        start_unix_ms: 0,
    };
    let (sender, loaded) = mpsc::channel();
    let tell = move |result: Result<_, _>| sender.send(result.is_ok()).unwrap();
    let view = Arc::new(View::default());
    let (registrar, running) =
        Registrar::start(Store::open(dir).unwrap(), view.clone(), Default::default(), tell)
            .unwrap();
    assert!(loaded.recv().unwrap());
    view.edit(NOW).list(&Arc::new(instance(1)), LeaseStart::Term);
    (Door::new(settings, registrar), running)
}

#[test]
fn no_signed_renewal_allocates() {
    let dir = tempfile::tempdir().unwrap();
    let key = || Key::new("k1", &[7; 32], Principal::anonymous(), None);
    let (door, running) = door(dir.path());
    let peer: SocketAddr = "192.0.2.1:40000".parse().unwrap();
    let mut out = [0; MAX_LINE_OCTETS];
    for seq in 0..4 {
        let line = format!("RC1 RENEW web web-1 key=k1 time=5000 boot=a1 seq={seq}");
        let mac = key().sign(&[line.as_bytes()]);
        let mac: String = mac.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
        let datagram = format!("{line} mac={mac}");
        let before = CALLS.get();
        let handled =
            door.batch(5000).handle(datagram.as_bytes(), peer, &mut out, || unreachable!());
        let calls = CALLS.get() - before;
        assert!(matches!(handled, Handled::Reply(_)), "{handled:?}");
        assert!(out.starts_with(b"RC1 OK expires_ms="));
        // The first makes the instance's entry in the replay table.
        assert!(seq == 0 || calls == 0, "{calls} calls for datagram {seq}");
    }
    running.stop();
}

#[test]
fn no_query_allocates() {
    // Name, type, code, and how many answers at least there are over TCP.
    let table = [
        ("web.svc.internal.", 1, 0, 59),
        ("WEB.svc.internal.", 28, 0, 59),
        ("_web._tcp.svc.internal.", 33, 0, 59),
        ("web-7.web.svc.internal.", 1, 0, 1),
        ("7.0.0.10.in-addr.arpa.", 12, 0, 1),
        ("web.svc.internal.", 255, 0, 1),
        ("web.svc.internal.", 16, 0, 0),
        ("nix.svc.internal.", 1, 3, 0),
        ("9.9.9.10.in-addr.arpa.", 12, 3, 0),
        ("svc.internal.", 6, 0, 1),
        ("svc.internal.", 2, 0, 1),
        ("short.svc.internal.", 1, 0, 61),
        ("out.svc.internal.", 1, 0, 1),
        ("mail.svc.internal.", 15, 0, 1),
        ("x.wild.svc.internal.", 16, 0, 1),
        ("www.sub.svc.internal.", 1, 0, 0),
        ("example.org.", 1, 5, 0),
        ("web.svc.internal.", 252, 5, 0),
    ];
    let mut responder = Responder::new(view(), &Shared::default());
    let mut out = vec![0; 65_535];
    // A thread's first look into a map sets its place in it up.
    let _ = ask(&mut responder, &query("web.svc.internal.", 1), Transport::Udp, &mut out);
    for (name, rtype, code, answers) in table {
        let query = query(name, rtype);
        for transport in [Transport::Udp, Transport::Tcp] {
            let before = CALLS.get();
            let reply = ask(&mut responder, &query, transport, &mut out);
            let calls = CALLS.get() - before;
            let Reply::Len(_) = reply else { panic!("{name} {rtype}: dropped") };
            assert_eq!(calls, 0, "{name} {rtype} over {transport:?}");
            assert_eq!(out[3] & 15, code, "{name} {rtype} over {transport:?}");
            let count = u16::from_be_bytes([out[6], out[7]]);
            assert!(transport == Transport::Udp || count >= answers, "{name} {rtype}: {count}");
        }
    }
    let before = CALLS.get();
    drop(Box::new(1));
    assert!(CALLS.get() >= before + 2, "allocations are counted");
}

/// With a name, cookies and a limit, below it and beyond it.
#[test]
fn no_query_with_options_allocates() {
    let settings = ClientSettings {
        nsid: b"here"[..].into(),
        secrets: Some(Secrets::new([7; 16])),
        limit: Limit::per_second(4),
        ..ClientSettings::default()
    };
    let clients = Arc::new(Clients::new(settings, [11, 13]));
    let mut responder = Responder::new(view(), &Shared::default()).with_clients(clients);
    let mut out = vec![0; 65_535];
    let mut query = query("web.svc.internal.", 1);
    let options = b"\0\x03\0\0\0\x0a\0\x08abcdefgh";
    *query.last_mut().unwrap() = u8::try_from(options.len()).unwrap();
    query.extend(options);
    let _ = ask(&mut responder, &query, Transport::Tcp, &mut out);
    let mut codes = Vec::new();
    for turn in 0..8 {
        let before = CALLS.get();
        let reply = ask(&mut responder, &query, Transport::Udp, &mut out);
        assert_eq!(CALLS.get() - before, 0, "query {turn}");
        assert!(matches!(reply, Reply::Len(_)));
        codes.push(out[3] & 15);
    }
    // The low bits of BADCOOKIE (23).
    assert_eq!(codes, [0, 0, 0, 0, 0, 7, 7, 7]);
}

fn ask(responder: &mut Responder, query: &[u8], transport: Transport, out: &mut [u8]) -> Reply {
    let peer: SocketAddr = "192.0.2.1:40000".parse().unwrap();
    responder.batch(NOW, |batch| {
        batch.look_ahead(std::iter::once(query));
        batch.respond(0, query, peer, transport, out)
    })
}
