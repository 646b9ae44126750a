//! What the doors that accept connections have in common: an accept call that fails, and the end.

use std::io;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

/// After an accept that failed for want of descriptors or memory: they do not come back at once.
const BACK_OFF: Duration = Duration::from_millis(50);
/// How long connections have, after the stop, to take the replies to what was received. The server has to
/// be gone within 5 s.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// Waits for as long as an accept call that failed asks for. No error ends the loop: one of the connection (it is gone,
/// a firewall refused it) concerns only that.
pub(super) async fn back_off(error: &io::Error) {
    let of_connection = matches!(
        error.raw_os_error(),
        Some(libc::ECONNABORTED | libc::ECONNRESET | libc::EINTR | libc::EPERM | libc::EPROTO)
    );
    if !of_connection {
        // The stop is heard after it: it is short.
        sleep(BACK_OFF).await;
    }
}

/// After the stop: lets the connections end, each of which `ended` hears of, and what comes after them. Those that take
/// too long are dropped.
pub(super) async fn let_end(
    mut connections: JoinSet<()>,
    mut ended: impl FnMut(Result<(), JoinError>),
    afterwards: impl Future<Output = ()>,
) {
    let all_ended = async {
        while let Some(one) = connections.join_next().await {
            ended(one);
        }
        afterwards.await;
    };
    if timeout(STOP_WAIT, all_ended).await.is_err() {
        connections.shutdown().await;
    }
}
