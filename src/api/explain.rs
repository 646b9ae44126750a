//! Why a name is answered as it is: `GET /api/v1/explain`, for people and for the dashboard.
//!
//! The answer room says on what ground the decision stands; here it is put into words, beside who is listed and why each is
//! in or out. Nothing is changed by asking: no turn is taken, nobody upstream is asked.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::guard::Peer;
use super::problem::Problem;
use super::{Api, json};
use crate::access::Asker;
use crate::answer::explain::{Ground, Meaning, membership};
use crate::nearest::nearest;
use crate::registrar::{Listed, Registrar};
use crate::registry::InstanceId;

/// Instances that are told of at most: what people look through.
const MAX_TOLD: usize = 1_000;
/// Records of the answer that are told at most.
const MAX_RECORDS: usize = 1_000;
/// Services among which one with a similar name is looked for.
const MAX_NEAR: usize = 10_000;

/// Explains a name and a type, as people write them, to a client: what is wrong with which of the two, otherwise.
pub type Explain =
    Arc<dyn Fn(&str, &str, IpAddr) -> Result<Explanation, (&'static str, String)> + Send + Sync>;

/// What would be answered, and why.
#[derive(Debug)]
pub struct Explanation {
    /// The name that was asked for, with the final dot.
    pub name: String,
    /// The type.
    pub rtype: String,
    /// The reply; nothing: others would have to be asked first.
    pub reply: Option<Reply>,
    /// On what it stands.
    pub ground: Ground,
    /// Who is asked for names that are not ours.
    pub forward: Forward,
}

/// A reply, as text.
#[derive(Debug, Default)]
pub struct Reply {
    /// The code's name.
    pub rcode: String,
    /// The names of the flags.
    pub flags: Vec<&'static str>,
    /// Records that answer, in the order of the next turn.
    pub answer: Vec<String>,
    /// Records that name authorities.
    pub authority: Vec<String>,
    /// The least TTL of the records that answer.
    pub ttl_secs: Option<u32>,
    /// Extended DNS Errors.
    pub errors: Vec<String>,
    /// Which rules answered, part by part.
    pub answered_by: Vec<&'static str>,
    /// Octets of the whole reply.
    pub octets: usize,
    /// Whether it would go over UDP whole.
    pub fits_udp: bool,
}

/// Who is asked for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forward {
    /// Nobody: forwarding is off, or not for this client, or the name is ours.
    Off,
    /// Nobody: the configuration says so of the zone.
    Nobody,
    /// Nobody: names of this zone have the same answer everywhere.
    Special(&'static str),
    /// These, for the names of a zone.
    Upstreams {
        /// The zone.
        zone: String,
        /// Where they are and how they are spoken to.
        upstreams: String,
    },
}

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(explain))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ExplainQuery {
    /// The name; one without a dot is in the first zone.
    #[param(required = true)]
    name: Option<String>,
    /// The type; A if it is left out.
    r#type: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ExplanationView<'a> {
    name: &'a str,
    r#type: &'a str,
    zone: Option<&'a str>,
    rule: &'a str,
    because: String,
    rcode: Option<&'a str>,
    flags: &'a [&'static str],
    answered_by: &'a [&'static str],
    answer: &'a [String],
    more_records: usize,
    authority: &'a [String],
    ttl_secs: Option<u32>,
    ttl_because: Option<String>,
    errors: &'a [String],
    octets: Option<usize>,
    fits_udp: Option<bool>,
    service: Option<&'a str>,
    instances: Vec<MemberView<'a>>,
    more_instances: usize,
    did_you_mean: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct MemberView<'a> {
    service: &'a str,
    id: &'a str,
    label: &'a str,
    r#in: bool,
    why: String,
    state: &'static str,
    standing: &'static str,
    expires_in_ms: Option<u64>,
    #[schema(value_type = Vec<String>)]
    addresses: &'a [IpAddr],
    port: u16,
    weight: u16,
    priority: u16,
    revision: u64,
}

