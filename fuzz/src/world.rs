//! What targets share: a registry with a few instances, and the zones they are found in.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rollcall::access::{Authorised, Prefix, Prefixes};
use rollcall::answer::Recursion;
use rollcall::cache::Cache;
use rollcall::config::{Config, Live, Overrides};
use rollcall::dns::zone_file;
use rollcall::registrar::{Registrar, Running};
use rollcall::registry::{Body, Command, InstanceId, LeaseTerm, ServiceName, Texts};
use rollcall::shared::Shared;
use rollcall::store::Store;
use rollcall::view::View;
use rollcall::view::zones::{ZoneSettings, Zones};

/// Octets of the cache.
const CACHE_OCTETS: usize = 1 << 20;
const ZONE: &str = "\
$TTL 60
@ SOA ns.example. host.example. 1 3600 600 86400 30
@ NS ns.example.
ns A 192.0.2.53
www CNAME web.svc.internal.
loop CNAME loop
away CNAME www.elsewhere.test.
*.wild TXT \"any\"
below NS ns.below
ns.below A 192.0.2.54
mx MX 10 mail
mail AAAA 2001:db8::1
";

/// A server without doors.
pub struct World {
    /// Its registrar, which has instances.
    pub registrar: Registrar,
    /// Its view.
    pub view: Arc<View>,
    /// Whom it looks names of others up for: everybody, in a cache that is empty at first.
    pub recursion: Arc<Shared<Recursion>>,
    /// The defaults.
    pub config: Arc<Live>,
    _running: Running,
    _dir: tempfile::TempDir,
}

/// The one of this process.
pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(build)
}

fn build() -> World {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("a store");
    let view = Arc::<View>::default();
    let file = zone_file::load(Path::new("example.zone"), "example.", ZONE).expect("a zone");
    let settings = ZoneSettings {
        zones: &["svc.internal.".to_owned()],
        reverse_zones: &["10.in-addr.arpa.".to_owned()],
        negative_ttl_secs: 2,
        ns_addresses: &[],
        texts: &[],
    };
    view.set_zones(Zones::build(&settings, vec![file]).expect("zones"));
    let (registrar, running) = registrar(store, view.clone());
    let cache = Some(Arc::new(Cache::new(CACHE_OCTETS)));
    let allow = ["0.0.0.0/0", "::/0"].map(|net| Prefix::parse(net).expect("a net"));
    let recursion = Recursion { allow: Prefixes::new(allow), cache };
    let config = Config::load(None, &Overrides::default()).expect("the defaults");
    World {
        registrar,
        view,
        recursion: Arc::new(Shared::new(recursion)),
        config: Arc::new(Live::new(config)),
        _running: running,
        _dir: dir,
    }
}

/// A registrar with a few instances, which renews their leases and changes nothing any more: what it is asked for it
/// refuses, so that the next input meets the same registry.
pub fn still_registrar() -> Registrar {
    let dir = tempfile::tempdir().expect("a directory");
    let (registrar, running) = registrar(Store::open(dir.path()).expect("a store"), Arc::default());
    running.stop();
    registrar
}

fn registrar(store: Store, view: Arc<View>) -> (Registrar, Running) {
    let (told, loaded) = std::sync::mpsc::channel();
    let tell = move |result: Result<_, _>| told.send(result.is_ok()).expect("somebody who waits");
    let started = Registrar::start(store, view, Default::default(), tell);
    let (registrar, running) = started.expect("a registrar");
    assert!(loaded.recv().expect("an end of loading"));
    register(&registrar);
    (registrar, running)
}

fn register(registrar: &Registrar) {
    for (service, id, last) in [("web", "web-1", 1), ("web", "web-2", 2), ("db", "A b", 3)] {
        let address = std::net::IpAddr::from([10, 0, 0, last]);
        let body = Body {
            texts: Texts::stored(Some("2.1"), "blue", "").expect("texts"),
            ..Body::new(address, 8080, LeaseTerm::Endless)
        };
        let (service, id) = (ServiceName::parse(service), InstanceId::parse(id));
        let command =
            Command::register(service.expect("a service"), id.expect("an id"), body, None);
        let (told, done) = std::sync::mpsc::channel();
        registrar.submit(
            command,
            Authorised::server(),
            Box::new(move |result| {
                let _ = told.send(result.is_ok());
            }),
        );
        assert!(done.recv().expect("an acknowledgement"));
    }
}

/// The files of a store with the same instances, by name.
pub fn store_files() -> Vec<(String, Vec<u8>)> {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("a store");
    let (registrar, running) = registrar(store, Arc::default());
    running.stop();
    drop(registrar);
    let files = std::fs::read_dir(dir.path()).expect("files").flatten();
    let files = files.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let read = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().expect("a name");
        (name, std::fs::read(entry.path()).expect("a file"))
    };
    files.map(read).collect()
}
