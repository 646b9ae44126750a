//! What SIGHUP changes: the settings that can change while the server runs.

use std::net::SocketAddr;

use super::resolv_conf::reaches;
use super::{
    Access, Answers, Audit, Config, Dns, Dnstap, Eureka, History, Http, Log, QueryLog, Store, Udp,
};

impl Config {
    /// What the running configuration (`self`) becomes when the file says `new`, and a line for the log for
    /// each setting that only a restart can change.
    ///
    /// Zones, zone files, the addresses of `ns`, the server's name, answers, limits on them, services, forwarding, leases,
    /// the token, the keys, principals, the cookies' secret, the certificates, where clients of Eureka find servers and the log's level change. Sockets, threads, the data
    /// directory and what a door lets in unasked stay.
    pub fn reload_from(&self, new: &Config) -> (Config, Vec<String>) {
        let mut kept = Vec::new();
        let mut merged = Config {
            dns: Dns {
                zones: new.dns.zones.clone(),
                zone_dir: new.dns.zone_dir.clone(),
                reverse_zones: new.dns.reverse_zones.clone(),
                ns_addresses: new.dns.ns_addresses.clone(),
                nsid: new.dns.nsid.clone(),
                cookie_secret_file: new.dns.cookie_secret_file.clone(),
                tls_cert_file: new.dns.tls_cert_file.clone(),
                tls_key_file: new.dns.tls_key_file.clone(),
                ..self.dns.clone()
            },
            http: Http {
                token_file: new.http.token_file.clone(),
                tls_cert_file: new.http.tls_cert_file.clone(),
                tls_key_file: new.http.tls_key_file.clone(),
                tls_client_ca_file: new.http.tls_client_ca_file.clone(),
                ..self.http.clone()
            },
            udp: Udp { key_files: new.udp.key_files.clone(), ..self.udp.clone() },
            access: Access {
                principals: new.access.principals.clone(),
                reserved_secs: self.access.reserved_secs,
            },
            audit: self.audit.clone(),
            eureka: Eureka { listen: self.eureka.listen.clone(), ..new.eureka.clone() },
            unguarded: self.unguarded.clone(),
            lease: new.lease,
            answers: new.answers,
            rate_limit: new.rate_limit.clone(),
            services: new.services.clone(),
            forward: new.forward.clone(),
            history: self.history,
            query_log: self.query_log.clone(),
            dnstap: self.dnstap.clone(),
            metrics: new.metrics,
            store: self.store.clone(),
            log: Log { level: new.log.level.clone(), json: self.log.json },
        };
        self.keep_doors_shut(&mut merged, &mut kept);
        self.keep_a_certificate(&mut merged, &mut kept);
        self.keep_the_http_certificate(&mut merged, &mut kept);
        self.keep_out_of_a_loop(&mut merged, &mut kept);
        self.note_kept(new, &mut kept);
        (merged, kept)
    }

    /// A file that is right by itself (on loopback, without a token) must not open a door that still listens
    /// where the old one did.
    fn keep_doors_shut(&self, merged: &mut Config, kept: &mut Vec<String>) {
        let outside = |listen: &[SocketAddr]| {
            listen.iter().any(|address| !address.ip().to_canonical().is_loopback())
        };
        let Http { listen, tls_listen, token_file, insecure_no_token, .. } = &mut merged.http;
        if (outside(listen) || outside(tls_listen))
            && token_file.is_none()
            && self.http.token_file.is_some()
            && !*insecure_no_token
        {
            token_file.clone_from(&self.http.token_file);
            kept.push(
                "http.token_file stays until a restart: the HTTP door is not on loopback".into(),
            );
        }
        let Udp { listen, key_files, insecure_unsigned } = &mut merged.udp;
        if outside(listen)
            && key_files.is_empty()
            && !self.udp.key_files.is_empty()
            && !*insecure_unsigned
        {
            key_files.clone_from(&self.udp.key_files);
            kept.push(
                "udp.key_files stays until a restart: the datagram door is not on loopback".into(),
            );
        }
    }

    /// A file that is right by itself (without a door that needs a certificate) must not take it from those that are
    /// open.
    fn keep_a_certificate(&self, merged: &mut Config, kept: &mut Vec<String>) {
        if self.dns.certificate_files().is_some() && merged.dns.certificate_files().is_none() {
            merged.dns.tls_cert_file.clone_from(&self.dns.tls_cert_file);
            merged.dns.tls_key_file.clone_from(&self.dns.tls_key_file);
            kept.push(
                "dns.tls_cert_file and dns.tls_key_file stay until a restart: a door needs them"
                    .into(),
            );
        }
    }

