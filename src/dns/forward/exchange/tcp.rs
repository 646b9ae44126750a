//! The connections to one upstream: opened when they are needed, shared by questions, closed when they idle
//! (RFC 7766, section 6.2). TLS is a layer below that changes nothing else (RFC 7858).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::pulse::Pulse;
use super::tls::Opener;
use super::{Budget, Failure, Manner, stream};
use crate::dns::forward::message::{Query, Question};

/// Connections to one upstream at most. Servers bound those of a client, often at 10 or so.
pub const CONNECTIONS_MOST: usize = 4;
/// Questions under way on a connection at most: with all connections full an upstream owes us 400 replies, and
/// is not helped by more.
pub const PIPELINED_MOST: usize = 100;
/// From the first SYN to a connection that can be written to: a question has 4 s in all, and others to ask.
pub const CONNECT_MOST: Duration = Duration::from_secs(2);
/// How long a connection stays open without a question under way: seconds, as RFC 7766, section 6.2.3, has it.
pub const IDLE: Duration = Duration::from_secs(10);
/// The same for an encrypted one, which costs both sides more to open. Servers often close theirs after 30 s.
pub const IDLE_ENCRYPTED: Duration = Duration::from_secs(30);

/// The connections to one upstream.
pub struct Streams {
    door: Door,
    open: Mutex<Vec<Connection>>,
}

/// How connections are opened.
#[derive(Clone)]
enum Door {
    Tcp(SocketAddr),
    Tls(Arc<Opener>),
}

/// A connection, or one that is being opened: its task takes orders.
#[derive(Clone)]
struct Connection {
    orders: mpsc::Sender<Order>,
    places: Arc<Semaphore>,
    pulse: Arc<Pulse>,
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
    /// How long it took from the query, which a connection that had to be opened delays.
    pub delay: Duration,
}

/// What became of a connection while a question was under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// It could not be opened.
    NeverOpened,
    /// It is not, or could not be, with whom it should be.
    Untrusted,
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
        Self { door: Door::Tcp(addr), open: Mutex::default() }
    }

    /// The same, encrypted.
    pub fn encrypted(opener: Opener) -> Self {
        Self { door: Door::Tls(Arc::new(opener)), open: Mutex::default() }
    }

    /// Asks over a connection. A question that was under way when a used one broke is asked once more on a fresh
    /// one: upstreams close idle connections at any time (RFC 7766, section 6.2.4).
    ///
    /// # Errors
    /// Why there is no reply.
    pub async fn ask(
        &self,
        question: &Question,
        manner: impl Into<Manner>,
        budget: &Budget,
    ) -> Result<Reply, Failure> {
        let (mut anew, manner) = (false, manner.into());
        loop {
            let (connection, place, opened) = self.connection(anew)?;
            let mut query = manner.query(question)?;
            if matches!(self.door, Door::Tls(_)) {
                query.pad();
            }
            budget.take()?;
            match connection.ask(query, place).await {
                Ok(reply) => return Ok(reply),
                Err(Lost::Broken) if !opened && !anew => anew = true,
                Err(lost) => {
                    if lost == Lost::NeverOpened {
                        budget.put_back();
                    }
                    return Err(lost.into());
                }
            }
        }
    }

    /// Whether there is one that a question would not have to wait for.
    pub fn is_open(&self) -> bool {
        let is_open =
            |connection: &Connection| !connection.orders.is_closed() && connection.pulse.is_open();
        self.open.lock().iter().any(is_open)
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
            let now = Instant::now();
            let is_fit = |connection: &&Connection| !(may_open && connection.pulse.is_slow(now));
            let free = open
                .iter()
                .filter(is_fit)
                .find_map(|connection| Some((connection.clone(), connection.place()?)));
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
        let (door, pulse) = (self.door.clone(), Arc::new(Pulse::new(Instant::now())));
        let told = pulse.clone();
        tokio::spawn(async move {
            match door.open().await {
                Ok(opened) => stream::run(opened, door.idle(), &told, taken).await,
                Err(lost) => refuse_all(taken, lost).await,
            }
        });
        Connection { orders, places: Arc::new(Semaphore::new(PIPELINED_MOST)), pulse }
    }
}

impl Door {
    async fn open(&self) -> Result<Box<dyn Stream>, Lost> {
        match self {
            Self::Tcp(addr) => Ok(Box::new(connect(*addr).await?)),
            Self::Tls(opener) => Ok(Box::new(opener.open().await?)),
        }
    }

    fn idle(&self) -> Duration {
        match self {
            Self::Tcp(_) => IDLE,
            Self::Tls(_) => IDLE_ENCRYPTED,
        }
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

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::NeverOpened | Lost::Broken => Self::Unreachable,
            Lost::Untrusted => Self::Untrusted,
            Lost::Stalled => Self::Silent,
        }
    }
}

/// Connects, in bounded time.
pub(super) async fn connect(addr: SocketAddr) -> Result<TcpStream, Lost> {
    let connected = timeout(CONNECT_MOST, TcpStream::connect(addr)).await;
    let stream = connected.map_err(|_| Lost::NeverOpened)?.map_err(|_| Lost::NeverOpened)?;
    // Queries leave when they are written; without it, later and no worse.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn refuse_all(mut orders: mpsc::Receiver<Order>, lost: Lost) {
    orders.close();
    while let Some(order) = orders.recv().await {
        // Whoever asked may have gone.
        let _ = order.reply.send(Err(lost));
    }
}

#[cfg(test)]
#[path = "tcp_tests.rs"]
mod tests;
