//! From the configuration and the zone files to what the view serves.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use crate::config::{Config, Eureka};
use crate::dns::zone_file;
use crate::view::zones::{Conflict, FileZone, Text, TextValue, ZoneSettings};
use crate::view::{AnswerSettings, Settings, View, Zones, names_of};

/// Services and instances that are looked at in one go.
const PAGE: usize = 1_000;

/// The zones of a configuration with their zone files; the errors name file and line.
pub(super) fn load(config: &Config) -> Result<Zones, Vec<String>> {
    load_from(config, config.dns.zone_dir.as_deref())
}

/// The same with the zone files of another directory.
pub(super) fn load_from(config: &Config, dir: Option<&Path>) -> Result<Zones, Vec<String>> {
    build(config, read(dir)?)
}

/// The same without some of the zone files.
pub(super) fn load_without(config: &Config, left_out: &[Arc<str>]) -> Result<Zones, Vec<String>> {
    let mut files = read(config.dns.zone_dir.as_deref())?;
    files.retain(|file| !left_out.contains(file.file()));
    build(config, files)
}

fn read(dir: Option<&Path>) -> Result<Vec<FileZone>, Vec<String>> {
    let files = dir.map_or(Ok(Vec::new()), zone_file::load_dir);
    files.map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn build(config: &Config, files: Vec<FileZone>) -> Result<Zones, Vec<String>> {
    let dns = &config.dns;
    let listeners: Vec<IpAddr> = dns.listen.iter().map(|address| address.ip()).collect();
    let ns_addresses = if dns.ns_addresses.is_empty() { &listeners } else { &dns.ns_addresses };
    let texts = texts(&config.eureka);
    let settings = ZoneSettings {
        zones: &dns.zones,
        reverse_zones: &dns.reverse_zones,
        negative_ttl_secs: config.answers.negative_ttl_secs,
        ns_addresses,
        texts: &texts,
    };
    Zones::build(&settings, files)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

/// The names by which clients of Eureka look for their servers: those of a region say which zones it has, those of a zone
/// its servers. Each is one record of a character-string a value, since some clients read the first record only, and others
/// take each string for a name.
fn texts(eureka: &Eureka) -> Vec<Text> {
    let text = |name: &str, line, values| Text { name: format!("txt.{name}"), values, line };
    let mut texts = Vec::new();
    for region in &eureka.regions {
        let zones = region.zones.iter().map(|(zone, _)| TextValue::NameInZone(zone.clone()));
        texts.push(text(&region.name, region.line, zones.collect()));
        for (zone, servers) in &region.zones {
            let servers = servers.iter().cloned().map(TextValue::Plain).collect();
            texts.push(text(zone, region.line, servers));
        }
    }
    texts
}

/// How answers are made.
pub(super) fn settings(config: &Config) -> Settings {
    let answers = &config.answers;
    let default = AnswerSettings { ttl_secs: answers.ttl_secs, max_answers: answers.max_answers };
    let services = config.services.iter().map(|(service, own)| {
        let ttl_secs = own.ttl_secs.unwrap_or(default.ttl_secs);
        let max_answers = own.max_answers.unwrap_or(default.max_answers);
        (service.clone(), AnswerSettings { ttl_secs, max_answers })
    });
    let services: HashMap<_, _> = services.collect();
    Settings { default, services, reverse: !config.dns.reverse_zones.is_empty() }
}

/// The first name of a listed instance that zones would cover.
pub(super) fn conflict(zones: &Zones, view: &View) -> Option<Conflict> {
    if !zones.may_conflict() {
        return None;
    }
    let now = crate::view::LeaseTime::default();
    let mut service: Option<String> = None;
    loop {
        let services = view.services(service.as_deref(), PAGE);
        service = Some(services.last()?.service.to_string());
        for summary in services {
            let mut id: Option<String> = None;
            while let Some(page) =
                view.instances(summary.service.as_str(), id.as_deref(), PAGE, now)
                && let Some(last) = page.last()
            {
                id = Some(last.instance.id.to_string());
                let mut names = page.iter().map(|listed| names_of(&listed.instance));
                if let Some(conflict) = names.find_map(|names| zones.conflict(&names)) {
                    return Some(conflict);
                }
            }
        }
    }
}
