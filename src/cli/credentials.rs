//! `rollcall token` and `rollcall key`: who may what, while the server runs and before it does.
//!
//! With `--config` or `--data-dir` they work on the data directory itself, which no server may have then; else they ask
//! the server.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::connect::Connect;
use super::failure::{Failure, complain};
use super::output::{self, finish, json_line, stdout};
use super::table::Table;
use crate::access::{self, Kind, ScopeWords, Wish};
use crate::server::{self, Given};
use crate::sidecar::messages::{Creation, Issued, Kept, Principal, Scope};

/// What is done.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make one for a principal, and write its secret to standard output, once
    Create(Create),
    /// Show them, without their secrets
    List(Place),
    /// Take one away; it is of no use from then on
    Revoke {
        /// Its id, as `list` shows it
        id: String,
        #[command(flatten)]
        place: Place,
    },
}

/// Where grants are looked for, if not at the server.
#[derive(Debug, Default, clap::Args)]
struct Place {
    /// Work on the data directory that this configuration names; no server may run on it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Work on this data directory; no server may run on it
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Create {
    /// The principal: who has it. A second one for the same principal needs no scope
    principal: String,
    /// What it may do: read, register (renew, declare and deregister too), override, admin (everything)
    #[arg(long = "verb", value_name = "VERB", value_delimiter = ',')]
    verbs: Vec<String>,
    /// To which services: a name, `pay-*` for names that begin so, `*` for all
    #[arg(long = "service", value_name = "PATTERN", value_delimiter = ',')]
    services: Vec<String>,
    /// The networks that its instances' addresses must be in [default: any]
    #[arg(long = "network", value_name = "PREFIX", value_delimiter = ',')]
    networks: Vec<String>,
    /// Instances that it may have at most
    #[arg(long, value_name = "N")]
    max_instances: Option<u32>,
    /// Its longest lease in seconds
    #[arg(long, value_name = "SECS")]
    max_lease: Option<u32>,
    /// When it ends, as in `90d` or `12h` [default: when it is revoked]
    #[arg(long, value_name = "TIME", value_parser = span)]
    expires_in: Option<Duration>,
    /// Write the secret to this new file, for its owner alone; a key's into a directory goes to ID.key
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// As the server has it: a hundred years.
const MAX_SPAN: Duration = Duration::from_secs(3_155_760_000);

/// A span of time as people write it.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(span) if span > MAX_SPAN => Err("must be a hundred years at most".into()),
        Ok(span) if span >= Duration::from_secs(1) => Ok(span),
        Ok(_) => Err("must be at least a second".into()),
        Err(error) => Err(format!("{error}; write it as in `90d`, `12h` or `30min`")),
    }
}

impl Place {
    fn given(&self) -> Option<Given> {
        let Self { config, data_dir } = self;
        if config.is_none() && data_dir.is_none() {
            return None;
        }
        Some(Given { config: config.clone(), data_dir: data_dir.clone(), ..Given::default() })
    }
}

/// Does it.
pub(super) async fn run(connect: &Connect, kind: Kind, args: Args) -> Result<(), Failure> {
    match args.what {
        What::Create(create) => run_create(connect, kind, create).await,
        What::List(place) => {
            let principals = match place.given() {
                Some(given) => stored(&given)?,
                None => connect.client()?.principals().await?,
            };
            list(connect.json, kind, &principals)
        }
        What::Revoke { id, place } => {
            match place.given() {
                Some(given) => server::revoke(&given, kind, &id).map_err(Failure::failed)?,
                None => connect.client()?.revoke(path(kind), &id).await?,
            }
            let word = kind.as_str();
            output::result(
                connect.json,
                &json!({ "id": id }),
                &format!("the {word} {id} is revoked"),
            )
        }
    }
}

async fn run_create(connect: &Connect, kind: Kind, create: Create) -> Result<(), Failure> {
    // Before anything is made that would be lost.
    if let Some(out) = create.out.as_deref().filter(|out| out.exists() && !out.is_dir()) {
        let shown = out.display();
        return Err(Failure::usage(format!("{shown} is there already: name a new file (--out)")));
    }
    let issued = match create.place.given() {
        Some(given) => create_here(&given, kind, &create)?,
        None => {
            let creation = Creation {
                scope: create.scope(),
                expires_in_secs: create.expires_in.map(|span| span.as_secs()),
            };
            connect.client()?.create(path(kind), &create.principal, &creation).await?
        }
    };
    let secret = issued.token.as_ref().or(issued.key.as_ref()).cloned().unwrap_or_default();
    let word = kind.as_str();
    if let Some(out) = &create.out {
        let file = write_secret(out, kind, &issued.id, &secret)?;
        let mut told = issued.clone();
        (told.token, told.key) = (None, None);
        let text = format!("{word} {} of {} is in {}", issued.id, issued.principal, file.display());
        return output::result(connect.json, &told, &text);
    }
    if !connect.json {
        complain(&format!(
            "{word} {} of {}; this is the only time that it is shown",
            issued.id, issued.principal
        ));
    }
    output::result(connect.json, &issued, &secret)
}

impl Create {
    /// None if nothing of one is given.
    fn scope(&self) -> Option<Scope> {
        let Self { verbs, services, networks, max_instances, max_lease, .. } = self;
        let is_given = !(verbs.is_empty() && services.is_empty() && networks.is_empty())
            || max_instances.is_some()
            || max_lease.is_some();
        is_given.then(|| Scope {
            verbs: verbs.clone(),
            services: services.clone(),
            networks: networks.clone(),
            max_instances: *max_instances,
            max_lease_secs: *max_lease,
        })
    }
}

