//! One QUIC connection: each query has a stream, on which its reply goes back (RFC 9250, section 4.2).
//!
//! What breaks the protocol's rules ends the connection; what goes wrong with one query ends its stream alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, Incoming, ReadToEndError, RecvStream, SendStream, VarInt};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};

use super::Door;
use crate::answer::{Transport, peek};
use crate::net::Answer;
use crate::net::tcp::count;
use crate::view::LeaseTime;

// Error codes of RFC 9250, section 8.4.
/// It is over, and nothing is wrong.
pub(super) const NO_ERROR: VarInt = VarInt::from_u32(0);
/// We cannot answer.
const INTERNAL_ERROR: VarInt = VarInt::from_u32(1);
/// The client broke the rules.
const PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
/// The client wants no reply any more.
const REQUEST_CANCELLED: VarInt = VarInt::from_u32(3);
/// The client takes too long.
const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(4);

/// The octets before each message that say how long it is.
const LENGTH_OCTETS: usize = 2;
/// A stream has one message, and nothing after it.
const MAX_STREAM_OCTETS: usize = LENGTH_OCTETS + u16::MAX as usize;

/// Serves one connection until either side has had enough.
pub(super) async fn serve<A, C>(door: &Arc<Door<A, C>>, incoming: Incoming, peer: SocketAddr)
where
    A: Answer,
    C: Fn() -> LeaseTime + Send + Sync + 'static,
{
    let connected = async { incoming.accept()?.await };
    let connection = tokio::select! {
        biased;
        () = door.stop.wait() => return,
        connected = timeout(door.limits.handshake, connected) => match connected {
            Ok(Ok(connection)) => connection,
            Ok(Err(_)) | Err(_) => return count(&door.counters.handshakes_failed),
        },
    };
    let mut queries = JoinSet::new();
    take_queries(door, &connection, peer, &mut queries).await;
    while let Some(ended) = queries.join_next().await {
        follow(door, &connection, &ended);
    }
    // Nothing happens if it is closed already.
    connection.close(NO_ERROR, b"");
}

