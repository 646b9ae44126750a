//! The loop of a copy: asks the source, tells our server, waits, until it is told to end.
//!
//! There is one call to each of the two at a time, and neither waits for the other: renewals go on while a list is slow to
//! come.

use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep, timeout};

use super::batch;
use super::copy::Copied;
use super::entry::{Answer, Item};
use super::pace::Pace;
use super::source::{Fetched, Source};
use super::summary::Summary;
use crate::sidecar::client::Client;
use crate::sidecar::error::ClientError;
use crate::sidecar::signals::{self, Request};

/// How long our server may take for a list of things to do: each may wait for a disk.
const BATCH_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest wait before the source is asked again.
const SOURCE_RETRY: Duration = Duration::from_secs(30);
/// The longest wait before our server is asked again: leases run there.
const SERVER_RETRY: Duration = Duration::from_secs(5);
/// The time between two lists of renewals that are not full: those that are due meanwhile go together.
const RENEWALS_APART: Duration = Duration::from_millis(100);
/// How long the copies are tried to be taken off in the end.
const LEAVE_TIME: Duration = Duration::from_secs(20);
/// The wait between two tries of that.
const LEAVE_RETRY: Duration = Duration::from_millis(250);

/// What is copied where, and how.
#[derive(Debug)]
pub struct Options {
    /// The Eureka server.
    pub source: Source,
    /// Our server.
    pub server: Client,
    /// A file with the token, read again when the server denies a call.
    pub token_file: Option<PathBuf>,
    /// The time between two questions to the source.
    pub every: Duration,
    /// How long a list that suddenly lacks most of what is copied is not believed.
    pub believe_after: Duration,
    /// Copy what there is, and end.
    pub once: bool,
    /// Leave the copies in the end, to the end of their leases.
    pub keep: bool,
}

