//! An upstream: where it is, how it is doing, and the connections to it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_rustls::rustls::pki_types::ServerName;

use super::exchange::https::Https;
use super::exchange::tcp::Streams;
use super::exchange::trouble::Trouble;
use super::exchange::udp::SOCKETS_OF_ONE_MOST;
use super::exchange::{Manner, Means, Ways};
use super::message::Letters;
use crate::config;

/// The least that an upstream is waited for until the next is asked, too: on a network nearby the measure alone would
/// be less than what a busy machine takes to look.
pub const PATIENCE_LEAST: Duration = Duration::from_millis(30);
/// The most: a client waits no longer for an upstream that is dead. It is also what one is given that was
/// never measured.
pub const PATIENCE_MOST: Duration = Duration::from_millis(400);
/// The most for one to which an encrypted connection must be opened first.
pub const PATIENCE_HANDSHAKE: Duration = Duration::from_secs(1);
/// Round trips of a question with a connection of its own: for TCP one, for TLS up to two, for the question one.
const HANDSHAKE_ROUND_TRIPS: u32 = 4;
/// An upstream that was not heard of for so long is measured anew, if there is another to choose.
pub const MEASURE_EVERY: Duration = Duration::from_secs(60);
/// From the first probe of a doubted upstream to the second; each later one is twice as far off,
pub const PROBE_FIRST: Duration = Duration::from_secs(1);
/// and this far at last: a minute after it has come back it is asked again.
pub const PROBE_LAST: Duration = Duration::from_secs(60);
/// Replies in a row with a response code such as SERVFAIL, until the upstream is doubted: the names of a few
/// questions may be to blame for theirs.
pub const USELESS_MOST: u32 = 8;
/// Replies with other letters than were sent and without a connection to tell why, until it is the upstream's way.
pub const LETTERS_DOUBTED_MOST: u32 = 3;
/// How long an upstream is asked without random letters, or without EDNS: what is at its address may be replaced.
pub const PLAINER_FOR: Duration = Duration::from_secs(3600);

/// How an upstream is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams, and TCP for what they cannot carry.
    Udp,
    /// TCP alone.
    Tcp,
    /// DNS over TLS (RFC 7858), with whom the certificate is for.
    Tls(ServerName<'static>),
    /// DNS over HTTPS (RFC 8484).
    Https {
        /// Whom the certificate is for.
        name: ServerName<'static>,
        /// The path of the requests, from its slash.
        path: String,
    },
}

/// Where an upstream is, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Its address and port.
    pub addr: SocketAddr,
    /// How.
    pub transport: Transport,
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Self {
        Self { addr, transport: Transport::Udp }
    }
}

impl From<&config::Upstream> for Address {
    fn from(upstream: &config::Upstream) -> Self {
        let transport = match &upstream.transport {
            config::Transport::Plain => Transport::Udp,
            config::Transport::Tcp => Transport::Tcp,
            config::Transport::Tls { name } => Transport::Tls(name.clone()),
            config::Transport::Https { name, path } => {
                Transport::Https { name: name.clone(), path: path.clone() }
            }
        };
        Self { addr: upstream.address, transport }
    }
}

/// As the configuration has it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addr = self.addr;
        match &self.transport {
            Transport::Udp => write!(f, "{addr}"),
            Transport::Tcp => write!(f, "tcp://{addr}"),
            Transport::Tls(name) => write!(f, "tls://{addr}#{}", name.to_str()),
            Transport::Https { name, path } => write!(f, "https://{addr}{path}#{}", name.to_str()),
        }
    }
}

/// An upstream.
pub struct Upstream {
    address: Address,
    health: Mutex<Health>,
    trouble: Arc<Trouble>,
    ways: Ways,
}

