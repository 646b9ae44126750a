//! What the HTTP door listens on, and what it accepts there.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::access::Source;
use crate::net::http2::{HTTP_1, HTTP_2};
use crate::net::tls::DoorTls;

/// What the door speaks over TLS, best first.
pub const ALPN: &[&[u8]] = &[HTTP_2, HTTP_1];

/// A user that the kernel could not tell: nobody is called so.
pub const UNKNOWN_USER: u32 = u32::MAX;

/// Whom the kernel calls everybody that this process' user namespace does not map; `None`: it maps all.
static OVERFLOW_USER: LazyLock<Option<u32>> = LazyLock::new(|| {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let maps_all = map.split_whitespace().eq(["0", "0", "4294967295"]);
    let overflow = fs::read_to_string("/proc/sys/kernel/overflowuid").unwrap_or_default();
    (!maps_all).then(|| overflow.trim().parse().unwrap_or(65_534))
});

/// A socket that the door listens on.
#[derive(Debug)]
pub enum Listener {
    /// TCP as it is.
    Plain(std::net::TcpListener),
    /// TLS over TCP.
    Tls(std::net::TcpListener, DoorTls),
    /// For users of this machine.
    Unix(UnixSocket),
}

/// A unix socket, whose file goes when this is dropped.
#[derive(Debug)]
pub struct UnixSocket {
    listener: StdUnixListener,
    _file: SocketFile,
}

/// The file of a socket, known by its inode: another server may have put its own in its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl UnixSocket {
    /// Listens at `path`, where everybody on this machine may connect: the kernel says who does. What another server has left
    /// there is taken away.
    ///
    /// # Errors
    /// A sentence that names the path.
    pub fn bind(path: &Path) -> Result<Self, String> {
        let cannot = |error: &io::Error| {
            format!(
                "cannot listen on {} (http.unix_socket): {error}; its directory must be there, and this \
                 server's user must be able to write it",
                path.display()
            )
        };
        remove_left_over(path)?;
        let listener = StdUnixListener::bind(path).map_err(|error| cannot(&error))?;
        let metadata = fs::symlink_metadata(path).map_err(|error| cannot(&error))?;
        let file = SocketFile { path: path.to_owned(), inode: metadata.ino() };
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))
            .map_err(|error| cannot(&error))?;
        Ok(Self { listener, _file: file })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = fs::remove_file(&self.path); // somebody else has
        }
    }
}

fn remove_left_over(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(format!("{shown} (http.unix_socket) is there and is no socket: take it away"));
    }
    if StdUnixStream::connect(path).is_ok() {
        return Err(format!(
            "cannot listen on {shown} (http.unix_socket): another process does; stop it or set another path"
        ));
    }
    fs::remove_file(path)
        .map_err(|error| format!("{shown} (http.unix_socket) is left over, and stays: {error}"))
}

impl Listener {
    /// Gives it to the runtime.
    pub(super) fn open(self) -> io::Result<Open> {
        let (socket, tls) = match self {
            Self::Plain(listener) => (tcp(listener)?, None),
            Self::Tls(listener, tls) => (tcp(listener)?, Some(tls)),
            Self::Unix(UnixSocket { listener, _file }) => {
                listener.set_nonblocking(true)?;
                (Socket::Unix(UnixListener::from_std(listener)?, _file), None)
            }
        };
        Ok(Open { socket, tls })
    }
}

fn tcp(listener: std::net::TcpListener) -> io::Result<Socket> {
    listener.set_nonblocking(true)?;
    Ok(Socket::Tcp(TcpListener::from_std(listener)?))
}

/// A socket that listens.
pub(super) struct Open {
    socket: Socket,
    tls: Option<DoorTls>,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// A connection that was accepted.
pub(super) struct Accepted {
    pub(super) stream: Stream,
    pub(super) peer: Source,
    /// What it has to speak first.
    pub(super) tls: Option<DoorTls>,
}

/// What octets come on.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Accepted {
    fn over_tcp(stream: TcpStream, peer: SocketAddr, tls: Option<DoorTls>) -> Self {
        Self { stream: Stream::Tcp(stream), peer: Source::Address(peer), tls }
    }

    fn of_user(stream: UnixStream) -> Self {
        let uid = stream.peer_cred().map_or(UNKNOWN_USER, |user| user.uid());
        // In a user namespace (PrivateUsers= in a unit) all whom it does not map look the same.
        let uid = if *OVERFLOW_USER == Some(uid) { UNKNOWN_USER } else { uid };
        Self { stream: Stream::Unix(stream), peer: Source::User(uid), tls: None }
    }

    /// The address that it counts for.
    pub(super) fn address(&self) -> IpAddr {
        match self.peer {
            Source::Address(address) => address.ip(),
            Source::User(0) | Source::Server => IpAddr::V4(Ipv4Addr::LOCALHOST),
            // A user of the machine has as many as another machine has.
            Source::User(uid) => {
                let [high, low] =
                    [uid >> 16, uid & 0xffff].map(|half| u16::try_from(half).unwrap_or_default());
                IpAddr::V6(Ipv6Addr::new(0xfe80, 0, high, low, 0, 0, 0, 1))
            }
        }
    }
}

impl Open {
    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok(Accepted::over_tcp(stream, peer, self.tls.clone()))
            }
            Socket::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok(Accepted::of_user(stream))
            }
        }
    }

    /// Those that the kernel has and we have not accepted yet, and closes. Not through the runtime, which may not have heard
    /// of them.
    pub(super) fn waiting(self, most: i32) -> Vec<Accepted> {
        let tls = self.tls;
        match self.socket {
            Socket::Tcp(listener) => {
                let Ok(listener) = listener.into_std() else { return Vec::new() };
                let accepted = (0..most).map_while(|_| listener.accept().ok());
                let seated = accepted.filter_map(|(stream, peer)| {
                    stream.set_nonblocking(true).ok()?;
                    Some(Accepted::over_tcp(TcpStream::from_std(stream).ok()?, peer, tls.clone()))
                });
                seated.collect()
            }
            Socket::Unix(listener, _file) => {
                let Ok(listener) = listener.into_std() else { return Vec::new() };
                let accepted = (0..most).map_while(|_| listener.accept().ok());
                let seated = accepted.filter_map(|(stream, _)| {
                    stream.set_nonblocking(true).ok()?;
                    Some(Accepted::of_user(UnixStream::from_std(stream).ok()?))
                });
                seated.collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_left_over_socket_is_replaced_and_a_living_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("http.sock");
        drop(StdUnixListener::bind(&path).unwrap());
        assert!(path.exists(), "it is left over");
        let socket = UnixSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        assert!(UnixSocket::bind(&path).unwrap_err().contains("another process does"));
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_socket_stays_and_so_does_anothers() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("http.sock");
        fs::write(&path, "precious").unwrap();
        assert!(UnixSocket::bind(&path).unwrap_err().contains("is no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
        let first = UnixSocket::bind(&path).unwrap();
        fs::rename(&path, directory.path().join("moved")).unwrap();
        let second = UnixSocket::bind(&path).unwrap();
        drop(first);
        assert!(path.exists(), "it is the second's");
        drop(second);
        let missing = directory.path().join("no/http.sock");
        assert!(UnixSocket::bind(&missing).unwrap_err().contains("its directory must be there"));
    }
}