/// What is told meanwhile.
#[derive(Debug)]
pub enum Event<'a> {
    /// The first list is copied.
    Copied(&'a Summary),
    /// Something has changed.
    Changed(&'a Summary),
    /// The copies are off our server's list; or they are left there (`true`), as many.
    Ended(usize, bool),
    /// Something is wrong, or no longer.
    Note(String),
}

type Tell<'a> = &'a mut dyn FnMut(Event<'_>);

/// Copies until a signal ends it, or once; gives what the first list has led to.
///
/// # Errors
/// It cannot begin, because of something that does not go away by itself; or the copies could not be taken off.
pub async fn run(options: Options, tell: Tell<'_>) -> Result<Summary, ClientError> {
    let listening = signals::listen();
    let mut signals =
        listening.map_err(|error| ClientError::Usage(format!("cannot take signals: {error}")))?;
    let (once, keep) = (options.once, options.keep);
    let mut mirror = Mirror::new(options, tell);
    let ended = mirror.follow(&mut signals).await;
    if !once && (mirror.first.is_some() || ended.is_ok()) {
        mirror.leave(keep, &mut signals).await?;
    }
    ended.map(|()| mirror.first.unwrap_or_default())
}

/// A call that is under way.
type Call<T> = Option<Pin<Box<dyn Future<Output = T> + Send>>>;

/// Waits for a call; for ever if there is none.
async fn end_of<T>(call: &mut Call<T>) -> T {
    match call {
        Some(future) => {
            let ended = future.await;
            *call = None;
            ended
        }
        None => std::future::pending().await,
    }
}

/// A list of things to do, and what our server answered.
type Told = (Vec<Item>, Result<Vec<Answer>, ClientError>);

/// A signal to end. Other signals are for a child, of which there is none.
async fn end_is_asked_for(signals: &mut Receiver<Request>) {
    while let Some(request) = signals.recv().await {
        if matches!(request, Request::End(_) | Request::PassOn(Signal::HUP)) {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// A copy under way.
struct Mirror<'a> {
    options: Options,
    tell: Tell<'a>,
    began: Instant,
    copied: Copied,
    source_pace: Pace,
    server_pace: Pace,
    fetch_at: Duration,
    renew_from: Duration,
    /// What the first list has led to, once it has.
    first: Option<Summary>,
}

impl<'a> Mirror<'a> {
    fn new(mut options: Options, tell: Tell<'a>) -> Self {
        options.server = options.server.with_timeout(BATCH_TIMEOUT);
        Self {
            copied: Copied::new(options.believe_after),
            options,
            tell,
            began: Instant::now(),
            source_pace: Pace::default(),
            server_pace: Pace::default(),
            fetch_at: Duration::ZERO,
            renew_from: Duration::ZERO,
            first: None,
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn note(&mut self, text: String) {
        (self.tell)(Event::Note(text));
    }

    /// Goes round until it is told to end, or has copied once.
    async fn follow(&mut self, signals: &mut Receiver<Request>) -> Result<(), ClientError> {
        let (mut batch, mut fetch) = (None, None);
        loop {
            self.begin_batch(&mut batch);
            self.begin_fetch(&mut fetch);
            if batch.is_none() {
                self.tell_changes();
            }
            if self.options.once && self.first.is_some() {
                return Ok(());
            }
            let pause = self.pause(batch.is_none(), fetch.is_none());
            tokio::select! {
                biased;
                () = end_is_asked_for(signals) => {
                    // What is under way is finished, so that we know what there is to take off.
                    if batch.is_some() {
                        let told = end_of(&mut batch).await;
                        self.told(told)?;
                    }
                    return Ok(());
                }
                told = end_of(&mut batch) => self.told(told)?,
                fetched = end_of(&mut fetch) => self.fetched(fetched)?,
                () = sleep(pause) => {}
            }
        }
    }

    /// Begins to tell our server what is due.
    fn begin_batch(&mut self, batch: &mut Call<Told>) {
        let now = self.now();
        let waits = !self.copied.has_work(now) && now < self.renew_from;
        if batch.is_some() || now < self.server_pace.not_before || waits {
            return;
        }
        let items = self.copied.batch(now);
        if items.is_empty() {
            return;
        }
        let is_followed = self.copied.due().is_some_and(|due| due <= now);
        self.renew_from = if is_followed { now } else { now + RENEWALS_APART };
        *batch = Some(Box::pin(send(&self.options, items)));
    }

    /// Begins to ask the source, if it is time. What is copied once has one list.
    fn begin_fetch(&mut self, fetch: &mut Call<Result<Fetched, ClientError>>) {
        let now = self.now();
        let has_one = self.options.once && self.copied.is_listed();
        if fetch.is_some() || now < self.fetch_at.max(self.source_pace.not_before) || has_one {
            return;
        }
        let (source, wanted) = (self.options.source.clone(), self.copied.wanted(now));
        *fetch = Some(Box::pin(async move { source.fetch(wanted).await }));
    }

    /// How long there is nothing to begin, if nothing ends meanwhile.
    fn pause(&self, batch_may_begin: bool, fetch_may_begin: bool) -> Duration {
        let now = self.now();
        let mut soonest = now + Duration::from_secs(1);
        if fetch_may_begin {
            soonest = soonest.min(self.fetch_at.max(self.source_pace.not_before));
        }
        if let (true, Some(due)) = (batch_may_begin, self.copied.due()) {
            let from = if self.copied.has_work(now) { now } else { self.renew_from };
            soonest = soonest.min(due.max(from).max(self.server_pace.not_before));
        }
        soonest.saturating_sub(now)
    }

    /// Our server has been told something.
    fn told(&mut self, (items, result): Told) -> Result<(), ClientError> {
        let now = self.now();
        let answers = match result {
            Ok(answers) => answers,
            Err(error) => {
                self.copied.answered(now, &items, &[]);
                return self.server_failed(error);
            }
        };
        self.copied.answered(now, &items, &answers);
        if let Some(answer) = answers.iter().find(|answer| answer.code >= 500) {
            let reason = format!("it answers {} to what is to be copied", answer.code);
            let server = self.options.server.server().to_owned();
            return self.server_failed(ClientError::Unavailable { server, reason });
        }
        if self.server_pace.succeeded(now).is_some() {
            let server = self.options.server.server().to_owned();
            self.note(format!("{server} works again"));
        }
        Ok(())
    }

    fn server_failed(&mut self, error: ClientError) -> Result<(), ClientError> {
        if self.is_final(&error) {
            return Err(error);
        }
        match &error {
            ClientError::Denied { .. } => self.read_token(),
            // Its certificate, or ours, may have been over.
            ClientError::Unreachable { .. } => drop(self.options.server.read_tls_again()),
            _ => {}
        }
        let now = self.now();
        if self.server_pace.failed(now, SERVER_RETRY) {
            self.note(format!("{error} (trying again)"));
        }
        Ok(())
    }

    /// Whether it is of no use to try again: at the beginning somebody is there to mend it.
    fn is_final(&self, error: &ClientError) -> bool {
        let may_pass =
            matches!(error, ClientError::Unreachable { .. } | ClientError::Unavailable { .. });
        self.options.once || (self.first.is_none() && !may_pass)
    }

    /// A token that was replaced is taken up.
    fn read_token(&mut self) {
        let Some(file) = &self.options.token_file else { return };
        if let Ok(token) = std::fs::read_to_string(file) {
            // One that is none leaves the old one, and the call is denied again.
            let _ = self.options.server.set_token(Some(token.trim()));
        }
    }

    /// The source has been asked.
    fn fetched(&mut self, result: Result<Fetched, ClientError>) -> Result<(), ClientError> {
        let now = self.now();
        let source = self.options.source.shown().to_owned();
        let fetched = match result {
            Ok(fetched) => fetched,
            Err(error) if self.is_final(&error) => return Err(error),
            Err(error) => {
                if self.source_pace.failed(now, SOURCE_RETRY) {
                    let kept = match self.copied.is_listed() {
                        true => "what is copied is kept alive meanwhile; ",
                        false => "",
                    };
                    self.note(format!("{error} ({kept}trying again)"));
                }
                return Ok(());
            }
        };
        if let Some(away) = self.source_pace.succeeded(now) {
            self.note(format!("{source} answers again, after {} s", away.as_secs()));
        }
        let doubted = self.copied.doubted();
        let at_once = match fetched {
            Fetched::Full(list) => {
                self.copied.full(now, list);
                false
            }
            Fetched::Delta(list) => self.copied.delta(now, list),
            Fetched::NoDelta => {
                self.copied.no_delta();
                true
            }
        };
        self.fetch_at = if at_once { now } else { now + self.options.every };
        self.tell_doubt(doubted);
        Ok(())
    }

    fn tell_doubt(&mut self, before: usize) {
        let source = self.options.source.shown();
        let text = match (before, self.copied.doubted()) {
            (0, doubted @ 1..) => format!(
                "{source} suddenly lacks {doubted} of the instances that are copied; they are kept until it has \
                 lacked them for {} s",
                self.options.believe_after.as_secs()
            ),
            (1.., 0) => format!("what {source} lists is believed again"),
            _ => return,
        };
        self.note(text);
    }

    /// Says what has changed, when our server has been told all of it.
    fn tell_changes(&mut self) {
        if !self.copied.is_listed() || !self.copied.is_settled() {
            return;
        }
        match &self.first {
            None => {
                let summary = self.copied.summary();
                (self.tell)(Event::Copied(&summary));
                self.first = Some(summary);
            }
            Some(_) if self.copied.has_changed() => {
                (self.tell)(Event::Changed(&self.copied.summary()));
            }
            Some(_) => {}
        }
    }

    /// Takes the copies off our server's list, so that nothing is answered that nobody watches; or leaves them.
    async fn leave(
        &mut self,
        keep: bool,
        signals: &mut Receiver<Request>,
    ) -> Result<(), ClientError> {
        let before = self.copied.summary().instances;
        if keep {
            (self.tell)(Event::Ended(before, true));
            return Ok(());
        }
        self.copied.leave(self.now());
        tokio::select! {
            _ = timeout(LEAVE_TIME, self.cancel_all()) => {}
            // Who asks twice does not want to wait.
            () = end_is_asked_for(signals) => {}
        }
        let left = self.copied.summary().instances;
        if self.copied.is_settled() {
            (self.tell)(Event::Ended(before, false));
            return Ok(());
        }
        let server = self.options.server.server().to_owned();
        let reason = format!("{left} copies are not off its list, and go when their leases end");
        Err(ClientError::Unavailable { server, reason })
    }

    async fn cancel_all(&mut self) {
        while !self.copied.is_settled() {
            let now = self.now();
            let items = self.copied.batch(now);
            let (items, result) = send(&self.options, items).await;
            let answers = result.unwrap_or_default();
            self.copied.answered(self.now(), &items, &answers);
            if answers.is_empty() || answers.iter().any(|answer| answer.code >= 500) {
                sleep(LEAVE_RETRY).await;
            }
        }
    }
}

/// Tells our server something.
fn send(options: &Options, items: Vec<Item>) -> impl Future<Output = Told> + Send + use<> {
    let (server, from) = (options.server.clone(), options.source.name());
    async move {
        let result = batch::send(&server, from, &items).await;
        (items, result)
    }
}
