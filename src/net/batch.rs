//! Many datagrams a system call: recvmmsg and sendmmsg over buffers that are laid out once.
//!
//! The one file with `unsafe`: both calls take arrays of pointers that the standard library has no words for.
//! A reply goes back through the headers of the datagram it answers: same peer and, where the socket listens
//! on a wildcard address, from the address that was asked.
#![allow(unsafe_code)]
// Lengths of C structs: small constants, whose types differ between C libraries.
#![allow(clippy::cast_possible_truncation, clippy::unnecessary_cast)]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

use libc::{c_int, c_uint, socklen_t};
use socket2::SockAddr;

/// Datagrams of a batch: from here on the cost of the call is spread thin enough, and the buffers of a batch
/// (130 KiB received, 40 KiB to send, for DNS) stay in the second-level cache.
pub const DATAGRAMS: usize = 32;

/// A socket's options that have to be set before it is bound, so that they hold for the first datagram.
///
/// A socket for a wildcard address is told to say which address each datagram was sent to. Over IPv4 the don't-fragment
/// bit is left off, so that a forged "too big" message cannot make replies undeliverable; over IPv6 no reply
/// is longer than the least MTU.
pub fn set_up(socket: &impl AsFd, addr: SocketAddr) -> io::Result<()> {
    match addr.ip() {
        IpAddr::V4(ip) => {
            let (level, name) = (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER);
            set_option(socket, level, name, libc::IP_PMTUDISC_OMIT)?;
            if ip.is_unspecified() {
                set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
            }
        }
        IpAddr::V6(ip) if ip.is_unspecified() => {
            set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        }
        IpAddr::V6(_) => {}
    }
    Ok(())
}

/// One datagram of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// Which of the batch it is, counted from 0.
    pub nth: usize,
    /// What it holds, as far as there was room.
    pub octets: &'a [u8],
    /// Who sent it.
    pub peer: SocketAddr,
    /// Whether it was longer than the room for it.
    pub overlong: bool,
    /// Where it was sent to, if the socket is bound to a wildcard address.
    control: Option<&'a Control>,
}

impl Datagram<'_> {
    /// The address it was sent to, if the socket is bound to a wildcard address.
    pub fn destination(&self) -> Option<IpAddr> {
        self.control.and_then(Control::address)
    }

    /// The way back, for a reply that does not go out with its batch.
    pub fn return_path(&self) -> ReturnPath {
        ReturnPath(self.control.and_then(Control::source))
    }
}

/// The address and, where it takes one, the interface that a reply leaves from; [`send_one`] takes it.
#[derive(Debug, Clone, Copy)]
pub struct ReturnPath(Option<Control>);

/// What became of a batch's replies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Replies that the kernel took.
    pub sent: usize,
    /// Replies that it refused, or had no room for within the socket's write time-out.
    pub failed: usize,
}

/// A socket with the buffers for a batch: receive, answer [`each`](Self::each), send. It belongs to the thread
/// that made it.
pub struct Datagrams {
    socket: UdpSocket,
    receive_octets: usize,
    send_octets: usize,
    /// The room for one control message, or 0: then the kernel is not asked for any.
    control_octets: usize,
    received: usize,
    replies: usize,
    // The headers point into the vectors below them, which are never resized: a vector's elements stay where
    // they are when the vector is moved.
    incoming: Vec<libc::mmsghdr>,
    outgoing: Vec<libc::mmsghdr>,
    _receive_slices: Vec<libc::iovec>,
    send_slices: Vec<libc::iovec>,
    names: Vec<Name>,
    controls: Vec<Control>,
    receive_room: Vec<u8>,
    send_room: Vec<u8>,
}