    /// The same for the HTTP door; and a certificate that clients had to show is asked for until a restart.
    fn keep_the_http_certificate(&self, merged: &mut Config, kept: &mut Vec<String>) {
        if self.http.certificate_files().is_some() && merged.http.certificate_files().is_none() {
            merged.http.tls_cert_file.clone_from(&self.http.tls_cert_file);
            merged.http.tls_key_file.clone_from(&self.http.tls_key_file);
            kept.push(
                "http.tls_cert_file and http.tls_key_file stay until a restart: the door needs them"
                    .into(),
            );
        }
        if self.http.tls_client_ca_file.is_some() != merged.http.tls_client_ca_file.is_some() {
            merged.http.tls_client_ca_file.clone_from(&self.http.tls_client_ca_file);
            kept.push("http.tls_client_ca_file comes and goes with a restart".into());
        }
    }

    /// A file that is right by itself (with other addresses to listen on) must not have the server ask itself where it
    /// still listens.
    fn keep_out_of_a_loop(&self, merged: &mut Config, kept: &mut Vec<String>) {
        let listen = self.dns.all_listen();
        let own = merged.forward.named().find(|(_, up)| reaches(&listen, up.address));
        if let Some((key, own)) = own {
            kept.push(format!(
                "[forward] stays until a restart: {} in {key} is where this server listens now",
                own.address
            ));
            merged.forward = self.forward.clone();
        }
    }

