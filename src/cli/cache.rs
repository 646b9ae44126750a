//! `rollcall cache`: what upstream servers said, and how to forget it.

use super::connect::Connect;
use super::failure::Failure;
use super::output::{self, finish, json_line, stdout};
use super::table::Table;
use crate::sidecar::messages::CacheStats;

/// What is done.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show what is in the cache, and what came of it since the start
    Stats,
    /// Forget what is known of a name
    Flush {
        /// The name
        name: String,
        /// And of all names below it; `.` is everything
        #[arg(long)]
        subtree: bool,
    },
}

/// Does it.
pub(super) async fn run(connect: &Connect, args: Args) -> Result<(), Failure> {
    let client = connect.client()?;
    match args.what {
        What::Stats => {
            let stats = client.cache_stats().await?;
            let mut out = stdout();
            match connect.json {
                true => json_line(&mut out, &stats)?,
                false => table(&stats).write(&mut out)?,
            }
            finish(out)
        }
        What::Flush { name, subtree } => {
            let flushed = client.flush_cache(&name, subtree).await?;
            let below = if subtree { " and of names below it" } else { "" };
            let text = format!("{} forgotten of {}{below}", count(flushed.flushed), flushed.name);
            output::result(connect.json, &flushed, &text)
        }
    }
}

fn table(stats: &CacheStats) -> Table<2> {
    let asked = stats.hits + stats.misses + stats.stale;
    let mut table = Table::new(["entries", &stats.entries.to_string()]);
    for (what, value) in [
        ("octets", format!("{} of {}", stats.octets, stats.most_octets)),
        ("look-ups", asked.to_string()),
        ("hits", share(stats.hits, asked)),
        ("stale", share(stats.stale, asked)),
        ("misses", share(stats.misses, asked)),
        ("evictions", stats.evictions.to_string()),
    ] {
        table.row([what.to_owned(), value]);
    }
    table
}

fn count(flushed: u64) -> String {
    if flushed == 1 { "1 entry".into() } else { format!("{flushed} entries") }
}

/// A number and what part of the whole it is.
fn share(part: u64, whole: u64) -> String {
    match (part * 100).checked_div(whole) {
        Some(percent) => format!("{part} ({percent} %)"),
        None => part.to_string(),
    }
}
