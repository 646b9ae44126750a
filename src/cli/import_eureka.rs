//! `rollcall import eureka`: copies what a Eureka server lists, and follows it.

use std::time::Duration;

use serde_json::json;

use crate::sidecar::mirror::{self, Event, Few, Options, Source, Summary};

use super::connect::Connect;
use super::failure::{Failure, complain};
use super::output;

/// The time between two questions, at least and at most: changes are listed for three minutes.
const EVERY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
/// How long a list may be doubted at most: a day.
const MAX_BELIEVE_AFTER: Duration = Duration::from_secs(86_400);

/// What is copied, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The Eureka server as its clients have it, such as http://HOST:8761/eureka; with USER:PASSWORD@ before the host if it wants
    /// that. Others on this machine can see it on a command line, but not in the environment
    #[arg(env = "ROLLCALL_EUREKA", hide_env_values = true)]
    url: String,
    /// The time between two questions for what has changed: 500ms, 5s
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = every)]
    every: Duration,
    /// How long a list that suddenly lacks most instances is not believed: 90s, 3m
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = believe_after)]
    believe_after: Duration,
    /// Copy what there is and end; the copies go when their leases end, unless their clients register
    #[arg(long)]
    once: bool,
    /// Leave the copies when it ends, until their leases do
    #[arg(long)]
    keep: bool,
}

fn every(text: &str) -> Result<Duration, String> {
    let (least, most) = EVERY;
    match humantime::parse_duration(text) {
        Ok(time) if (least..=most).contains(&time) => Ok(time),
        _ => Err("must be a time like 5s or 500ms, 100ms to 60s".into()),
    }
}

fn believe_after(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time <= MAX_BELIEVE_AFTER => Ok(time),
        _ => Err("must be a time like 90s or 3m, a day at most".into()),
    }
}

/// Copies it.
pub(super) async fn run(connect: &Connect, args: Args) -> Result<(), Failure> {
    let source = Source::new(&args.url, &connect.tls_files())?;
    let (from, json) = (source.shown().to_owned(), connect.json);
    let server = connect.client()?;
    let to = server.server().to_owned();
    let options = Options {
        source,
        server,
        token_file: connect.token_file.clone(),
        every: args.every,
        believe_after: args.believe_after,
        once: args.once,
        keep: args.keep,
    };
    let mut tell = |event: Event<'_>| {
        let (value, text) = match event {
            Event::Note(text) => return complain(&text),
            Event::Copied(summary) => (
                json!({ "copied": summary }),
                format!("{from} is copied to {to}: {}", first(summary)),
            ),
            Event::Changed(summary) => (json!({ "changed": summary }), changes(summary)),
            Event::Ended(count, kept) => (
                json!({ "ended": { "instances": count, "kept": kept } }),
                match kept {
                    true => format!("{count} copies are left to {to} until their leases end"),
                    false => format!("{count} copies are off the list of {to}"),
                },
            ),
        };
        // Nobody there to read is no reason to let the copies go.
        let _ = output::result(json, &value, &text);
    };
    // The loop and its calls are large.
    let first = Box::pin(mirror::run(options, &mut tell)).await?;
    let lost = first.refused.count + first.unreadable.count;
    match args.once && lost > 0 {
        true => Err(Failure::failed(format!("{lost} instances were not copied"))),
        false => Ok(()),
    }
}

/// What the first list has led to.
fn first(summary: &Summary) -> String {
    let mut parts = vec![held(summary)];
    parts.extend(others(summary));
    parts.join("; ")
}

fn changes(summary: &Summary) -> String {
    let counts = [
        (summary.new, "new"),
        (summary.changed, "changed"),
        (summary.again, "registered again"),
        (summary.gone, "gone"),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let counts: Vec<_> = counts.map(|(count, word)| format!("{count} {word}")).collect();
    let mut parts = vec![counts.join(", ")];
    parts.extend(others(summary));
    parts.retain(|part| !part.is_empty());
    format!("{}; copied now: {}", parts.join("; "), held(summary))
}

fn held(summary: &Summary) -> String {
    let plural = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        _ => format!("{count} {word}s"),
    };
    format!("{} of {}", plural(summary.instances, "instance"), plural(summary.apps, "app"))
}

/// What is not copied, with examples.
fn others(summary: &Summary) -> impl Iterator<Item = String> {
    let with = |few: &Few, words: &str| {
        let more = if few.count > few.examples.len() { ", …" } else { "" };
        (few.count > 0)
            .then(|| format!("{} {words} ({}{more})", few.count, few.examples.join(", ")))
    };
    let all = [
        with(&summary.came_over, "registered there by themselves and not copied"),
        with(&summary.refused, "refused"),
        with(&summary.unreadable, "not readable"),
    ];
    all.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_bounds() {
        assert_eq!(every("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(believe_after("3m"), Ok(Duration::from_secs(180)));
        for bad in ["", "5", "1ms", "61s", "-1s"] {
            assert!(every(bad).is_err(), "{bad}");
        }
        assert!(believe_after("25h").is_err());
    }

    #[test]
    fn a_round_is_one_line() {
        let mut summary = Summary { instances: 12, apps: 1, new: 12, ..Summary::default() };
        assert_eq!(first(&summary), "12 instances of 1 app");
        summary.refused = Few { count: 6, examples: vec!["A/i: 400 port".into()] };
        assert_eq!(first(&summary), "12 instances of 1 app; 6 refused (A/i: 400 port, …)");
        let moved = Few { count: 1, examples: vec!["A/i".into()] };
        let summary =
            Summary { instances: 1, apps: 1, gone: 2, came_over: moved, ..Summary::default() };
        assert_eq!(
            changes(&summary),
            "2 gone; 1 registered there by themselves and not copied (A/i); copied now: 1 instance of 1 app"
        );
    }
}
