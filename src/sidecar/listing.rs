//! Keeps one instance listed at one server.
//!
//! There is one such task a server, and none waits for another. It is told what is wanted, brings the server
//! to that, renews the lease, registers again when the server does not know the instance, and in the end
//! takes it off the list.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::client::Client;
use super::error::ClientError;
use super::http::CALL_TIMEOUT;
use super::messages::{Registration, State};
use super::pace::{jitter, renewal_interval, retry};
use super::run::note;

/// How long a server is tried for when the instance is to be taken off its list.
pub const LEAVE_TIME: Duration = Duration::from_secs(2);
/// The wait between two tries of that.
const LEAVE_RETRY: Duration = Duration::from_millis(250);
/// No call needs less time than this to fail: a lease may be as short as 1 s.
const LEAST_CALL_TIMEOUT: Duration = Duration::from_secs(1);

/// What the servers are to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing yet.
    Waiting,
    /// The instance is listed, in this state, for this reason.
    Listed(State, String),
    /// The instance is not listed.
    Gone,
}

/// A [`Wanted`] with its number: a task that has done it says so by the number.
#[derive(Debug, Clone)]
pub struct Step {
    /// Counts up.
    pub number: u64,
    /// What is wanted.
    pub wanted: Wanted,
}

/// What is registered.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The service.
    pub service: String,
    /// The instance.
    pub id: String,
    /// What is said of it; its state is set by what is wanted.
    pub registration: Registration,
    /// Its lease.
    pub lease: Duration,
    /// A file with the token, read again when the server denies a call.
    pub token_file: Option<PathBuf>,
}

/// What a server is believed to have.
#[derive(Debug, Clone, PartialEq, Eq)]
enum There {
    /// Nothing.
    Nothing,
    /// A registration was sent and no reply came.
    Perhaps,
    /// The instance, in this state, for this reason.
    Listed(State, String),
}

/// The task of one server.
pub struct Listing {
    client: Client,
    subject: Subject,
    there: There,
    renew_at: Instant,
    renewal_interval: Duration,
    failures: u32,
}

impl Listing {
    /// A task that keeps `subject` listed at the client's server.
    pub fn new(client: Client, subject: Subject) -> Self {
        let renewal_interval = renewal_interval(subject.lease);
        let call_timeout = renewal_interval.clamp(LEAST_CALL_TIMEOUT, CALL_TIMEOUT);
        Self {
            client: client.with_timeout(call_timeout),
            subject,
            there: There::Nothing,
            renew_at: Instant::now(),
            renewal_interval,
            failures: 0,
        }
    }

    /// Follows `wanted` until that is [`Wanted::Gone`], and says in `done` which step is done.
    pub async fn keep(mut self, mut wanted: watch::Receiver<Step>, done: watch::Sender<u64>) {
        let mut until_gone = wanted.clone();
        tokio::select! {
            // A call that hangs must not keep the instance from being taken off the list.
            biased;
            _ = until_gone.wait_for(|step| step.wanted == Wanted::Gone) => {}
            () = self.follow(&mut wanted, &done) => {}
        }
        self.leave().await;
    }

