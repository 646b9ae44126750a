//! The signals that we take, for the child or for ourselves.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Signals that wait to be handled at most; the system merges equal ones as well.
const QUEUE: usize = 16;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// It is the child's alone.
    PassOn(Signal),
    /// The child is to end.
    End(Signal),
}

/// Begins to take signals. The child is started after it, so that none gets lost in between.
pub(super) fn listen() -> io::Result<mpsc::Receiver<Request>> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    for request in [
        Request::End(Signal::TERM),
        Request::End(Signal::INT),
        // What some servers are stopped with, gracefully: it must not end us before the child.
        Request::End(Signal::QUIT),
        Request::PassOn(Signal::HUP),
        Request::PassOn(Signal::USR1),
        Request::PassOn(Signal::USR2),
        Request::PassOn(Signal::WINCH),
    ] {
        let (Request::PassOn(number) | Request::End(number)) = request;
        if number == Signal::HUP && hangup_is_ignored() {
            continue;
        }
        let mut signals = signal(SignalKind::from_raw(number.as_raw()))?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if sender.send(request).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(receiver)
}

/// Whether we were started under `nohup`: then the child is to ignore a hangup as well, as it would without us.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}
