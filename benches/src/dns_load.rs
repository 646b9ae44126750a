//! `load`: DNS queries over UDP.

use std::io;
use std::path::PathBuf;

use crate::queries::{Extra, Queries};
use crate::udp::{self, Reply, Traffic};

/// What is asked.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    udp: udp::Args,
    /// The queries: `name TYPE` a line
    #[arg(long)]
    file: PathBuf,
    /// Ask with EDNS
    #[arg(long)]
    edns: bool,
    /// Ask with EDNS and a cookie
    #[arg(long)]
    cookie: bool,
}

/// Asks, and prints the figures.
pub fn run(args: &Args) -> io::Result<()> {
    let extra = match (args.edns, args.cookie) {
        (_, true) => Extra::Cookie,
        (true, false) => Extra::Edns,
        (false, false) => Extra::None,
    };
    let mut questions = Questions {
        queries: Queries::read(&args.file, extra)?,
        replies: 0,
        codes: [0; 16],
        answers: 0,
        additional: 0,
        truncated: 0,
        octets: 0,
    };
    let line = udp::run(&args.udp, &mut questions)?;
    let replies = questions.replies;
    line.count("noerror", questions.codes[0])
        .count("nxdomain", questions.codes[3])
        .average("an_avg", questions.answers, replies)
        .average("ar_avg", questions.additional, replies)
        .count("tc", questions.truncated)
        .average("size_avg", questions.octets, replies)
        .print();
    Ok(())
}

/// Queries, and what the replies to them said.
struct Questions {
    queries: Queries,
    replies: u64,
    codes: [u64; 16],
    answers: u64,
    additional: u64,
    truncated: u64,
    octets: u64,
}

impl Traffic for Questions {
    fn write(&mut self, ticket: u16, _now: u64, out: &mut [u8]) -> usize {
        let query = self.queries.next();
        out[..query.len()].copy_from_slice(query);
        out[..2].copy_from_slice(&ticket.to_be_bytes());
        query.len()
    }

    fn read(&mut self, reply: &[u8]) -> Reply {
        let Some(header) = reply.first_chunk::<12>().filter(|header| header[2] & 0x80 != 0) else {
            return Reply::Wrong;
        };
        let number = |at: usize| u64::from(u16::from_be_bytes([header[at], header[at + 1]]));
        self.replies += 1;
        self.codes[usize::from(header[3] & 15)] += 1;
        self.answers += number(6);
        self.additional += number(10);
        self.truncated += u64::from(header[2] >> 1 & 1);
        self.octets += reply.len() as u64;
        Reply::To(u16::from_be_bytes([header[0], header[1]]))
    }
}