impl Datagrams {
    /// The buffers for `socket`: `receive_octets` for each datagram that comes, `send_octets` for each reply.
    ///
    /// The socket is one that [`set_up`] has prepared. It should have a read and a write time-out.
    pub fn new(socket: UdpSocket, receive_octets: usize, send_octets: usize) -> io::Result<Self> {
        let wildcard = socket.local_addr()?.ip().is_unspecified();
        let control_octets = if wildcard { size_of::<Control>() } else { 0 };
        let mut receive_room = vec![0; DATAGRAMS * receive_octets];
        let mut send_room = vec![0; DATAGRAMS * send_octets];
        let mut names = vec![Name::NONE; DATAGRAMS];
        let mut controls = vec![Control::none(); DATAGRAMS];
        let mut receive_slices = slices(&mut receive_room, receive_octets);
        let mut send_slices = slices(&mut send_room, send_octets);
        let mut incoming = headers(&mut receive_slices);
        let outgoing = headers(&mut send_slices);

        let (names_at, controls_at) = (names.as_mut_ptr(), controls.as_mut_ptr());
        for (i, header) in incoming.iter_mut().enumerate() {
            header.msg_hdr.msg_name = names_at.wrapping_add(i).cast();
            header.msg_hdr.msg_namelen = Name::OCTETS;
            if wildcard {
                header.msg_hdr.msg_control = controls_at.wrapping_add(i).cast();
                header.msg_hdr.msg_controllen = control_octets as _;
            }
        }
        Ok(Self {
            socket,
            receive_octets,
            send_octets,
            control_octets,
            received: 0,
            replies: 0,
            incoming,
            outgoing,
            _receive_slices: receive_slices,
            send_slices,
            names,
            controls,
            receive_room,
            send_room,
        })
    }

    /// The socket.
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Waits for a datagram, as long as the socket's read time-out, and takes what is there with it; says how
    /// many: none if the time passed or a signal came.
    pub fn receive(&mut self) -> io::Result<usize> {
        self.receive_with(libc::MSG_WAITFORONE)
    }

    /// Takes what is there, without waiting.
    pub fn receive_waiting(&mut self) -> io::Result<usize> {
        self.receive_with(libc::MSG_DONTWAIT)
    }

    fn receive_with(&mut self, flags: c_int) -> io::Result<usize> {
        // The kernel wrote over the lengths of the headers it used the last time.
        for header in self.incoming.iter_mut().take(self.received) {
            header.msg_hdr.msg_namelen = Name::OCTETS;
            header.msg_hdr.msg_controllen = self.control_octets as _;
        }
        self.received = 0;
        self.replies = 0;
        let (fd, headers) = (self.socket.as_raw_fd(), self.incoming.as_mut_ptr());
        // SAFETY: `headers` are DATAGRAMS initialised headers whose names, slices and controls point to
        // elements of this struct's vectors, of the lengths the headers say, that nothing else borrows
        // while `self` is borrowed mutably. The socket is open as long as `self`.
        let received = unsafe {
            libc::recvmmsg(fd, headers, DATAGRAMS as c_uint, flags as _, ptr::null_mut())
        };
        match usize::try_from(received) {
            Ok(received) => self.received = received.min(DATAGRAMS),
            Err(_) => nothing_yet(io::Error::last_os_error())?,
        }
        Ok(self.received)
    }

    /// What was received, as far as there was room for each.
    pub fn received(&self) -> impl Iterator<Item = &[u8]> {
        let headers = self.incoming.iter().take(self.received);
        headers
            .zip(self.receive_room.chunks(self.receive_octets))
            .map(|(header, room)| room.get(..header.msg_len as usize).unwrap_or(room))
    }

