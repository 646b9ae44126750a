//! What a service manager is told of us (`sd_notify(3)`): datagrams of lines `NAME=VALUE` to the socket that
//! `NOTIFY_SOCKET` names. Without that variable nobody is told anything.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long a full socket of the manager is waited for: the watchdog, not this, says when that is too long.
const SEND_WAIT: Duration = Duration::from_secs(1);
/// Characters of a status at most: it is a line for people.
const STATUS_MOST: usize = 500;

/// Who is told; clones tell the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Notify(Option<Arc<Manager>>);

#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Notify {
    /// Tells whom the environment names.
    ///
    /// # Errors
    /// Somebody is named and cannot be told.
    pub(super) fn of_process() -> Result<Self, String> {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(Self::default());
        };
        Self::to(&name).map_err(|error| {
            let shown = name.to_string_lossy();
            format!("NOTIFY_SOCKET names {shown:?}, which cannot be used: {error}")
        })
    }

    /// Tells a socket: a path, or an abstract name behind an @.
    fn to(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name)?,
            _ => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_WAIT))?;
        Ok(Self(Some(Arc::new(Manager { socket, address }))))
    }

    /// Whether anybody is told.
    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// All is loaded, or loaded again.
    pub(super) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\n{}", status_line(status)));
    }

    /// A reload has begun; [`ready`](Self::ready) ends it.
    pub(super) fn reloading(&self) {
        // Of the time of the kernel's monotonic clock, by which a manager knows of which reload it is told.
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reloading"));
    }

    /// The end has begun.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=stopping");
    }

    /// How things are, in a line.
    pub(super) fn status(&self, status: &str) {
        self.tell(&status_line(status));
    }

    /// The start goes on, and takes at least so much longer.
    pub(super) fn still_starting(&self, more: Duration, status: &str) {
        self.tell(&format!("EXTEND_TIMEOUT_USEC={}\n{}", more.as_micros(), status_line(status)));
    }

    /// We are alive.
    pub(super) fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, lines: &str) {
        let Some(manager) = &self.0 else { return };
        if let Err(error) = manager.socket.send_to_addr(lines.as_bytes(), &manager.address) {
            tracing::warn!(%error, "the service manager could not be told {lines:?}");
        }
    }
}

/// A status on one line.
fn status_line(status: &str) -> String {
    let one_line = status.chars().map(|char| if char.is_control() { ' ' } else { char });
    format!("STATUS={}", one_line.take(STATUS_MOST).collect::<String>())
}

/// How often a sign of life is expected at least, if the environment says so and means this process.
pub(super) fn watchdog() -> Result<Option<Duration>, String> {
    watchdog_of(env::var_os("WATCHDOG_USEC"), env::var_os("WATCHDOG_PID"), std::process::id())
}

fn watchdog_of(
    micros: Option<OsString>,
    pid: Option<OsString>,
    own: u32,
) -> Result<Option<Duration>, String> {
    let number = |name: &str, value: OsString| {
        let number = value.to_str().and_then(|text| text.parse::<u64>().ok());
        number.ok_or_else(|| format!("{name} is {value:?}, and must be a number"))
    };
    let pid = pid.map(|pid| number("WATCHDOG_PID", pid)).transpose()?;
    let micros = micros.map(|micros| number("WATCHDOG_USEC", micros)).transpose()?;
    let is_for_us = pid.is_none_or(|pid| pid == u64::from(own));
    Ok(micros.filter(|micros| is_for_us && *micros > 0).map(Duration::from_micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(socket: &UnixDatagram) -> String {
        let mut room = [0; 4096];
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let length = socket.recv(&mut room).unwrap();
        String::from_utf8(room[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_manager_is_told_at_a_path_or_an_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let at_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("rollcall-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let at_name = UnixDatagram::bind_addr(&address).unwrap();
        for (socket, name) in
            [(at_path, path.into()), (at_name, OsString::from(format!("@{name}")))]
        {
            let notify = Notify::to(&name).unwrap();
            notify.ready("3 instances\nof 2 services");
            assert_eq!(told(&socket), "READY=1\nSTATUS=3 instances of 2 services");
            notify.still_starting(Duration::from_secs(30), "loading");
            assert_eq!(told(&socket), "EXTEND_TIMEOUT_USEC=30000000\nSTATUS=loading");
            notify.alive();
            assert_eq!(told(&socket), "WATCHDOG=1");
            notify.reloading();
            let reloading = told(&socket);
            let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
            let (micros, rest) = micros.split_once('\n').unwrap();
            assert!(micros.parse::<u64>().unwrap() > 0);
            assert_eq!(rest, "STATUS=reloading");
            notify.stopping();
            assert_eq!(told(&socket), "STOPPING=1\nSTATUS=stopping");
        }
    }

    #[test]
    fn without_a_manager_nobody_is_told_and_a_lost_one_does_no_harm() {
        Notify::default().ready("well");
        assert!(!Notify::default().is_on());
        let lost = Notify::to(OsStr::new("/nonexistent/notify")).unwrap();
        lost.alive();
        assert!(Notify::to(OsStr::new(&"x".repeat(200))).is_err(), "no socket has so long a name");
    }

    #[test]
    fn the_watchdog_is_for_the_process_it_names() {
        let watchdog = |micros: &str, pid: &str| {
            let value = |text: &str| (!text.is_empty()).then(|| OsString::from(text));
            watchdog_of(value(micros), value(pid), 7)
        };
        let ten = Duration::from_secs(10);
        assert_eq!(watchdog("10000000", ""), Ok(Some(ten)));
        assert_eq!(watchdog("10000000", "7"), Ok(Some(ten)));
        assert_eq!(watchdog("10000000", "8"), Ok(None));
        assert_eq!(watchdog("", "7"), Ok(None));
        assert_eq!(watchdog("0", ""), Ok(None));
        let told = watchdog("soon", "").unwrap_err();
        assert_eq!(told, "WATCHDOG_USEC is \"soon\", and must be a number");
        assert!(watchdog("1", "me").unwrap_err().starts_with("WATCHDOG_PID"));
    }
}
