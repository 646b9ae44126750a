//! The child process: started, signalled, and waited for together with whatever else becomes our child.
//!
//! As process 1 of a container we inherit every orphan in it. One thread waits for any child, so nothing stays
//! a zombie, and reports the one that we started. Nothing else in the process may wait for children.

use std::ffi::OsString;
use std::io;
use std::process::Command;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus};
use tokio::sync::oneshot;

/// A started child.
pub(super) struct Child {
    /// Its process id, until it has been waited for: from then on the number may be another process's.
    pid: Arc<Mutex<Option<Pid>>>,
    ended: oneshot::Receiver<u8>,
}

impl Child {
    /// Starts a command; it has our standard streams, environment and process group.
    pub(super) fn start(command: &[OsString]) -> io::Result<Self> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no command is given"));
        };
        // `spawn` itself waits for a child that could not be executed: the thread is started after it.
        let child = Command::new(program).args(arguments).spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("the child has no process id"))?;
        let (report, ended) = oneshot::channel();
        let shared = Arc::new(Mutex::new(Some(pid)));
        let waited = shared.clone();
        std::thread::Builder::new()
            .name("wait".to_owned())
            .spawn(move || wait_for_children(pid, &waited, report))?;
        Ok(Self { pid: shared, ended })
    }

    /// Sends the child a signal, if it has not ended.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(pid) = *self.pid.lock() {
            // It cannot fail but for a child that runs as another user: then the signal is not ours to send.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Waits until the child has ended; its exit code, or 128 and the signal that ended it.
    pub(super) async fn ended(&mut self) -> u8 {
        // The thread reports before it ends; if it could not, nothing is known.
        (&mut self.ended).await.unwrap_or(1)
    }
}

fn wait_for_children(main: Pid, pid: &Mutex<Option<Pid>>, report: oneshot::Sender<u8>) {
    let mut report = Some(report);
    loop {
        // Look without taking away: the child's number stays its own until the lock is held.
        match rustix::process::waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            // No children are left.
            Err(_) => return,
        }
        let mut pid = pid.lock();
        while let Ok(Some((ended, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if ended != main {
                continue;
            }
            *pid = None;
            if let Some(report) = report.take() {
                let _ = report.send(exit_code(status));
            }
        }
    }
}

/// As a shell says it: the exit code, or 128 and the number of the signal.
fn exit_code(status: WaitStatus) -> u8 {
    let code = status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