    /// Hands each datagram that was received to `reply`, with room for its reply, and keeps the replies for
    /// [`send`](Self::send): as many octets of the room as `reply` says, or none.
    #[inline]
    pub fn each(&mut self, mut reply: impl FnMut(Datagram<'_>, &mut [u8]) -> Option<usize>) {
        self.replies = 0;
        for i in 0..self.received {
            let header = &self.incoming[i];
            let Some(peer) = self.names[i].address() else { continue };
            let octets = self.receive_octets.min(header.msg_len as usize);
            let from = i * self.receive_octets;
            let datagram = Datagram {
                nth: i,
                octets: &self.receive_room[from..from + octets],
                peer,
                overlong: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                control: received_with(&header.msg_hdr, &self.controls[i]),
            };
            let to = self.replies * self.send_octets;
            let room = &mut self.send_room[to..to + self.send_octets];
            if let Some(octets) = reply(datagram, room) {
                self.keep_reply(i, octets.min(self.send_octets));
            }
        }
    }

    /// Addresses the next reply to the sender of datagram `i`, from the address which that was sent to.
    fn keep_reply(&mut self, i: usize, octets: usize) {
        let incoming = &self.incoming[i].msg_hdr;
        let outgoing = &mut self.outgoing[self.replies].msg_hdr;
        outgoing.msg_name = incoming.msg_name;
        outgoing.msg_namelen = incoming.msg_namelen;
        if let Some(source) = received_with(incoming, &self.controls[i]).and_then(Control::source) {
            self.controls[i] = source;
            outgoing.msg_control = incoming.msg_control;
            outgoing.msg_controllen = incoming.msg_controllen;
        } else {
            outgoing.msg_control = ptr::null_mut();
            outgoing.msg_controllen = 0;
        }
        self.send_slices[self.replies].iov_len = octets;
        self.replies += 1;
    }

    /// Sends the replies. One that the kernel refuses is left out and the others are sent; once it has no
    /// room for the length of the socket's write time-out, the rest is given up.
    pub fn send(&mut self) -> Sent {
        let (mut next, mut sent) = (0, 0);
        while next < self.replies {
            match self.send_from(next) {
                Ok(0) => break,
                Ok(n) => {
                    next += n;
                    sent += n;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => next += 1,
            }
        }
        let failed = self.replies - sent;
        self.replies = 0;
        Sent { sent, failed }
    }

    fn send_from(&mut self, next: usize) -> io::Result<usize> {
        let waiting = &mut self.outgoing[next..self.replies];
        let (fd, count) = (self.socket.as_raw_fd(), waiting.len().min(DATAGRAMS) as c_uint);
        // SAFETY: `waiting` are `count` initialised headers. Their names, slices and controls point to elements
        // of this struct's vectors, set by `keep_reply` to lengths that lie within them. The socket is open as
        // long as `self`.
        let sent = unsafe { libc::sendmmsg(fd, waiting.as_mut_ptr(), count, 0) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// Sends one datagram: a reply that could not go out with its batch, along its datagram's return path.
pub fn send_one(
    socket: &UdpSocket,
    octets: &[u8],
    peer: SocketAddr,
    path: &ReturnPath,
) -> io::Result<()> {
    let name = SockAddr::from(peer);
    let mut slice =
        libc::iovec { iov_base: octets.as_ptr().cast_mut().cast(), iov_len: octets.len() };
    let mut control = path.0;
    // SAFETY: integers and pointers, for which zero (no name, no control, length 0) is a value.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_namelen = name.len();
    header.msg_name = name.as_ptr().cast_mut().cast();
    header.msg_iov = &raw mut slice;
    header.msg_iovlen = 1;
    if let Some(control) = &mut control {
        header.msg_control = (&raw mut *control).cast();
        let octets = control.header.cmsg_len as usize;
        header.msg_controllen = octets.next_multiple_of(size_of::<usize>()) as _;
    }
    // SAFETY: the header's name, slice and control live until the call returns, with the lengths that it
    // gives; the call only reads them. The socket is borrowed and so open.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl std::fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { socket, received, replies, .. } = self;
        write!(f, "Datagrams({socket:?}, {received} received, {replies} to send)")
    }
}

/// A peer's `sockaddr_in` or `sockaddr_in6`, as the kernel writes it.
#[derive(Clone, Copy)]
#[repr(C, align(4))]
struct Name([u8; size_of::<libc::sockaddr_in6>()]);

impl Name {
    const NONE: Self = Self([0; size_of::<libc::sockaddr_in6>()]);
    const OCTETS: socklen_t = size_of::<Self>() as socklen_t;

    /// The address; `None` if the kernel wrote none of the two families.
    fn address(&self) -> Option<SocketAddr> {
        // Family and scope are in the machine's order; port, flow and address in the network's.
        let [f0, f1, p0, p1, rest @ ..] = self.0;
        let port = u16::from_be_bytes([p0, p1]);
        match c_int::from(u16::from_ne_bytes([f0, f1])) {
            libc::AF_INET => {
                let [a, b, c, d, ..] = rest;
                Some(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port).into())
            }
            libc::AF_INET6 => {
                let flow = u32::from_be_bytes(rest.first_chunk().copied()?);
                let ip: [u8; 16] = rest.get(4..)?.first_chunk().copied()?;
                let scope = u32::from_ne_bytes(rest.last_chunk().copied()?);
                Some(SocketAddrV6::new(ip.into(), port, flow, scope).into())
            }
            _ => None,
        }
    }
}

/// One control message: which address a datagram was sent to (`in_pktinfo` or `in6_pktinfo`), and with
/// [`source`](Self::source) the one that its reply is sent from.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    data: [u8; 20],
}

impl Control {
    fn none() -> Self {
        // SAFETY: plain integers and bytes, for which zero is a value.
        unsafe { zeroed() }
    }

    fn is_ipv4(&self) -> bool {
        (self.header.cmsg_level, self.header.cmsg_type) == (libc::IPPROTO_IP, libc::IP_PKTINFO)
    }

    fn is_ipv6(&self) -> bool {
        (self.header.cmsg_level, self.header.cmsg_type) == (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)
    }

    /// The local address. For IPv4 that is `ipi_spec_dst`, which is ours also where a broadcast came.
    fn address(&self) -> Option<IpAddr> {
        let [.., a, b, c, d] = *self.data.first_chunk::<8>()?;
        if self.is_ipv4() {
            Some(Ipv4Addr::new(a, b, c, d).into())
        } else if self.is_ipv6() {
            let ip: [u8; 16] = self.data.first_chunk().copied()?;
            Some(Ipv6Addr::from(ip).into())
        } else {
            None
        }
    }

    /// The message that makes a reply leave from the address; `None` for a multicast address, which is nobody's.
    /// The interface is taken out, as it would bypass the routing table, but for an IPv6 link-local address, which
    /// means nothing without one.
    fn source(&self) -> Option<Self> {
        let ip = self.address().filter(|ip| !ip.is_multicast())?;
        let mut source = *self;
        match ip {
            IpAddr::V4(_) => source.data[..4].fill(0),
            IpAddr::V6(ip) if ip.is_unicast_link_local() => {}
            IpAddr::V6(_) => source.data[16..].fill(0),
        }
        Some(source)
    }
}

/// The control message, if the kernel wrote one.
fn received_with<'a>(header: &libc::msghdr, control: &'a Control) -> Option<&'a Control> {
    (header.msg_controllen as usize >= size_of::<libc::cmsghdr>()).then_some(control)
}

