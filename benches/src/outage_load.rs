//! `outage-load`: questions at an even rate while upstream servers come and go, and what became of each.
//!
//! The names are drawn by Zipf's law, as those of people are: a few are asked for most of the time, and most once in a
//! while. Time is cut into phases; a question belongs to the one in which it was due. A line a phase says how many got
//! the right address, and how long that took from when they were due; who got none took as long as it waited.

use std::io;
use std::net::UdpSocket;
use std::time::Duration;

use crate::figures::{Clock, Latencies, Line, Pace, seconds};
use crate::queries::{Dice, address_of, question_end};

/// Where the answer's code is, and how many octets a header has.
const RCODE: usize = 3;
const HEADER: usize = 12;
/// Tickets: as many as ids.
const TICKETS: usize = 1 << 16;
/// Names are under this one.
const ZONE: &[u8] = b"\x06outage\x04test\0";
/// What follows a name in a question for an address, and an OPT record that offers 1,232 octets.
const A_IN: [u8; 4] = [0, 1, 0, 1];
const OPT: [u8; 11] = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];

/// What is asked.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The port, on 127.0.0.1
    #[arg(long)]
    port: u16,
    /// Questions a second
    #[arg(long, default_value_t = 2000.0)]
    rate: f64,
    /// How many names there are
    #[arg(long, default_value_t = 20_000)]
    names: usize,
    /// Seconds of each phase
    #[arg(long, value_delimiter = ',', required = true)]
    phases: Vec<f64>,
    /// Seconds that a client waits
    #[arg(long, default_value_t = 5.0)]
    patience: f64,
    /// Draws other names in another order
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What became of the questions of a phase.
struct Phase {
    latencies: Latencies,
    asked: u64,
    right: u64,
    wrong: u64,
    failed: u64,
    silent: u64,
}

/// A question that waits for its answer.
#[derive(Clone, Copy)]
struct Open {
    due: u64,
    phase: usize,
    name: u32,
}

/// Asks, and prints the figures of each phase.
pub fn run(args: &Args) -> io::Result<()> {
    let mut load = Load::new(args)?;
    // Whoever switches the upstreams begins its count here.
    println!("begun");
    let (mut pace, clock) = (Pace::new(args.rate), Clock::start());
    let end = seconds(args.phases.iter().sum());
    loop {
        let now = clock.now();
        while let Some(due) = pace.take(now).filter(|due| *due < end) {
            load.ask(due)?;
        }
        if now > end + load.patience {
            break;
        }
        load.give_up(now);
        load.receive(&clock)?;
    }
    load.give_up(u64::MAX);
    for (number, phase) in load.phases.iter().enumerate() {
        Line::default()
            .count("phase", number as u64)
            .count("asked", phase.asked)
            .count("right", phase.right)
            .count("wrong", phase.wrong)
            .count("failed", phase.failed)
            .count("silent", phase.silent)
            .latencies(&phase.latencies)
            .print();
    }
    Ok(())
}

struct Load {
    socket: UdpSocket,
    names: Zipf,
    dice: Dice,
    open: Vec<Option<Open>>,
    next: usize,
    /// The oldest ticket that may be open.
    oldest: usize,
    ends: Vec<u64>,
    phases: Vec<Phase>,
    patience: u64,
}

impl Load {
    fn new(args: &Args) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(("127.0.0.1", args.port))?;
        socket.set_read_timeout(Some(Duration::from_micros(200)))?;
        let mut end = 0.0;
        let ends = args.phases.iter().map(|secs| {
            end += secs;
            seconds(end)
        });
        Ok(Self {
            socket,
            names: Zipf::new(args.names),
            dice: Dice::new(args.seed),
            open: vec![None; TICKETS],
            next: 0,
            oldest: 0,
            ends: ends.collect(),
            phases: args.phases.iter().map(|_| Phase::new()).collect(),
            patience: seconds(args.patience),
        })
    }

    fn ask(&mut self, due: u64) -> io::Result<()> {
        let phase = self.ends.iter().filter(|end| **end <= due).count();
        let name = self.names.draw(&mut self.dice);
        let ticket = self.next % TICKETS;
        self.next += 1;
        let id = u16::try_from(ticket).unwrap_or(0).to_be_bytes();
        let mut query = vec![id[0], id[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        query.extend(question(name));
        query.extend(OPT);
        self.open[ticket] = Some(Open { due, phase, name });
        self.phases[phase].asked += 1;
        self.socket.send(&query).map(drop)
    }

    /// Those that have waited long enough get no answer any more.
    fn give_up(&mut self, now: u64) {
        while self.oldest < self.next {
            match self.open[self.oldest % TICKETS] {
                Some(open) if open.due.saturating_add(self.patience) > now => break,
                Some(open) => {
                    self.open[self.oldest % TICKETS] = None;
                    let phase = &mut self.phases[open.phase];
                    phase.silent += 1;
                    phase.latencies.add(self.patience);
                }
                None => {}
            }
            self.oldest += 1;
        }
    }

    /// Takes what has come, for as long as nothing is due.
    fn receive(&mut self, clock: &Clock) -> io::Result<()> {
        let mut buffer = [0; 1500];
        match self.socket.recv(&mut buffer) {
            Ok(length) => self.take(&buffer[..length], clock.now()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn take(&mut self, reply: &[u8], now: u64) {
        let Some(end) = question_end(reply) else { return };
        let ticket = usize::from(u16::from_be_bytes([reply[0], reply[1]]));
        let Some(open) = self.open[ticket].take() else { return };
        let phase = &mut self.phases[open.phase];
        let asked = question(open.name);
        let right = reply[RCODE] & 15 == 0
            && reply
                .get(end..)
                .is_some_and(|rest| rest.windows(4).any(|at| at == address_of(&asked)))
            && reply[HEADER..end].eq_ignore_ascii_case(&asked);
        match (right, reply[RCODE] & 15) {
            (true, _) => {
                phase.right += 1;
                phase.latencies.add(now - open.due);
            }
            (false, 0 | 3) => phase.wrong += 1,
            _ => phase.failed += 1,
        }
        if !right {
            phase.latencies.add(self.patience);
        }
    }
}

impl Phase {
    fn new() -> Self {
        Self { latencies: Latencies::new(), asked: 0, right: 0, wrong: 0, failed: 0, silent: 0 }
    }
}

/// The question for the address of a name.
fn question(name: u32) -> Vec<u8> {
    let label = format!("n{name}");
    let mut question = vec![u8::try_from(label.len()).unwrap_or(0)];
    question.extend(label.as_bytes());
    question.extend(ZONE);
    question.extend(A_IN);
    question
}

/// Draws numbers from 1 on, each as often as the inverse of it says.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(names: usize) -> Self {
        let mut sum = 0.0;
        let sums = (1..=names).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Self(sums.collect())
    }

    fn draw(&self, dice: &mut Dice) -> u32 {
        let all = self.0.last().copied().unwrap_or(1.0);
        let at = dice.share() * all;
        let rank = self.0.partition_point(|sum| *sum < at);
        u32::try_from(rank + 1).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_is_asked_for_twice_as_often_as_the_second() {
        let (zipf, mut dice) = (Zipf::new(1000), Dice::new(3));
        let mut drawn = [0; 1001];
        for _ in 0..100_000 {
            drawn[zipf.draw(&mut dice) as usize] += 1;
        }
        let ratio = f64::from(drawn[1]) / f64::from(drawn[2]);
        assert!((1.8..2.2).contains(&ratio), "{ratio}");
        assert_eq!(drawn[0], 0);
    }
}
