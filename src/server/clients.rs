//! How clients are treated, from the configuration to the answer room: the server's name, cookies, the limit on replies.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ring::rand::{SecureRandom, SystemRandom};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::answer::clients::{Clients, Settings};
use crate::answer::cookie::Secrets;
use crate::answer::rate::Limit;
use crate::api::secrets;
use crate::config::{Config, Live};
use crate::net::Stop;

/// How often the answer room is told the time: cookies are good for an hour.
const CLOCK_PERIOD: Duration = Duration::from_secs(1);
/// How long a random secret of cookies is used (RFC 7873, section 7.1, wants it changed).
const SECRET_PERIOD: Duration = Duration::from_hours(24);

/// Reads what clients are treated by.
pub(super) fn new(config: &Config) -> Result<Arc<Clients>, String> {
    let secret = match secrets::load_cookie_secret(config.dns.cookie_secret_file.as_deref())? {
        Some(secret) => secret,
        None => random()?,
    };
    let (factor, summand) = (random()?, random()?);
    let key = [u128::from_ne_bytes(factor), u128::from_ne_bytes(summand)];
    let clients = Clients::new(settings(config, Some(Secrets::new(secret))), key);
    clients.set_unix_secs(unix_secs());
    Ok(Arc::new(clients))
}

/// Has a reload change it. The error is about the secret, which then stays as it was.
pub(super) fn reload(clients: &Clients, config: &Config, old: &Config) -> Result<(), String> {
    let before = clients.settings();
    let loaded = match secrets::load_cookie_secret(config.dns.cookie_secret_file.as_deref()) {
        // From here on nobody else knows the secret.
        Ok(None) if old.dns.cookie_secret_file.is_some() => random().map(Some),
        loaded => loaded,
    };
    let secrets = match (&before.secrets, &loaded) {
        (Some(secrets), Ok(Some(secret))) => Some(secrets.replaced(*secret)),
        (secrets, _) => secrets.clone(),
    };
    clients.set_settings(settings(config, secrets));
    loaded.map(|_| ())
}

/// Tells the answer room the time, and changes a random secret now and then, until the stop.
pub(super) async fn keep_time(clients: Arc<Clients>, live: Arc<Live>, stop: Stop) {
    let mut ticks = interval(CLOCK_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut changed = Instant::now();
    loop {
        tokio::select! {
            () = stop.wait() => return,
            _ = ticks.tick() => {}
        }
        clients.set_unix_secs(unix_secs());
        if changed.elapsed() < SECRET_PERIOD {
            continue;
        }
        changed = Instant::now();
        let is_random = live.get().dns.cookie_secret_file.is_none();
        if let (true, Ok(secret)) = (is_random, random()) {
            let before = clients.settings();
            let secrets = before.secrets.as_ref().map(|secrets| secrets.replaced(secret));
            clients.set_settings(Settings { secrets, ..Settings::clone(&before) });
        }
    }
}

fn settings(config: &Config, secrets: Option<Secrets>) -> Settings {
    Settings {
        nsid: config.dns.nsid.as_bytes().into(),
        secrets,
        limit: Limit::per_second(config.rate_limit.responses_per_second),
        exempt: config.rate_limit.exempt.clone(),
    }
}

fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut octets = [0; N];
    let filled = SystemRandom::new().fill(&mut octets);
    filled.map(|()| octets).map_err(|_| "the system has no random numbers".to_owned())
}

fn unix_secs() -> u32 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(now.as_secs() & u64::from(u32::MAX)).unwrap_or(0)
}
