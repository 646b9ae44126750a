//! The store and other processes: killed in the middle of its work, and copied while it works.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod store_common;

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use rollcall::store::{FILE_NAME, Store, backup};
use store_common::{check_history, helper};

/// Times that the helper is killed.
const ROUNDS: u64 = 20;
/// Commits that it is left to make in a round at most: enough for the log to be copied now and then.
const MAX_COMMITS_A_ROUND: u64 = 300;

#[test]
#[ignore = "the process that other tests kill or copy from"]
fn helper_commits() {
    store_common::commit_history();
}

/// A helper that commits for ever, and the revisions that it has acknowledged.
struct Committing {
    child: Child,
    lines: BufReader<ChildStdout>,
    acknowledged: u64,
}

impl Committing {
    fn start(dir: &Path) -> Self {
        let line = helper("helper_commits", dir, u64::MAX);
        let mut child =
            Command::new(&line[0]).args(&line[1..]).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines, acknowledged: 0 }
    }

    /// Waits for one more acknowledgement; false at the end of what it said.
    fn next(&mut self) -> bool {
        let mut line = String::new();
        while self.lines.read_line(&mut line).unwrap() > 0 {
            assert!(!line.starts_with("refused"), "{line}");
            // A line that the kill has cut off was said after the commit, but does not count.
            if let Some(revision) =
                line.strip_prefix("acknowledged ").filter(|_| line.ends_with('\n'))
            {
                self.acknowledged = revision.trim().parse().unwrap();
                return true;
            }
            line.clear();
        }
        false
    }

    /// Kills it with SIGKILL, and returns the last revision that it acknowledged.
    fn kill(mut self) -> u64 {
        self.child.kill().unwrap();
        while self.next() {}
        self.child.wait().unwrap();
        self.acknowledged
    }
}

impl Drop for Committing {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    for round in 1..=ROUNDS {
        let mut committing = Committing::start(dir.path());
        let commits = RandomState::new().build_hasher().finish() % MAX_COMMITS_A_ROUND + 1;
        for _ in 0..commits {
            assert!(committing.next(), "ended by itself in round {round}");
        }
        let acknowledged = committing.kill();
        let found = check_history(dir.path());
        // The commit that was under way may have become durable, but no more than that.
        assert!(
            (acknowledged..=acknowledged + 1).contains(&found),
            "round {round}: acknowledged {acknowledged}, found {found}"
        );
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Puts a backup in the place of a database, and checks it as that.
fn check_backup(file: &Path) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(file, dir.path().join(FILE_NAME)).unwrap();
    check_history(dir.path())
}

#[test]
fn a_backup_while_commits_go_on_is_of_one_moment() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Big enough for a copy to take many steps, with commits between them.
    store_common::commit_history_at_once(dir.path(), 6000);
    let mut committing = Committing::start(dir.path());
    assert!(committing.next());
    let mut last = 0;
    for round in 0..3 {
        let file = out.path().join(format!("backup-{round}.db"));
        let before = committing.acknowledged;
        let instances = backup(dir.path(), &file, false).unwrap();
        let revision = check_backup(&file);
        assert!(revision >= before && revision > last, "{before} {last} {revision}");
        // Each third revision takes an instance away.
        assert_eq!(instances as u64, revision - revision / 3);
        last = revision;
        // It went on while the copy was made, and after it.
        while committing.acknowledged <= revision {
            assert!(committing.next());
        }
    }
    let expected: Vec<_> = (0..3).map(|round| format!("backup-{round}.db")).collect();
    assert_eq!(names(out.path()), expected);
    let acknowledged = committing.kill();
    assert!(check_history(dir.path()) >= acknowledged);
}

#[test]
fn a_backup_works_without_a_server_and_after_a_kill() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = out.path().join("backup.db");
    let mut committing = Committing::start(dir.path());
    while committing.acknowledged < 50 {
        assert!(committing.next());
    }
    let acknowledged = committing.kill();
    backup(dir.path(), &file, false).unwrap();
    let copied = check_backup(&file);
    assert!((acknowledged..=acknowledged + 1).contains(&copied));
    assert_eq!(check_history(dir.path()), copied);
    backup(dir.path(), &file, true).unwrap();
    assert_eq!(check_backup(&file), copied);
}

