//! Who is who, and what each may: the one place that decides, without any door.

use super::*;
use crate::registry::{Body, InstanceId, Override, Owner, ServiceName};

const HERE: [&str; 3] = ["127.0.0.1", "::1", "::ffff:127.0.0.1"];
const SECRET: &str = "0123456789abcdef";
const NOW: u64 = 1_000_000;

fn over_http(access: &Access, peer: &str, bearer: Option<&str>) -> Result<String, Denied> {
    let caller = Caller::Network(peer.parse().unwrap(), &[]);
    let principal = access.over_http(caller, bearer.map(str::as_bytes), NOW);
    principal.map(|principal| principal.name().to_owned())
}

fn with_token(open: Open) -> Access {
    let access = Access::new(open);
    let token = Some(TokenHash::parse(SECRET).unwrap());
    access.configure(Configured { token, ..Configured::default() });
    access
}

fn scope(verbs: &[Verb], services: &[&str]) -> Scope {
    let services = services.iter().map(|text| Pattern::parse(text).unwrap()).collect();
    Scope { services, ..Scope::all_services(verbs) }
}

fn register(service: &str, address: &str, lease: LeaseTerm) -> Command {
    let (service, id) = (ServiceName::parse(service).unwrap(), InstanceId::parse("i-1").unwrap());
    Command::register(service, id, Body::new(address.parse().unwrap(), 80, lease), None)
}

fn asker(scope: Scope) -> Asker {
    let principal = Principal::new("access-tests", scope, Credential::None);
    Asker { principal, door: Door::Http, source: Source::Server }
}

#[test]
fn while_nobody_is_known_this_machine_alone_is_served() {
    let access = Access::default();
    for here in HERE {
        assert_eq!(over_http(&access, here, None).unwrap(), "anonymous", "{here}");
    }
    assert_eq!(over_http(&access, "192.0.2.1", None), Err(Denied::NotLoopback));
    assert_eq!(over_http(&access, "192.0.2.1", Some(SECRET)), Err(Denied::NotLoopback));
    let open = Access::new(Open { http: true, ..Open::default() });
    assert_eq!(over_http(&open, "192.0.2.1", None).unwrap(), "anonymous");
    assert!(access.takes_unsigned("127.0.0.1".parse().unwrap()));
    assert!(!access.takes_unsigned("192.0.2.1".parse().unwrap()));
    assert_eq!(access.over_http(Caller::User(7), None, NOW).unwrap().name(), "anonymous");
}

#[test]
fn with_a_token_everybody_needs_it() {
    for http in [false, true] {
        let access = with_token(Open { http, ..Open::default() });
        for peer in ["127.0.0.1", "192.0.2.1"] {
            assert_eq!(over_http(&access, peer, Some(SECRET)).unwrap(), CONFIGURED);
            let wrong = over_http(&access, peer, Some("0123456789abcdeF"));
            assert_eq!(wrong, Err(Denied::WrongToken));
            assert_eq!(over_http(&access, peer, None), Err(Denied::NoToken));
        }
        assert!(access.takes_unsigned("127.0.0.1".parse().unwrap()), "it is the other door's");
    }
    let open = with_token(Open { udp: true, ..Open::default() });
    assert!(open.takes_unsigned("192.0.2.1".parse().unwrap()), "as the configuration says");
}

#[test]
fn another_configuration_ends_the_one_before() {
    let access = with_token(Open::default());
    let token = Some(TokenHash::parse("another-token-of-16").unwrap());
    access.configure(Configured { token, ..Configured::default() });
    assert_eq!(over_http(&access, "::1", Some(SECRET)), Err(Denied::WrongToken));
    assert!(over_http(&access, "::1", Some("another-token-of-16")).is_ok());
}

