//! `rollcall import`: registers what `export` wrote.
//!
//! Lines are registered several at a time, since each waits for a disk; two lines of one instance keep their
//! order. A line is done when its instance is listed in its state and with its override, and at no time in
//! between does it answer where it should not.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::sidecar::{Client, ClientError};

use super::connect::Connect;
use super::failure::{Failure, complain};
use super::import_eureka;
use super::line::Line;
use super::output;

/// Lines that are registered at the same time: enough for the server to commit them together.
const IN_FLIGHT: usize = 32;
/// Lines that are read ahead.
const READ_AHEAD: usize = 64;
/// Octets of a line at most: no registration that a server takes has as many.
const MAX_LINE_OCTETS: u64 = 256 << 10;

/// What is read, and what happens on an error.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    from: Option<From>,
    /// The file; `-`: standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Go on after a line that is wrong or refused
    #[arg(long)]
    keep_going: bool,
}

/// Another registry.
#[derive(Debug, clap::Subcommand)]
enum From {
    /// Copy what a Netflix Eureka server lists, and follow it until a signal
    Eureka(import_eureka::Args),
}

/// A line with its number, or why it cannot be read.
type Numbered = (usize, Result<String, String>);

/// Registers it.
pub(super) async fn run(connect: &Connect, args: Args) -> Result<(), Failure> {
    if let Some(From::Eureka(eureka)) = args.from {
        if args.keep_going || args.file != Path::new("-") {
            return Err(Failure::usage("a file and --keep-going are for what `export` wrote"));
        }
        let args = eureka;
        return import_eureka::run(connect, args).await;
    }
    let mut import = Import::new(connect.client()?, args.keep_going);
    let mut lines = read(&args.file)?;
    while !import.is_over()
        && let Some((number, line)) = lines.recv().await
    {
        match line.and_then(|text| Line::parse(&text)) {
            Ok(line) => import.begin(number, line).await,
            Err(reason) => import.fail(number, Failure::failed(reason)),
        }
    }
    while import.one_done().await {}
    import.report(connect.json)
}

/// Reads lines on a thread of its own: standard input may be slow, and calls must not wait for it.
fn read(file: &Path) -> Result<mpsc::Receiver<Numbered>, Failure> {
    let input: Box<dyn Read + Send> =
        match file.to_str() {
            Some("-") => Box::new(io::stdin()),
            _ => Box::new(File::open(file).map_err(|error| {
                Failure::usage(format!("cannot read {}: {error}", file.display()))
            })?),
        };
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    std::thread::spawn(move || {
        let mut input = BufReader::new(input);
        for number in 1.. {
            let line = match read_line(&mut input) {
                Ok(None) => return,
                Ok(Some(line)) if line.trim().is_empty() => continue,
                Ok(Some(line)) => Ok(line),
                Err(reason) => Err(reason),
            };
            let unreadable = line.is_err();
            if sender.blocking_send((number, line)).is_err() || unreadable {
                return;
            }
        }
    });
    Ok(receiver)
}

/// The next line; after an error there is no way to go on.
fn read_line(input: &mut impl BufRead) -> Result<Option<String>, String> {
    let mut line = Vec::new();
    let read = input.take(MAX_LINE_OCTETS).read_until(b'\n', &mut line);
    match read.map_err(|error| format!("cannot be read: {error}"))? {
        0 => return Ok(None),
        octets if octets as u64 == MAX_LINE_OCTETS => {
            return Err(format!("has more than {MAX_LINE_OCTETS} octets"));
        }
        _ => {}
    }
    String::from_utf8(line).map(Some).map_err(|_| "is not UTF-8".to_owned())
}

/// A service and an id.
type Name = (String, String);

/// What became of a line: its number, its instance, and whether that is new.
type Done = (usize, Name, Result<bool, ClientError>);

/// An import under way.
struct Import {
    client: Client,
    keep_going: bool,
    calls: JoinSet<Done>,
    /// The instances that are being registered.
    busy: HashSet<Name>,
    imported: usize,
    new: usize,
    failed: usize,
    /// The failure that ended it.
    ended: Option<Failure>,
}

impl Import {
    fn new(client: Client, keep_going: bool) -> Self {
        Self {
            client,
            keep_going,
            calls: JoinSet::new(),
            busy: HashSet::new(),
            imported: 0,
            new: 0,
            failed: 0,
            ended: None,
        }
    }

    fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// Begins to register a line, when there is room and no other line of the instance is under way.
    async fn begin(&mut self, number: usize, line: Line) {
        let instance = (line.service.clone(), line.id.clone());
        while self.calls.len() >= IN_FLIGHT || self.busy.contains(&instance) {
            self.one_done().await;
        }
        if self.is_over() {
            return;
        }
        self.busy.insert(instance.clone());
        let client = self.client.clone();
        self.calls.spawn(async move { (number, instance, register(&client, &line).await) });
    }

    /// Waits for one line to be done; false if none is under way.
    async fn one_done(&mut self) -> bool {
        let Some(done) = self.calls.join_next().await else { return false };
        let Ok((number, instance, result)) = done else {
            self.fail(0, Failure::failed("a call was broken off"));
            return true;
        };
        self.busy.remove(&instance);
        match result {
            Ok(created) => {
                self.imported += 1;
                self.new += usize::from(created);
            }
            Err(error) => self.fail(number, Failure::from(error)),
        }
        true
    }

    /// Says what is wrong with a line, and ends it there unless it is to go on and can.
    fn fail(&mut self, number: usize, failure: Failure) {
        self.failed += 1;
        let failure = failure.at(&format!("line {number}"));
        complain(failure.message());
        if !(self.keep_going && failure.is_about_one_call()) && self.ended.is_none() {
            self.ended = Some(failure);
        }
    }

    fn report(self, json: bool) -> Result<(), Failure> {
        let Self { imported, new, failed, .. } = self;
        let text = format!("{imported} imported, {new} of them new; {failed} failed");
        let failing = self.ended.is_some() || failed > 0;
        match failing && !json {
            true => complain(&text),
            false => {
                let counts = json!({ "imported": imported, "new": new, "failed": failed });
                output::result(json, &counts, &text)?;
            }
        }
        match self.ended {
            Some(failure) => Err(failure.with_message("stopped there; --keep-going goes on")),
            None if failed > 0 => Err(Failure::failed("some lines were not imported")),
            None => Ok(()),
        }
    }
}

/// Registers a line's instance; whether it was new.
async fn register(client: &Client, line: &Line) -> Result<bool, ClientError> {
    let (service, id) = (&*line.service, &*line.id);
    let Some(set) = &line.override_ else {
        let registered = client.register(service, id, &line.registration(line.state)).await?;
        // One that was listed keeps the reason and the override that it had.
        if !registered.created || !line.state_reason.is_empty() {
            client.declare(service, id, line.state, &line.state_reason).await?;
        }
        if !registered.created {
            client.clear_override(service, id).await?;
        }
        return Ok(registered.created);
    };
    // It begins in the state that counts in the end, then gets the override, and the owner's state below it.
    let registered = client.register(service, id, &line.registration(set.state)).await?;
    client.set_override(service, id, set).await?;
    client.declare(service, id, line.state, &line.state_reason).await?;
    Ok(registered.created)
}
