//! The data directory: whether a server can use it, whether others can change it, and whether its disk stays.

use std::path::Path;

use std::os::unix::fs::PermissionsExt;

use super::machine::Machine;
use super::report::Finding;
use crate::server::DataDirectory;

const ABOUT: &str = "store.data_dir";
/// Mode bits by which others than the owner could change what is in a directory.
const OTHERS_WRITE: u32 = 0o022;
/// File systems that forget.
const FLEETING: [&str; 2] = ["tmpfs", "ramfs"];
/// File systems behind a network, whose locks and syncs are as good as the other end's.
const REMOTE: [&str; 7] = ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "fuse.sshfs"];

/// Looks at the data directory and what it is on.
pub(super) fn look(machine: &Machine) -> Vec<Finding> {
    let path = &machine.config.store.data_dir;
    let shown = path.display();
    let mut findings = vec![match (machine.data_directory)(path) {
        Ok(DataDirectory::Missing) => {
            Finding::well(ABOUT, format!("{shown} is not there yet, and can be made"))
        }
        Ok(DataDirectory::Free) => {
            Finding::well(ABOUT, format!("{shown} can be used, and no server runs on it"))
        }
        Ok(DataDirectory::Held(holder)) => {
            Finding::well(ABOUT, format!("{shown} is used by {holder}"))
        }
        Err(reason) => Finding::problem(ABOUT, reason, "a server would not start like this"),
    }];
    findings.extend(open_to_others(path));
    findings.extend(file_system(machine, path));
    findings
}

fn open_to_others(path: &Path) -> Option<Finding> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    let shown = path.display();
    (mode & OTHERS_WRITE != 0).then(|| {
        Finding::problem(
            ABOUT,
            format!("others than its owner can change what is in {shown} (mode {mode:03o})"),
            format!("`chmod go-w {shown}`"),
        )
    })
}

fn file_system(machine: &Machine, path: &Path) -> Option<Finding> {
    let mounts = machine.read("/proc/self/mountinfo")?;
    let nearest = path.ancestors().find_map(|path| path.canonicalize().ok())?;
    let kind = mounted(&mounts, &nearest)?;
    let shown = path.display();
    if FLEETING.contains(&kind) {
        return Some(Finding::problem(
            ABOUT,
            format!(
                "{shown} is on a {kind}: what is registered is gone when the machine starts again"
            ),
            "choose a directory on a disk: --data-dir or store.data_dir",
        ));
    }
    REMOTE.contains(&kind).then(|| {
        Finding::note(
            ABOUT,
            format!("{shown} is on a network's file system ({kind}), which may acknowledge what is not on a disk yet"),
            "choose a directory on a local disk: --data-dir or store.data_dir",
        )
    })
}

/// The kind of file system that a path is on: that of the longest mount point above it, the last one of those.
/// Lines are `id parent device root point options… - kind source options` (proc_pid_mountinfo(5)).
fn mounted<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let entries = mounts.lines().filter_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let point = unescaped(mount.split(' ').nth(4)?);
        path.starts_with(&point).then(|| (point.len(), kind.split(' ').next().unwrap_or_default()))
    });
    entries.max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

/// A mount point's spaces are written in octal.
fn unescaped(point: &str) -> String {
    point.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::super::machine::testing::{config, machine, root};
    use super::super::report::Standing::{Note, Problem, Well};
    use super::*;

    #[test]
    fn a_directory_is_in_use_or_refused() {
        let config = config("");
        let root = root(&[]);
        for (state, standing, text) in [
            (Ok(DataDirectory::Missing), Well, "data is not there yet, and can be made"),
            (Ok(DataDirectory::Free), Well, "data can be used, and no server runs on it"),
            (Ok(DataDirectory::Held("pid 7, dns x".into())), Well, "data is used by pid 7, dns x"),
            (Err("the disk is full".to_owned()), Problem, "the disk is full"),
        ] {
            let state = |_: &Path| state.clone();
            let machine = Machine { data_directory: &state, ..machine(root.path(), &config) };
            let [found] = &*look(&machine) else { panic!("{text}") };
            assert_eq!((found.standing, &*found.text), (standing, text));
        }
    }

    #[test]
    fn others_do_not_write_in_it() {
        let directory = tempfile::tempdir().unwrap();
        for (mode, well) in [(0o700, true), (0o755, true), (0o775, false), (0o707, false)] {
            fs::set_permissions(directory.path(), Permissions::from_mode(mode)).unwrap();
            assert_eq!(open_to_others(directory.path()).is_none(), well, "{mode:o}");
        }
    }

    #[test]
    fn its_disk_stays() {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path().canonicalize().unwrap();
        let mut config = config("");
        config.store.data_dir = directory.path().join("not/yet");
        for (kind, standing) in [("tmpfs", Some(Problem)), ("nfs4", Some(Note)), ("ext4", None)] {
            let mounts = format!(
                "1 0 8:1 / / rw - ramfs none rw\n2 1 0:5 / {0} rw shared:1 - {kind} x rw\n3 1 0:6 / {0}x rw - ramfs x rw\nnonsense\n",
                here.display()
            );
            let root = root(&[("proc/self/mountinfo", &mounts)]);
            let found = file_system(&machine(root.path(), &config), &config.store.data_dir);
            assert_eq!(found.map(|found| found.standing), standing, "{kind}");
        }
        assert_eq!(mounted("2 1 0:5 / /a\\040b rw - ext4 x rw", Path::new("/a b/c")), Some("ext4"));
        assert_eq!(mounted("", Path::new("/")), None);
    }
}