#[test]
fn what_is_granted_holds_at_once_and_what_is_revoked_no_more() {
    let access = Access::default();
    let grant = |kind, expires_unix_ms| {
        let scope = Some(scope(&[Verb::Register], &["web"]));
        let wish = Wish { kind, principal: "team", scope, expires_unix_ms };
        let random = [kind as u8; SECRET_OCTETS];
        let (edit, issued) = access.grants("team").0.grant(wish, None, &random, NOW).unwrap();
        access.edit(edit);
        issued
    };
    let token = grant(Kind::Token, Some(NOW + 1));
    let key = grant(Kind::Key, Some(NOW + 1));
    assert_eq!(over_http(&access, "192.0.2.1", Some(&token.secret)).unwrap(), "team");
    let caller = Caller::Network("::1".parse().unwrap(), &[]);
    let later = access.over_http(caller, Some(token.secret.as_bytes()), NOW + 1);
    assert_eq!(later.unwrap_err(), Denied::TokenOver);
    assert_eq!(access.key(&key.id, NOW).unwrap().principal().name(), "team");
    assert_eq!(access.open_on_loopback(), [false; 2], "all doors, whatever was granted");
    assert!(access.key(&key.id, NOW + 1).is_none() && access.signs());
    for (kind, id) in [(Kind::Token, &token.id), (Kind::Key, &key.id)] {
        let edit = access.grants("team").0.revoke(kind, id).unwrap();
        access.edit(edit);
    }
    assert!(access.key(&key.id, NOW).is_none());
    assert_eq!(access.open_on_loopback(), [false; 2], "until a restart");
    assert!(access.nobody_is_known().is_some());
}

#[test]
fn grants_that_cannot_be_read_open_no_door() {
    let access = Access::default();
    access.take_grants(Grants { is_damaged: true, ..Grants::default() });
    assert_eq!(over_http(&access, "::1", None), Err(Denied::NoToken));
    assert!(!access.takes_unsigned("127.0.0.1".parse().unwrap()));
    let lost = Kept {
        id: "k1".into(),
        kind: Kind::Key,
        principal: "nobody-knows".into(),
        secret: [1; SECRET_OCTETS],
        created_unix_ms: 0,
        expires_unix_ms: None,
    };
    let kept = [("k1".into(), lost)].into();
    access.take_grants(Grants { kept, ..Grants::default() });
    assert!(access.key("k1", NOW).is_none(), "its principal's scope is not there");
    assert_eq!(over_http(&access, "::1", None), Err(Denied::NoToken));
}

#[test]
fn certificates_and_users_are_known_by_the_configuration() {
    let access = Access::new(Open { own_uid: Some(900), ..Open::default() });
    let principal = ConfiguredPrincipal {
        name: "web".into(),
        scope: scope(&[Verb::Register], &["web"]),
        certificates: vec!["dns:web.example".into()],
        users: vec![1000],
    };
    access.configure(Configured { principals: vec![principal], ..Configured::default() });
    let names =
        |names: &[&str]| -> Vec<Box<str>> { names.iter().map(|name| (*name).into()).collect() };
    let peer = "192.0.2.1".parse().unwrap();
    let by_names =
        |given: &[&str]| access.over_http(Caller::Network(peer, &names(given)), None, NOW);
    let known = by_names(&["dns:other.example", "dns:web.example"]).unwrap();
    assert_eq!(known.credential(), &Credential::Certificate("dns:web.example".into()));
    assert_eq!(by_names(&["uri:dns:web.example"]).unwrap_err(), Denied::UnknownCertificate);
    assert_eq!(by_names(&[]).unwrap_err(), Denied::NoToken);
    let by_uid = |uid| access.over_http(Caller::User(uid), None, NOW);
    assert_eq!(by_uid(1000).unwrap().name(), "web");
    assert_eq!(by_uid(1001).unwrap_err(), Denied::UnknownUser(1001));
    for uid in [0, 900] {
        assert!(access.authorise_administration(&by_uid(uid).unwrap()).is_ok());
    }
    let wrong = access.over_http(Caller::User(1000), Some(b"wrong"), NOW).unwrap_err();
    assert_eq!(wrong, Denied::WrongToken, "a token that is wrong is not passed over");
}

#[test]
fn the_configuration_has_the_last_word_on_a_scope() {
    let access = Access::default();
    let wish = Wish {
        kind: Kind::Token,
        principal: "team",
        scope: Some(scope(&[Verb::Admin], &["*"])),
        expires_unix_ms: None,
    };
    let (edit, issued) =
        access.grants("team").0.grant(wish, None, &[1; SECRET_OCTETS], NOW).unwrap();
    access.edit(edit);
    let principal = ConfiguredPrincipal {
        name: "team".into(),
        scope: scope(&[Verb::Read], &["web"]),
        certificates: Vec::new(),
        users: Vec::new(),
    };
    access.configure(Configured { principals: vec![principal], ..Configured::default() });
    let caller = Caller::Network("::1".parse().unwrap(), &[]);
    let known = access.over_http(caller, Some(issued.secret.as_bytes()), NOW).unwrap();
    assert!(access.authorise_administration(&known).is_err());
    assert!(access.authorise_reading(&known, Some("web")).is_ok());
}

