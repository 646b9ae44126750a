//! `rollcall run`: a child, listed with every server while it runs and passes its check.
//!
//! One loop takes what happens (the check's verdict, a signal, the end of a drain, the end of the child) and
//! says what the servers are to be told; the tasks of [`listing`](super::listing) tell them.

use std::ffi::OsString;
use std::io::{self, Write};
use std::pin::Pin;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::check::{Check, Verdict};
use super::child::Child;
use super::client::Client;
use super::listing::{LEAVE_TIME, Listing, Step, Subject, Wanted};
use super::messages::State;
use super::signals::{self, Request};

/// How long the servers have to take note of a drain before its time begins.
const DRAIN_TOLD_TIME: Duration = Duration::from_secs(2);
/// Octets of a reason that the servers take at most.
const MAX_REASON_OCTETS: usize = 255;

/// What is run, and where it is listed.
#[derive(Debug)]
pub struct Options {
    /// The command and its arguments.
    pub command: Vec<OsString>,
    /// What is registered.
    pub subject: Subject,
    /// The servers, each of which is told on its own.
    pub servers: Vec<Client>,
    /// Passes before the instance is registered; none: it is registered at once.
    pub check: Option<Check>,
    /// The time between the declaration of a drain and the signal to the child.
    pub drain: Duration,
}

/// Why a child was not started.
#[derive(Debug)]
pub struct NotStarted {
    /// Why.
    pub reason: String,
    /// The exit code that a shell would give.
    pub exit_code: u8,
}

/// Says something to whoever reads our standard error.
pub(super) fn note(text: &str) {
    // Nobody there is no reason to let the child down.
    let _ = writeln!(io::stderr(), "rollcall: {text}");
}

/// Runs the command, listed, to its end; gives its exit code, or 128 and the signal that ended it.
pub async fn run(options: Options) -> Result<u8, NotStarted> {
    let mut requests = signals::listen().map_err(|error| NotStarted {
        reason: format!("cannot take signals: {error}"),
        exit_code: 126,
    })?;
    let mut child = start(&options.command)?;
    let mut listings = Listings::start(options.servers, &options.subject);
    let mut verdict = check(options.check);
    let mut phase = Phase::Serving;

    let exit_code = loop {
        tokio::select! {
            biased;
            exit_code = child.ended() => break exit_code,
            Some(request) = requests.recv() => match request {
                Request::PassOn(signal) => child.signal(signal),
                Request::End(signal) => phase = phase.end(signal, &child, &mut listings, options.drain),
            },
            signal = phase.drained() => {
                child.signal(signal);
                phase = Phase::Ending;
            }
            Ok(()) = verdict.changed(), if matches!(phase, Phase::Serving) => {
                drop(listings.want(wanted(&verdict.borrow_and_update())));
            }
        }
    };
    listings.leave().await;
    Ok(exit_code)
}

fn start(command: &[OsString]) -> Result<Child, NotStarted> {
    Child::start(command).map_err(|error| NotStarted {
        reason: format!(
            "cannot start `{}`: {error}",
            command.first().map(|program| program.to_string_lossy()).unwrap_or_default()
        ),
        exit_code: if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 },
    })
}

/// The check's verdict, changed from the beginning if there is no check.
fn check(check: Option<Check>) -> watch::Receiver<Verdict> {
    let (sender, mut receiver) = watch::channel(Verdict::Waiting);
    match check {
        Some(check) => {
            note(&format!("waiting for {} to pass", check.url()));
            tokio::spawn(check.watch(sender));
        }
        None => {
            sender.send_replace(Verdict::Passing);
            receiver.mark_changed();
        }
    }
    receiver
}

fn wanted(verdict: &Verdict) -> Wanted {
    match verdict {
        Verdict::Waiting => Wanted::Waiting,
        Verdict::Passing => Wanted::Listed(State::Up, String::new()),
        Verdict::Failing(reason) => {
            note(&format!("{reason}: declaring it down"));
            Wanted::Listed(State::Down, as_reason(reason))
        }
    }
}

/// What the servers take as a reason.
fn as_reason(text: &str) -> String {
    let mut reason = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if reason.len() + c.len_utf8() > MAX_REASON_OCTETS {
            break;
        }
        reason.push(c);
    }
    reason
}

/// Where the child's life stands.
enum Phase {
    /// It serves.
    Serving,
    /// It is to end with this signal when the future is ready.
    Draining(Signal, Pin<Box<dyn Future<Output = ()> + Send>>),
    /// It has been told to end.
    Ending,
}

impl Phase {
    /// The child is to end: after a drain, or at once if it has none, or this is the second time.
    fn end(self, signal: Signal, child: &Child, listings: &mut Listings, drain: Duration) -> Self {
        if !matches!(self, Phase::Serving) || listings.waiting() {
            child.signal(signal);
            return Phase::Ending;
        }
        note(&format!("draining for {} s", drain.as_secs_f32()));
        let told = listings.want(Wanted::Listed(State::Draining, "being stopped".to_owned()));
        Phase::Draining(
            signal,
            Box::pin(async move {
                let _ = timeout(DRAIN_TOLD_TIME, told).await;
                sleep(drain).await;
            }),
        )
    }

    /// Waits for the end of a drain; the signal that is due then.
    async fn drained(&mut self) -> Signal {
        match self {
            Phase::Draining(signal, over) => {
                over.await;
                *signal
            }
            _ => std::future::pending().await,
        }
    }
}

/// The tasks of all servers.
struct Listings {
    wanted: watch::Sender<Step>,
    done: Vec<watch::Receiver<u64>>,
    tasks: JoinSet<()>,
}

impl Listings {
    fn start(servers: Vec<Client>, subject: &Subject) -> Self {
        let (wanted, receiver) = watch::channel(Step { number: 0, wanted: Wanted::Waiting });
        let (mut done, mut tasks) = (Vec::new(), JoinSet::new());
        for server in servers {
            let (sender, said) = watch::channel(0);
            done.push(said);
            tasks.spawn(Listing::new(server, subject.clone()).keep(receiver.clone(), sender));
        }
        Self { wanted, done, tasks }
    }

    /// Whether the servers have not been told anything.
    fn waiting(&self) -> bool {
        self.wanted.borrow().wanted == Wanted::Waiting
    }

    /// Says what is wanted; what it gives is ready when every server has it so.
    fn want(&mut self, wanted: Wanted) -> impl Future<Output = ()> + Send + use<> {
        let number = self.wanted.borrow().number + 1;
        self.wanted.send_replace(Step { number, wanted });
        let done = self.done.clone();
        async move {
            for mut done in done {
                let _ = done.wait_for(|done| *done >= number).await;
            }
        }
    }

    /// Takes the instance off every list, as far as that can be done in a short time.
    async fn leave(mut self) {
        drop(self.want(Wanted::Gone));
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = timeout(LEAVE_TIME + Duration::from_millis(500), all).await;
    }
}