    async fn follow(&mut self, wanted: &mut watch::Receiver<Step>, done: &watch::Sender<u64>) {
        loop {
            let step = wanted.borrow_and_update().clone();
            let again_at = match step.wanted {
                Wanted::Waiting => None,
                Wanted::Gone => return,
                Wanted::Listed(state, reason) => match self.bring(state, &reason).await {
                    Ok(()) => {
                        done.send_replace(step.number);
                        self.succeeded();
                        Some(self.renew_at)
                    }
                    Err(error) => Some(Instant::now() + self.failed(&error)),
                },
            };
            let pause = async {
                match again_at {
                    Some(time) => sleep_until(time).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                () = pause => {}
            }
        }
    }

    /// Brings the server to what is wanted; a server that has lost the instance gets it again, once.
    async fn bring(&mut self, state: State, reason: &str) -> Result<(), ClientError> {
        match self.bring_once(state, reason).await {
            Err(ClientError::NotListed(_)) => {
                self.there = There::Nothing;
                self.bring_once(state, reason).await
            }
            result => result,
        }
    }

    async fn bring_once(&mut self, state: State, reason: &str) -> Result<(), ClientError> {
        if self.there == There::Nothing && state == State::Draining {
            // Nobody is sent to it by this server: there is nothing to drain.
            self.renew_at = Instant::now() + self.renewal_interval;
            return Ok(());
        }
        if self.there == There::Nothing
            || (self.there == There::Perhaps && state != State::Draining)
        {
            self.register(state).await?;
        }
        let wanted = There::Listed(state, reason.to_owned());
        if self.there != wanted {
            let (service, id) = (&self.subject.service, &self.subject.id);
            self.client.declare(service, id, state, reason).await?;
            self.there = wanted;
        }
        if Instant::now() >= self.renew_at {
            self.client.renew(&self.subject.service, &self.subject.id).await?;
            self.renewed();
        }
        Ok(())
    }

    async fn register(&mut self, state: State) -> Result<(), ClientError> {
        let registration = Registration { state: Some(state), ..self.subject.registration.clone() };
        self.there = There::Perhaps;
        let (service, id) = (&self.subject.service, &self.subject.id);
        let registered = match self.client.register(service, id, &registration).await {
            Ok(registered) => registered,
            Err(error) => {
                if !matches!(error, ClientError::Unreachable { .. }) {
                    self.there = There::Nothing;
                }
                return Err(error);
            }
        };
        // The server may have given another lease than was asked for.
        if let Some(secs) = registered.lease_secs {
            self.renewal_interval = renewal_interval(Duration::from_secs(secs.into()));
        }
        note(&format!("{service}/{id} is listed at {}", self.client.server()));
        self.there = There::Listed(state, String::new());
        self.renewed();
        Ok(())
    }

    fn renewed(&mut self) {
        self.renew_at = Instant::now() + jitter(self.renewal_interval);
    }

    fn succeeded(&mut self) {
        if self.failures > 0 {
            note(&format!("{} works again", self.client.server()));
        }
        self.failures = 0;
    }

    /// Counts a failure, says the first of a row, and gives the wait until the next try.
    fn failed(&mut self, error: &ClientError) -> Duration {
        self.failures += 1;
        if self.failures == 1 {
            note(&format!("{error} (trying again)"));
        }
        let wait = match error {
            ClientError::Denied { .. } => {
                self.read_token();
                retry(self.failures, self.renewal_interval)
            }
            // The same call will be refused again, until somebody changes something.
            ClientError::Refused(_) | ClientError::BadReply { .. } | ClientError::Usage(_) => {
                self.renewal_interval
            }
            // Its certificate, or ours, may have been over.
            ClientError::Unreachable { .. } => {
                self.read_tls();
                retry(self.failures, self.renewal_interval)
            }
            _ => retry(self.failures, self.renewal_interval),
        };
        jitter(wait)
    }

    /// So are certificates.
    fn read_tls(&mut self) {
        if let Err(reason) = self.client.read_tls_again()
            && self.failures == 1
        {
            note(&reason);
        }
    }

    /// A token that was replaced while the child runs is taken up.
    fn read_token(&mut self) {
        let Some(file) = &self.subject.token_file else { return };
        if let Ok(token) = std::fs::read_to_string(file)
            && self.client.set_token(Some(token.trim())).is_err()
            && self.failures == 1
        {
            note(&format!("{} holds no token", file.display()));
        }
    }

    /// Takes the instance off the server's list, as far as that can be done in [`LEAVE_TIME`].
    async fn leave(&mut self) {
        if self.there == There::Nothing {
            return;
        }
        let (service, id) = (&self.subject.service, &self.subject.id);
        let tries = async {
            loop {
                match self.client.deregister(service, id).await {
                    Ok(()) | Err(ClientError::NotListed(_)) => return Ok(()),
                    Err(ClientError::Unreachable { .. } | ClientError::Unavailable { .. }) => {
                        sleep(LEAVE_RETRY).await;
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        match timeout(LEAVE_TIME, tries).await {
            Ok(Ok(())) => {
                note(&format!("{service}/{id} is off the list of {}", self.client.server()));
            }
            Ok(Err(error)) => note(&format!("{service}/{id} could not be deregistered: {error}")),
            Err(_) => note(&format!(
                "{service}/{id} could not be deregistered at {}: its lease will end there",
                self.client.server()
            )),
        }
    }
}