    fn note_kept(&self, new: &Config, kept: &mut Vec<String>) {
        // Taken apart in full: a new setting must be put on one of the two sides to compile.
        let Config {
            dns,
            http,
            udp,
            access,
            audit,
            eureka,
            unguarded: _,
            lease: _,
            answers,
            rate_limit: _,
            services: _,
            forward: _,
            history,
            query_log,
            dnstap,
            metrics: _,
            store,
            log,
        } = self;
        let Answers { ttl_secs: _, max_answers: _, negative_ttl_secs: _ } = answers;
        let Dns {
            listen: dns_listen,
            workers,
            spin_micros,
            zones: _,
            zone_dir: _,
            reverse_zones: _,
            ns_addresses: _,
            tcp_max_connections,
            tcp_max_per_client,
            tcp_idle_secs,
            nsid: _,
            cookie_secret_file: _,
            tls_listen,
            https_listen,
            quic_listen,
            tls_cert_file: _,
            tls_key_file: _,
        } = dns;
        let Http {
            listen: http_listen,
            token_file: _,
            tls_listen: http_tls_listen,
            tls_cert_file: _,
            tls_key_file: _,
            tls_client_ca_file: _,
            unix_socket,
            host_names,
            insecure_no_token,
            insecure_no_tls,
        } = http;
        let Access { reserved_secs, principals: _ } = access;
        let Audit { file: audit_file } = audit;
        let Eureka { on_http: _, listen: eureka_listen, regions: _ } = eureka;
        let Udp { listen: udp_listen, key_files: _, insecure_unsigned } = udp;
        let History { events, events_a_service } = history;
        let QueryLog { file: query_log_file, one_in: query_log_one_in, networks_only } = query_log;
        let Dnstap { socket, one_in: dnstap_one_in, identity } = dnstap;
        let Store { data_dir } = store;
        let Log { level: _, json } = log;
        macro_rules! note {
            ($($key:literal: $old:ident, $new:expr;)+) => {
                $(if *$old != $new {
                    kept.push(format!(
                        "{} stays {:?} until a restart; the file says {:?}", $key, $old, $new
                    ));
                })+
            };
        }
        note! {
            "dns.listen": dns_listen, new.dns.listen;
            "dns.workers": workers, new.dns.workers;
            "dns.spin_micros": spin_micros, new.dns.spin_micros;
            "dns.tcp_max_connections": tcp_max_connections, new.dns.tcp_max_connections;
            "dns.tcp_max_per_client": tcp_max_per_client, new.dns.tcp_max_per_client;
            "dns.tcp_idle_secs": tcp_idle_secs, new.dns.tcp_idle_secs;
            "dns.tls_listen": tls_listen, new.dns.tls_listen;
            "dns.https_listen": https_listen, new.dns.https_listen;
            "dns.quic_listen": quic_listen, new.dns.quic_listen;
            "http.listen": http_listen, new.http.listen;
            "http.tls_listen": http_tls_listen, new.http.tls_listen;
            "http.unix_socket": unix_socket, new.http.unix_socket;
            "http.insecure_no_tls": insecure_no_tls, new.http.insecure_no_tls;
            "access.reserved_secs": reserved_secs, new.access.reserved_secs;
            "eureka.listen": eureka_listen, new.eureka.listen;
            "audit.file": audit_file, new.audit.file;
            "http.host_names": host_names, new.http.host_names;
            "http.insecure_no_token": insecure_no_token, new.http.insecure_no_token;
            "udp.listen": udp_listen, new.udp.listen;
            "udp.insecure_unsigned": insecure_unsigned, new.udp.insecure_unsigned;
            "query_log.file": query_log_file, new.query_log.file;
            "query_log.one_in": query_log_one_in, new.query_log.one_in;
            "query_log.networks_only": networks_only, new.query_log.networks_only;
            "dnstap.socket": socket, new.dnstap.socket;
            "dnstap.one_in": dnstap_one_in, new.dnstap.one_in;
            "dnstap.identity": identity, new.dnstap.identity;
            "history.events": events, new.history.events;
            "history.events_a_service": events_a_service, new.history.events_a_service;
            "store.data_dir": data_dir, new.store.data_dir;
            "log.json": json, new.log.json;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{defaults, load};

    #[test]
    fn a_reload_takes_what_can_change() {
        let running = defaults();
        let new = load(
            "dns.listen = ['127.0.0.1:53']\ndns.zones = ['a']\nanswers.ttl_secs = 7\n\
             services.web.max_answers = 1\nlease.min_secs = 3\nhttp.token_file = '/t'\nlog.level = 'warn'\n\
             dns.reverse_zones = ['10.in-addr.arpa']\nudp.key_files = ['/k']\nlog.json = true\n\
             dns.nsid = 'a'\ndns.cookie_secret_file = '/c'\n\
             rate_limit = { responses_per_second = 1, exempt = ['10.0.0.0/8'] }\n",
        )
        .unwrap();
        let (merged, kept) = running.reload_from(&new);
        let mut expected = new;
        expected.dns.listen = running.dns.listen.clone();
        expected.log.json = false;
        assert_eq!(merged, expected);
        assert_eq!(
            kept,
            [
                "dns.listen stays [127.0.0.1:5300] until a restart; the file says [127.0.0.1:53]",
                "log.json stays false until a restart; the file says true",
            ]
        );
        let (merged, kept) = running.reload_from(&running);
        assert_eq!((merged, kept), (running, vec![]));
    }

    #[test]
    fn a_reload_changes_forwarding_and_makes_no_loop() {
        let running = defaults();
        let new = load(
            "[forward]\nupstreams = ['192.0.2.53']\nrules = { corp = [] }\nallow = []\ncache_mib = 1\n\
             stale_secs = 0\nprivate_addresses = 'drop'",
        )
        .unwrap();
        assert_eq!(running.reload_from(&new), (new.clone(), vec![]));
        for (key, line) in [
            ("forward.upstreams", "upstreams = ['127.0.0.1:5300']"),
            ("forward.rules", "rules = { corp = ['127.0.0.1:5300'] }"),
        ] {
            let text = format!("dns.listen = ['127.0.0.1:53']\n[forward]\n{line}");
            let (merged, kept) = running.reload_from(&load(&text).unwrap());
            assert_eq!(merged, running);
            let stays = "[forward] stays until a restart: 127.0.0.1:5300 in";
            assert_eq!(kept[0], format!("{stays} {key} is where this server listens now"));
        }
    }

    #[test]
    fn a_reload_changes_the_certificate_and_takes_none_away() {
        let running = load(
            "dns.tls_listen = ['127.0.0.1:853']\ndns.tls_cert_file = '/c'\ndns.tls_key_file = '/k'",
        )
        .unwrap();
        let new = load("dns.tls_cert_file = '/d'\ndns.tls_key_file = '/l'").unwrap();
        let (merged, kept) = running.reload_from(&new);
        assert_eq!(merged.dns.tls_cert_file, Some("/d".into()));
        assert_eq!(merged.dns.tls_key_file, Some("/l".into()));
        assert_eq!(
            kept,
            ["dns.tls_listen stays [127.0.0.1:853] until a restart; the file says []"]
        );
        let (merged, kept) = running.reload_from(&defaults());
        assert_eq!(merged, running);
        assert!(kept[0].contains("dns.tls_cert_file and dns.tls_key_file stay"), "{kept:?}");
    }

    #[test]
    fn a_reload_opens_no_door() {
        let running = load(
            "http.listen = ['0.0.0.0:80']\nhttp.token_file = '/t'\nhttp.insecure_no_tls = true\n\
             udp.listen = ['0.0.0.0:80']\nudp.key_files = ['/k']",
        )
        .unwrap();
        for new in ["", "http.insecure_no_token = true\nudp.insecure_unsigned = true"] {
            let (merged, kept) = running.reload_from(&load(new).unwrap());
            assert_eq!(merged, running);
            assert_eq!(
                kept[0],
                "http.token_file stays until a restart: the HTTP door is not on loopback"
            );
            assert_eq!(
                kept[1],
                "udp.key_files stays until a restart: the datagram door is not on loopback"
            );
        }
    }
}
