//! One TCP connection: reads as much as there is, answers every whole query of it, writes the replies at once.
//!
//! Replies go out in the order of the queries. A connection holds what it has read (4 KiB, or one message
//! of up to 64 KiB that is still coming) and the replies that it is writing (at most 128 KiB, and nothing
//! between two runs); the room that replies are made in belongs to the answerer.

use std::io::{self, Read};
use std::net::SocketAddr;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::pool::Slot;
use super::tcp::{Door, count};
use super::{Answer, Respond};
use crate::answer::{BATCH_QUERIES, Reply, Transport};
use crate::view::LeaseTime;

/// The octets before each message that say how long it is (RFC 1035, section 4.2.2).
const LENGTH_OCTETS: usize = 2;

/// A message has a header at least (RFC 1035, section 4.1.1); who sends less does not speak DNS.
const MESSAGE_OCTETS_LEAST: usize = 12;

/// Room for the longest reply, with its length.
pub(super) const REPLY_ROOM: usize = LENGTH_OCTETS + u16::MAX as usize;

/// What is read at once: some 80 queries. A longer message grows the room as it comes.
const READ_OCTETS: usize = 4 << 10;

/// Replies are written when there are as many octets of them: with the reply that goes over it, 128 KiB.
const WRITE_OCTETS: usize = 64 << 10;

/// What a connection keeps for its next replies.
const KEPT_OCTETS: usize = 4 << 10;

/// Reads after the stop: what the kernel may hold for a connection, and no more of what comes later.
const READS_AFTER_STOP_MOST: usize = 64;

/// Serves one connection until either side has had enough.
pub(super) async fn serve<A, C>(door: &Door<A, C>, stream: TcpStream, peer: SocketAddr)
where
    A: Answer,
    C: Fn() -> LeaseTime + Send + Sync + 'static,
{
    // Replies leave when they are written; without it, later and no worse.
    let _ = stream.set_nodelay(true);
    let mut connection = Connection {
        door,
        stream,
        peer,
        input: Vec::with_capacity(READ_OCTETS),
        output: Vec::new(),
    };
    if connection.until_closed().await.is_ok() {
        // The client may be gone, which is as good.
        let _ = connection.stream.shutdown().await;
    }
}

struct Connection<'a, A, C> {
    door: &'a Door<A, C>,
    stream: TcpStream,
    peer: SocketAddr,
    /// What was read and is not answered.
    input: Vec<u8>,
    /// What is answered and not written.
    output: Vec<u8>,
}

/// The connection is beyond use: it is dropped as it is.
struct Broken;

impl<A, C> Connection<'_, A, C>
where
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
            let read = tokio::select! {
                biased;
                read = timeout_at(deadline, self.stream.read_buf(&mut self.input)) => read,
                () = self.door.stop.wait() => break,
            };
            match read {
                Ok(Ok(0)) => return Ok(()),
                Ok(Ok(_)) => {}
                Ok(Err(_)) => return Err(Broken),
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
        Ok(())
    }

    /// Reads what is there. Not through the runtime, which may not have heard of it yet.
    fn read_waiting(&mut self) -> io::Result<usize> {
        let socket = SockRef::from(&self.stream);
        let begin = self.input.len();
        self.input.resize(begin + READ_OCTETS, 0);
        let read = (&*socket).read(self.input.get_mut(begin..).unwrap_or_default());
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
            let (octets, rest) = answer_run(self.door, self.peer, waiting, &mut self.output);
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
        let written = timeout(self.door.limits.write, self.stream.write_all(&self.output)).await;
        self.output.clear();
        self.output.shrink_to(KEPT_OCTETS);
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Broken),
            Err(_) => {
                count(&self.door.counters.timed_out_write);
                // The kernel would go on offering the replies for minutes.
                let _ = self.stream.set_zero_linger();
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

/// Answers whole queries from `input` until none is left or the replies are due to be written; says how many octets
/// they took.
fn answer_run<A, C>(
    door: &Door<A, C>,
    peer: SocketAddr,
    input: &[u8],
    output: &mut Vec<u8>,
) -> (usize, Rest)
where
    A: Answer,
    C: Fn() -> LeaseTime,
{
    if let Frame::Part = next_frame(input) {
        return (0, Rest::Part);
    }
    door.answerers.with(|slot| {
        let mut taken = 0;
        loop {
            let waiting = input.get(taken..).unwrap_or_default();
            let (octets, rest) = answer_batch(slot, (door.clock)(), peer, waiting, output);
            taken += octets;
            if rest != Rest::More || output.len() > WRITE_OCTETS {
                return (taken, rest);
            }
        }
    })
}

fn answer_batch<A: Answer>(
    Slot { answer, room }: &mut Slot<A>,
    now: LeaseTime,
    peer: SocketAddr,
    input: &[u8],
    output: &mut Vec<u8>,
) -> (usize, Rest) {
    let (queries, end) = next_queries(input);
    answer.batch(now, |batch| {
        batch.look_ahead(queries.iter().copied().map_while(|query| query));
        let mut taken = 0;
        for (nth, query) in queries.iter().flatten().enumerate() {
            if output.len() > WRITE_OCTETS {
                return (taken, Rest::More);
            }
            taken += LENGTH_OCTETS + query.len();
            reply_to(batch, nth, query, peer, room, output);
        }
        (taken, end)
    })
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

/// Answers one query, and appends the reply with its length before it.
fn reply_to(
    batch: &mut impl Respond,
    nth: usize,
    query: &[u8],
    peer: SocketAddr,
    room: &mut [u8],
    output: &mut Vec<u8>,
) {
    let Some((length, message)) = room.split_first_chunk_mut::<LENGTH_OCTETS>() else { return };
    let Reply::Len(octets) = batch.respond(nth, query, peer, Transport::Tcp, message) else {
        return;
    };
    let Ok(octets) = u16::try_from(octets) else { return };
    *length = octets.to_be_bytes();
    output.extend_from_slice(room.get(..LENGTH_OCTETS + usize::from(octets)).unwrap_or_default());
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
