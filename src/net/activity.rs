//! Whether a connection is in use, for doors that end those which are not.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

/// Whether requests are under way, and since when there is none.
#[derive(Debug, Clone)]
pub struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    under_way: usize,
    last: Instant,
}

impl Default for Activity {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { under_way: 0, last: Instant::now() })))
    }
}

impl Activity {
    /// A request is under way until what is returned is dropped.
    pub fn begin(&self) -> UnderWay {
        self.0.lock().under_way += 1;
        UnderWay(self.clone())
    }

    /// Returns when no request was under way for so long; looks at it once in that time.
    pub async fn until_idle(&self, limit: Duration) {
        loop {
            let State { under_way, last } = *self.0.lock();
            match under_way {
                0 if last.elapsed() >= limit => return,
                0 => sleep_until(last + limit).await,
                _ => sleep(limit).await,
            }
        }
    }
}

/// A request that is under way.
#[derive(Debug)]
pub struct UnderWay(Activity);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.under_way = state.under_way.saturating_sub(1);
        state.last = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_so_long_after_its_last_request() {
        let (begun, activity) = (Instant::now(), Activity::default());
        activity.until_idle(LIMIT).await;
        assert_eq!(begun.elapsed().as_secs(), 10);
        let first = activity.begin();
        let second = activity.begin();
        drop(first);
        assert!(timeout(10 * LIMIT, activity.until_idle(LIMIT)).await.is_err(), "one is under way");
        drop(second);
        let ended = Instant::now();
        activity.until_idle(LIMIT).await;
        assert_eq!(ended.elapsed().as_secs(), 10);
    }
}
