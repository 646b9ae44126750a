//! Sockets that somebody else has opened for us and keeps open while we restart: systemd's socket activation
//! (`sd_listen_fds(3)`), which passes descriptors from 3 on and says in the environment how many.

use std::env;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use listenfd::ListenFd;
use socket2::SockRef;

use super::{tcp, udp};

/// The first descriptor that is passed.
const FIRST: usize = 3;

/// A socket that was passed.
#[derive(Debug)]
pub struct Passed {
    /// The name that it was given (`FileDescriptorName=`); systemd's own choice is that of the unit.
    pub name: String,
    /// Where it is bound.
    pub address: SocketAddr,
    /// The socket, set up as ours are.
    pub socket: Socket,
    descriptor: usize,
}

/// A socket by its protocol.
#[derive(Debug)]
pub enum Socket {
    /// For datagrams.
    Udp(UdpSocket),
    /// For connections.
    Tcp(TcpListener),
}

/// Takes the sockets that were passed to this process, none if it was started in another way.
///
/// It changes the environment, so that programs which are started from here do not think the sockets theirs: to be called
/// before there are threads.
///
/// # Errors
/// Names what was passed and is none that can be listened on.
pub fn take() -> Result<Vec<Passed>, String> {
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut passed = ListenFd::from_env();
    let names = names.split(':').chain(std::iter::repeat(""));
    let count = passed.len();
    (0..count)
        .zip(names)
        .map(|(nth, name)| {
            let taken = take_one(&mut passed, nth, name);
            taken.map_err(|reason| format!("{}: {reason}", shown(name, FIRST + nth)))
        })
        .collect()
}

fn take_one(passed: &mut ListenFd, nth: usize, name: &str) -> Result<Passed, String> {
    const NO_DOOR: &str =
        "it is neither a UDP nor a TCP socket for IPv4 or IPv6 (ListenDatagram=, ListenStream=)";
    let failed = |error: io::Error| format!("it cannot be used: {error}");
    let socket = match passed.take_udp_socket(nth) {
        Ok(socket) => Socket::Udp(socket.ok_or(NO_DOOR)?),
        // Not one for datagrams.
        Err(_) => match passed.take_tcp_listener(nth) {
            Ok(socket) => Socket::Tcp(socket.ok_or(NO_DOOR)?),
            Err(_) => return Err(NO_DOOR.to_owned()),
        },
    };
    let address = socket.set_up().map_err(failed)?;
    socket.judge(address)?;
    Ok(Passed { name: name.to_owned(), address, socket, descriptor: FIRST + nth })
}

impl Socket {
    /// Gives it the options of our own sockets.
    fn set_up(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Udp(socket) => {
                socket.set_nonblocking(false)?;
                let address = socket.local_addr()?;
                udp::set_up(&SockRef::from(socket), address)?;
                Ok(address)
            }
            Self::Tcp(listener) => {
                tcp::set_up(&SockRef::from(listener));
                listener.local_addr()
            }
        }
    }

    /// What keeps us from listening on it.
    fn judge(&self, address: SocketAddr) -> Result<(), String> {
        let failed = |error: io::Error| format!("it cannot be used: {error}");
        let socket = match self {
            Self::Udp(socket) => SockRef::from(socket),
            Self::Tcp(listener) => SockRef::from(listener),
        };
        if matches!(self, Self::Tcp(_)) && !socket.is_listener().map_err(failed)? {
            return Err("it is a connection: the socket unit must say Accept=no".into());
        }
        // IPv4 clients have sockets of their own, with addresses of their own kind.
        if address.is_ipv6()
            && address.ip().is_unspecified()
            && !socket.only_v6().map_err(failed)?
        {
            return Err(format!(
                "{address} takes IPv4 too: the socket unit must say BindIPv6Only=ipv6-only, and name 0.0.0.0:{} \
                 beside it",
                address.port()
            ));
        }
        Ok(())
    }

    /// The protocol's name.
    pub fn protocol(&self) -> &'static str {
        match self {
            Self::Udp(_) => "UDP",
            Self::Tcp(_) => "TCP",
        }
    }
}

#[cfg(test)]
impl Passed {
    /// One that was not taken from the environment.
    pub(crate) fn new(name: &str, socket: Socket, address: SocketAddr) -> Self {
        Self { name: name.to_owned(), address, socket, descriptor: FIRST }
    }
}

/// As in "the socket `dns` that was passed (descriptor 3), UDP 127.0.0.1:53".
impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, address, socket, descriptor } = self;
        write!(f, "{}, {} {address}", shown(name, *descriptor), socket.protocol())
    }
}

fn shown(name: &str, descriptor: usize) -> String {
    format!("the socket `{}` that was passed (descriptor {descriptor})", name.escape_debug())
}
