//! The system calls that the standard library has no words for: datagrams in batches, and epoll.
//!
//! The one file of this crate with `unsafe`. Buffers and headers are laid out once, when a [`Batch`] is made, and
//! kept until the process ends: a load or a reference has a handful of them and needs each to its last moment.
#![allow(unsafe_code)]
// Sizes of C structs: small constants.
#![allow(clippy::cast_possible_truncation)]

use std::io;
use std::mem::{size_of, size_of_val, zeroed};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::slice;

/// Octets that a socket may hold for a reader or sender that is held up.
const SOCKET_OCTETS: libc::c_int = 4 << 20;
/// Events that one wait reports at most.
const EVENTS: usize = 256;

/// Buffers for so many datagrams, and the headers over them.
pub struct Batch {
    buffers: *mut u8,
    octets: usize,
    vectors: &'static mut [libc::iovec],
    headers: *mut libc::mmsghdr,
    count: usize,
}

/// Whether to wait for a first datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until there is one; then take what there is.
    ForOne,
    /// Take what there is.
    Never,
}

impl Batch {
    /// Room for `count` datagrams of `octets` each. `addressed`: peers are kept, for replies; else the socket is
    /// connected.
    pub fn new(count: usize, octets: usize, addressed: bool) -> Self {
        let buffers = Box::leak(vec![0_u8; count * octets].into_boxed_slice()).as_mut_ptr();
        let vectors: Vec<_> = (0..count)
            .map(|at| libc::iovec {
                iov_base: buffers.wrapping_add(at * octets).cast(),
                iov_len: octets,
            })
            .collect();
        let vectors = Box::leak(vectors.into_boxed_slice()).as_mut_ptr();
        let peers: *mut libc::sockaddr_in = match addressed {
            // SAFETY: a `sockaddr_in` of zeros is a valid one.
            true => Box::leak(vec![unsafe { zeroed() }; count].into_boxed_slice()).as_mut_ptr(),
            false => ptr::null_mut(),
        };
        let header = |at: usize| {
            // SAFETY: an `mmsghdr` of zeros is valid: null pointers and lengths of 0.
            let mut header: libc::mmsghdr = unsafe { zeroed() };
            header.msg_hdr.msg_iov = vectors.wrapping_add(at);
            header.msg_hdr.msg_iovlen = 1;
            if addressed {
                header.msg_hdr.msg_name = peers.wrapping_add(at).cast();
                header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            }
            header
        };
        let headers: Vec<_> = (0..count).map(header).collect();
        let headers = Box::leak(headers.into_boxed_slice()).as_mut_ptr();
        // SAFETY: `count` vectors are there for ever; the headers' pointers to them are for the kernel alone.
        let vectors = unsafe { slice::from_raw_parts_mut(vectors, count) };
        Self { buffers, octets, vectors, headers, count }
    }

    /// How many datagrams it has room for.
    pub fn capacity(&self) -> usize {
        self.count
    }

    /// Takes what has come; how many datagrams that are. None, if none had come and it did not wait.
    pub fn receive(&mut self, socket: &UdpSocket, wait: Wait) -> io::Result<usize> {
        let flags = match wait {
            Wait::ForOne => libc::MSG_WAITFORONE,
            Wait::Never => libc::MSG_DONTWAIT,
        };
        let (fd, count) = (socket.as_raw_fd(), self.count as libc::c_uint);
        // SAFETY: `count` headers are there, whose pointers lead to buffers of the lengths they name, all kept for
        // ever; nothing else refers to the buffers while `self` is borrowed.
        let received = unsafe { libc::recvmmsg(fd, self.headers, count, flags, ptr::null_mut()) };
        match usize::try_from(received) {
            Ok(received) => Ok(received),
            Err(_) => none_if_would_block(io::Error::last_os_error()),
        }
    }

    /// The whole buffer at `at`, and how many octets of it were received.
    pub fn received(&mut self, at: usize) -> (&mut [u8], usize) {
        assert!(at < self.count);
        // SAFETY: `at` is below the number of headers.
        let length = unsafe { (*self.headers.add(at)).msg_len } as usize;
        (self.buffer(at), length)
    }