impl Upstream {
    /// One of which nothing is known yet.
    pub fn new(address: Address, means: &Means, now: Instant) -> Self {
        let trouble = Arc::new(Trouble::new(&address));
        let ways = ways(&address, means, &trouble);
        Self { address, health: Mutex::new(Health::new(now)), trouble, ways }
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// How long it is waited for until the next is asked, too. One to which a connection must be opened first is given
    /// the time for it.
    pub fn patience(&self) -> Duration {
        let patience = self.health().patience();
        let is_open = match &self.ways {
            Ways::Datagrams(..) => true,
            Ways::Streams(streams) => streams.is_open(),
            Ways::Https(https) => https.is_open(),
        };
        if is_open { patience } else { (patience * HANDSHAKE_ROUND_TRIPS).min(PATIENCE_HANDSHAKE) }
    }

    /// What keeps it from being asked, for people.
    pub fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    pub(super) fn ways(&self) -> &Ways {
        &self.ways
    }

    /// How it is doing.
    pub fn health(&self) -> Health {
        *self.health.lock()
    }

    /// It replied, after so long.
    pub(super) fn was_heard(&self, delay: Duration, now: Instant) {
        self.health.lock().heard(delay, now);
        self.trouble.silence_is_over();
    }

    /// A question that was asked then has had no answer in all its time. It may be to blame for that itself; an upstream
    /// that has replied to nothing else since either is told of in the log.
    pub(super) fn had_time_since(&self, then: Instant, now: Instant) {
        if self.health().heard_at.is_none_or(|at| at < then) {
            self.was_silent(now);
            self.trouble.note_silence(now);
        }
    }

    /// Its reply had an answer.
    pub(super) fn was_of_use(&self, now: Instant) {
        self.health.lock().of_use(now);
    }

    /// Its reply had a response code that is no answer.
    pub(super) fn was_of_no_use(&self, now: Instant) {
        self.health.lock().of_no_use(now);
    }

    /// Nobody was there for a question that was asked then: not at all, unless it has replied by datagram and was to be asked
    /// again over a connection. Of encrypted ones whoever opens their connections says more.
    pub(super) fn was_unreachable(&self, then: Instant, now: Instant) {
        self.was_silent(now);
        if matches!(self.address.transport, Transport::Udp | Transport::Tcp) {
            self.had_time_since(then, now);
        }
    }

    /// It was waited for in vain.
    pub(super) fn was_silent(&self, now: Instant) {
        self.health.lock().doubt(now);
    }

    /// Whether it should be probed now; then it is by whoever asks.
    pub(super) fn take_probe(&self, now: Instant) -> bool {
        self.health.lock().take_probe(now)
    }

    /// How it is to be asked.
    pub(super) fn manner(&self, now: Instant) -> Manner {
        let health = self.health();
        Manner { letters: health.letters(now), edns: health.knows_edns(now) }
    }

    /// It understood a question without EDNS, and not the same with it.
    pub(super) fn knows_no_edns(&self, now: Instant) {
        self.health.lock().without_edns_until = Some(now + PLAINER_FOR);
    }

    /// Whether random letters came back as they were sent; `None`: not, by a datagram that may have been forged.
    pub(super) fn letters_seen(&self, kept: Option<bool>, now: Instant) {
        self.health.lock().letters_seen(kept, now);
    }
}

fn ways(address: &Address, means: &Means, trouble: &Arc<Trouble>) -> Ways {
    let (addr, tls) = (address.addr, &means.tls);
    match &address.transport {
        Transport::Udp => {
            Ways::Datagrams(means.sockets.part(SOCKETS_OF_ONE_MOST), Streams::new(addr))
        }
        Transport::Tcp => Ways::Streams(Streams::new(addr)),
        Transport::Tls(name) => Ways::Streams(Streams::encrypted(tls.for_dot(addr, name, trouble))),
        Transport::Https { name, path } => {
            Ways::Https(Https::new(tls.for_h2(addr, name, trouble), path))
        }
    }
}

/// How an upstream is doing. It reads no clock.
#[derive(Debug, Clone, Copy)]
pub struct Health {
    measured: Option<Delay>,
    heard_at: Option<Instant>,
    doubted: bool,
    /// When the next probe is due, if it is doubted or nothing is heard of it until then.
    probe_at: Instant,
    probe_distance: Duration,
    useless: u32,
    letters_doubted: u32,
    letters_lower_until: Option<Instant>,
    without_edns_until: Option<Instant>,
}

/// A smoothed round-trip time and its variation (RFC 6298, section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Delay {
    smoothed: Duration,
    variation: Duration,
}

impl Delay {
    fn first(measured: Duration) -> Self {
        Self { smoothed: measured, variation: measured / 2 }
    }

    /// With alpha = 1/8 and beta = 1/4.
    fn next(self, measured: Duration) -> Self {
        let off = self.smoothed.abs_diff(measured);
        Self {
            smoothed: (self.smoothed * 7 + measured) / 8,
            variation: (self.variation * 3 + off) / 4,
        }
    }
}

impl Health {
    fn new(now: Instant) -> Self {
        Self {
            measured: None,
            heard_at: None,
            doubted: false,
            probe_at: now,
            probe_distance: PROBE_FIRST,
            useless: 0,
            letters_doubted: 0,
            letters_lower_until: None,
            without_edns_until: None,
        }
    }

    /// The smoothed delay of its replies, if there were any.
    pub fn delay(&self) -> Option<Duration> {
        self.measured.map(|delay| delay.smoothed)
    }

    /// Whether it is asked only after those that are not: it was silent, unreachable or of no use.
    pub fn is_doubted(&self) -> bool {
        self.doubted
    }

    /// How long it is waited for until the next is asked, too.
    pub fn patience(&self) -> Duration {
        let measured = |delay: Delay| delay.smoothed + delay.variation * 4;
        self.measured.map_or(PATIENCE_MOST, measured).clamp(PATIENCE_LEAST, PATIENCE_MOST)
    }

    /// Whose turn it is first: the healthy before the doubted, then the fast before the slow.
    pub fn rank(&self) -> (bool, Duration) {
        (self.doubted, self.delay().unwrap_or(PATIENCE_MOST))
    }

