//! Queries that cannot be answered at once: others have to be asked first.
//!
//! A loop hands such a query on, with its way back, and goes on with the next.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::batch::{self, ReturnPath};
use crate::answer::Transport;

/// Takes queries that cannot be answered at once.
pub trait Defer: Send + Sync + 'static {
    /// Takes a query. It waits for nothing; where there are too many it may drop some.
    fn defer(&self, deferred: Deferred);
}

/// A query, and where its reply goes.
#[derive(Debug)]
pub struct Deferred {
    /// Its octets.
    pub query: Box<[u8]>,
    /// Who asks.
    pub peer: SocketAddr,
    /// How it came.
    pub transport: Transport,
    /// The way back.
    pub way: Way,
}

/// The way back of a reply.
#[derive(Debug)]
pub enum Way {
    /// In a datagram from the socket that was asked.
    Datagram(Arc<UdpSocket>, ReturnPath),
    /// Over the connection that it came on.
    Stream(StreamWay),
    /// It has been answered; what it asks for is to be learnt anew.
    Nobody,
}

impl Deferred {
    /// Sends the reply. Whether it arrives nobody knows: the client may be gone.
    pub fn reply(self, octets: &[u8]) {
        match self.way {
            Way::Datagram(socket, path) => {
                let _ = batch::send_one(&socket, octets, self.peer, &path);
            }
            Way::Stream(way) => way.reply(octets),
            Way::Nobody => {}
        }
    }
}

/// The way back over a connection.
#[derive(Debug)]
pub struct StreamWay(UnboundedSender<Vec<u8>>);

impl StreamWay {
    fn reply(self, octets: &[u8]) {
        // The connection may be closed.
        let _ = self.0.send(octets.to_vec());
    }
}

impl Drop for StreamWay {
    fn drop(&mut self) {
        // Whether it was used or not, the connection waits no longer.
        let _ = self.0.send(Vec::new());
    }
}

/// The replies that a connection waits for. Whoever has it bounds their number.
#[derive(Debug)]
pub struct Awaited {
    sender: UnboundedSender<Vec<u8>>,
    replies: UnboundedReceiver<Vec<u8>>,
    count: usize,
}

impl Default for Awaited {
    fn default() -> Self {
        let (sender, replies) = unbounded_channel();
        Self { sender, replies, count: 0 }
    }
}

impl Awaited {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// A way for one more.
    pub fn way(&mut self) -> Way {
        self.count += 1;
        Way::Stream(StreamWay(self.sender.clone()))
    }

    /// The next reply, once there is one; `None`: none is awaited any more. May be dropped and called again.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        while self.count > 0 {
            let reply = self.replies.recv().await?;
            if !reply.is_empty() {
                return Some(reply);
            }
            self.count -= 1;
        }
        None
    }

    /// A reply that is there already.
    pub fn next_at_hand(&mut self) -> Option<Vec<u8>> {
        while let Ok(reply) = self.replies.try_recv() {
            if !reply.is_empty() {
                return Some(reply);
            }
            self.count -= 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deferred(way: Way) -> Deferred {
        let peer = SocketAddr::from(([127, 0, 0, 1], 5353));
        Deferred { query: Box::default(), peer, transport: Transport::Tcp, way }
    }

    #[tokio::test]
    async fn a_connection_waits_for_what_was_deferred_and_for_no_more() {
        let mut awaited = Awaited::default();
        assert_eq!(awaited.next().await, None);
        let (first, second, third) = (awaited.way(), awaited.way(), awaited.way());
        assert_eq!(awaited.count(), 3);
        deferred(second).reply(b"two");
        drop(first);
        assert_eq!(awaited.next().await, Some(b"two".to_vec()));
        deferred(third).reply(b"three");
        assert_eq!(awaited.next_at_hand(), Some(b"three".to_vec()));
        assert_eq!(awaited.next_at_hand(), None);
        assert_eq!(awaited.next().await, None);
        assert_eq!(awaited.count(), 0);
    }
}