/// Gives each query a task, until the connection ends, nothing is asked any more, or the stop.
async fn take_queries<A, C>(
    door: &Arc<Door<A, C>>,
    connection: &Connection,
    peer: SocketAddr,
    queries: &mut JoinSet<()>,
) where
    A: Answer,
    C: Fn() -> LeaseTime + Send + Sync + 'static,
{
    let start = |queries: &mut JoinSet<()>, (send, recv)| {
        let stream = Stream { door: door.clone(), connection: connection.clone(), peer, send };
        queries.spawn(stream.serve(recv));
    };
    let mut deadline = Instant::now() + door.limits.idle;
    while !door.stop.is_set() {
        tokio::select! {
            biased;
            Some(ended) = queries.join_next() => follow(door, connection, &ended),
            taken = timeout_at(deadline, connection.accept_bi()) => match taken {
                Ok(Ok(stream)) => start(queries, stream),
                Ok(Err(_)) => return,
                // Who waits for us is not idle.
                Err(_) if !queries.is_empty() => {}
                Err(_) => return count(&door.counters.timed_out_idle),
            },
            () = door.stop.wait() => break,
        }
        deadline = Instant::now() + door.limits.idle;
    }
    // What has come is answered, and that is all: the transport lets no more come than so many.
    for _ in 0..super::MAX_STREAMS {
        match timeout(Duration::ZERO, connection.accept_bi()).await {
            Ok(Ok(stream)) => start(queries, stream),
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

/// A query that was lost to a panic takes its connection along: its stream would look as if all were well.
fn follow<A, C>(door: &Door<A, C>, connection: &Connection, ended: &Result<(), JoinError>) {
    if ended.as_ref().is_err_and(JoinError::is_panic) {
        count(&door.counters.panics);
        tracing::error!("a query of DNS over QUIC was lost to a panic");
        connection.close(INTERNAL_ERROR, b"");
    }
}

/// The stream of one query.
struct Stream<A, C> {
    door: Arc<Door<A, C>>,
    connection: Connection,
    peer: SocketAddr,
    send: SendStream,
}

/// Why a query gets no reply.
enum Ended {
    /// The rules are broken: the connection ends, and says why.
    Broken(&'static str),
    /// Its stream ends, with this code.
    Reset(VarInt),
}

impl<A, C> Stream<A, C>
where
    A: Answer,
    C: Fn() -> LeaseTime + Send + Sync + 'static,
{
    async fn serve(mut self, recv: RecvStream) {
        match self.exchange(recv).await {
            Ok(()) => {}
            Err(Ended::Broken(rule)) => {
                count(&self.door.counters.malformed);
                self.connection.close(PROTOCOL_ERROR, rule.as_bytes());
            }
            Err(Ended::Reset(code)) => {
                // It may be closed already.
                let _ = self.send.reset(code);
            }
        }
    }

    async fn exchange(&mut self, recv: RecvStream) -> Result<(), Ended> {
        let query = self.receive(recv).await?;
        let asked = self.door.replier.ask(&query, self.peer, Transport::Quic);
        let reply = tokio::select! {
            biased;
            reply = asked => reply.map_err(|_| Ended::Reset(INTERNAL_ERROR))?,
            // The client wants it no more (RFC 9250, section 4.3.1).
            _ = self.send.stopped() => return Err(Ended::Reset(REQUEST_CANCELLED)),
        };
        let reply = framed(&reply).ok_or(Ended::Reset(INTERNAL_ERROR))?;
        let sent = timeout(self.door.limits.write, self.deliver(&reply)).await;
        sent.unwrap_or_else(|_| {
            count(&self.door.counters.timed_out_write);
            Err(Ended::Reset(EXCESSIVE_LOAD))
        })
    }

    /// Receives the query, and checks what is asked of its stream (RFC 9250, section 4.3.3).
    async fn receive(&mut self, mut recv: RecvStream) -> Result<Vec<u8>, Ended> {
        let received = timeout(self.door.limits.query, recv.read_to_end(MAX_STREAM_OCTETS)).await;
        let received = match received {
            Ok(Ok(received)) => received,
            Ok(Err(ReadToEndError::TooLong)) => return Err(Ended::Broken("more than a query")),
            // The client took it back, or is gone.
            Ok(Err(ReadToEndError::Read(_))) => return Err(Ended::Reset(REQUEST_CANCELLED)),
            Err(_) => {
                count(&self.door.counters.timed_out_query);
                let _ = recv.stop(EXCESSIVE_LOAD);
                return Err(Ended::Reset(EXCESSIVE_LOAD));
            }
        };
        message(received).map_err(Ended::Broken)
    }

    /// Sends the reply, and waits until the client has it.
    async fn deliver(&mut self, reply: &[u8]) -> Result<(), Ended> {
        let unwanted = || Ended::Reset(REQUEST_CANCELLED);
        self.send.write_all(reply).await.map_err(|_| unwanted())?;
        self.send.finish().map_err(|_| unwanted())?;
        match self.send.stopped().await {
            Ok(None) | Err(_) => Ok(()),
            Ok(Some(_)) => Err(unwanted()),
        }
    }
}

/// The one message of a stream, or the rule that it breaks.
fn message(mut stream: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    let length = stream.first_chunk::<LENGTH_OCTETS>().copied().map(u16::from_be_bytes);
    let length = length.ok_or("the query is cut off")?;
    stream.drain(..LENGTH_OCTETS);
    match stream.len().cmp(&length.into()) {
        std::cmp::Ordering::Less => return Err("the query is cut off"),
        std::cmp::Ordering::Greater => return Err("more than a query"),
        std::cmp::Ordering::Equal => {}
    }
    // The stream says which query it is (RFC 9250, section 4.2.1).
    if stream.first_chunk() != Some(&[0, 0]) {
        return Err("the message id is not 0");
    }
    if peek::has_tcp_keepalive(&stream) {
        return Err("the query has the option edns-tcp-keepalive");
    }
    Ok(stream)
}

/// A message with its length before it.
fn framed(message: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(message.len()).ok()?;
    Some([&length.to_be_bytes(), message].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_one_message_with_id_0() {
        let query = [0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1];
        let framed = framed(&query).unwrap();
        assert_eq!(framed[..2], [0, 17]);
        assert_eq!(message(framed.clone()), Ok(query.to_vec()));
        for end in 0..framed.len() {
            assert_eq!(message(framed[..end].to_vec()), Err("the query is cut off"), "{end}");
        }
        assert_eq!(message([&framed[..], &framed].concat()), Err("more than a query"));
        for id in [[0, 1], [1, 0]] {
            let query = [&[0, 4][..], &id, &[1, 0]].concat();
            assert_eq!(message(query), Err("the message id is not 0"));
        }
        assert_eq!(message(vec![0, 0]), Err("the message id is not 0"));
        // An OPT record with the option, empty.
        let opt =
            [&query[..11], &[1], &query[12..], &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 4, 0, 11, 0, 0]];
        let query = opt.concat();
        let stream = super::framed(&query).unwrap();
        assert_eq!(message(stream), Err("the query has the option edns-tcp-keepalive"));
    }
}
