//! Sidecars as processes, each with its whole family in a process group that ends with the test.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

pub const ROLLCALL: &str = env!("CARGO_BIN_EXE_rollcall");

/// Waits for a condition; its time limit only ends a test that has failed.
pub fn until(what: &str, condition: impl FnMut() -> bool) {
    until_or(|| what.to_owned(), condition);
}

/// The same, where what is said of a failure depends on what came until then.
pub fn until_or(what: impl Fn() -> String, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        let patient = begun.elapsed() < Duration::from_secs(30);
        assert!(patient, "waited in vain for {}\n{}", what(), processes());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What runs on this machine, for whoever reads why a test has failed.
fn processes() -> String {
    let listed =
        Command::new("ps").args(["-eo", "pid,ppid,pgid,stat,wchan:20,etimes,args"]).output();
    listed.map_or_else(|error| error.to_string(), |out| String::from_utf8_lossy(&out.stdout).into())
}

/// Which sidecar is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `rollcall run`
    Run,
    /// The script, run by this.
    Script(&'static [&'static str]),
}

impl Kind {
    /// Whether its shell is installed; `sh` is everywhere.
    pub fn is_there(self) -> bool {
        match self {
            Kind::Run => true,
            Kind::Script(shell) => {
                let run = Command::new(shell[0]).arg("--help").stdin(Stdio::null()).output();
                run.is_ok()
            }
        }
    }

    /// The command line without options.
    pub fn command(self) -> Vec<String> {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sidecar/rollcall-sidecar");
        match self {
            Kind::Run => vec![ROLLCALL.into(), "run".into()],
            Kind::Script(shell) => {
                let shell = shell.iter().map(|word| (*word).to_owned());
                shell.chain([script.to_str().unwrap().to_owned()]).collect()
            }
        }
    }
}

/// A running sidecar.
pub struct Sidecar {
    process: Child,
}

impl Sidecar {
    /// Starts `command`, in a process group of its own and without our environment's ROLLCALL variables.
    pub fn start(command: &[String]) -> Self {
        let process = clean(Command::new(&command[0]).args(&command[1..]))
            // A script that is killed leaves its directory behind.
            .env("TMPDIR", env!("CARGO_TARGET_TMPDIR"))
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        Self { process }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the sidecar's end", || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub fn exit_code(&mut self) -> i32 {
        self.wait().code().unwrap()
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // The group is ours alone; what is left of it must not outlive the test.
        let _ = rustix::process::kill_process_group(self.pid(), Signal::KILL);
        let _ = self.process.wait();
    }
}

/// Without what the environment says to the client.
pub fn clean(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ROLLCALL_")) {
        command.env_remove(name);
    }
    command
}

/// The processes that `parent` has begun.
pub fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero();
    let listed = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    listed.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
}

/// The signals that `process` has been sent and has not taken, as bits.
pub fn pending_signals(process: Pid) -> u64 {
    let status = format!("/proc/{}/status", process.as_raw_nonzero());
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
}
