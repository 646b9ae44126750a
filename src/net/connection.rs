//! One connection over TCP or TLS: reads as much as there is, answers every whole query of it, writes the replies at once.
//!
//! Replies go out in the order of the queries, but for those that others had to be asked for: they go out when they
//! are there (RFC 7766, section 6.2.1.1). A connection holds what it has read (4 KiB, or one message
//! of up to 64 KiB that is still coming) and the replies that it is writing (at most 128 KiB, and nothing
//! between two runs); the room that replies are made in belongs to the answerer.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::defer::{Awaited, Deferred, Way};
use super::pool::Slot;
use super::stream::Stream;
use super::tcp::{Door, count};
use super::{Answer, Respond};
use crate::answer::{BATCH_QUERIES, Reply, Transport};
use crate::view::LeaseTime;

/// The octets before each message that say how long it is (RFC 1035, section 4.2.2).
const LENGTH_OCTETS: usize = 2;

/// A message has a header at least (RFC 1035, section 4.1.1); who sends less does not speak DNS.
const MESSAGE_OCTETS_LEAST: usize = 12;

/// Room for the longest reply.
pub(super) const REPLY_ROOM: usize = u16::MAX as usize;

/// What is read at once: some 80 queries. A longer message grows the room as it comes.
const READ_OCTETS: usize = 4 << 10;

/// Replies are written when there are as many octets of them: with the reply that goes over it, 128 KiB.
const WRITE_OCTETS: usize = 64 << 10;

/// Queries of a connection that others are asked for, at most: then no more is read until some of them are answered.
const AWAITED_MOST: usize = 100;

/// What a connection keeps for its next replies.
const KEPT_OCTETS: usize = 4 << 10;

/// Reads after the stop: what the kernel may hold for a connection, and no more of what comes later.
const READS_AFTER_STOP_MOST: usize = 64;

/// Serves one connection until either side has had enough.
pub(super) async fn serve<S, A, C>(door: &Door<A, C>, stream: S, peer: SocketAddr)
where
    S: Stream,
    A: Answer,
    C: Fn() -> LeaseTime + Send + Sync + 'static,
{
    let mut connection = Connection {
        door,
        stream,
        peer,
        input: Vec::with_capacity(READ_OCTETS),
        output: Vec::new(),
        awaited: Awaited::default(),
    };
    if connection.until_closed().await.is_ok() {
        // The client may be gone, which is as good. TLS has something to write here, which it may not take.
        let _ = timeout(door.limits.write, connection.stream.shutdown()).await;
    }
}

struct Connection<'a, S, A, C> {
    door: &'a Door<A, C>,
    stream: S,
    peer: SocketAddr,
    /// What was read and is not answered.
    input: Vec<u8>,
    /// What is answered and not written.
    output: Vec<u8>,
    /// What others are asked for.
    awaited: Awaited,
}

/// The connection is beyond use: it is dropped as it is.
struct Broken;

