//! Tells the service manager how we are: that the start goes on, a status, and signs of life.
//!
//! A sign of life is earned: each time our own query was answered on every address, the registrar's threads have moved and
//! the runtime has taken up a task. What fails is said in the log once, and the manager hears nothing until it is well again.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::notify::Notify;
use super::self_query::SelfQuery;
use crate::config::Live;
use crate::registrar::{Pulse, Registrar};

/// How often a start is looked at that goes on, and a status, where no watchdog asks for more.
const LOOK: Duration = Duration::from_secs(5);
/// How long a start that has come further may take more.
const STARTING_MORE: Duration = Duration::from_secs(60);
/// Time between two looks at what is not well: then a recovery should not come too late.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How long the runtime has to take up a task.
const TAKE_UP: Duration = Duration::from_secs(1);

/// What is watched.
pub(super) struct Watched {
    pub(super) live: Arc<Live>,
    pub(super) registrar: Registrar,
    pub(super) runtime: Handle,
    /// Where DNS listens, and with how many sockets.
    pub(super) dns: Vec<(std::net::SocketAddr, usize)>,
    /// Where all doors are, for the status.
    pub(super) addresses: String,
}

/// The thread that watches; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Supervision {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Supervision {
    /// Watches from now on, if anybody wants to know. `watchdog` is how often a sign of life is expected at least.
    pub(super) fn start(
        notify: Notify,
        watchdog: Option<Duration>,
        watched: Watched,
    ) -> std::io::Result<Self> {
        if !notify.is_on() {
            return Ok(Self { stop: None, thread: None });
        }
        let (stop, stopped) = sync_channel(0);
        let watch = Watch {
            notify,
            own: SelfQuery::new(&watched.dns),
            watched,
            every: watchdog.map_or(LOOK, |watchdog| watchdog / 2),
            is_watchdog: watchdog.is_some(),
            stopped,
            status: String::new(),
            trouble: None,
        };
        let thread = thread::Builder::new().name("supervision".into()).spawn(|| watch.run())?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Supervision {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Watch {
    notify: Notify,
    watched: Watched,
    own: SelfQuery,
    every: Duration,
    is_watchdog: bool,
    /// Nothing comes; it is closed at the stop.
    stopped: Receiver<()>,
    /// What was told last.
    status: String,
    /// What is wrong, as far as it was told.
    trouble: Option<String>,
}

impl Watch {
    fn run(mut self) {
        self.watch_start();
        let mut pulse = self.watched.registrar.pulse();
        let mut wait = self.every;
        while !self.is_over_after(wait) {
            let began = Instant::now();
            self.tell_status();
            if !self.is_watchdog {
                continue;
            }
            let found = self.look(pulse);
            pulse = self.watched.registrar.pulse();
            wait = match found {
                Ok(()) => {
                    self.notify.alive();
                    self.every.saturating_sub(began.elapsed())
                }
                Err(_) => LOOK_AGAIN.min(self.every),
            };
            self.tell_trouble(found.err());
        }
    }

    /// Waits; true if the server stops meanwhile.
    fn is_over_after(&self, wait: Duration) -> bool {
        self.stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout)
    }

    /// Until all is loaded: asks for more time as long as there is progress.
    fn watch_start(&mut self) {
        let mut before = None;
        while !self.watched.registrar.is_loaded() {
            let (listed, _) = self.watched.registrar.listed();
            let status = format!("loading the registry: {listed} instances so far");
            if before.is_none_or(|before| listed > before) {
                self.notify.still_starting(STARTING_MORE, &status);
            }
            before = Some(listed);
            if self.is_over_after(LOOK) {
                return;
            }
        }
    }

    fn tell_status(&mut self) {
        let status = status(&self.watched.registrar, &self.watched.addresses);
        if status != self.status {
            self.notify.status(&status);
            self.status = status;
        }
    }

    /// Whether all is well that a sign of life stands for.
    fn look(&mut self, before: Pulse) -> Result<(), String> {
        let zone = self.watched.live.get().dns.zones.first().cloned().unwrap_or_default();
        self.own.ask(&zone, self.every / 2)?;
        let stopped = self.watched.registrar.pulse().stopped_since(&before);
        if !stopped.is_empty() {
            return Err(format!("no sign of life from the threads: {}", stopped.join(", ")));
        }
        let (sender, taken_up) = sync_channel(1);
        self.watched.runtime.spawn(async move {
            let _ = sender.send(()); // too late: nobody waits for it any more
        });
        let took_up = taken_up.recv_timeout(TAKE_UP.min(self.every / 4));
        took_up.map_err(|_| "the runtime takes up no tasks".to_owned())
    }

    /// Says once what is wrong, and when it is over.
    fn tell_trouble(&mut self, trouble: Option<String>) {
        if trouble == self.trouble {
            return;
        }
        match &trouble {
            Some(reason) => {
                tracing::error!(reason, "no sign of life is given to the service manager");
                self.notify.status(&format!("not well: {reason}"));
                self.status.clear();
            }
            None => tracing::info!("signs of life are given again"),
        }
        self.trouble = trouble;
    }
}

/// How we are, in a line.
pub(super) fn status(registrar: &Registrar, addresses: &str) -> String {
    let (instances, services) = registrar.listed();
    let listed = format!("{instances} instances of {services} services, {addresses}");
    match registrar.unavailable() {
        Some(reason) => format!("{listed}; changes are refused: {reason}"),
        None => listed,
    }
}
