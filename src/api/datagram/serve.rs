//! The datagram door's thread: receives in batches, answers renewals at once, sends the rest when it is durable.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use super::{Door, Handled, MAX_DATAGRAM_OCTETS, MAX_LINE_OCTETS, SendLater};
use crate::net::Stop;
use crate::net::batch::{self, Datagram, Datagrams};
use crate::net::udp::{self, Counters};

/// Starts a thread for each socket, as `net::udp::bind` gives them. When `stop` is set each handles what the
/// kernel had received, and ends.
pub fn serve(sockets: Vec<UdpSocket>, door: &Door, stop: &Stop) -> io::Result<Vec<JoinHandle<()>>> {
    let start = |(n, socket)| {
        let (door, stop) = (door.clone(), stop.clone());
        thread::Builder::new()
            .name(format!("udp-door-{n}"))
            .spawn(move || work(socket, &door, &stop))
    };
    sockets.into_iter().enumerate().map(start).collect()
}

fn work(socket: UdpSocket, door: &Door, stop: &Stop) {
    let open = |socket: UdpSocket| {
        let later = Arc::new(socket.try_clone()?);
        Ok((later, Datagrams::new(socket, MAX_DATAGRAM_OCTETS, MAX_LINE_OCTETS)?))
    };
    match open(socket) {
        Ok((later, datagrams)) => {
            udp::run(datagrams, stop, &door.traffic, |datagrams| handle(datagrams, door, &later));
        }
        Err::<_, io::Error>(error) => tracing::error!(%error, "the datagram door cannot start"),
    }
}

/// Handles a batch; ignores none, as admission counts for itself what it drops.
fn handle(datagrams: &mut Datagrams, door: &Door, later: &Arc<UdpSocket>) -> usize {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    datagrams.each(|datagram, room| {
        let reply_later = || send_later(later.clone(), door.traffic.clone(), &datagram);
        match door.handle(datagram.octets, datagram.peer, now, room, reply_later) {
            Handled::Reply(length) => Some(length),
            Handled::Silent | Handled::Later => None,
        }
    });
    0
}

/// A reply that the kernel has no room for is lost like any datagram: its sender asks again.
fn send_later(
    socket: Arc<UdpSocket>,
    traffic: Arc<Counters>,
    datagram: &Datagram<'_>,
) -> SendLater {
    let (peer, path) = (datagram.peer, datagram.return_path());
    Box::new(move |line| match batch::send_one(&socket, line, peer, &path) {
        Ok(()) => udp::count(&traffic.sent, 1),
        Err(error) => {
            udp::count(&traffic.unsent, 1);
            tracing::debug!(%peer, %error, "a reply of the datagram door could not be sent");
        }
    })
}
