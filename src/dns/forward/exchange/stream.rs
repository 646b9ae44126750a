//! One connection: writes the questions that come, reads replies in any order, and knows whom each is for
//! (RFC 7766, sections 6.2.1.1 and 7).
//!
//! All of it is one task that owns the connection, so that nobody waits for anybody's octets but their own.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep_until, timeout};

use super::pulse::Pulse;
use super::tcp::{Lost, Order, PIPELINED_MOST, Reply};
use crate::dns::forward::message::{self, HEADER};

/// What may be spent on taking leave, as TLS does.
const LEAVE_MOST: Duration = Duration::from_secs(1);
/// Replies that nobody waits for, until the connection is closed: one may be a repetition, more are a defect.
const UNMATCHED_MOST: usize = 3;
/// Questions are not taken while there is so much to write: some hundred of them.
const OUTPUT_MOST: usize = 16 << 10;
/// What is read at once; a longer message grows the room, to 64 KiB and this at most.
const READ_OCTETS: usize = 4 << 10;
/// The octets before each message that say how long it is (RFC 1035, section 4.2.2).
const LENGTH_OCTETS: usize = 2;

/// Carries orders out until the connection was without a question for `idle`, breaks or stalls, or nobody can order any
/// more.
pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    idle: Duration,
    pulse: &Pulse,
    mut orders: Receiver<Order>,
) {
    let (mut reader, mut writer) = split(stream);
    pulse.opened(Instant::now());
    let mut talk = Talk::new(pulse);
    let why = loop {
        talk.input.reserve(READ_OCTETS);
        let deadline = pulse.deadline(idle);
        tokio::select! {
            order = orders.recv(), if talk.output.len() < OUTPUT_MOST => match order {
                Some(order) => talk.ask(order, Instant::now()),
                None => break Lost::Broken,
            },
            put = put(&mut writer, &talk.output), if !talk.output.is_empty() || !talk.is_flushed => {
                match put {
                    Ok(octets) => {
                        talk.is_flushed = talk.output.is_empty();
                        talk.output.drain(..octets);
                    }
                    Err(_) => break Lost::Broken,
                }
            },
            read = reader.read_buf(&mut talk.input) => match read {
                Ok(0) | Err(_) => break Lost::Broken,
                Ok(_) => {
                    if talk.take_replies(Instant::now()).is_err() {
                        break Lost::Broken;
                    }
                }
            },
            () = sleep_until(deadline) => break Lost::Stalled,
        }
    };
    // An order that comes now finds the door closed or is dropped, which says `Broken`.
    orders.close();
    for (_, under_way) in talk.under_way.drain() {
        // Whoever asked may have gone.
        let _ = under_way.order.reply.send(Err(why));
    }
    // So that no order waits for the leave.
    drop(orders);
    // What broke cannot take leave.
    let _ = timeout(LEAVE_MOST, writer.shutdown()).await;
}

/// Writes some of the output, and says how much; without any, sends off what TLS has taken and still holds.
async fn put(writer: &mut (impl AsyncWrite + Unpin), output: &[u8]) -> io::Result<usize> {
    if output.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    match writer.write(output).await? {
        0 => Err(ErrorKind::WriteZero.into()),
        octets => Ok(octets),
    }
}

/// What is under way on a connection.
struct Talk<'p> {
    /// By id; as many as there are places on a connection.
    under_way: HashMap<u16, UnderWay>,
    /// What was read and is no whole message yet.
    input: Vec<u8>,
    /// What is to be written.
    output: Vec<u8>,
    /// All that was written has left.
    is_flushed: bool,
    unmatched: usize,
    pulse: &'p Pulse,
}

struct UnderWay {
    order: Order,
    since: Instant,
}

/// The upstream does not keep to the protocol.
struct Nonsense;

impl<'p> Talk<'p> {
    fn new(pulse: &'p Pulse) -> Self {
        Self {
            under_way: HashMap::new(),
            input: Vec::new(),
            output: Vec::new(),
            is_flushed: true,
            unmatched: 0,
            pulse,
        }
    }

    fn ask(&mut self, mut order: Order, now: Instant) {
        let id = order.query.id();
        // One of the first is free, since there are fewer under way. It need not be hard to guess here.
        let free = (0..=PIPELINED_MOST)
            .filter_map(|n| u16::try_from(n).ok())
            .map(|n| id.wrapping_add(n))
            .find(|id| !self.under_way.contains_key(id));
        let (Some(id), Ok(length)) = (free, u16::try_from(order.query.octets().len())) else {
            return;
        };
        order.query.set_id(id);
        self.output.extend_from_slice(&length.to_be_bytes());
        self.output.extend_from_slice(order.query.octets());
        self.under_way.insert(id, UnderWay { order, since: now });
        self.pulse.asked(now);
    }

    /// Takes every whole message off what was read.
    fn take_replies(&mut self, now: Instant) -> Result<(), Nonsense> {
        let mut input = std::mem::take(&mut self.input);
        let mut taken = 0;
        while let Some((length, after)) =
            input.get(taken..).and_then(|rest| rest.split_first_chunk::<LENGTH_OCTETS>())
        {
            let length = usize::from(u16::from_be_bytes(*length));
            if length < HEADER {
                return Err(Nonsense);
            }
            let Some(reply) = after.get(..length) else { break };
            self.take_reply(reply, now)?;
            taken += LENGTH_OCTETS + length;
        }
        input.drain(..taken);
        if input.is_empty() {
            // What a long message took is not kept.
            input.shrink_to(READ_OCTETS);
        }
        self.input = input;
        Ok(())
    }

    fn take_reply(&mut self, reply: &[u8], now: Instant) -> Result<(), Nonsense> {
        let id = message::id(reply).unwrap_or_default();
        let query = self.under_way.get(&id).map(|under_way| &under_way.order.query);
        let matched = query.and_then(|query| query.matches(reply));
        // A connection has room for all of it: what is cut is none.
        let Some(matched) = matched.filter(|matched| !matched.truncated) else {
            self.unmatched += 1;
            return if self.unmatched < UNMATCHED_MOST { Ok(()) } else { Err(Nonsense) };
        };
        if let Some(UnderWay { order, since }) = self.under_way.remove(&id) {
            self.pulse.replied(now);
            let mut octets = reply.to_vec();
            order.query.restore(&mut octets);
            let (letters_kept, delay) = (matched.letters_kept, now - since);
            // Whoever asked may have had another reply meanwhile.
            let _ = order.reply.send(Ok(Reply { octets, letters_kept, delay }));
        }
        Ok(())
    }
}
