//! The audit: a line of JSON for every change and every denial, at whatever door.
//!
//! Whoever decides hands an entry over and goes on: a thread writes them. If it cannot keep up, or the disk is full, the
//! server serves on, and the next line says how many are missing. Denials are bounded in number, as anybody can cause
//! them. A line has no secret: credentials are named by their ids, and of metadata the keys alone are told.

mod line;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::access::Asker;
use crate::access::{Credential, Door, Source};
use crate::registry::Change;
use writer::Writer;

/// Entries that wait for the disk at most: what some batches of the registrar make.
const QUEUE: usize = 16_384;
/// Denials that are told in a second at most; the others are counted.
const DENIALS_A_SECOND: u64 = 50;

/// Characters of a name or a reason that are told of a denial: an id has 255 at most.
const MAX_TOLD_CHARS: usize = 255;

/// Whom changes and denials are told; clones tell the same. By default nobody.
#[derive(Debug, Clone, Default)]
pub struct Audit(Option<Arc<Desk>>);

#[derive(Debug)]
struct Desk {
    entries: Mutex<Option<SyncSender<Entry>>>,
    /// Denials that may be told until the writer's second is over.
    denials_left: AtomicU64,
    counts: Arc<Counts>,
    path: PathBuf,
}

/// What is counted for metrics.
#[derive(Debug, Default)]
struct Counts {
    lines: AtomicU64,
    lost: AtomicU64,
    denials_untold: AtomicU64,
    failures: AtomicU64,
}

/// The audit's thread.
#[derive(Debug)]
pub struct Writing {
    desk: Arc<Desk>,
    thread: std::thread::JoinHandle<()>,
}

/// Something to be told.
#[derive(Debug)]
enum Entry {
    /// Something has changed.
    Change { unix_ms: u64, by: Asker, verb: &'static str, change: Change },
    /// Somebody was denied something.
    Denial(Box<Denial>),
    /// Tokens, keys, the cache: what is not of the registry.
    Administration { by: Asker, verb: &'static str, what: String },
    /// The file is to be opened again, as after a rotation.
    Reopen,
}

#[derive(Debug)]
struct Denial {
    at: SystemTime,
    door: Door,
    source: Source,
    /// Who, and by what it is known; nothing: that is not known.
    principal: Option<(String, Credential)>,
    verb: &'static str,
    service: Option<String>,
    id: Option<String>,
    reason: String,
}

impl Audit {
    /// Tells a file, which is made for its owner alone, or added to.
    ///
    /// # Errors
    /// It cannot be opened, or no thread can be started.
    pub fn open(path: &Path) -> Result<(Self, Writing), String> {
        let (sender, entries) = sync_channel(QUEUE);
        let counts = Arc::<Counts>::default();
        let desk = Arc::new(Desk {
            entries: Mutex::new(Some(sender)),
            denials_left: AtomicU64::new(DENIALS_A_SECOND),
            counts: counts.clone(),
            path: path.to_path_buf(),
        });
        let writer = Writer::open(path, counts)?;
        let told = desk.clone();
        let anew = move || told.denials_left.store(DENIALS_A_SECOND, Ordering::Relaxed);
        let work = move || writer.run(&entries, anew);
        let thread = std::thread::Builder::new().name("audit".into()).spawn(work);
        let thread = thread.map_err(|error| format!("the audit's thread cannot start: {error}"))?;
        Ok((Self(Some(desk.clone())), Writing { desk, thread }))
    }

    /// Whether anybody is told.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The file that is written to.
    pub fn path(&self) -> Option<&Path> {
        self.0.as_ref().map(|desk| &*desk.path)
    }

    /// A change that is durable, or an expiry, which does not wait to be.
    pub fn changed(&self, unix_ms: u64, by: &Asker, verb: &'static str, change: &Change) {
        if let Some(desk) = &self.0 {
            desk.tell(Entry::Change { unix_ms, by: by.clone(), verb, change: change.clone() });
        }
    }

    /// Something was done to the server itself.
    pub fn administered(&self, by: &Asker, verb: &'static str, what: String) {
        if let Some(desk) = &self.0 {
            desk.tell(Entry::Administration { by: by.clone(), verb, what });
        }
    }

    /// Somebody who is known was denied something.
    pub fn denied(
        &self,
        by: &Asker,
        verb: &'static str,
        service: Option<&str>,
        id: Option<&str>,
        reason: &str,
    ) {
        let principal = (by.principal.name().to_owned(), by.principal.credential().clone());
        self.deny(by.door, by.source, Some(principal), (verb, service, id), reason);
    }

    /// Somebody who is not known was denied to call at all.
    pub fn turned_away(&self, door: Door, source: Source, reason: &str) {
        self.deny(door, source, None, ("call", None, None), reason);
    }

    fn deny(
        &self,
        door: Door,
        source: Source,
        principal: Option<(String, Credential)>,
        (verb, service, id): (&'static str, Option<&str>, Option<&str>),
        reason: &str,
    ) {
        let Some(desk) = &self.0 else { return };
        let one_less = |left: u64| left.checked_sub(1);
        let relaxed = Ordering::Relaxed;
        if desk.denials_left.fetch_update(relaxed, relaxed, one_less).is_err() {
            desk.counts.denials_untold.fetch_add(1, relaxed);
            return;
        }
        desk.tell(Entry::Denial(Box::new(Denial {
            at: SystemTime::now(),
            door,
            source,
            principal,
            verb,
            service: service.map(cut),
            id: id.map(cut),
            reason: cut(reason),
        })));
    }

    /// Opens the file again: the one before was moved away.
    pub fn reopen(&self) {
        if let Some(desk) = &self.0 {
            desk.tell(Entry::Reopen);
        }
    }

    /// Counters for metrics: name, what it counts, value.
    pub fn figures(&self) -> Vec<(&'static str, &'static str, u64)> {
        let Some(desk) = &self.0 else { return Vec::new() };
        let Counts { lines, lost, denials_untold, failures } = &*desk.counts;
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        vec![
            ("audit_lines", "Lines of the audit written.", get(lines)),
            ("audit_lost", "Entries of the audit that were not written.", get(lost)),
            ("audit_denials_untold", "Denials beyond those told in a second.", get(denials_untold)),
            ("audit_failures", "Times that the audit could not be written.", get(failures)),
        ]
    }
}

/// What clients have sent, as far as it is told.
fn cut(text: &str) -> String {
    let mut told = String::new();
    for char in text.chars().take(MAX_TOLD_CHARS) {
        let escaped = char.escape_debug();
        // serde_json escapes what is below U+0020; others move a terminal's cursor, or turn its text around.
        if !char.is_ascii() && escaped.len() > 1 {
            told.extend(escaped);
        } else {
            told.push(char);
        }
    }
    told
}

impl Desk {
    /// Without waiting: the server goes on, whatever the disk does.
    fn tell(&self, entry: Entry) {
        let entries = self.entries.lock();
        if entries.as_ref().is_none_or(|sender| sender.try_send(entry).is_err()) {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Writing {
    /// Writes what is left, and ends. What is told from now on is lost.
    pub fn end(self) {
        drop(self.desk.entries.lock().take());
        let _ = self.thread.join();
    }
}

#[cfg(test)]
mod tests;
