//! The loop: asks the source, tells our server, and ends when it is told to.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::super::client::Client;
use super::super::pace;
use super::super::run::note;
use super::super::signals::{self, Request};
use super::copy::{Action, Answer, Belief, Copy, Item};
use super::list::{List, number, status};
use super::source::{NoList, Source};

/// Items that are sent at a time, as Eureka's own servers do.
const BATCH: usize = 250;
/// Octets of a batch at most: the server takes 2 MiB.
const MAX_BATCH_OCTETS: usize = 1_500_000;
/// After so long without a list the whole one is asked for: a server forgets changes after three minutes.
const ABSENCE: Duration = Duration::from_secs(150);
/// How long the wait between two tries gets at most.
const MOST_WAIT: Duration = Duration::from_secs(30);
/// How long the end may take.
const END_TIME: Duration = Duration::from_secs(10);

/// What is mirrored, and how.
#[derive(Debug)]
pub struct Options {
    /// From where.
    pub source: Source,
    /// To where.
    pub server: Client,
    /// How often the source is asked.
    pub every: Duration,
    /// After how long a list is believed that lacks more than half of what there was.
    pub believe_after: Duration,
    /// Leaves what is copied to the end of its leases.
    pub keep: bool,
    /// Copies what there is, and ends.
    pub once: bool,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Instances that were copied at the end.
    pub copied: usize,
    /// Instances that are registered here by themselves.
    pub of_themselves: usize,
    /// Instances that were refused.
    pub refused: usize,
    /// Instances that are not taken off the list, or not copied, because the server could not be asked.
    pub left: usize,
}

/// What the source is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    All,
    Delta,
}

type Fetched = (Ask, Result<List, NoList>);

/// Mirrors until a signal; the error is why it could not begin.
pub async fn run(options: Options) -> Result<Outcome, String> {
    let mut requests =
        signals::listen().map_err(|error| format!("signals cannot be taken: {error}"))?;
    let once = options.once;
    let (asks, mut lists) = fetcher(options.source.clone());
    let mut mirror = Mirror::new(options);
    loop {
        let now = Instant::now();
        if !mirror.is_asking && now >= mirror.next_fetch {
            mirror.is_asking = true;
            let _ = asks.send(mirror.next_ask(now)).await; // it ends with us
        }
        mirror.send_due(|_| true).await;
        if once && mirror.has_all() {
            break;
        }
        let wake = mirror.wake();
        tokio::select! {
            Some(fetched) = lists.recv() => match mirror.take(fetched) {
                Err(reason) if once => return Err(reason),
                _ => {}
            },
            () = sleep_until(wake) => {}
            request = requests.recv() => {
                if matches!(request, None | Some(Request::End(_))) {
                    break;
                }
            }
        }
    }
    if !once && !mirror.options.keep {
        mirror.end().await;
    }
    Ok(mirror.outcome())
}

/// Asks the source on a task of its own: renewals do not wait for a slow list.
fn fetcher(source: Source) -> (mpsc::Sender<Ask>, mpsc::Receiver<Fetched>) {
    let (asks, mut asked) = mpsc::channel(1);
    let (sender, lists) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(ask) = asked.recv().await {
            let list = match ask {
                Ask::All => source.all().await,
                Ask::Delta => source.delta().await,
            };
            if sender.send((ask, list)).await.is_err() {
                return;
            }
        }
    });
    (asks, lists)
}

struct Mirror {
    options: Options,
    copy: Copy,
    began: Instant,
    is_asking: bool,
    next_fetch: Instant,
    /// When a list came last; `None`: the whole one is needed.
    fetched: Option<Instant>,
    failures: u32,
    /// Whether our server cannot be asked.
    in_trouble: bool,
    /// What was said last, so that it is said once.
    said: String,
    /// When our server is asked next, after it could not be.
    next_send: Instant,
}

impl Mirror {
    fn new(options: Options) -> Self {
        let now = Instant::now();
        let believe_after = u64::try_from(options.believe_after.as_millis()).unwrap_or(u64::MAX);
        Self {
            copy: Copy::new(believe_after),
            options,
            began: now,
            is_asking: false,
            next_fetch: now,
            fetched: None,
            failures: 0,
            in_trouble: false,
            said: String::new(),
            next_send: now,
        }
    }