impl<S, A, C> Connection<'_, S, A, C>
where
    S: Stream,
    A: Answer,
    C: Fn() -> LeaseTime + Send + Sync + 'static,
{
    /// Serves until the client ends, a limit is reached, or the stop.
    async fn until_closed(&mut self) -> Result<(), Broken> {
        let limits = self.door.limits;
        let mut deadline = Instant::now() + limits.idle;
        let mut begun = false;
        // Asked in every round: a client that always has more to say would be heard first below.
        while !self.door.stop.is_set() {
            self.make_room();
            let may_read = self.awaited.count() < AWAITED_MOST;
            let read = tokio::select! {
                biased;
                Some(reply) = self.awaited.next(), if self.awaited.count() > 0 => {
                    self.send(reply).await?;
                    continue;
                }
                read = timeout_at(deadline, self.stream.read_buf(&mut self.input)), if may_read => read,
                () = self.door.stop.wait() => break,
            };
            match read {
                Ok(Ok(0)) => return self.send_awaited().await,
                Ok(Ok(_)) => {}
                // TLS that ends without a farewell: messages say how long they are, so nothing is cut short unnoticed.
                Ok(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => {
                    return self.send_awaited().await;
                }
                Ok(Err(_)) => return Err(Broken),
                Err(_) if !begun && self.awaited.count() > 0 => {
                    // Who waits for us is not idle.
                    deadline = Instant::now() + limits.idle;
                    continue;
                }
                Err(_) => return self.out_of_time(begun),
            }
            let before = self.input.len();
            if let Rest::Malformed = self.answer_all().await? {
                return Ok(());
            }
            // A query that has begun has so long in all, however slowly it drips.
            let ended_one = self.input.len() < before;
            if self.input.is_empty() {
                deadline = Instant::now() + limits.idle;
            } else if ended_one || !begun {
                deadline = Instant::now() + limits.query;
            }
            begun = !self.input.is_empty();
        }
        self.after_stop().await
    }

    fn out_of_time(&self, begun: bool) -> Result<(), Broken> {
        let counters = &self.door.counters;
        count(if begun { &counters.timed_out_query } else { &counters.timed_out_idle });
        Ok(())
    }

    /// Answers what the kernel has received, and leaves it at that.
    async fn after_stop(&mut self) -> Result<(), Broken> {
        for _ in 0..READS_AFTER_STOP_MOST {
            match self.read_waiting() {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            if let Rest::Malformed = self.answer_all().await? {
                break;
            }
        }
        self.send_awaited().await
    }

    /// Sends a reply that was awaited, and those that are there besides.
    async fn send(&mut self, reply: Vec<u8>) -> Result<(), Broken> {
        let mut next = Some(reply);
        while let Some(reply) = next {
            frame(&reply, &mut self.output);
            if self.output.len() > WRITE_OCTETS {
                self.write().await?;
            }
            next = self.awaited.next_at_hand();
        }
        self.write().await
    }

    /// Sends all replies that are still awaited.
    async fn send_awaited(&mut self) -> Result<(), Broken> {
        while let Some(reply) = self.awaited.next().await {
            self.send(reply).await?;
        }
        Ok(())
    }

    /// Reads what is there.
    fn read_waiting(&mut self) -> io::Result<usize> {
        let begin = self.input.len();
        self.input.resize(begin + READ_OCTETS, 0);
        let read = self.stream.read_waiting(self.input.get_mut(begin..).unwrap_or_default());
        self.input.truncate(begin + read.as_ref().copied().unwrap_or(0));
        read
    }

    /// Makes sure that there is room to read into: for as much of the message that is coming as has come, again.
    fn make_room(&mut self) {
        let most = match self.input.first_chunk::<LENGTH_OCTETS>() {
            Some(length) => LENGTH_OCTETS + usize::from(u16::from_be_bytes(*length)),
            None => 0,
        };
        let room = (2 * self.input.len()).min(most).max(READ_OCTETS);
        if self.input.is_empty() {
            self.input.shrink_to(READ_OCTETS);
        }
        self.input.reserve_exact(room.saturating_sub(self.input.len()));
    }

    /// Answers all whole queries that were read, and writes the replies.
    async fn answer_all(&mut self) -> Result<Rest, Broken> {
        let mut taken = 0;
        let rest = loop {
            let waiting = self.input.get(taken..).unwrap_or_default();
            let Self { door, peer, output, awaited, .. } = self;
            let transport = S::TRANSPORT;
            let mut outlet = Outlet { door, peer: *peer, transport, output, awaited };
            let (octets, rest) = answer_run(&mut outlet, waiting);
            taken += octets;
            self.write().await?;
            if rest != Rest::More {
                break rest;
            }
        };
        if rest == Rest::Malformed {
            count(&self.door.counters.malformed);
        }
        self.input.drain(..taken);
        Ok(rest)
    }

    /// Writes the replies: each with its length before it, as many as there are in one call.
    async fn write(&mut self) -> Result<(), Broken> {
        if self.output.is_empty() {
            return Ok(());
        }
        let (stream, output) = (&mut self.stream, &self.output);
        let write = async {
            stream.write_all(output).await?;
            stream.flush().await
        };
        let written = timeout(self.door.limits.write, write).await;
        self.output.clear();
        self.output.shrink_to(KEPT_OCTETS);
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Broken),
            Err(_) => {
                count(&self.door.counters.timed_out_write);
                // The kernel would go on offering the replies for minutes.
                let _ = self.stream.tcp().set_zero_linger();
                Err(Broken)
            }
        }
    }
}

/// What follows the queries that were answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Perhaps more, once the replies are written.
    More,
    /// Nothing, or the beginning of a message.
    Part,
    /// What is no message.
    Malformed,
}

/// Where what becomes of queries goes.
struct Outlet<'a, A, C> {
    door: &'a Door<A, C>,
    peer: SocketAddr,
    transport: Transport,
    output: &'a mut Vec<u8>,
    awaited: &'a mut Awaited,
}

