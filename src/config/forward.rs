//! `[forward]`: whom names are asked that are not ours, for whom, and what is made of the answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use toml::Spanned;

use super::check::{Checker, Placed, values};
use super::error::Place;
use super::names;
use super::raw::{Given, RawForward, Rules};
use super::resolv_conf::reaches;
use super::sections::{CACHE_MIB, STALE_SECS};
use super::upstream::upstream;
use super::{CaFile, Forward, PrivateAddresses, Upstream};
use crate::access::{Prefix, Prefixes};

/// Zones that may have rules.
const MAX_RULES: usize = 1_000;
/// Whose names are forwarded unless somebody says so: this machine's programs.
const ALLOW: [&str; 2] = ["127.0.0.0/8", "::1/128"];

/// What a zone's rule is checked against.
pub(super) struct Own<'a> {
    /// Where this server listens.
    pub(super) listen: &'a [SocketAddr],
    /// The zones that are ours.
    pub(super) zones: &'a [String],
}

impl Own<'_> {
    /// Whether whoever asks this address asks us.
    fn is(&self, address: SocketAddr) -> bool {
        reaches(self.listen, address)
    }
}

impl Checker<'_> {
    pub(super) fn forward(&mut self, raw: &RawForward, own: &Own) -> Forward {
        let upstreams = match &raw.upstreams {
            Some(given) => self.upstreams("forward.upstreams", given, own),
            None => Vec::new(),
        };
        // It need not be there yet: whoever writes it may start after us.
        let resolv_conf = self.path("forward.resolv_conf", &raw.resolv_conf);
        if !upstreams.is_empty() && resolv_conf.is_some() {
            let place = self.place(&raw.resolv_conf).max(self.place(&raw.upstreams));
            self.problem(
                place,
                "forward.upstreams and forward.resolv_conf both say whom to ask: leave one of them out",
            );
        }
        let allow = match &raw.allow {
            Some(given) => {
                Prefixes::new(values(self.members("forward.allow", given, Prefix::parse)))
            }
            None => Forward::default().allow,
        };
        let rules = self.rules(&raw.rules, own);
        let mut all = upstreams.iter().chain(rules.values().flatten());
        let ca_file = self.ca_file(&raw.ca_file, all.any(Upstream::is_encrypted));
        Forward {
            upstreams,
            resolv_conf,
            rules,
            ca_file,
            allow,
            cache_mib: self.number(&CACHE_MIB, &raw.cache_mib),
            stale_secs: self.number(&STALE_SECS, &raw.stale_secs),
            private_addresses: self.private_addresses(raw),
        }
    }

    fn upstreams(
        &mut self,
        key: &str,
        given: &Spanned<Vec<Spanned<String>>>,
        own: &Own,
    ) -> Vec<Upstream> {
        let upstreams = self.members(key, given, upstream);
        for Placed { place, value: Upstream { address, .. } } in &upstreams {
            if own.is(*address) {
                let text = format!(
                    "{key}: this server itself listens on {address}, and would ask itself without \
                     end: name the server that is to be asked, or leave it out"
                );
                self.problem(*place, text);
            }
        }
        values(upstreams)
    }

    /// CAs are for those that have certificates.
    fn ca_file(&mut self, given: &Given<String>, is_of_use: bool) -> Option<CaFile> {
        let path = self.path("forward.ca_file", given)?;
        let shown = path.display().to_string();
        let wrong = match CaFile::read(path) {
            Ok(file) if is_of_use => return Some(file),
            Ok(_) => {
                "is for upstreams that are asked over TLS or HTTPS, and there are none: leave the key out"
                    .to_owned()
            }
            Err(reason) => reason,
        };
        let place = self.place(given);
        self.problem(place, format!("forward.ca_file: {shown} {wrong}"));
        None
    }

    fn rules(&mut self, raw: &Rules, own: &Own) -> BTreeMap<String, Vec<Upstream>> {
        if raw.len() > MAX_RULES {
            let text = format!("forward.rules has {} zones, and may have {MAX_RULES}", raw.len());
            self.problem(Place::Whole, text);
        }
        // In the order of the file, so that the later one of two is the one too many.
        let mut given: Vec<_> = raw.iter().collect();
        given.sort_by_key(|(zone, _)| zone.span().start);
        let mut rules = BTreeMap::new();
        for (zone, given) in given.into_iter().take(MAX_RULES) {
            let place = self.place_of(zone);
            let shown = zone.get_ref().escape_debug();
            let wrong = match names::rule_zone(zone.get_ref(), own.zones) {
                Err(reason) => Some(reason),
                Ok(name) => {
                    let key = format!("forward.rules: `{shown}`");
                    let upstreams = self.upstreams(&key, given, own);
                    let before = rules.insert(name, upstreams);
                    before.map(|_| "is there twice".to_owned())
                }
            };
            if let Some(reason) = wrong {
                self.problem(place, format!("forward.rules: `{shown}` {reason}"));
            }
        }
        rules
    }

    fn private_addresses(&mut self, raw: &RawForward) -> PrivateAddresses {
        let drops = match raw.private_addresses.as_ref().map(|given| given.get_ref().as_str()) {
            None | Some("keep") => false,
            Some("drop") => true,
            Some(other) => {
                let text = format!(
                    "forward.private_addresses: `{}` must be \"keep\" or \"drop\"",
                    other.escape_debug()
                );
                let place = self.place(&raw.private_addresses);
                self.problem(place, text);
                return PrivateAddresses::Keep;
            }
        };
        let except = match &raw.private_zones {
            Some(given) => values(self.members("forward.private_zones", given, names::any_zone)),
            None => Vec::new(),
        };
        if drops {
            return PrivateAddresses::Drop { except };
        }
        if !except.is_empty() {
            let place = self.place(&raw.private_zones);
            self.problem(
                place,
                "forward.private_zones names exceptions, and nothing is dropped: set \
                 forward.private_addresses = \"drop\", or leave the key out",
            );
        }
        PrivateAddresses::Keep
    }
}

impl Default for Forward {
    fn default() -> Self {
        Self {
            upstreams: Vec::new(),
            resolv_conf: None,
            rules: BTreeMap::new(),
            ca_file: None,
            allow: Prefixes::new(ALLOW.iter().filter_map(|text| Prefix::parse(text).ok())),
            cache_mib: CACHE_MIB.default,
            stale_secs: STALE_SECS.default,
            private_addresses: PrivateAddresses::Keep,
        }
    }
}

impl Forward {
    /// Whether anything is forwarded at all.
    pub fn is_on(&self) -> bool {
        !self.upstreams.is_empty()
            || self.resolv_conf.is_some()
            || self.rules.values().any(|upstreams| !upstreams.is_empty())
    }

    /// All upstreams that are named, of all names and of single zones, with the option that names them.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &Upstream)> {
        let all = self.upstreams.iter().map(|upstream| ("forward.upstreams", upstream));
        let rules = self.rules.values().flatten().map(|upstream| ("forward.rules", upstream));
        all.chain(rules)
    }
}

#[cfg(test)]
mod tests;