#[test]
fn a_backup_overwrites_nothing_that_it_should_not() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(Store::open(dir.path()).unwrap());
    let there = out.path().join("there.db");
    fs::write(&there, "precious").unwrap();
    let own = |name: &str| dir.path().join("../").join(dir.path().file_name().unwrap()).join(name);
    let cases: [(PathBuf, bool, &str); 7] = [
        (out.path().join("b.db.partial"), false, "is what an unfinished copy is called"),
        (there.clone(), false, "is there already: choose another name"),
        (own("rollcall.db"), true, "is one of the server's own files"),
        (own("rollcall.db-wal"), true, "is one of the server's own files"),
        (own("rollcall.lock"), true, "is one of the server's own files"),
        (out.path().into(), true, "is not a file"),
        (out.path().join("missing/backup.db"), true, "make its directory"),
    ];
    for (to, replace, words) in cases {
        let error = backup(dir.path(), &to, replace).unwrap_err().to_string();
        assert!(error.contains(words), "{to:?}: {error}");
        assert!(error.contains(to.file_name().unwrap().to_str().unwrap()) || replace, "{error}");
    }
    assert_eq!(fs::read(&there).unwrap(), b"precious");
    assert_eq!(names(out.path()), ["there.db"]);

    let partial = fs::File::create(out.path().join("busy.db.partial")).unwrap();
    partial.try_lock().unwrap();
    let error = backup(dir.path(), &out.path().join("busy.db"), false).unwrap_err();
    assert!(error.to_string().contains("another backup is writing"), "{error}");

    let empty = tempfile::tempdir().unwrap();
    let error = backup(empty.path(), &out.path().join("x.db"), false).unwrap_err().to_string();
    assert!(error.contains("there is no store at"), "{error}");
}

#[test]
fn what_is_in_the_place_of_the_unfinished_copy_is_left_as_it_is() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    store_common::commit_history_at_once(dir.path(), 3);
    let (to, partial) = (out.path().join("b.db"), out.path().join("b.db.partial"));
    let victim = out.path().join("victim");
    let refused = |what: &str| {
        let error = backup(dir.path(), &to, true).unwrap_err().to_string();
        let words = format!("{} is in the way ({what})", partial.display());
        assert!(error.starts_with(&words), "{error}");
    };

    symlink(&victim, &partial).unwrap();
    refused("a symbolic link");
    assert_eq!(names(out.path()), ["b.db.partial"], "the link's target was not made");
    fs::write(&victim, "").unwrap();
    refused("a symbolic link");
    assert_eq!(fs::read(&victim).unwrap(), b"");
    fs::remove_file(&partial).unwrap();

    assert!(Command::new("mkfifo").arg(&partial).status().unwrap().success());
    refused("not a file");
    fs::remove_file(&partial).unwrap();

    fs::write(&partial, [0; 5000]).unwrap();
    refused("no unfinished copy of a store");
    assert_eq!(fs::read(&partial).unwrap(), [0; 5000]);
    fs::remove_file(&partial).unwrap();

    // What a backup has left is no obstacle, but what else it is called is not written either.
    for leftover in [Vec::new(), fs::read(dir.path().join(FILE_NAME)).unwrap()] {
        fs::write(&victim, &leftover).unwrap();
        fs::hard_link(&victim, &partial).unwrap();
        backup(dir.path(), &to, true).unwrap();
        assert_eq!(check_backup(&to), 3);
        assert!(fs::read(&victim).unwrap() == leftover);
        assert_eq!(names(out.path()), ["b.db", "victim"]);
    }
}

#[test]
#[ignore = "the process that another test kills"]
fn helper_backs_up() {
    let Ok(dir) = std::env::var(store_common::HELPER_DIR) else { return };
    backup(Path::new(&dir), &Path::new(&dir).join("backup.db"), true).unwrap();
}

#[test]
fn what_a_killed_backup_leaves_does_not_stop_the_next() {
    let dir = tempfile::tempdir().unwrap();
    store_common::commit_history_at_once(dir.path(), 6000);
    let (to, partial) = (dir.path().join("backup.db"), dir.path().join("backup.db.partial"));
    let size = || fs::metadata(&partial).map_or(0, |found| found.len());
    let line = helper("helper_backs_up", dir.path(), 0);
    // Some round catches it with pages on the disk.
    while size() < 1 << 20 {
        let mut child = Command::new(&line[0]).args(&line[1..]).spawn().unwrap();
        while size() < 1 << 20 && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    backup(dir.path(), &to, true).unwrap();
    assert_eq!(check_backup(&to), 6000);
    assert!(!partial.exists());
}

#[test]
fn backups_into_one_file_do_not_harm_each_other() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    store_common::commit_history_at_once(dir.path(), 3);
    let to = out.path().join("b.db");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    match backup(dir.path(), &to, true) {
                        Ok(instances) => assert_eq!(instances, 2),
                        Err(error) => {
                            let error = error.to_string();
                            assert!(error.contains("another backup is writing"), "{error}");
                        }
                    }
                }
            });
        }
    });
    assert_eq!(check_backup(&to), 3);
    assert_eq!(names(out.path()), ["b.db"]);
}