fn slices(room: &mut Vec<u8>, octets: usize) -> Vec<libc::iovec> {
    // The vector's own pointer, not one of a slice of it: it stays valid when the vector is borrowed later.
    let at = room.as_mut_ptr();
    let slice = |i| libc::iovec { iov_base: at.wrapping_add(i * octets).cast(), iov_len: octets };
    (0..DATAGRAMS).map(slice).collect()
}

fn headers(slices: &mut Vec<libc::iovec>) -> Vec<libc::mmsghdr> {
    let at = slices.as_mut_ptr();
    let header = |i| {
        // SAFETY: integers and pointers, for which zero (no name, no control, length 0) is a value.
        let mut header: libc::mmsghdr = unsafe { zeroed() };
        header.msg_hdr.msg_iov = at.wrapping_add(i);
        header.msg_hdr.msg_iovlen = 1;
        header
    };
    (0..DATAGRAMS).map(header).collect()
}

/// Nothing has come in time, which is no error.
fn nothing_yet(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(()),
        _ => Err(error),
    }
}

fn set_option(socket: &impl AsFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let fd = socket.as_fd().as_raw_fd();
    let octets = size_of::<c_int>() as socklen_t;
    // SAFETY: the descriptor is borrowed and so open, `value` lives until the call returns and has `octets`.
    let done = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), octets) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message that the kernel gives with a datagram to `ip` that came through `interface`.
    fn control(ip: IpAddr, interface: u8) -> Control {
        let mut control = Control::none();
        match ip {
            IpAddr::V4(ip) => {
                control.header.cmsg_level = libc::IPPROTO_IP;
                control.header.cmsg_type = libc::IP_PKTINFO;
                control.data[0] = interface;
                control.data[4..8].copy_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                control.header.cmsg_level = libc::IPPROTO_IPV6;
                control.header.cmsg_type = libc::IPV6_PKTINFO;
                control.data[..16].copy_from_slice(&ip.octets());
                control.data[16] = interface;
            }
        }
        control
    }

    #[test]
    fn a_reply_leaves_from_the_address_that_was_asked_if_that_is_somebodys() {
        for (asked, expected) in [
            ("192.0.2.1", Some(("192.0.2.1", 0))),
            ("2001:db8::1", Some(("2001:db8::1", 0))),
            ("fe80::1", Some(("fe80::1", 7))),
            ("224.0.0.251", None),
            ("ff02::fb", None),
        ] {
            let asked = control(asked.parse().unwrap(), 7);
            let datagram = Datagram {
                nth: 0,
                octets: b"",
                peer: ([127, 0, 0, 1], 1).into(),
                overlong: false,
                control: Some(&asked),
            };
            let source = datagram.return_path().0.map(|source| {
                let interface = source.data[if source.is_ipv4() { 0 } else { 16 }];
                (source.address().unwrap(), interface)
            });
            let expected = expected.map(|(ip, interface)| (ip.parse().unwrap(), interface));
            assert_eq!(source, expected);
        }
    }
}