#[utoipa::path(
    get, path = "/api/v1/explain", tag = "events", summary = "Explain what a name would be answered with, and why",
    params(ExplainQuery),
    responses((status = 200, body = ExplanationView, description = "The answer and its reasons")),
)]
async fn explain(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Asker>,
    Extension(peer): Extension<Peer>,
    uri: Uri,
) -> Result<Response, Problem> {
    let ExplainQuery { name, r#type } = json::read_query(&uri)?;
    let name = name.ok_or_else(|| Problem::field("name", "is missing"))?;
    let config = api.config.get();
    let name = match (name.contains('.'), config.dns.zones.first()) {
        (false, Some(zone)) if !name.is_empty() => format!("{name}.{zone}"),
        _ => name,
    };
    let explained = (api.explain)(&name, r#type.as_deref().unwrap_or("A"), peer.ip());
    let explained = explained.map_err(|(field, detail)| Problem::field(field, detail))?;
    let Explanation { ground, reply, .. } = &explained;
    let service = ground.meaning.as_ref().and_then(Meaning::service);
    let registrar = match service {
        Some(service) => api.for_reading(&caller, service)?,
        None => api.for_listing(&caller)?,
    };
    let scope = caller.principal.scope();
    let told = Told::look_up(registrar, ground, &explained.rtype);
    let members =
        told.members.iter().filter(|(one, _)| scope.is_for(one.instance.service.as_str()));
    let nothing = Reply::default();
    let shown = reply.as_ref().unwrap_or(&nothing);
    let view = ExplanationView {
        name: &explained.name,
        r#type: &explained.rtype,
        zone: ground.zone.as_deref(),
        rule: rule(&explained),
        because: because(&explained, told.is_listed),
        rcode: reply.as_ref().map(|reply| &*reply.rcode),
        flags: &shown.flags,
        answered_by: &shown.answered_by,
        answer: shown.answer.get(..MAX_RECORDS).unwrap_or(&shown.answer),
        more_records: shown.answer.len().saturating_sub(MAX_RECORDS),
        authority: &shown.authority,
        ttl_secs: shown.ttl_secs,
        ttl_because: ttl_because(ground, shown),
        errors: &shown.errors,
        octets: reply.as_ref().map(|reply| reply.octets),
        fits_udp: reply.as_ref().map(|reply| reply.fits_udp),
        service,
        instances: members.map(MemberView::new).collect(),
        more_instances: told.more,
        did_you_mean: service.filter(|_| !told.is_listed).and_then(|service| {
            let all = registrar.services(None, MAX_NEAR);
            let names = all.iter().map(|one| one.service.as_str());
            nearest(service, names.filter(|name| scope.is_for(name)))
        }),
    };
    Ok(Json(view).into_response())
}

/// Who is listed of what the name is about.
struct Told {
    members: Vec<(Listed, (bool, String))>,
    more: usize,
    is_listed: bool,
}

impl Told {
    fn look_up(registrar: &Registrar, ground: &Ground, rtype: &str) -> Self {
        let rtype = match rtype {
            "A" => 1,
            "AAAA" => 28,
            "SRV" => 33,
            _ => 0,
        };
        let Some((meaning, service)) =
            ground.meaning.as_ref().and_then(|meaning| Some((meaning, meaning.service()?)))
        else {
            let named = ground.instances.iter();
            let listed =
                named.filter_map(|(service, id)| registrar.instance(service.as_str(), id.as_str()));
            let why = |one: Listed| (one, (true, "it has the address".to_owned()));
            return Self { members: listed.map(why).collect(), more: 0, is_listed: true };
        };
        let mut listed = Vec::new();
        let mut after: Option<InstanceId> = None;
        // Whole, since the best priority is that of all.
        while let Some(some) =
            registrar.instances(service, after.as_ref().map(InstanceId::as_str), MAX_TOLD)
            && let Some(last) = some.last()
        {
            after = Some(last.instance.id.clone());
            let is_last = some.len() < MAX_TOLD;
            listed.extend(some);
            if is_last {
                break;
            }
        }
        let judged = membership(meaning, rtype, &listed);
        let more = listed.len().saturating_sub(MAX_TOLD);
        let is_listed = !listed.is_empty();
        let members = listed.into_iter().zip(judged).take(MAX_TOLD).collect();
        Self { members, more, is_listed }
    }
}

impl<'a> MemberView<'a> {
    fn new((listed, (is_in, why)): &'a (Listed, (bool, String))) -> Self {
        let instance = &*listed.instance;
        Self {
            service: instance.service.as_str(),
            id: instance.id.as_str(),
            label: instance.label.as_str(),
            r#in: *is_in,
            why: why.clone(),
            state: instance.state().as_str(),
            standing: listed.standing.as_str(),
            expires_in_ms: listed.expires_in_ms,
            addresses: &instance.body.addresses,
            port: instance.body.port,
            weight: instance.body.weight,
            priority: instance.body.priority,
            revision: instance.revision,
        }
    }
}

/// The rule, in a word: names of others go by who answers them.
fn rule(explained: &Explanation) -> &'static str {
    match (&explained.forward, &explained.reply) {
        (Forward::Off, _) => explained.ground.rule,
        (_, Some(_)) => "cache",
        (Forward::Special(_), None) => "special",
        (Forward::Nobody, None) => "nobody",
        (Forward::Upstreams { .. }, None) => "forward",
    }
}

/// The rule, in a sentence.
fn because(explained: &Explanation, is_listed: bool) -> String {
    let Explanation { ground, forward, reply, .. } = explained;
    match (forward, reply) {
        (Forward::Off, _) => ours(ground, is_listed),
        (Forward::Upstreams { zone, upstreams }, reply) => {
            let now = if reply.is_some() {
                "the cache has what they said"
            } else {
                "they would be asked now"
            };
            format!("names in `{zone}` are forwarded to {upstreams}; {now}")
        }
        (Forward::Special(zone), _) => {
            format!("names in `{zone}` have the same answer everywhere: nobody is asked")
        }
        (Forward::Nobody, _) => "the configuration has nobody who is asked for it".to_owned(),
    }
}

fn ours(ground: &Ground, is_listed: bool) -> String {
    let place = ground.place.as_ref().map(|place| format!("{}, line {}", place.file, place.line));
    let file = place.unwrap_or_else(|| "what the zone has without a file".to_owned());
    let what = match &ground.meaning {
        Some(Meaning::Service(service)) => format!("the service `{service}`"),
        Some(Meaning::MainPort(service, protocol)) => {
            format!("the main ports over {protocol} of the service `{service}`")
        }
        Some(Meaning::NamedPort(port, service)) => {
            format!("the ports named `{port}` of the service `{service}`")
        }
        Some(Meaning::Label(label, service)) => {
            format!("the instance with the label `{label}` of the service `{service}`")
        }
        Some(Meaning::Tag(tag, service)) => {
            format!("the instances of the service `{service}` with the tag or version `{tag}`")
        }
        Some(Meaning::Apex | Meaning::Other) | None => "the name".to_owned(),
    };
    let told = match ground.rule {
        "reverse" => "the instances that have the address".to_owned(),
        "zone_file" | "apex" => format!("a zone file has it: {file}"),
        "wildcard" => "a wildcard of the zone file covers it".to_owned(),
        "delegation" => format!("the zone file delegates it: {file}"),
        "alias" => "it is an alias of a name that is not ours".to_owned(),
        "alias_loop" => "its aliases lead in circles".to_owned(),
        "any" => "questions of type ANY have one answer (RFC 8482)".to_owned(),
        "reserved" => "the name is reserved: clients look it up on their own account".to_owned(),
        "no_data" => format!("{what} is there, and has no records of this type now"),
        "no_name" if is_listed => format!("{what}: there are none"),
        "no_name" => format!("{what} is not listed, and no zone file has it"),
        "loading" => "the registry is being loaded: it may yet be there".to_owned(),
        "not_ours" => "it is in none of our zones, and nobody is asked".to_owned(),
        "prohibited" => {
            "it is in none of our zones, and others are not asked for this client".to_owned()
        }
        "refused" => "such questions are not answered here".to_owned(),
        _ if ground.lingers => format!("{what} has gone, and its name is answered one TTL longer"),
        _ => what,
    };
    match ground.aliases {
        0 => told,
        1 => format!("an alias leads to `{}`: {told}", crate::view::wire::text(ground.name.wire())),
        many => format!(
            "{many} aliases lead to `{}`: {told}",
            crate::view::wire::text(ground.name.wire())
        ),
    }
}

/// Why the TTL is what it is.
fn ttl_because(ground: &Ground, reply: &Reply) -> Option<String> {
    if let Some(secs) = ground.negative_ttl_secs {
        return Some(format!("nothing is remembered for {secs} s"));
    }
    let (ttl, settings) = (reply.ttl_secs?, ground.settings?);
    Some(if ttl >= settings.ttl_secs {
        format!("records of the service have a TTL of {} s", settings.ttl_secs)
    } else if ground.held > 0 {
        "the brake holds instances, whose leases are over".to_owned()
    } else {
        format!("the least lease among them ends in about {ttl} s")
    })
}