fn create_here(given: &Given, kind: Kind, create: &Create) -> Result<Issued, Failure> {
    let scope = create.scope().map(|scope| {
        let words = ScopeWords {
            verbs: scope.verbs.iter().map(String::as_str).collect(),
            services: scope.services.iter().map(String::as_str).collect(),
            networks: scope.networks.iter().map(String::as_str).collect(),
            max_instances: scope.max_instances,
            max_lease_secs: scope.max_lease_secs,
        };
        access::Scope::parse(&words)
            .map_err(|(field, reason)| Failure::usage(format!("{field}: {reason}")))
    });
    let ends = create.expires_in.map(|span| millis(SystemTime::now() + span));
    let wish = Wish {
        kind,
        principal: &create.principal,
        scope: scope.transpose()?,
        expires_unix_ms: ends,
    };
    let issued = server::grant(given, wish).map_err(Failure::failed)?;
    let secret = Some(issued.secret);
    Ok(Issued {
        principal: create.principal.clone(),
        id: issued.id.into(),
        token: secret.clone().filter(|_| kind == Kind::Token),
        key: secret.filter(|_| kind == Kind::Key),
        expires_unix_ms: ends,
    })
}

/// A new file for its owner alone: one that is there may be somebody's token.
fn write_secret(out: &Path, kind: Kind, id: &str, secret: &str) -> Result<PathBuf, Failure> {
    let file = match kind {
        Kind::Key if out.is_dir() => out.join(format!("{id}.key")),
        _ => out.to_path_buf(),
    };
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file);
    let written = opened.and_then(|mut opened| writeln!(opened, "{secret}"));
    written.map_err(|error| {
        Failure::failed(format!(
            "{} cannot be written: {error}; the {} {id} was made and is lost: revoke it",
            file.display(),
            kind.as_str()
        ))
    })?;
    Ok(file)
}

/// What the data directory grants, as the server would show it.
fn stored(given: &Given) -> Result<Vec<Principal>, Failure> {
    let (grants, configured) = server::grants(given).map_err(Failure::failed)?;
    let left_over = grants.kept.values().map(|kept| (kept.principal.clone(), None));
    let mut scopes: BTreeMap<_, _> = left_over.collect();
    scopes
        .extend(grants.principals.iter().map(|(name, scope)| (name.clone(), Some(scope.clone()))));
    scopes.extend(configured.principals.into_iter().map(|known| (known.name, Some(known.scope))));
    let now = millis(SystemTime::now());
    let of = |principal: &str, kind: Kind| -> Vec<Kept> {
        let all = grants.kept.values();
        let own = all.filter(|kept| *kept.principal == *principal && kept.kind == kind);
        let shown = own.map(|kept| Kept {
            id: kept.id.to_string(),
            created_unix_ms: kept.created_unix_ms,
            expires_unix_ms: kept.expires_unix_ms,
            expired: kept.is_over(now),
        });
        shown.collect()
    };
    let shown = scopes.iter().map(|(name, scope)| Principal {
        name: name.to_string(),
        scope: scope.as_ref().map(|scope| Scope {
            verbs: scope.verbs.named().map(|verb| verb.as_str().to_owned()).collect(),
            services: scope.services.iter().map(ToString::to_string).collect(),
            networks: scope.networks.iter().map(ToString::to_string).collect(),
            max_instances: scope.max_instances,
            max_lease_secs: scope.max_lease_secs,
        }),
        tokens: of(name, Kind::Token),
        keys: of(name, Kind::Key),
    });
    Ok(shown.collect())
}

fn list(json: bool, kind: Kind, principals: &[Principal]) -> Result<(), Failure> {
    let mut out = stdout();
    if json {
        json_line(&mut out, &json!({ "principals": principals }))?;
        return finish(out);
    }
    let head = ["ID", "PRINCIPAL", "VERBS", "SERVICES", "NETWORKS", "INSTANCES", "LEASE", "ENDS"];
    let mut table = Table::new(head);
    for principal in principals {
        let kept = if kind == Kind::Token { &principal.tokens } else { &principal.keys };
        for kept in kept {
            let Some(scope) = &principal.scope else {
                let nothing = || "-".to_owned();
                let [verbs, services, networks, instances, lease] =
                    std::array::from_fn(|_| nothing());
                table.row([
                    kept.id.clone(),
                    principal.name.clone(),
                    verbs,
                    services,
                    networks,
                    instances,
                    lease,
                    "good for nothing".into(),
                ]);
                continue;
            };
            let Scope { verbs, services, networks, max_instances, max_lease_secs } = scope;
            table.row([
                kept.id.clone(),
                principal.name.clone(),
                verbs.join(","),
                services.join(","),
                if networks.is_empty() { "any".into() } else { networks.join(",") },
                max_instances.map_or_else(|| "any".into(), |most| format!("≤ {most}")),
                max_lease_secs.map_or_else(|| "any".into(), |most| format!("≤ {most} s")),
                ends(kept),
            ]);
        }
    }
    table.write(&mut out)?;
    finish(out)
}

fn ends(kept: &Kept) -> String {
    match kept.expires_unix_ms {
        None => "never".into(),
        Some(_) if kept.expired => "has ended".into(),
        Some(ms) => {
            let at = SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
            humantime::format_rfc3339_seconds(at).to_string()
        }
    }
}

fn path(kind: Kind) -> &'static str {
    match kind {
        Kind::Token => "tokens",
        Kind::Key => "keys",
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
