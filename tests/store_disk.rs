//! The store and its disk: what is synced before a commit returns, and what happens when the disk fails.
//!
//! strace watches, and in other tests injects, the system calls of a helper process.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod store_common;

use std::fs;
use std::path::{Path, PathBuf};

use rollcall::store::{FILE_NAME, Store};
use store_common::{change, check_history, commit, helper, load, plain, run};

#[test]
#[ignore = "the process that other tests trace"]
fn helper_commits() {
    store_common::commit_history();
}

/// A data directory with an empty store, by the name that the kernel has for it.
fn data_dir() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    Store::open(&path).unwrap();
    (dir, path)
}

/// What the helper says up to revision `last`, and what strace with these options writes.
fn traced(dir: &Path, last: u64, options: &[String]) -> (Vec<String>, String) {
    let trace = dir.with_extension("strace");
    let mut line = ["strace", "-f", "-qq", "-y", "-o"].map(String::from).to_vec();
    line.push(trace.display().to_string());
    line.extend_from_slice(options);
    line.extend(helper("helper_commits", dir, last));
    let said = run(&line);
    let text = fs::read_to_string(&trace).unwrap();
    fs::remove_file(trace).unwrap();
    let lines = said
        .lines()
        .filter(|line| line.starts_with("acknowledged ") || line.starts_with("refused "));
    (lines.map(String::from).collect(), text)
}

fn options(list: &[&str]) -> Vec<String> {
    list.iter().map(|option| (*option).to_owned()).collect()
}

#[test]
fn each_commit_returns_after_its_log_is_synced() {
    let (_keep, dir) = data_dir();
    let calls = "trace=write,writev,pwrite64,pwritev,fdatasync,fsync";
    let (_, trace) = traced(&dir, 40, &options(&["-e", calls]));

    let log = format!("{FILE_NAME}-wal>");
    let (mut acknowledged, mut written, mut synced) = (0, false, false);
    for call in trace.lines() {
        if call.contains(&log) && call.contains("write") {
            (written, synced) = (true, false);
        } else if call.contains(&log) && call.contains(" fdatasync(") {
            assert!(call.ends_with(" = 0"), "{call}");
            synced = written;
        } else if call.contains("\"acknowledged ") {
            assert!(written && synced, "acknowledged before fdatasync of the log:\n{trace}");
            acknowledged += 1;
            (written, synced) = (false, false);
        }
    }
    assert_eq!(acknowledged, 40, "{trace}");
}

/// Some system calls fail for a while: the commits meanwhile are refused with `words`, and nothing else goes wrong.
fn check_failing_log(faults: &[&str], words: &str) {
    let (_keep, dir) = data_dir();
    let log = dir.join(format!("{FILE_NAME}-wal"));
    let probe = dir.join("rollcall.probe");
    let mut options = ["-P", &log.display().to_string(), "-P", &probe.display().to_string()]
        .map(String::from)
        .to_vec();
    for fault in faults {
        options.extend(["-e".into(), format!("inject={fault}")]);
    }
    let (said, trace) = traced(&dir, 60, &options);

    let refused = format!(
        "refused true {}",
        words.replace("{db}", &dir.join(FILE_NAME).display().to_string())
    );
    let refusals: Vec<_> = said.iter().filter(|line| line.starts_with("refused")).collect();
    assert!(!refusals.is_empty(), "{said:?}\n{trace}");
    assert!(
        refusals.iter().all(|line| line.starts_with(&refused)),
        "{refused:?}, not {refusals:?}"
    );
    assert!(said[0].starts_with("acknowledged "), "{said:?}");
    assert_eq!(said.last().unwrap(), "acknowledged 60", "works again when the disk does");
    assert_eq!(check_history(&dir), 60);
}

#[test]
fn a_full_disk_refuses_changes_until_there_is_room() {
    check_failing_log(
        &["pwrite64:error=ENOSPC:when=20..40"],
        "the disk that holds {db} is full: free some space on it",
    );
}

#[test]
fn a_disk_gone_read_only_refuses_changes_until_it_is_writable() {
    check_failing_log(
        // The log is opened once, at the start; every later call is the attempt to write beside it.
        &["pwrite64:error=EROFS:when=20..40", "openat:error=EROFS:when=2+"],
        "the disk that holds {db} is read-only: mount it writable",
    );
}