#[test]
fn a_scope_holds_for_every_command() {
    let access = Access::default();
    let web = || ServiceName::parse("web").unwrap();
    let id = || InstanceId::parse("i-1").unwrap();
    let declared = || crate::registry::Declared::parse(crate::registry::State::Down, "").unwrap();
    let commands = [
        register("web", "10.0.0.1", LeaseTerm::Secs(30)),
        Command::Declare { service: web(), id: id(), declared: declared() },
        Command::Deregister { service: web(), id: id() },
        Command::DeregisterService { service: web() },
        Command::Override {
            service: web(),
            id: id(),
            override_: Some(Override::endless(declared())),
        },
        Command::Override { service: web(), id: id(), override_: None },
    ];
    for (verb, may) in [
        (Verb::Read, [false; 6]),
        (Verb::Register, [true, true, true, true, false, false]),
        (Verb::Override, [false, false, false, false, true, true]),
        (Verb::Admin, [true; 6]),
    ] {
        for (command, may) in commands.iter().zip(may) {
            let named = access.authorise(asker(scope(&[verb], &["api", "web"])), command);
            assert_eq!(named.is_ok(), may, "{verb:?} {command:?}");
            let other = access.authorise(asker(scope(&[verb], &["api"])), command);
            assert!(other.is_err(), "{verb:?} {command:?}");
        }
    }
}

#[test]
fn registrations_are_bound_to_addresses_and_leases() {
    let access = Access::default();
    let networks = Box::new([Prefix::parse("10.0.0.0/8").unwrap()]);
    let bound = || Scope {
        networks: networks.clone(),
        max_lease_secs: Some(60),
        ..scope(&[Verb::Admin], &["*"])
    };
    let asked = |address, lease| {
        let command = register("web", address, lease);
        access.authorise(asker(bound()), &command).map(|_| ())
    };
    assert_eq!(asked("10.9.9.9", LeaseTerm::Secs(60)), Ok(()));
    let foreign = Denied::Address("192.0.2.1".parse().unwrap());
    assert_eq!(asked("192.0.2.1", LeaseTerm::Secs(60)), Err(foreign));
    for lease in [LeaseTerm::Secs(61), LeaseTerm::Endless] {
        assert_eq!(asked("10.9.9.9", lease), Err(Denied::Lease(60)));
    }
}

#[test]
fn the_registry_is_told_on_whose_behalf() {
    let access = Access::default();
    let limited =
        Scope { max_instances: Some(7), ..scope(&[Verb::Register], &["*", "pay-*", "shop"]) };
    let authorised = |service| {
        let command = register(service, "10.0.0.1", LeaseTerm::Secs(30));
        *access.authorise(asker(limited.clone()), &command).unwrap().actor()
    };
    let expected = Actor {
        owner: Owner::named("access-tests"),
        names_service: false,
        is_admin: false,
        max_instances: Some(7),
    };
    assert_eq!(authorised("web"), expected);
    assert_eq!(authorised("pay-api"), expected);
    assert_eq!(authorised("shop"), Actor { names_service: true, ..expected });
}

#[test]
fn what_is_about_all_needs_a_scope_for_all() {
    let access = Access::default();
    let principal = |verbs, services: &[&str]| asker(scope(verbs, services)).principal;
    let one = principal(&[Verb::Admin], &["web", "api-*"]);
    assert_eq!(access.authorise_administration(&one), Err(Denied::NotAllServices));
    assert_eq!(access.authorise_reading(&one, None), Err(Denied::NotAllServices));
    assert_eq!(access.authorise_reading(&one, Some("web")), Ok(()));
    assert_eq!(access.authorise_reading(&one, Some("db")), Err(Denied::Service("db".into())));
    let reader = principal(&[Verb::Read], &["*"]);
    assert_eq!(access.authorise_reading(&reader, None), Ok(()));
    assert_eq!(access.authorise_administration(&reader), Err(Denied::Verb(Verb::Admin)));
    let renewal = |principal: &Principal, service| access.authorise_renewal(principal, service);
    assert!(renewal(&principal(&[Verb::Register], &["web"]), "web").is_ok());
    assert!(renewal(&principal(&[Verb::Register], &["web"]), "db").is_err());
    assert!(renewal(&reader, "web").is_err());
}
