//! The door for Eureka's clients and servers, and how such clients find it by DNS.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use toml::Spanned;

use super::check::{Checker, Placed, values};
use super::error::Place;
use super::raw::{List, RawEureka, RawHttp};
use super::sections::is_true;
use crate::registry::ServiceName;

/// Regions at most, and zones of a region: a client asks for each zone of its region in turn.
const MAX_REGIONS: usize = 32;
const MAX_ZONES: usize = 32;
/// Servers of a zone at most: their names have to fit into a record of 65,535 octets with some room.
const MAX_SERVERS: usize = 64;
/// Octets of a server at most: it is one character-string (RFC 1035, section 3.3).
const MAX_SERVER_OCTETS: usize = 255;

/// The door for Eureka's clients and servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Eureka {
    /// Whether it is at the addresses of the HTTP door.
    pub on_http: bool,
    /// Addresses of its own.
    pub listen: Vec<SocketAddr>,
    /// The regions whose clients find their servers by DNS.
    pub regions: Vec<Region>,
}

/// A region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Its name: a label.
    pub name: String,
    /// The line of the configuration that names it.
    pub line: usize,
    /// Its zones, by name, with the names of their servers.
    pub zones: Vec<(String, Vec<String>)>,
}

impl Checker<'_> {
    /// `http` is what guards the door.
    pub(super) fn eureka(
        &mut self,
        raw: RawEureka,
        listen: Vec<Placed<SocketAddr>>,
        http: &RawHttp,
    ) -> Eureka {
        self.is_guarded(http, "eureka.listen", &listen);
        let on_http = raw.on_http.as_ref().is_none_or(|given| *given.get_ref());
        if !on_http && listen.is_empty() && raw.listen.is_some() {
            let place = self.place(&raw.on_http);
            let text =
                "eureka.on_http is false and eureka.listen is empty: leave eureka.listen out";
            self.problem(place, text);
        }
        let regions = self.regions(raw.regions);
        Eureka { on_http, listen: values(listen), regions }
    }

    fn regions(
        &mut self,
        raw: BTreeMap<Spanned<String>, BTreeMap<Spanned<String>, List>>,
    ) -> Vec<Region> {
        let mut regions = Vec::new();
        let mut all_zones: Vec<String> = Vec::new();
        for (region, zones) in raw {
            let place = self.place_of(&region);
            let name = self.label(&region, "eureka.regions");
            let key = format!("eureka.regions.{name}");
            if regions.len() == MAX_REGIONS {
                self.problem(place, format!("eureka.regions has more than {MAX_REGIONS} regions"));
                break;
            }
            if zones.is_empty() || zones.len() > MAX_ZONES {
                self.problem(place, format!("{key} must have 1 to {MAX_ZONES} zones"));
            }
            let mut named = Vec::new();
            for (zone, servers) in zones {
                let place = self.place_of(&zone);
                let zone = self.label(&zone, &key);
                if all_zones.contains(&zone) {
                    let text = format!("{key}.{zone}: the zone is in another region too");
                    self.problem(place, text);
                }
                all_zones.push(zone.clone());
                let servers = self.servers(&format!("{key}.{zone}"), place, servers);
                named.push((zone, servers));
            }
            regions.push(Region { name, line: place.line(), zones: named });
        }
        if let Some(both) = regions.iter().find(|region| all_zones.contains(&region.name)) {
            let text = format!(
                "eureka.regions.{0}: `{0}` is a region and a zone, which have one name in DNS: call one otherwise",
                both.name
            );
            self.problem(Place::Whole, text);
        }
        regions
    }

    /// A name that is a label as those of services are.
    fn label(&mut self, given: &Spanned<String>, key: &str) -> String {
        let name = given.get_ref();
        if let Err(invalid) = ServiceName::parse(name) {
            let shown = name.escape_debug();
            let place = self.place_of(given);
            self.problem(place, format!("{key}: `{shown}` {}", invalid.reason));
        }
        name.clone()
    }

    fn servers(&mut self, key: &str, place: Place, given: List) -> Vec<String> {
        let members = given.map(|given| self.members(key, &given, server)).unwrap_or_default();
        if members.is_empty() || members.len() > MAX_SERVERS {
            self.problem(place, format!("{key} must name 1 to {MAX_SERVERS} servers"));
        }
        values(members)
    }

    /// As the HTTP door is, whose rules hold here too.
    fn is_guarded(&mut self, http: &RawHttp, key: &str, listen: &[Placed<SocketAddr>]) {
        if is_true(&http.insecure_no_token) {
            return;
        }
        self.is_guarded_or_local(http, key, listen);
        if !is_true(&http.insecure_no_tls) {
            self.has_tls_or_is_local(key, listen);
        }
    }
}

/// A server as clients take it: a host name, an address, or a URL where all clients take one.
fn server(text: &str) -> Result<String, String> {
    let is_plain = |octet: u8| octet.is_ascii_graphic() && !matches!(octet, b'"' | b'\\');
    if text.is_empty() || text.len() > MAX_SERVER_OCTETS || !text.bytes().all(is_plain) {
        return Err(format!(
            "is no server: name a host, such as `eureka-1.example`, in at most {MAX_SERVER_OCTETS} octets without spaces"
        ));
    }
    Ok(text.to_owned())
}