#[test]
fn a_log_that_cannot_be_synced_is_not_acknowledged() {
    check_failing_log(&["fdatasync:error=EIO:when=10..15"], "the disk that holds {db} failed (");
}

#[test]
fn a_used_up_quota_is_told() {
    check_failing_log(
        &["pwrite64:error=EDQUOT:when=20..40", "openat:error=EDQUOT:when=2+"],
        "the disk quota for {db} is used up",
    );
}

#[test]
fn a_log_that_cannot_be_copied_into_the_database_refuses_nothing() {
    let (_keep, dir) = data_dir();
    let db = dir.join(FILE_NAME).display().to_string();
    let fault = ["-P", &db, "-e", "inject=pwrite64:error=EIO:when=1+"];
    let (said, trace) = traced(&dir, 600, &options(&fault));
    assert!(trace.contains("(INJECTED)"), "no checkpoint was tried:\n{trace}");
    assert_eq!(said, (1..=600).map(|at| format!("acknowledged {at}")).collect::<Vec<_>>());
    assert_eq!(check_history(&dir), 600);
}

#[test]
fn the_log_stays_bounded() {
    let (_keep, dir) = data_dir();
    let mut store = Store::open(&dir).unwrap();
    for revision in 1..=2000 {
        store_common::commit_revision(&mut store, revision).unwrap();
        let octets = fs::metadata(dir.join(format!("{FILE_NAME}-wal"))).unwrap().len();
        assert!(octets < 16 << 20, "{octets} at revision {revision}");
    }
}

/// On a file system of its own, in a mount namespace of its own; skipped where the system forbids that.
#[test]
fn a_file_system_that_is_really_full() {
    let (_keep, dir) = data_dir();
    let unshare = ["unshare", "--user", "--map-root-user", "--mount"].map(String::from).to_vec();
    let probe = [&unshare[..], &["true".into()]].concat();
    if !std::process::Command::new(&probe[0]).args(&probe[1..]).status().is_ok_and(|s| s.success())
    {
        eprintln!("skipped: this system forbids user and mount namespaces");
        return;
    }
    let said = run(&[unshare, helper("helper_fills_its_disk", &dir, 0)].concat());
    assert!(said.contains("works again"), "{said}");
}

#[test]
#[ignore = "runs in a mount namespace"]
fn helper_fills_its_disk() {
    let Ok(dir) = std::env::var(store_common::HELPER_DIR) else { return };
    run(&options(&["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", &dir]));
    let dir = Path::new(&dir);
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![0; 1 << 20]).unwrap();

    let mut store = Store::open(dir).unwrap();
    let mut revision = 0;
    let refused = loop {
        if let Err(error) = store_common::commit_revision(&mut store, revision + 1) {
            break error;
        }
        revision += 1;
        assert!(revision < 1000, "2 MiB should be full by now");
    };
    let db = dir.join(FILE_NAME);
    let words = format!("the disk that holds {} is full: free some space on it", db.display());
    assert_eq!((refused.to_string(), refused.may_pass()), (words, true));
    // Refused again and again, it neither breaks nor changes anything.
    for _ in 0..10 {
        store_common::commit_revision(&mut store, revision + 1).unwrap_err();
    }
    assert_eq!(load(&mut store).0.revision, revision);
    fs::remove_file(&ballast).unwrap();
    store_common::commit_revision(&mut store, revision + 1).unwrap();
    drop(store);
    assert_eq!(check_history(dir), revision + 1);
    println!("works again");
}

#[test]
fn a_database_that_was_moved_away_takes_no_changes() {
    let (_keep, dir) = data_dir();
    let mut store = Store::open(&dir).unwrap();
    let db = dir.join(FILE_NAME);
    let web = [change(None, Some(&plain("web", "web-1", 1)))];
    fs::rename(&db, dir.join("elsewhere")).unwrap();
    let refused = commit(&mut store, &web, 1).unwrap_err();
    let words = format!(
        "{} was moved, removed or replaced while the server had it open: restart the server",
        db.display()
    );
    assert_eq!((refused.to_string(), refused.may_pass()), (words, false));
    fs::rename(dir.join("elsewhere"), &db).unwrap();
    commit(&mut store, &web, 1).unwrap();
}
