//! Why a name is answered as it is: on what ground the decision stands, and which instances belong to it.
//!
//! The ground is read off the decision itself, which is made anew as for any query; so it cannot say anything else than the
//! answer does. Whether an instance is in is the one thing that is told twice, here and by the records: a test compares
//! them.

use super::ahead::Ahead;
use super::decide::{self, End, Sources};
use super::frame::Encoded;
use super::parse::Question;
use crate::registry::{Instance, InstanceId, Protocol, RESERVED, ServiceName, tag_label};
use crate::view::wire::{self, Name};
use crate::view::zones::{Kind, Place, Zone, types};
use crate::view::{AnswerSettings, Listed, Sought};

/// What would be answered, and why.
#[derive(Debug)]
pub struct Explained {
    /// The reply in the buffer; nothing: others would have to be asked first.
    pub reply: Option<Encoded>,
    /// Why.
    pub ground: Ground,
}

/// On what an answer stands.
#[derive(Debug)]
pub struct Ground {
    /// The rule, in a word.
    pub rule: &'static str,
    /// The zone that the name is in.
    pub zone: Option<String>,
    /// The name that the rule is about: the one that was asked for, or to which aliases lead.
    pub name: Name,
    /// How many aliases of ours were followed.
    pub aliases: usize,
    /// What the name means beside the registry, by its form.
    pub meaning: Option<Meaning>,
    /// Where a zone file has it.
    pub place: Option<Place>,
    /// How answers of it are made, where the registry has it.
    pub settings: Option<AnswerSettings>,
    /// How many of those that answer are held by the brake.
    pub held: u32,
    /// The instances at an address, or that with this name of its own.
    pub instances: Vec<(ServiceName, InstanceId)>,
    /// Whether that instance is not listed any more, and its name lingers.
    pub lingers: bool,
    /// Seconds that it is remembered that there is nothing, where there is nothing.
    pub negative_ttl_secs: Option<u32>,
}

/// What a name in a zone with a registry means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// The zone itself.
    Apex,
    /// `S`: a service.
    Service(String),
    /// `_S._tcp`: the main port of a service's instances.
    MainPort(String, Protocol),
    /// `_P._tcp.S`: a named port of them.
    NamedPort(String, String),
    /// `L.S`: an instance by its label.
    Label(String, String),
    /// `T.S`: those with a tag or a version.
    Tag(String, String),
    /// None of these.
    Other,
}

impl Meaning {
    /// What labels below the zone mean; `is_label`: an instance has the name for its own.
    fn of(labels: &[&str], is_label: bool) -> Self {
        let own = |text: &&str| (*text).to_owned();
        match labels {
            [] => Self::Apex,
            [service] => Self::Service(own(service)),
            [service, "_tcp"] if service.starts_with('_') => {
                Self::MainPort(service[1..].to_owned(), Protocol::Tcp)
            }
            [service, "_udp"] if service.starts_with('_') => {
                Self::MainPort(service[1..].to_owned(), Protocol::Udp)
            }
            [label, service] if is_label => Self::Label(own(label), own(service)),
            [tag, service] => Self::Tag(own(tag), own(service)),
            [port, "_tcp", service] if port.starts_with('_') => {
                Self::NamedPort(port[1..].to_owned(), own(service))
            }
            _ => Self::Other,
        }
    }

    /// The service that it is about.
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::Service(service)
            | Self::MainPort(service, _)
            | Self::NamedPort(_, service)
            | Self::Label(_, service)
            | Self::Tag(_, service) => Some(service),
            Self::Apex | Self::Other => None,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Apex => "apex",
            Self::Service(_) => "service",
            Self::MainPort(..) => "main_port",
            Self::NamedPort(..) => "named_port",
            Self::Label(..) => "instance",
            Self::Tag(..) => "tag",
            Self::Other => "registry",
        }
    }

    /// Why an instance of the service does not belong to the name, if it does not.
    fn excludes(&self, instance: &Instance) -> Option<String> {
        let body = &instance.body;
        match self {
            Self::Service(_) | Self::Apex | Self::Other => None,
            Self::MainPort(_, protocol) => (body.protocol != *protocol)
                .then(|| format!("its main port is {}, not {protocol}", body.protocol)),
            Self::NamedPort(name, _) => {
                let has = body.ports.iter().any(|(port, _)| port.as_str() == name);
                (!has).then(|| format!("it has no port named {name}"))
            }
            Self::Label(label, _) => (instance.label.as_str() != label)
                .then(|| format!("the name is the instance's with the label {label}")),
            Self::Tag(label, _) => {
                let is_it = |tag: &str| tag_label(tag).is_some_and(|own| own == *label);
                let has = body.tags_and_version().any(is_it);
                (!has).then(|| format!("it has no tag or version {label}"))
            }
        }
    }
}

/// On what the answer to a question stands.
pub(super) fn ground(sources: Sources<'_>, question: &Question<'_>, ahead: &Ahead<'_>) -> Ground {
    let answer = decide::decide(sources, question, ahead);
    let name = answer.links.target().unwrap_or_else(|| question.name.clone());
    let zone = sources.zones.find(&name);
    let relative = zone.map(|zone| name.relative(name.labels(), zone.name().len()));
    let is_label = matches!(answer.end, End::Instance(..))
        || relative.is_some_and(|relative| {
            let sought = Sought::new(relative);
            sources.reader.name(sought).is_none() && sources.reader.label(sought).is_some()
        });
    let meaning = zone.filter(|zone| zone.kind() == Kind::Registry).map(|_| {
        let labels: Vec<_> = wire::labels_of(relative.unwrap_or_default())
            .map(|label| String::from_utf8_lossy(label).into_owned())
            .collect();
        let labels: Vec<_> = labels.iter().map(String::as_str).collect();
        Meaning::of(&labels, is_label)
    });
    let mut ground = Ground {
        rule: word(&answer.end, zone, relative, meaning.as_ref()),
        zone: zone.map(|zone| wire::text(zone.name())),
        aliases: answer.links.iter().count(),
        place: place(&answer.end, zone, relative),
        settings: None,
        held: 0,
        instances: Vec::new(),
        lingers: false,
        negative_ttl_secs: None,
        name,
        meaning,
    };
    ground.read(&answer.end);
    ground
}

