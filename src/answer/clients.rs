//! What replies carry for the client's sake, and who is answered in full: the name of the server, cookies, and the limit on
//! answers over UDP. One for all responders; a reload replaces the settings.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Transport;
use super::cookie::{Secrets, Shown};
use super::edns::{Carried, Edns};
use super::parse::Query;
use super::rate::{Buckets, Limit};
use crate::access::Prefixes;
use crate::view::LeaseTime;

/// Octets of the server's name (NSID) at most: it goes into replies of 512 octets.
pub const MAX_NSID: usize = 128;
/// Beyond the limit, the reply to a query without a server cookie of ours is 16 octets longer than that, which has 63 octets
/// with its headers at least. One in so many of them is not sent, so that whoever has them sent to others sends more than
/// they get.
const UNSENT_ONE_IN: u8 = 4;

/// The settings.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What the server calls itself to who asks (RFC 5001), at most [`MAX_NSID`] octets; empty: nothing.
    pub nsid: Box<[u8]>,
    /// What cookies are made with; `None`: cookies are ignored.
    pub secrets: Option<Secrets>,
    /// How many answers over UDP a client's network gets; `None`: as many as it asks for.
    pub limit: Option<Limit>,
    /// Networks without a limit. This machine has none either.
    pub exempt: Prefixes,
}

/// What all responders share.
#[derive(Debug)]
pub struct Clients {
    settings: Mutex<Arc<Settings>>,
    /// Counts changes of the settings, so that responders need not take the lock to see that there was none.
    version: AtomicU64,
    unix_secs: AtomicU32,
    buckets: Buckets,
}

impl Clients {
    /// With the key under which clients' networks are hashed: 32 octets that nobody knows.
    pub fn new(settings: Settings, key: [u128; 2]) -> Self {
        Self {
            settings: Mutex::new(Arc::new(settings)),
            version: AtomicU64::new(0),
            unix_secs: AtomicU32::new(0),
            buckets: Buckets::new(key),
        }
    }

    /// The settings as they are.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.lock().clone()
    }

    /// Replaces them: in force from each responder's next batch on.
    pub fn set_settings(&self, settings: Settings) {
        *self.settings.lock() = Arc::new(settings);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Says what time it is, in seconds since 1970 modulo 2^32. Cookies are good for an hour, so once a second is often
    /// enough, and no responder has to ask.
    pub fn set_unix_secs(&self, secs: u32) {
        self.unix_secs.store(secs, Ordering::Relaxed);
    }
}

impl Default for Clients {
    /// No name, no cookies, no limit.
    fn default() -> Self {
        Self::new(Settings::default(), [1, 0])
    }
}

/// How a query is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// As it should be.
    Full,
    /// Without records: over the limit, so that its client comes back over TCP.
    Limited,
    /// With a cookie, and no records: over the limit, so that its client comes back with the cookie. Or it asks only whether
    /// its cookie is good, and it is not (RFC 7873, section 5.4).
    BadCookie,
    /// Not at all.
    Drop,
}

/// How a query is answered, and whether its client's network is over the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// How.
    pub admission: Admission,
    /// Whether the limit has to do with it.
    pub is_limited: bool,
}

/// A responder's own reference.
#[derive(Debug)]
pub struct Hand {
    clients: Arc<Clients>,
    settings: Arc<Settings>,
    version: u64,
    /// Replies over the limit whose cookies are longer than the query's, since the last that was not sent.
    longer: Cell<u8>,
}

impl Hand {
    /// A reference to `clients`.
    pub fn new(clients: Arc<Clients>) -> Self {
        let version = clients.version.load(Ordering::Acquire);
        let settings = clients.settings();
        Self { clients, settings, version, longer: Cell::new(0) }
    }

    /// Takes new settings in hand, if there are.
    #[inline]
    pub fn refresh(&mut self) {
        let version = self.clients.version.load(Ordering::Acquire);
        if version != self.version {
            self.settings = self.clients.settings();
            self.version = version;
        }
    }

    /// Decides how a query from `ip` is answered, and what its reply carries.
    #[inline]
    pub fn admit<'q>(
        &'q self,
        query: &mut Query<'q>,
        ip: IpAddr,
        transport: Transport,
        now: LeaseTime,
    ) -> Admitted {
        let cookie = match &query.edns {
            Some(edns) if edns.asks() => self.carry(query, ip),
            _ => CookieState::None,
        };
        let is_limited = transport == Transport::Udp
            && cookie != CookieState::Valid
            && self.settings.limit.is_some_and(|limit| self.is_over(ip, now, limit));
        let asks_cookie = query.question.is_none() && query.problem.is_none();
        let admission = match cookie {
            CookieState::Wrong if asks_cookie || is_limited => Admission::BadCookie,
            CookieState::ClientAlone if is_limited && !asks_cookie => Admission::BadCookie,
            CookieState::None if is_limited => Admission::Limited,
            _ => Admission::Full,
        };
        if is_limited {
            // From here on the reply is no longer than the query, cookies apart.
            query.carried.nsid = &[];
            if self.is_one_too_many(query) {
                return Admitted { admission: Admission::Drop, is_limited };
            }
        }
        Admitted { admission, is_limited }
    }

    /// Puts what the query asks for into its reply, for one that was admitted before.
    pub fn admit_again<'q>(&'q self, query: &mut Query<'q>, ip: IpAddr) {
        if query.edns.as_ref().is_some_and(Edns::asks) {
            self.carry(query, ip);
        }
    }

    /// Whether the reply's cookies would be longer than the query's once too often.
    fn is_one_too_many(&self, query: &Query<'_>) -> bool {
        let shown = query.edns.as_ref().and_then(|edns| edns.cookie.as_ref());
        if query.carried.cookie.is_none() || shown.is_none_or(Shown::is_of_our_form) {
            return false;
        }
        let due = (self.longer.get() + 1) % UNSENT_ONE_IN;
        self.longer.set(due);
        due == 0
    }

    /// Puts what the query asks for into its reply.
    fn carry<'q>(&'q self, query: &mut Query<'q>, ip: IpAddr) -> CookieState {
        let Some(edns) = &query.edns else { return CookieState::None };
        query.carried = Carried::default();
        query.carried.tells_rule = edns.asks_rule && ip.to_canonical().is_loopback();
        if edns.asks_nsid {
            query.carried.nsid = &self.settings.nsid;
        }
        let (Some(shown), Some(secrets)) = (&edns.cookie, &self.settings.secrets) else {
            return CookieState::None;
        };
        let judged = secrets.judge(shown, ip, self.clients.unix_secs.load(Ordering::Relaxed));
        query.carried.cookie = Some(judged.reply);
        match (judged.is_valid, shown.has_server()) {
            (true, _) => CookieState::Valid,
            (false, true) => CookieState::Wrong,
            (false, false) => CookieState::ClientAlone,
        }
    }

    fn is_over(&self, ip: IpAddr, now: LeaseTime, limit: Limit) -> bool {
        let is_own = match ip {
            IpAddr::V4(ip) => ip.is_loopback(),
            IpAddr::V6(_) => ip.to_canonical().is_loopback(),
        };
        // Who is exempt is looked up for those alone who are over.
        !is_own
            && self.clients.buckets.is_over(ip, now.millis(), limit)
            && !self.settings.exempt.contains(ip)
    }
}

/// What a query's cookies say of its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CookieState {
    /// It has none.
    None,
    /// It has one of its own.
    ClientAlone,
    /// It has one of ours that is not good.
    Wrong,
    /// It has a good one.
    Valid,
}