    /// The buffer at `at`.
    pub fn buffer(&mut self, at: usize) -> &mut [u8] {
        assert!(at < self.count);
        // SAFETY: the buffer is one of `count` with `octets` each; it is borrowed with `self`.
        unsafe { slice::from_raw_parts_mut(self.buffers.add(at * self.octets), self.octets) }
    }

    /// So many octets of the buffer at `at` are to be sent.
    pub fn set_length(&mut self, at: usize, length: usize) {
        assert!(length <= self.octets);
        self.vectors[at].iov_len = length;
    }

    /// Sends the buffers `from..to`; how many the kernel took. None, if it has no room at present.
    pub fn send(&mut self, socket: &UdpSocket, from: usize, to: usize) -> io::Result<usize> {
        assert!(from <= to && to <= self.count);
        let (fd, count) = (socket.as_raw_fd(), (to - from) as libc::c_uint);
        // SAFETY: the headers `from..to` are there, and lead to buffers of at least the lengths they name.
        let sent = unsafe { libc::sendmmsg(fd, self.headers.add(from), count, 0) };
        match usize::try_from(sent) {
            Ok(sent) => Ok(sent),
            Err(_) => none_if_would_block(io::Error::last_os_error()),
        }
    }

    /// Makes the first `count` buffers, which were sent from, whole again for receiving.
    pub fn reset(&mut self, count: usize) {
        for vector in &mut self.vectors[..count] {
            vector.iov_len = self.octets;
        }
    }
}

fn none_if_would_block(error: io::Error) -> io::Result<usize> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
        _ => Err(error),
    }
}

/// A UDP socket on this port of 127.0.0.1, which other sockets may share.
pub fn listen(port: u16) -> io::Result<UdpSocket> {
    // SAFETY: it takes three numbers.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and ours.
    let socket = UdpSocket::from(unsafe { OwnedFd::from_raw_fd(fd) });
    set_option(&socket, libc::SO_REUSEPORT, 1)?;
    widen(&socket)?;
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(Ipv4Addr::LOCALHOST).to_be() },
        sin_zero: [0; 8],
    };
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address is a `sockaddr_in` of that length, and is read before the call returns.
    match unsafe { libc::bind(fd, ptr::from_ref(&address).cast(), length) } {
        0 => Ok(socket),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives a socket room for what comes while its owner is held up.
pub fn widen(socket: &UdpSocket) -> io::Result<()> {
    set_option(socket, libc::SO_RCVBUF, SOCKET_OCTETS)?;
    set_option(socket, libc::SO_SNDBUF, SOCKET_OCTETS)
}

fn set_option(socket: &UdpSocket, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let (fd, length) = (socket.as_raw_fd(), size_of_val(&value) as libc::socklen_t);
    let value = ptr::from_ref(&value).cast();
    // SAFETY: `value` leads to an int of that length, and is read before the call returns.
    match unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, name, value, length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits until some of many connections can be read.
pub struct Readable {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Readable {
    /// Waits for none yet.
    pub fn new() -> io::Result<Self> {
        // SAFETY: it takes a number.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and ours.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS] })
    }

    /// Waits for this one, too; it is reported as `token`.
    pub fn add(&self, connection: &impl AsRawFd, token: usize) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token as u64 };
        let (epoll, fd) = (self.epoll.as_raw_fd(), connection.as_raw_fd());
        // SAFETY: the event is read before the call returns.
        match unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The tokens of those that can be read, after at most so many milliseconds.
    pub fn wait(&mut self, timeout_ms: i32) -> io::Result<impl Iterator<Item = usize> + use<'_>> {
        let (epoll, room) = (self.epoll.as_raw_fd(), EVENTS as libc::c_int);
        // SAFETY: there is room for `EVENTS` events.
        let count = unsafe { libc::epoll_wait(epoll, self.events.as_mut_ptr(), room, timeout_ms) };
        let count = match usize::try_from(count) {
            Ok(count) => count,
            Err(_) => none_if_would_block(io::Error::last_os_error())?,
        };
        Ok(self.events[..count].iter().map(|event| event.u64 as usize))
    }
}
