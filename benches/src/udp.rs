//! Datagrams to a server and back, from one thread that never sleeps, many a system call.
//!
//! Closed loop: a window of datagrams is outstanding, each reply lets another go. Open loop: they leave at an even
//! rate, and a latency counts from when a datagram was *due*, so that a server that stalls is not spared. Either
//! way it costs less a query than a server does, so that the server's core is the limit, not this one.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::thread;
use std::time::Duration;

use crate::figures::{Clock, Latencies, Line, Pace, seconds};
use crate::sys::{self, Batch, Wait};

/// Datagrams that are sent or received with one call at most.
const DATAGRAMS: usize = 64;
/// Octets of a datagram to send, and of one to receive.
const SEND_OCTETS: usize = 512;
const RECEIVE_OCTETS: usize = 2048;
/// Tickets of a socket: so many datagrams may be outstanding on it.
const TICKETS: u16 = 4096;
/// At an even rate, datagrams that leave with one call: more would be sent earlier than a real crowd sends them.
const BURST: usize = 8;
/// Nanoseconds after which a datagram without a reply is lost, and between two looks for such.
const LOST_AFTER: u64 = 1_000_000_000;
const SWEEP_EVERY: u64 = 100_000_000;
/// Nanoseconds to wait for the last replies.
const DRAIN: u64 = 200_000_000;

/// How datagrams are paced.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server's port, on 127.0.0.1
    #[arg(long)]
    port: u16,
    /// Seconds
    #[arg(long, default_value_t = 3.0)]
    secs: f64,
    /// Closed loop: so many are outstanding
    #[arg(long, default_value_t = 128)]
    window: usize,
    /// Open loop: so many a second
    #[arg(long, conflicts_with = "window")]
    rate: Option<f64>,
    /// Sockets they are spread over
    #[arg(long, default_value_t = 8)]
    sockets: usize,
    /// Sleep for so many microseconds when there is nothing to do, and leave the core to others
    #[arg(long)]
    nap_micros: Option<u64>,
}

/// What is sent, and what replies mean.
pub trait Traffic {
    /// Writes the next datagram, to be recognised by `ticket`; its length.
    fn write(&mut self, ticket: u16, now: u64, out: &mut [u8]) -> usize;
    /// Looks at a reply and counts it.
    fn read(&mut self, reply: &[u8]) -> Reply;
}

/// To which datagram a reply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// To this one.
    To(u16),
    /// To the oldest that is outstanding on the socket: the server answers in order.
    ToOldest,
    /// To none.
    Wrong,
}

/// Sends until the time is up; the figures of it.
pub fn run(args: &Args, traffic: &mut impl Traffic) -> io::Result<Line> {
    let mut load = Load::new(args)?;
    let end = seconds(args.secs);
    let mut now = load.clock.now();
    while now < end {
        let moved = load.send(traffic, now)? + load.receive(traffic)?;
        load.sweep(now);
        if let (0, Some(micros)) = (moved, args.nap_micros) {
            thread::sleep(Duration::from_micros(micros));
        }
        now = load.clock.now();
    }
    while load.outstanding() > 0 && now < end + DRAIN {
        load.receive(traffic)?;
        now = load.clock.now();
    }
    load.lost += load.outstanding() as u64;
    let answered = load.latencies.count();
    Ok(Line::default()
        .value("qps", answered as f64 / args.secs)
        .count("answered", answered)
        .count("lost", load.lost)
        .count("wrong", load.wrong)
        .latencies(&load.latencies))
}

/// A load under way.
struct Load {
    lanes: Vec<Lane>,
    /// Datagrams that may be outstanding on one socket.
    window: usize,
    pace: Option<Pace>,
    /// The socket whose turn it is.
    turn: usize,
    outgoing: Batch,
    incoming: Batch,
    clock: Clock,
    swept: u64,
    latencies: Latencies,
    lost: u64,
    wrong: u64,
}

impl Load {
    fn new(args: &Args) -> io::Result<Self> {
        let sockets = args.sockets.clamp(1, args.window.max(1));
        let lanes = (0..sockets).map(|_| Lane::new(args.port)).collect::<io::Result<_>>()?;
        Ok(Self {
            lanes,
            window: (args.window / sockets).min(usize::from(TICKETS)),
            pace: args.rate.map(Pace::new),
            turn: 0,
            outgoing: Batch::new(DATAGRAMS, SEND_OCTETS, false),
            incoming: Batch::new(DATAGRAMS, RECEIVE_OCTETS, false),
            clock: Clock::start(),
            swept: 0,
            latencies: Latencies::new(),
            lost: 0,
            wrong: 0,
        })
    }

    fn outstanding(&self) -> usize {
        self.lanes.iter().map(|lane| lane.outstanding).sum()
    }

