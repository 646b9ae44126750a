//! The thread that writes the audit.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::{Counts, Entry, line};

/// How often denials may be told anew, and a file that could not be written is tried again.
const SECOND: Duration = Duration::from_secs(1);
/// Octets that are gathered before they are written.
const GATHERED: usize = 64 * 1024;

pub(super) struct Writer {
    path: PathBuf,
    file: Option<File>,
    counts: Arc<Counts>,
    /// Entries, and denials, that were said to be missing.
    told: (u64, u64),
    failing: bool,
    gathered: Vec<u8>,
    /// How many lines are gathered.
    lines: u64,
}

impl Writer {
    pub(super) fn open(path: &Path, counts: Arc<Counts>) -> Result<Self, String> {
        let file = open(path).map_err(|error| {
            let shown = path.display();
            format!("audit.file: {shown} cannot be written: {error}")
        })?;
        Ok(Self {
            path: path.to_path_buf(),
            file: Some(file),
            counts,
            told: (0, 0),
            failing: false,
            gathered: Vec::new(),
            lines: 0,
        })
    }

    /// Writes until nobody tells any more; calls `each_second` about every second.
    pub(super) fn run(mut self, entries: &Receiver<Entry>, each_second: impl Fn()) {
        let mut next = Instant::now() + SECOND;
        loop {
            let wait = next.saturating_duration_since(Instant::now());
            match entries.recv_timeout(wait) {
                Ok(entry) => {
                    self.take(&entry);
                    while self.gathered.len() < GATHERED
                        && let Ok(entry) = entries.try_recv()
                    {
                        self.take(&entry);
                    }
                    self.write();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if Instant::now() >= next {
                each_second();
                next = Instant::now() + SECOND;
                self.tell_missing();
            }
        }
        self.tell_missing();
    }

    fn take(&mut self, entry: &Entry) {
        if matches!(entry, Entry::Reopen) {
            self.write();
            // If that fails, the next line tries again, and tells.
            self.file = open(&self.path).ok();
            return;
        }
        line::write(entry, &mut self.gathered);
        self.lines += 1;
    }

    /// A line for what was not told since, if anything was not.
    fn tell_missing(&mut self) {
        let get = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        let (lost, denials) = (get(&self.counts.lost), get(&self.counts.denials_untold));
        let (told_lost, told_denials) = self.told;
        if (lost, denials) == self.told {
            return;
        }
        line::write_missing(lost - told_lost, denials - told_denials, &mut self.gathered);
        self.lines += 1;
        if self.write() {
            self.told = (lost, denials);
        }
    }

    /// Writes what is gathered; if that fails it is lost, and the file is opened again the next time.
    fn write(&mut self) -> bool {
        let lines = std::mem::take(&mut self.lines);
        if lines == 0 {
            return true;
        }
        let gathered = std::mem::take(&mut self.gathered);
        let written = self.file().and_then(|mut file| file.write_all(&gathered));
        match written {
            Ok(()) => {
                self.counts.lines.fetch_add(lines, Ordering::Relaxed);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the audit is written again");
                }
                true
            }
            Err(error) => {
                self.file = None;
                self.counts.lost.fetch_add(lines, Ordering::Relaxed);
                self.counts.failures.fetch_add(1, Ordering::Relaxed);
                if !std::mem::replace(&mut self.failing, true) {
                    let shown = self.path.display();
                    tracing::error!(%error, "the audit {shown} cannot be written: its lines are lost");
                }
                false
            }
        }
    }

    fn file(&mut self) -> io::Result<&File> {
        if self.file.is_none() {
            self.file = Some(open(&self.path)?);
        }
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// For its owner alone: it says who is where.
fn open(path: &Path) -> io::Result<File> {
    // Not to wait for who reads from a pipe.
    let flags = libc::O_NONBLOCK;
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path)
}