impl Ground {
    /// What the end of the decision has to say.
    fn read(&mut self, end: &End<'_>) {
        let of = |instance: &Instance| (instance.service.clone(), instance.id.clone());
        match end {
            End::Registry(node, ..) => {
                self.settings = Some(node.settings);
                self.held = node.held;
            }
            End::Instance(labelled, ..) => {
                self.settings = Some(labelled.settings);
                self.held = labelled.held.into();
                self.lingers = labelled.cell.lease.is_dead();
                self.instances = vec![of(&labelled.cell.instance)];
            }
            End::Pointers(pointers, _) => {
                let cells = pointers.turn(crate::view::Taking::Look);
                self.instances = cells.map(|cell| of(&cell.instance)).collect();
            }
            End::NoData(zone) | End::NoName(zone) => {
                self.negative_ttl_secs = Some(zone.negative_ttl());
            }
            _ => {}
        }
    }
}

fn word(
    end: &End<'_>,
    zone: Option<&Zone>,
    relative: Option<&[u8]>,
    meaning: Option<&Meaning>,
) -> &'static str {
    let is_reserved = || match meaning {
        Some(Meaning::Service(name)) => RESERVED.contains(&name.as_str()),
        _ => false,
    };
    match end {
        End::Registry(..) | End::Instance(..) => meaning.map_or("registry", Meaning::word),
        End::Pointers(..) => "reverse",
        End::File(_) => {
            let is_there = zone.zip(relative).is_some_and(|(zone, relative)| {
                zone.data().node(relative).is_some_and(|node| !node.is_empty())
            });
            if is_there { "zone_file" } else { "wildcard" }
        }
        End::Soa(_) => "apex",
        End::Any(_) | End::AnyOfOthers => "any",
        End::Alias => "alias",
        End::Circle => "alias_loop",
        End::NoData(_) => "no_data",
        End::NoName(_) if is_reserved() => "reserved",
        End::NoName(_) => "no_name",
        End::Referral { .. } => "delegation",
        End::NotReady => "loading",
        End::NotOurs => "not_ours",
        End::Prohibited => "prohibited",
        End::Refused | End::NoQuestion | End::Limited | End::BadCookie | End::Problem(_) => {
            "refused"
        }
    }
}

/// Where a zone file has what answers.
fn place(end: &End<'_>, zone: Option<&Zone>, relative: Option<&[u8]>) -> Option<Place> {
    let (zone, relative) = zone.zip(relative)?;
    match end {
        End::Soa(_) => zone.data().apex_place().cloned(),
        End::File(_) | End::Referral { .. } | End::Alias | End::NoData(_) => {
            zone.data().place_of(relative).cloned()
        }
        _ => None,
    }
}

/// Whether each listed instance of the service is in the answer, and why or why not, in a sentence for people.
pub fn membership(meaning: &Meaning, rtype: u16, listed: &[Listed]) -> Vec<(bool, String)> {
    // Addresses are those of the best priority that has any.
    let best = match (meaning, rtype) {
        (Meaning::Label(..), _) => None,
        (_, types::A | types::AAAA) => {
            let able = listed.iter().filter(|one| out(meaning, rtype, one).is_none());
            able.map(|one| one.instance.body.priority).min()
        }
        _ => None,
    };
    let judge = |one: &Listed| {
        let priority = one.instance.body.priority;
        match (out(meaning, rtype, one), best) {
            (Some(why), _) => (false, why),
            (None, Some(best)) if priority > best => {
                (false, format!("its priority {priority} comes after {best}, which answers"))
            }
            (None, _) => (true, why_in(meaning, one)),
        }
    };
    listed.iter().map(judge).collect()
}

/// Why an instance is not in, whatever the others are.
fn out(meaning: &Meaning, rtype: u16, listed: &Listed) -> Option<String> {
    let instance = &*listed.instance;
    if let Some(why) = meaning.excludes(instance) {
        return Some(why);
    }
    let (answering, why) = listed.answering();
    if !answering && !matches!(meaning, Meaning::Label(..)) {
        return Some(why);
    }
    let has = |family: fn(&std::net::IpAddr) -> bool| instance.body.addresses.iter().any(family);
    let ports_alone = matches!(meaning, Meaning::MainPort(..) | Meaning::NamedPort(..));
    match rtype {
        types::SRV => None,
        types::A | types::AAAA if ports_alone => Some("the name has SRV records alone".to_owned()),
        types::A => (!has(std::net::IpAddr::is_ipv4)).then(|| "it has no IPv4 address".to_owned()),
        types::AAAA => {
            (!has(std::net::IpAddr::is_ipv6)).then(|| "it has no IPv6 address".to_owned())
        }
        _ => Some("instances have A, AAAA and SRV records alone".to_owned()),
    }
}

fn why_in(meaning: &Meaning, listed: &Listed) -> String {
    match (meaning, listed.answering()) {
        (Meaning::Label(..), (false, why)) => {
            format!("its own name is answered in every state; elsewhere it is not: {why}")
        }
        (_, (_, why)) => why,
    }
}
