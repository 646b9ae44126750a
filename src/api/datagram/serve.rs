//! The datagram door's thread: receives in batches, answers renewals at once, sends the rest when it is durable.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

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
            udp::run(datagrams, Duration::ZERO, stop, &door.traffic, |datagrams| {
                handle(datagrams, door, &later)
            });
        }
        Err::<_, io::Error>(error) => tracing::error!(%error, "the datagram door cannot start"),
    }
}

/// Handles a batch; ignores none, as admission counts for itself what it drops.
fn handle(datagrams: &mut Datagrams, door: &Door, later: &Arc<UdpSocket>) -> usize {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let batch = door.batch(now);
    datagrams.each(|datagram, room| {
        let reply_later = || send_later(later.clone(), door.traffic.clone(), &datagram);
        match batch.handle(datagram.octets, datagram.peer, room, reply_later) {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parking_lot::RwLock;

    use super::super::Settings;
    use super::*;
    use crate::audit::Audit;
    use crate::config::Lease;
    use crate::registrar::Registrar;
    use crate::store::Store;

    fn door_with_a_defect() -> (Door, tempfile::TempDir) {
        let settings = Settings {
            access: Arc::default(),
            audit: Audit::default(),
            lease: Arc::new(RwLock::new(Lease { default_secs: 30, min_secs: 2, max_secs: 60 })),
            start_unix_ms: 0,
        };
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (registrar, running) =
            Registrar::start(store, Arc::default(), Default::default(), |_| ()).unwrap();
        running.stop();
        (Door::new(settings, registrar), dir)
    }

    #[test]
    fn a_panic_costs_a_batch_and_not_the_door() {
        let (door, _dir) = door_with_a_defect();
        let socket = udp::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(socket.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let stop = Stop::default();
        let threads = serve(vec![socket], &door, &stop).unwrap();
        client.send(b"RC1 RENEW panic a").unwrap();
        let figure = |name| door.figures().iter().find(|figure| figure.0 == name).unwrap().2;
        // The panic has a batch to itself: what shared it would be lost with it.
        while figure("datagrams_panics") == 0 && !threads[0].is_finished() {
            thread::yield_now();
        }
        client.send(b"RC1 RENEW web a lease=30").unwrap();
        let mut room = [0; 64];
        let length = client.recv(&mut room).expect("the door goes on");
        assert_eq!(&room[..length], b"RC1 INVALID field=lease");
        stop.stop();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let figures = ["datagrams_panics", "datagrams_lost", "datagrams_answered"].map(figure);
        assert_eq!(figures, [1, 1, 1]);
    }
}