    /// Sends what may go; how many that were.
    fn send(&mut self, traffic: &mut impl Traffic, now: u64) -> io::Result<usize> {
        let mut sent = 0;
        for _ in 0..self.lanes.len() {
            let lane = &mut self.lanes[self.turn];
            let (room, pace) = match &mut self.pace {
                Some(pace) => (BURST.min(usize::from(TICKETS) - lane.outstanding), Some(pace)),
                None => (self.window - lane.outstanding, None),
            };
            let batch = &mut self.outgoing;
            let count = lane.fill(batch, room.min(batch.capacity()), pace, now, traffic);
            lane.send(batch, count)?;
            self.turn = (self.turn + 1) % self.lanes.len();
            sent += count;
            if count == 0 && self.pace.is_some() {
                break;
            }
        }
        Ok(sent)
    }

    /// Takes the replies that have come; how many those were.
    fn receive(&mut self, traffic: &mut impl Traffic) -> io::Result<usize> {
        let mut all = 0;
        for lane in self.lanes.iter_mut().filter(|lane| lane.outstanding > 0) {
            let received = self.incoming.receive(&lane.socket, Wait::Never)?;
            if received == 0 {
                continue;
            }
            let now = self.clock.now();
            for at in 0..received {
                let (buffer, length) = self.incoming.received(at);
                let reply = traffic.read(&buffer[..length.min(RECEIVE_OCTETS)]);
                match lane.settle(reply) {
                    Some(due) => self.latencies.add(now.saturating_sub(due)),
                    None => self.wrong += 1,
                }
            }
            all += received;
        }
        Ok(all)
    }

    fn sweep(&mut self, now: u64) {
        if now < self.swept + SWEEP_EVERY {
            return;
        }
        self.swept = now;
        self.lost += self.lanes.iter_mut().map(|lane| lane.sweep(now)).sum::<u64>();
    }
}

/// A socket, and what is outstanding on it.
struct Lane {
    socket: UdpSocket,
    /// When each ticket's datagram was due; 0: the ticket is free.
    due: Vec<u64>,
    next: u16,
    oldest: u16,
    outstanding: usize,
}

impl Lane {
    fn new(port: u16) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect((Ipv4Addr::LOCALHOST, port))?;
        sys::widen(&socket)?;
        let due = vec![0; usize::from(TICKETS)];
        Ok(Self { socket, due, next: 0, oldest: 0, outstanding: 0 })
    }

    /// Writes up to `room` datagrams, and those only that are due if there is a pace.
    fn fill(
        &mut self,
        batch: &mut Batch,
        room: usize,
        mut pace: Option<&mut Pace>,
        now: u64,
        traffic: &mut impl Traffic,
    ) -> usize {
        for at in 0..room {
            let due = match &mut pace {
                Some(pace) => match pace.take(now) {
                    Some(due) => due,
                    None => return at,
                },
                None => now,
            };
            let ticket = self.ticket();
            let length = traffic.write(ticket, now, batch.buffer(at));
            batch.set_length(at, length);
            self.due[usize::from(ticket)] = due;
            self.outstanding += 1;
        }
        room
    }

    /// The next free ticket: there is one, as fewer than all are outstanding.
    fn ticket(&mut self) -> u16 {
        loop {
            let ticket = self.next;
            self.next = (self.next + 1) % TICKETS;
            if self.due[usize::from(ticket)] == 0 {
                return ticket;
            }
        }
    }

    fn send(&mut self, batch: &mut Batch, count: usize) -> io::Result<()> {
        let mut sent = 0;
        while sent < count {
            match batch.send(&self.socket, sent, count) {
                Ok(more) => sent += more,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    return Err(io::Error::other("nobody listens on the port"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// When the datagram was due that is replied to.
    fn settle(&mut self, reply: Reply) -> Option<u64> {
        let ticket = match reply {
            Reply::To(ticket) => ticket,
            Reply::ToOldest => self.oldest()?,
            Reply::Wrong => return None,
        };
        let due = self.due.get_mut(usize::from(ticket)).filter(|due| **due != 0)?;
        self.outstanding -= 1;
        Some(std::mem::take(due))
    }

    fn oldest(&mut self) -> Option<u16> {
        if self.outstanding == 0 {
            return None;
        }
        while self.due[usize::from(self.oldest)] == 0 {
            self.oldest = (self.oldest + 1) % TICKETS;
        }
        Some(self.oldest)
    }

    fn sweep(&mut self, now: u64) -> u64 {
        let mut lost = 0;
        for due in self.due.iter_mut().filter(|due| **due != 0 && now > **due + LOST_AFTER) {
            *due = 0;
            lost += 1;
            self.outstanding -= 1;
        }
        lost
    }
}
