//! The connections to one upstream: opened when they are needed, shared by questions, closed when they idle
//! (RFC 7766, section 6.2).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::{Budget, Failure, stream};
use crate::dns::forward::message::{Letters, Query, Question};

/// Connections to one upstream at most. Servers bound those of a client, often at 10 or so.
pub const CONNECTIONS_MOST: usize = 4;
/// Questions under way on a connection at most: with all connections full an upstream owes us 400 replies, and
/// is not helped by more.
pub const PIPELINED_MOST: usize = 100;
/// From the first SYN to a connection that can be written to: a question has 4 s in all, and others to ask.
pub const CONNECT_MOST: Duration = Duration::from_secs(2);

/// The connections to one upstream.
pub struct Streams {
    addr: SocketAddr,
    open: Mutex<Vec<Connection>>,
}

/// A connection, or one that is being opened: its task takes orders.
#[derive(Clone)]
struct Connection {
    orders: mpsc::Sender<Order>,
    places: Arc<Semaphore>,
}

/// A question for a connection's task.
pub(super) struct Order {
    pub query: Query,
    pub reply: oneshot::Sender<Result<Reply, Lost>>,
    /// The question's place on the connection; free again when the task is done with it.
    pub _place: OwnedSemaphorePermit,
}

/// A reply over a connection.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// The message, its name in lower case and its id 0.
    pub octets: Vec<u8>,
    /// The name's letters came as they were sent.
    pub letters_kept: bool,
}

/// What became of a connection while a question was under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// It could not be opened.
    NeverOpened,
    /// The upstream closed or broke it.
    Broken,
    /// The upstream said nothing.
    Stalled,
}

/// A byte stream, whatever is below it.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Streams {
    /// None open yet.
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, open: Mutex::default() }
    }

    /// Asks over a connection. A question that was under way when a used one broke is asked once more on a fresh
    /// one: upstreams close idle connections at any time (RFC 7766, section 6.2.4).
    ///
    /// # Errors
    /// Why there is no reply.
    pub async fn ask(
        &self,
        question: &Question,
        letters: Letters,
        budget: &Budget,
    ) -> Result<Reply, Failure> {
        let mut anew = false;
        loop {
            let (connection, place, opened) = self.connection(anew)?;
            let query = Query::new(question, letters).map_err(|_| Failure::Local)?;
            budget.take()?;
            match connection.ask(query, place).await {
                Ok(reply) => return Ok(reply),
                Err(Lost::Broken) if !opened && !anew => anew = true,
                Err(Lost::Broken | Lost::NeverOpened) => return Err(Failure::Unreachable),
                Err(Lost::Stalled) => return Err(Failure::Silent),
            }
        }
    }

    /// How many are open, or being opened.
    pub fn count(&self) -> usize {
        let mut open = self.open.lock();
        open.retain(|connection| !connection.orders.is_closed());
        open.len()
    }

    /// A connection with a place on it, and whether it was opened for this; `anew` asks for that.
    fn connection(&self, anew: bool) -> Result<(Connection, OwnedSemaphorePermit, bool), Failure> {
        let mut open = self.open.lock();
        open.retain(|connection| !connection.orders.is_closed());
        let may_open = open.len() < CONNECTIONS_MOST;
        if !(anew && may_open) {
            let free =
                open.iter().find_map(|connection| Some((connection.clone(), connection.place()?)));
            if let Some((connection, place)) = free {
                return Ok((connection, place, false));
            }
        }
        if !may_open {
            return Err(Failure::Local);
        }
        let connection = self.start();
        let place = connection.place().ok_or(Failure::Local)?;
        open.push(connection.clone());
        Ok((connection, place, true))
    }

    /// Starts a connection's task, which opens it first. It ends by itself: when it idles, breaks, or nobody can
    /// reach it any more.
    fn start(&self) -> Connection {
        let (orders, taken) = mpsc::channel(PIPELINED_MOST);
        let addr = self.addr;
        tokio::spawn(async move {
            match timeout(CONNECT_MOST, open(addr)).await {
                Ok(Ok(opened)) => stream::run(opened, taken).await,
                Ok(Err(_)) | Err(_) => refuse_all(taken).await,
            }
        });
        Connection { orders, places: Arc::new(Semaphore::new(PIPELINED_MOST)) }
    }
}

impl Connection {
    fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    async fn ask(&self, query: Query, place: OwnedSemaphorePermit) -> Result<Reply, Lost> {
        let (reply, waited_for) = oneshot::channel();
        let order = Order { query, reply, _place: place };
        self.orders.send(order).await.map_err(|_| Lost::Broken)?;
        waited_for.await.unwrap_or(Err(Lost::Broken))
    }
}

async fn open(addr: SocketAddr) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(addr).await?;
    // Queries leave when they are written; without it, later and no worse.
    let _ = stream.set_nodelay(true);
    Ok(Box::new(stream))
}

async fn refuse_all(mut orders: mpsc::Receiver<Order>) {
    orders.close();
    while let Some(order) = orders.recv().await {
        // Whoever asked may have gone.
        let _ = order.reply.send(Err(Lost::NeverOpened));
    }
}

#[cfg(test)]
#[path = "tcp_tests.rs"]
mod tests;