    /// Milliseconds since it began: the copy's clock.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn next_ask(&self, now: Instant) -> Ask {
        match self.fetched {
            Some(fetched) if now.duration_since(fetched) < ABSENCE => Ask::Delta,
            _ => Ask::All,
        }
    }

    /// Takes a list, or why there is none.
    fn take(&mut self, (ask, list): Fetched) -> Result<(), String> {
        self.is_asking = false;
        let (now, clock) = (self.now(), Instant::now());
        self.next_fetch = clock + self.options.every;
        let shown = self.options.source.shown().to_owned();
        match (ask, list) {
            (Ask::All, Ok(list)) => {
                let listed = list.given.len();
                let words = match self.copy.take_all(list, now) {
                    Belief::Taken if self.fetched.is_none() => {
                        format!("{shown} lists {listed} instances")
                    }
                    Belief::Taken => String::new(),
                    Belief::Doubted(lacks, known) => format!(
                        "{shown} lists {lacks} of {known} instances no more: they are kept for now, and taken off if it stays so"
                    ),
                };
                self.say(words);
                self.fetched = Some(clock);
                self.failures = 0;
            }
            (Ask::Delta, Ok(delta)) => {
                self.failures = 0;
                match self.copy.take_delta(delta, now) {
                    true => self.fetched = Some(clock),
                    false => self.ask_for_all(clock),
                }
            }
            (_, Err(NoList::NoDelta)) => self.ask_for_all(clock),
            (_, Err(NoList::Trouble(reason))) => {
                self.failures += 1;
                self.next_fetch = clock + pace::retry(self.failures, MOST_WAIT);
                self.say(format!("{reason}; what is copied is kept"));
                return Err(reason);
            }
        }
        Ok(())
    }

    /// The copy is not what the source has.
    fn ask_for_all(&mut self, now: Instant) {
        // Not at once again and again: the source may count otherwise than we do.
        let is_new = self.fetched.is_some();
        self.fetched = None;
        if is_new {
            self.next_fetch = now;
        }
    }

    fn say(&mut self, words: String) {
        if words != self.said && !words.is_empty() {
            note(&words);
        }
        self.said = words;
    }

    /// When there is something to do next.
    fn wake(&self) -> Instant {
        let due = self.copy.next_due().map(|due| self.began + Duration::from_millis(due));
        let due = due.map(|due| due.max(self.next_send));
        let fetch = (!self.is_asking).then_some(self.next_fetch);
        [due, fetch].into_iter().flatten().min().unwrap_or_else(|| Instant::now() + MOST_WAIT)
    }

    /// Whether everything that was listed has been tried.
    fn has_all(&self) -> bool {
        self.fetched.is_some() && self.copy.waiting() == 0
    }

    /// Does what is due, batch by batch, until nothing is or the server cannot be asked.
    async fn send_due(&mut self, go_on: impl Fn(&Self) -> bool) {
        while go_on(self) && Instant::now() >= self.next_send {
            let due = self.copy.due(self.now(), BATCH);
            if due.is_empty() {
                return;
            }
            self.send(&due).await;
        }
    }

    async fn send(&mut self, due: &[Item]) {
        let items = fitting(due);
        let sent = &due[..items.len()];
        let answers = self.options.server.replicate(&items, self.options.source.shown()).await;
        let now = self.now();
        match answers {
            Ok(answers) => {
                if std::mem::take(&mut self.in_trouble) {
                    note(&format!("{} takes what is copied again", self.options.server.server()));
                }
                for (item, (code, detail)) in sent.iter().zip(answers) {
                    self.answered(item, code, &detail, now);
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.in_trouble, true) {
                    note(&error.to_string());
                }
                self.next_send = Instant::now() + Duration::from_secs(1);
                sent.iter().for_each(|item| self.copy.answered(item, Answer::Failed, now));
            }
        }
    }

    fn answered(&mut self, item: &Item, code: u16, detail: &str, now: u64) {
        let answer = match code {
            200..=299 => Answer::Done,
            404 => Answer::NotListed,
            409 => Answer::OfItself,
            400..=499 => Answer::Refused,
            _ => Answer::Failed,
        };
        let (app, id) = &item.name;
        match answer {
            Answer::OfItself if item.action == Action::Register => {
                note(&format!("{app}/{id} is registered here by itself, and no longer copied"));
            }
            Answer::Refused => {
                note(&format!("{app}/{id} was refused ({code}): {detail}"));
            }
            _ => {}
        }
        self.copy.answered(item, answer, now);
    }

    /// Takes off the list what is a copy still, for so long as that may take.
    async fn end(&mut self) {
        let now = self.now();
        self.copy.end(now);
        let until = Instant::now() + END_TIME;
        while self.copy.waiting() > 0 && Instant::now() < until {
            self.send_due(|_| Instant::now() < until).await;
            if self.copy.waiting() > 0 {
                sleep_until(self.next_send.min(until)).await;
            }
        }
    }

    fn outcome(&self) -> Outcome {
        let [copied, of_themselves, refused] = self.copy.counts();
        Outcome { copied, of_themselves, refused, left: self.copy.waiting() }
    }
}

/// So many of the items as fit into a batch, as it has them.
fn fitting(due: &[Item]) -> Vec<Value> {
    let mut octets = 0;
    let mut items = Vec::new();
    for item in due {
        let value = as_sent(item);
        octets += value.to_string().len();
        if octets > MAX_BATCH_OCTETS && !items.is_empty() {
            break;
        }
        items.push(value);
    }
    items
}

fn as_sent(item: &Item) -> Value {
    let action = match item.action {
        Action::Register => "Register",
        Action::Renew => "Heartbeat",
        Action::Cancel => "Cancel",
    };
    let info = (item.action == Action::Register).then_some(&*item.info);
    json!({
        "appName": item.name.0,
        "id": item.name.1,
        "lastDirtyTimestamp": number(item.info.get("lastDirtyTimestamp")),
        "status": status(&item.info),
        "instanceInfo": info,
        "action": action,
    })
}