/// Answers whole queries from `input` until none is left or the replies are due to be written; says how many octets
/// they took.
fn answer_run<A, C>(outlet: &mut Outlet<'_, A, C>, input: &[u8]) -> (usize, Rest)
where
    A: Answer,
    C: Fn() -> LeaseTime,
{
    if let Frame::Part = next_frame(input) {
        return (0, Rest::Part);
    }
    let door = outlet.door;
    door.answerers.with(|slot| {
        let mut taken = 0;
        loop {
            let waiting = input.get(taken..).unwrap_or_default();
            let (octets, rest) = answer_batch(slot, (door.clock)(), waiting, outlet);
            taken += octets;
            if rest != Rest::More || outlet.output.len() > WRITE_OCTETS {
                return (taken, rest);
            }
        }
    })
}

fn answer_batch<A: Answer, C>(
    Slot { answer, room }: &mut Slot<A>,
    now: LeaseTime,
    input: &[u8],
    outlet: &mut Outlet<'_, A, C>,
) -> (usize, Rest) {
    let (queries, end) = next_queries(input);
    answer.batch(now, |batch| {
        batch.look_ahead(queries.iter().copied().map_while(|query| query));
        let mut taken = 0;
        for (nth, query) in queries.iter().flatten().enumerate() {
            if outlet.output.len() > WRITE_OCTETS {
                return (taken, Rest::More);
            }
            taken += LENGTH_OCTETS + query.len();
            let reply = batch.respond(nth, query, outlet.peer, outlet.transport, room);
            outlet.take(query, reply, room);
        }
        (taken, end)
    })
}

impl<A, C> Outlet<'_, A, C> {
    /// Takes what became of a query: the reply is in `room`, or has to wait.
    fn take(&mut self, query: &[u8], reply: Reply, room: &[u8]) {
        let way = match reply {
            Reply::Len(_) | Reply::Drop => None,
            Reply::Due(_) => Some(Way::Nobody),
            Reply::Defer => Some(self.awaited.way()),
        };
        if let Reply::Len(len) | Reply::Due(len) = reply {
            frame(room.get(..len).unwrap_or_default(), self.output);
        }
        if let Some(way) = way {
            let (query, peer, transport) = (query.into(), self.peer, self.transport);
            self.door.defer.defer(Deferred { query, peer, transport, way });
        }
    }
}

/// Appends a message with its length before it.
fn frame(message: &[u8], output: &mut Vec<u8>) {
    let Ok(length) = u16::try_from(message.len()) else { return };
    output.extend_from_slice(&length.to_be_bytes());
    output.extend_from_slice(message);
}

/// The whole queries that a stream goes on with, as many as a batch may have, and what follows them.
fn next_queries(input: &[u8]) -> ([Option<&[u8]>; BATCH_QUERIES], Rest) {
    let mut queries = [None; BATCH_QUERIES];
    let mut input = input;
    for place in &mut queries {
        match next_frame(input) {
            Frame::Whole(query) => {
                *place = Some(query);
                input = input.get(LENGTH_OCTETS + query.len()..).unwrap_or_default();
            }
            Frame::Part => return (queries, Rest::Part),
            Frame::Malformed => return (queries, Rest::Malformed),
        }
    }
    (queries, Rest::More)
}

/// The message that a stream goes on with.
#[derive(Debug, PartialEq, Eq)]
enum Frame<'a> {
    Whole(&'a [u8]),
    Part,
    Malformed,
}

fn next_frame(input: &[u8]) -> Frame<'_> {
    let Some((length, rest)) = input.split_first_chunk::<LENGTH_OCTETS>() else {
        return Frame::Part;
    };
    let octets = usize::from(u16::from_be_bytes(*length));
    if octets < MESSAGE_OCTETS_LEAST {
        return Frame::Malformed;
    }
    rest.get(..octets).map_or(Frame::Part, Frame::Whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_cut_into_messages() {
        let twelve = [7; 12];
        let whole = |after: &[u8]| [&[0, 12], &twelve[..], after].concat();
        for (input, frame) in [
            (vec![], Frame::Part),
            (vec![0], Frame::Part),
            (vec![0, 12], Frame::Part),
            (whole(&[])[..13].to_vec(), Frame::Part),
            (whole(&[]), Frame::Whole(&twelve)),
            (whole(&[0, 0]), Frame::Whole(&twelve)),
            (vec![0, 0], Frame::Malformed),
            (vec![0, 11], Frame::Malformed),
            (vec![255, 255, 1], Frame::Part),
        ] {
            assert_eq!(next_frame(&input), frame, "{input:?}");
        }
    }
}
