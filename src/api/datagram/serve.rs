//! The datagram door's thread: receives in batches, answers renewals at once, sends the rest when it is durable.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use super::{Door, Handled, MAX_DATAGRAM_OCTETS, MAX_LINE_OCTETS, SendLater};
use crate::net::Stop;
use crate::net::batch::{self, Datagram, Datagrams};

/// After a failed receive: an error that stays must not take a whole core.
const RECEIVE_BACK_OFF: Duration = Duration::from_millis(10);

/// Batches that are still handled after the stop, so that what comes later cannot keep the thread.
const BATCHES_AFTER_STOP_MOST: usize = 512;

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
    let later = match socket.try_clone() {
        Ok(later) => Arc::new(later),
        Err(error) => return tracing::error!(%error, "the datagram door cannot start"),
    };
    let mut datagrams = match Datagrams::new(socket, MAX_DATAGRAM_OCTETS, MAX_LINE_OCTETS) {
        Ok(datagrams) => datagrams,
        Err(error) => return tracing::error!(%error, "the datagram door cannot start"),
    };
    while !stop.is_set() {
        match datagrams.receive() {
            Ok(0) => {}
            Ok(_) => handle(&mut datagrams, door, &later),
            Err(_) => thread::sleep(RECEIVE_BACK_OFF),
        }
    }
    for _ in 0..BATCHES_AFTER_STOP_MOST {
        match datagrams.receive_waiting() {
            Ok(received) if received > 0 => handle(&mut datagrams, door, &later),
            _ => break,
        }
    }
}

fn handle(datagrams: &mut Datagrams, door: &Door, later: &Arc<UdpSocket>) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    datagrams.each(|datagram, room| {
        let reply_later = || send_later(later.clone(), &datagram);
        match door.handle(datagram.octets, datagram.peer, now, room, reply_later) {
            Handled::Reply(length) => Some(length),
            Handled::Silent | Handled::Later => None,
        }
    });
    datagrams.send();
}

/// A reply that the kernel has no room for is lost like any datagram: its sender asks again.
fn send_later(socket: Arc<UdpSocket>, datagram: &Datagram<'_>) -> SendLater {
    let (peer, source) = (datagram.peer, datagram.destination);
    Box::new(move |line| {
        if let Err(error) = batch::send_one(&socket, line, peer, source) {
            tracing::debug!(%peer, %error, "a reply of the datagram door could not be sent");
        }
    })
}
