//! A connection that does not wait for ever: whoever sends a request's head slowly, sends none, or does not
//! read the reply, is cut off.
//!
//! hyper has one time limit for "a head is being sent" and "nothing is being sent"; clients that renew every
//! ten seconds should keep their connection, and a head should not take as long.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How long a connection waits for its client.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a request's head, from its first octet; for the first one from the connection's start.
    pub head: Duration,
    /// For the next request.
    pub idle: Duration,
    /// For some of a reply to be taken.
    pub write: Duration,
}

/// Whether a request is being handled: then the connection's clocks stand still, and the handler's run.
#[derive(Debug, Clone, Default)]
pub struct Handling(Arc<AtomicU64>);

impl Handling {
    /// A request is handled until what is returned is dropped.
    pub fn begin(&self) -> HandlingGuard {
        self.0.fetch_add(1, Ordering::Relaxed);
        HandlingGuard(self.clone())
    }

    /// Counts beginnings and ends: odd while a request is handled.
    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// While it lives a request is handled.
#[derive(Debug)]
pub struct HandlingGuard(Handling);

impl Drop for HandlingGuard {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Head,
    Handling,
    Idle,
}

/// A stream whose reads and writes end in time.
#[derive(Debug)]
pub struct Timed<S> {
    stream: S,
    patience: Patience,
    handling: Handling,
    seen: u64,
    phase: Phase,
    reading: Pin<Box<Sleep>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Timed<S> {
    /// Times a stream; `handling` is begun for each request.
    pub fn new(stream: S, patience: Patience, handling: Handling) -> Self {
        Self {
            stream,
            patience,
            seen: handling.count(),
            handling,
            phase: Phase::Head,
            reading: Box::pin(sleep(patience.head)),
            writing: None,
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        let wait = match phase {
            Phase::Head => self.patience.head,
            Phase::Idle => self.patience.idle,
            Phase::Handling => return,
        };
        self.reading.as_mut().reset(Instant::now() + wait);
    }

    fn follow_handling(&mut self) {
        let count = self.handling.count();
        if count != self.seen {
            self.seen = count;
            self.enter(if count % 2 == 1 { Phase::Handling } else { Phase::Idle });
        }
    }

    fn written(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if outcome.is_ready() {
            self.writing = None;
            // A long reply that is being taken is not idleness.
            if self.phase == Phase::Idle {
                self.enter(Phase::Idle);
            }
            return outcome;
        }
        let wait = self.patience.write;
        let writing = self.writing.get_or_insert_with(|| Box::pin(sleep(wait)));
        ready!(writing.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.follow_handling();
        if let Poll::Ready(outcome) = Pin::new(&mut this.stream).poll_read(context, buffer) {
            if this.phase == Phase::Idle {
                this.enter(Phase::Head);
            }
            // A head that arrives octet by octet is ready every time: its clock counts here too.
            if this.phase == Phase::Head && this.reading.deadline() <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            return Poll::Ready(outcome);
        }
        if this.phase == Phase::Handling {
            return Poll::Pending;
        }
        ready!(this.reading.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Not vectored: then hyper copies a reply behind its head, which costs less than a list of the two for the kernel.
impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, octets);
        self.written(context, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
