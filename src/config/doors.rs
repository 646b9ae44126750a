//! The doors through which the registry is changed, and who may come in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use toml::Spanned;

use super::check::{Checker, Number, Placed, values};
use super::error::{Place, Problem};
use super::raw::{Given, List, RawAccess, RawHttp, RawPrincipal, RawUdp};
use super::sections::{RESERVED_SECS, is_true};
use super::{Access, Http, Udp, Unguarded, key_id, names};
use crate::access::{ConfiguredPrincipal, Door, Scope, ScopeWords, check_name};

/// Principals that the configuration may name: more belong into the store (`rollcall token create`).
const MAX_PRINCIPALS: usize = 1_000;
/// Kinds of names in certificates that a principal can be known by.
const CERTIFICATE_NAMES: [&str; 2] = ["dns:", "uri:"];

/// `max_instances` of a principal.
const MAX_INSTANCES: Number<u32> =
    Number { key: "max_instances", least: 0, most: 2_000_000, default: 0 };
/// `max_lease_secs` of a principal.
const MAX_LEASE_SECS: Number<u32> =
    Number { key: "max_lease_secs", least: 1, most: 2_592_000, default: 1 };

impl Checker<'_> {
    /// HTTP without TLS (`listen`) and with it (`tls_listen`).
    pub(super) fn http(
        &mut self,
        raw: &RawHttp,
        listen: Vec<Placed<SocketAddr>>,
        tls_listen: Vec<Placed<SocketAddr>>,
    ) -> Http {
        if tls_listen.is_empty() && raw.unix_socket.is_none() {
            self.not_empty("http.listen", &raw.listen, &listen, "name an address");
        }
        let insecure_no_token = is_true(&raw.insecure_no_token);
        let insecure_no_tls = is_true(&raw.insecure_no_tls);
        if !insecure_no_token {
            self.is_guarded_or_local(raw, "http.listen", &listen);
            self.is_guarded_or_local(raw, "http.tls_listen", &tls_listen);
            if !insecure_no_tls {
                self.has_tls_or_is_local("http.listen", &listen);
            }
        }
        let door = tls_listen.first().map(|placed| (placed.place, "http.tls_listen"));
        let files =
            [("http.tls_cert_file", &raw.tls_cert_file), ("http.tls_key_file", &raw.tls_key_file)];
        self.certificate_is_whole(door, files);
        if let Some(given) = raw.tls_client_ca_file.as_ref().filter(|_| tls_listen.is_empty()) {
            let place = self.place_of(given);
            let text = "http.tls_client_ca_file is about http.tls_listen: name an address there, or leave it out";
            self.problem(place, text);
        }
        let host_names = match &raw.host_names {
            Some(given) => self.members("http.host_names", given, names::host),
            None => Vec::new(),
        };
        Http {
            listen: values(listen),
            token_file: self.secret_path("http.token_file", &raw.token_file),
            tls_listen: values(tls_listen),
            tls_cert_file: self.secret_path("http.tls_cert_file", &raw.tls_cert_file),
            tls_key_file: self.secret_path("http.tls_key_file", &raw.tls_key_file),
            tls_client_ca_file: self
                .secret_path("http.tls_client_ca_file", &raw.tls_client_ca_file),
            unix_socket: self.path("http.unix_socket", &raw.unix_socket),
            host_names: values(host_names),
            insecure_no_token,
            insecure_no_tls,
        }
    }

    /// Whoever comes from elsewhere to a door that changes the registry must be known by something.
    pub(super) fn is_guarded_or_local(
        &mut self,
        raw: &RawHttp,
        key: &str,
        listen: &[Placed<SocketAddr>],
    ) {
        if raw.token_file.is_some() {
            return;
        }
        let way_out =
            "make a token with `rollcall token create`, set http.token_file to a file with one";
        self.leave_to_the_store(Door::Http, key, listen, way_out, "http.insecure_no_token");
    }

    fn leave_to_the_store(
        &mut self,
        door: Door,
        key: &str,
        listen: &[Placed<SocketAddr>],
        way_out: &str,
        insecure: &str,
    ) {
        for Placed { place, value } in beyond_loopback(listen) {
            let text = format!(
                "{key}: {value} is not on loopback, so whoever reaches it could register and \
                 deregister: {way_out}, listen on 127.0.0.1 or [::1], or let everybody in with \
                 {insecure} = true"
            );
            self.unguarded.push(Unguarded { door, problem: Problem { place: *place, text } });
        }
    }

    /// A token that crosses a network in the clear is everybody's there.
    pub(super) fn has_tls_or_is_local(&mut self, key: &str, listen: &[Placed<SocketAddr>]) {
        for Placed { place, value } in beyond_loopback(listen) {
            let text = format!(
                "{key}: {value} is not on loopback, and tokens would cross the network in the clear: \
                 name it in http.tls_listen, with http.tls_cert_file and http.tls_key_file, or, behind a proxy \
                 with TLS or where nobody listens, set http.insecure_no_tls = true; who may call is known by \
                 http.token_file or `rollcall token create`, or everybody may with http.insecure_no_token = true"
            );
            self.problem(*place, text);
        }
    }

    pub(super) fn udp(&mut self, raw: &RawUdp, listen: Vec<Placed<SocketAddr>>) -> Udp {
        let key_files = match &raw.key_files {
            Some(given) => self.members("udp.key_files", given, key_file),
            None => Vec::new(),
        };
        let found =
            |Placed::<PathBuf> { place, value }| Placed { place, value: self.secret_at(&value) };
        let key_files: Vec<_> = key_files.into_iter().map(found).collect();
        for (at, key) in key_files.iter().enumerate() {
            let id = key_id(&key.value);
            if key_files.iter().take(at).any(|other| key_id(&other.value) == id) {
                let shown = key.value.display();
                let text = format!("udp.key_files: {shown} has the key id `{id}` of another file");
                self.problem(key.place, text);
            }
        }
        let insecure_unsigned = is_true(&raw.insecure_unsigned);
        let keys_named = raw.key_files.as_ref().is_some_and(|given| !given.get_ref().is_empty());
        if !keys_named && !insecure_unsigned {
            let way_out =
                "make a key with `rollcall key create`, set udp.key_files to files with keys";
            self.leave_to_the_store(
                Door::Udp,
                "udp.listen",
                &listen,
                way_out,
                "udp.insecure_unsigned",
            );
        }
        Udp { listen: values(listen), key_files: values(key_files), insecure_unsigned }
    }

    pub(super) fn access(&mut self, raw: RawAccess) -> Access {
        let reserved_secs = self.number(&RESERVED_SECS, &raw.reserved_secs);
        Access { reserved_secs, principals: self.principals(raw.principals) }
    }

    /// A principal that nobody can ever be closes the doors all the same.
    pub(super) fn principals_can_come(&mut self, http: &Http, access: &Access) {
        for ConfiguredPrincipal { name, certificates, users, .. } in &access.principals {
            if !certificates.is_empty() && http.tls_client_ca_file.is_none() {
                let text = format!(
                    "[access.principals.{name}] has certificates, and clients are asked for none: set \
                     http.tls_client_ca_file"
                );
                self.problem(Place::Whole, text);
            }
            if !users.is_empty() && http.unix_socket.is_none() {
                let text = format!(
                    "[access.principals.{name}] has users of this machine, who come through http.unix_socket alone: set it"
                );
                self.problem(Place::Whole, text);
            }
        }
    }

    fn principals(
        &mut self,
        raw: BTreeMap<Spanned<String>, RawPrincipal>,
    ) -> Vec<ConfiguredPrincipal> {
        if raw.len() > MAX_PRINCIPALS {
            let text = format!(
                "[access.principals] has {} principals, and may have {MAX_PRINCIPALS}: `rollcall token create` keeps \
                 more",
                raw.len()
            );
            self.problem(Place::Whole, text);
        }
        let mut principals: Vec<ConfiguredPrincipal> = Vec::new();
        for (name, raw) in raw {
            let place = self.place_of(&name);
            if let Err(reason) = check_name(name.get_ref()) {
                self.problem(place, format!("[access.principals] {reason}"));
                continue;
            }
            let Some(principal) = self.principal(name.get_ref(), place, &raw) else { continue };
            for other in &principals {
                let mut shared = principal.certificates.iter();
                if let Some(name) = shared.find(|name| other.certificates.contains(*name)) {
                    let (one, two) = (&other.name, &principal.name);
                    let text = format!(
                        "[access.principals.{two}] has the certificate `{name}` of {one}: one of them must go"
                    );
                    self.problem(place, text);
                }
                if let Some(uid) = principal.users.iter().find(|uid| other.users.contains(uid)) {
                    let (one, two) = (&other.name, &principal.name);
                    let text = format!(
                        "[access.principals.{two}] has the user {uid} of {one}: one of them must go"
                    );
                    self.problem(place, text);
                }
            }
            principals.push(principal);
        }
        principals
    }

    fn principal(
        &mut self,
        name: &str,
        place: Place,
        raw: &RawPrincipal,
    ) -> Option<ConfiguredPrincipal> {
        let key = |setting: &str| format!("access.principals.{name}.{setting}");
        let max_instances =
            self.optional_number(&MAX_INSTANCES, &key("max_instances"), &raw.max_instances);
        let max_lease_secs =
            self.optional_number(&MAX_LEASE_SECS, &key("max_lease_secs"), &raw.max_lease_secs);
        let words = ScopeWords {
            verbs: words(&raw.verbs),
            services: words(&raw.services),
            networks: words(&raw.networks),
            max_instances,
            max_lease_secs,
        };
        let scope = Scope::parse(&words);
        let certificates = match &raw.certificates {
            Some(given) => values(self.members(&key("certificates"), given, certificate_name)),
            None => Vec::new(),
        };
        let users = self.users(&key("users"), &raw.users);
        match scope {
            Ok(scope) => {
                Some(ConfiguredPrincipal { name: name.into(), scope, certificates, users })
            }
            Err((field, reason)) => {
                let given = match field {
                    "verbs" => &raw.verbs,
                    "services" => &raw.services,
                    _ => &raw.networks,
                };
                let place = given.as_ref().map_or(place, |given| self.place_of(given));
                self.problem(place, format!("{}: {reason}", key(field)));
                None
            }
        }
    }

    fn users(&mut self, key: &str, given: &Given<Vec<Spanned<i64>>>) -> Vec<u32> {
        let Some(given) = given else { return Vec::new() };
        let mut users = Vec::new();
        for uid in given.get_ref() {
            match u32::try_from(*uid.get_ref()) {
                Ok(uid) => users.push(uid),
                Err(_) => {
                    let place = self.place_of(uid);
                    let text =
                        format!("{key}: {} is no user id, as `id -u NAME` says it", uid.get_ref());
                    self.problem(place, text);
                }
            }
        }
        users
    }
}

fn beyond_loopback(listen: &[Placed<SocketAddr>]) -> impl Iterator<Item = &Placed<SocketAddr>> {
    listen.iter().filter(|placed| !placed.value.ip().to_canonical().is_loopback())
}

fn words(given: &List) -> Vec<&str> {
    let texts = given.as_ref().map(|given| &**given.get_ref()).unwrap_or_default();
    texts.iter().map(|text| &**text.get_ref()).collect()
}

fn certificate_name(text: &str) -> Result<Box<str>, String> {
    let known = CERTIFICATE_NAMES.iter().any(|kind| {
        text.strip_prefix(kind).is_some_and(|name| {
            !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_graphic())
        })
    });
    if !known {
        return Err("is no name in a certificate, such as `dns:web-1.example` or `uri:spiffe://example/web`".into());
    }
    Ok(match text.strip_prefix("dns:") {
        Some(name) => format!("dns:{}", name.to_ascii_lowercase()).into(),
        None => text.into(),
    })
}

fn key_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if key_id(&path).is_empty() {
        return Err("has no name before its first dot, and that is the key's id".into());
    }
    Ok(path)
}