    fn heard(&mut self, delay: Duration, now: Instant) {
        self.heard_at = Some(now);
        self.measured = Some(self.measured.map_or(Delay::first(delay), |known| known.next(delay)));
        if self.useless < USELESS_MOST {
            self.trust(now);
        }
    }

    fn of_use(&mut self, now: Instant) {
        self.useless = 0;
        self.trust(now);
    }

    fn trust(&mut self, now: Instant) {
        self.doubted = false;
        self.probe_distance = PROBE_FIRST;
        self.probe_at = now + MEASURE_EVERY;
    }

    fn of_no_use(&mut self, now: Instant) {
        self.useless = self.useless.saturating_add(1);
        if self.useless >= USELESS_MOST {
            self.doubt(now);
        }
    }

    fn doubt(&mut self, now: Instant) {
        if !self.doubted {
            self.doubted = true;
            self.probe_at = now;
        }
    }

    fn take_probe(&mut self, now: Instant) -> bool {
        let due = now >= self.probe_at;
        if due {
            self.probe_at = now + self.probe_distance;
            self.probe_distance = (self.probe_distance * 2).min(PROBE_LAST);
        }
        due
    }

    fn letters(&self, now: Instant) -> Letters {
        match self.letters_lower_until {
            Some(until) if now < until => Letters::Lower,
            _ => Letters::Random,
        }
    }

    fn knows_edns(&self, now: Instant) -> bool {
        self.without_edns_until.is_none_or(|until| now >= until)
    }

    fn letters_seen(&mut self, kept: Option<bool>, now: Instant) {
        self.letters_doubted = match kept {
            Some(_) => 0,
            None => self.letters_doubted + 1,
        };
        if kept == Some(false) || self.letters_doubted >= LETTERS_DOUBTED_MOST {
            self.letters_lower_until = Some(now + PLAINER_FOR);
            self.letters_doubted = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_delay_is_smoothed_as_rfc_6298_does_it() {
        let first = Delay::first(MS * 80);
        assert_eq!(first, Delay { smoothed: MS * 80, variation: MS * 40 });
        assert_eq!(first.next(MS * 160), Delay { smoothed: MS * 90, variation: MS * 50 });
        assert_eq!(first.next(Duration::ZERO), Delay { smoothed: MS * 70, variation: MS * 50 });
    }

    #[test]
    fn patience_is_measured_and_bounded() {
        let now = Instant::now();
        let mut health = Health::new(now);
        assert_eq!(health.patience(), PATIENCE_MOST);
        health.heard(MS * 20, now);
        assert_eq!(health.patience(), MS * 60);
        for _ in 0..100 {
            health.heard(MS, now);
        }
        assert_eq!(health.patience(), PATIENCE_LEAST);
        for _ in 0..100 {
            health.heard(MS * 1000, now);
        }
        assert_eq!(health.patience(), PATIENCE_MOST);
    }

    #[test]
    fn a_doubted_upstream_is_last_and_probed_ever_more_seldom() {
        let mut now = Instant::now();
        let mut health = Health::new(now);
        let unknown = health.rank();
        health.heard(MS * 10, now);
        assert!(health.rank() < unknown);
        assert!(!health.take_probe(now));
        health.doubt(now);
        assert!(health.rank() > unknown);
        let mut distances = Vec::new();
        let mut last = now;
        while distances.len() < 9 {
            if health.take_probe(now) {
                distances.push((now - last).as_secs());
                last = now;
            }
            health.doubt(now);
            now += MS * 1000;
        }
        assert_eq!(distances, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        health.heard(MS * 10, now);
        assert!(!health.is_doubted() && !health.take_probe(now));
        assert!(health.take_probe(now + MEASURE_EVERY));
    }

    #[test]
    fn an_upstream_without_any_answer_is_doubted_until_it_has_one() {
        let now = Instant::now();
        let mut health = Health::new(now);
        for _ in 0..USELESS_MOST {
            assert!(!health.is_doubted());
            health.heard(MS, now);
            health.of_no_use(now);
        }
        health.heard(MS, now);
        assert!(health.is_doubted());
        health.of_use(now);
        assert!(!health.is_doubted());
    }

    #[test]
    fn letters_are_given_up_by_proof_or_by_repetition_and_not_for_ever() {
        let now = Instant::now();
        let mut health = Health::new(now);
        health.letters_seen(None, now);
        health.letters_seen(None, now);
        health.letters_seen(Some(true), now);
        health.letters_seen(None, now);
        assert_eq!(health.letters(now), Letters::Random);
        health.letters_seen(Some(false), now);
        assert_eq!(health.letters(now), Letters::Lower);
        assert_eq!(health.letters(now + PLAINER_FOR), Letters::Random);
        let mut health = Health::new(now);
        for _ in 0..LETTERS_DOUBTED_MOST {
            health.letters_seen(None, now);
        }
        assert_eq!(health.letters(now), Letters::Lower);
    }
}
