//! Whether what upstreams are asked comes back to us, directly or through others.
//!
//! Each is asked for a name that nobody can guess. If a query for it arrives here, there is a loop: the upstreams of
//! that group are not asked any more, until a later probe of them is answered without coming back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::exchange::{self, Budget};
use super::message::random;
use super::plan::Upstreams;
use super::{Failure, Question};
use crate::view::wire::{self, Name};
use crate::view::zones::types;

/// Octets of chance in a name: 128 bits, of which a label has the hex digits.
const CHANCE: usize = 16;
/// How long a probe may take to come back: through servers that ask others in turn it takes as long as a question may.
const WAIT: Duration = Duration::from_secs(4);

/// The probes that are under way.
#[derive(Default)]
pub struct Probes {
    /// By name in lower-case wire form: a few at a time, one for each group of upstreams.
    under_way: Mutex<HashMap<Box<[u8]>, UnderWay>>,
}

struct UnderWay {
    upstreams: Arc<Upstreams>,
    came_back: bool,
}

impl Probes {
    /// Probes a group of upstreams, and says so in the log if something has changed.
    pub async fn probe(&self, upstreams: &Arc<Upstreams>) {
        let Some(name) = name_in(&upstreams.zone) else { return };
        let under_way = UnderWay { upstreams: upstreams.clone(), came_back: false };
        self.under_way.lock().insert(name.wire().into(), under_way);
        let mut asked = JoinSet::new();
        for upstream in upstreams.pool.upstreams() {
            let (upstream, question) = (upstream.clone(), Question::new(&name, types::TXT));
            asked.spawn(async move {
                let budget = Budget::default();
                let reply = exchange::ask(&upstream, &question, &budget);
                timeout(WAIT, reply).await.unwrap_or(Err(Failure::Silent))
            });
        }
        let mut is_answered = false;
        while let Some(reply) = asked.join_next().await {
            is_answered |= matches!(reply, Ok(Ok(_) | Err(Failure::Rcode(_))));
        }
        let under_way = self.under_way.lock().remove(name.wire());
        let came_back = under_way.is_some_and(|under_way| under_way.came_back);
        // From silence nothing follows.
        if is_answered && !came_back && upstreams.set_looping(false) {
            let (zone, addresses) = (wire::text(upstreams.zone.wire()), upstreams.shown());
            tracing::warn!(%zone, "{addresses}: questions come back no longer; they are forwarded again");
        }
    }

    /// Whether a name is that of a probe. Then its upstreams are not asked any more.
    pub fn came_back(&self, name: &Name) -> bool {
        let mut under_way = self.under_way.lock();
        let Some(probe) = under_way.get_mut(name.wire()) else { return false };
        probe.came_back = true;
        if probe.upstreams.set_looping(true) {
            let zone = wire::text(probe.upstreams.zone.wire());
            let addresses = probe.upstreams.shown();
            tracing::error!(
                %zone,
                "a loop: what is asked of {addresses} comes back to this server, so names in {zone} are not forwarded \
                 until it does not; name other servers in [forward]"
            );
        }
        true
    }
}

/// A name in a zone that nobody has asked for before.
fn name_in(zone: &Name) -> Option<Name> {
    let chance = random::<CHANCE>().ok()?;
    let label: String = chance.iter().map(|octet| format!("{octet:02x}")).collect();
    let mut octets = vec![u8::try_from(label.len()).ok()?];
    octets.extend_from_slice(label.as_bytes());
    octets.extend_from_slice(zone.wire());
    Name::read(&octets)
}
