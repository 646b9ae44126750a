//! `rollcall history`: what happened to instances, when, why, and who did it.

use std::time::{Duration, SystemTime};

use super::connect::Connect;
use super::failure::{Failure, complain};
use super::output::{finish, json_line, stdout};
use super::table::Table;
use crate::sidecar::happened::{Event, Sought};

/// Events that a page has at most.
const PAGE: u64 = 1000;

/// The end of the year 9999: further times have no such form.
const LAST_MS: u64 = 253_402_300_799_999;

/// Of what.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The service [default: all]
    service: Option<String>,
    /// The instance [default: all of the service]
    id: Option<String>,
    /// How many events are shown, the last ones
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
}

/// Looks back, and shows what happened, oldest first.
pub(super) async fn run(connect: &Connect, args: Args) -> Result<(), Failure> {
    let client = connect.client()?;
    let sought = Sought {
        service: args.service.as_deref(),
        id: args.id.as_deref(),
        limit: args.limit.min(PAGE),
    };
    let mut page = client.history(&sought, None).await?;
    let complete_since = page.complete_since;
    let mut events = std::mem::take(&mut page.events);
    while let Some(next) = page.next.take().filter(|_| (events.len() as u64) < args.limit) {
        page = client.history(&sought, Some(&next)).await?;
        events.append(&mut page.events);
    }
    events.truncate(usize::try_from(args.limit).unwrap_or(usize::MAX));
    events.reverse();
    let mut out = stdout();
    if connect.json {
        let shown = serde_json::json!({ "events": events, "complete_since": complete_since });
        json_line(&mut out, &shown)?;
        return finish(out);
    }
    if events.is_empty() {
        complain("nothing is known to have happened");
    } else {
        let mut table = Table::new(["TIME", "SERVICE", "ID", "EVENT", "ANSWERING", "BY", "WHY"]);
        for event in &events {
            table.row(row(event));
        }
        table.write(&mut out)?;
    }
    finish(out)
}

/// An event in a line: when, what, about whom, whether it answers after it, by whom, and why.
pub(super) fn row(event: &Event) -> [String; 7] {
    let reason = event.reason.clone();
    let why = match &*event.changed {
        [] => reason,
        changed if reason.is_empty() => changed.join(", "),
        changed => format!("{}: {reason}", changed.join(", ")),
    };
    let by = match &event.by.principal {
        None => "the server".to_owned(),
        Some(principal) => format!("{principal}, {} {}", event.by.door, event.by.source),
    };
    [
        time(event.unix_ms),
        event.service.clone(),
        event.id.clone(),
        event.event.clone(),
        if event.answering { "yes" } else { "no" }.to_owned(),
        by,
        why,
    ]
}

fn time(unix_ms: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms.min(LAST_MS));
    humantime::format_rfc3339_millis(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sidecar::happened::By;

    #[test]
    fn an_event_is_a_line() {
        let by = By {
            principal: Some("team-a".into()),
            door: "http".into(),
            source: "10.0.0.9:4".into(),
        };
        let mut event = Event {
            revision: 7,
            unix_ms: 1_700_000_000_123,
            service: "web".into(),
            id: "w1".into(),
            event: "changed".into(),
            reason: String::new(),
            changed: vec!["port".into(), "state".into()],
            state: Some("up".into()),
            standing: Some("live".into()),
            answering: true,
            addresses: vec![[10, 0, 0, 1].into()],
            port: 80,
            by,
        };
        let line = |event: &Event| row(event).join(" | ");
        assert_eq!(
            line(&event),
            "2023-11-14T22:13:20.123Z | web | w1 | changed | yes | team-a, http 10.0.0.9:4 | port, state"
        );
        event.reason = "deploy 42".into();
        assert!(line(&event).ends_with("| port, state: deploy 42"));
        event.changed.clear();
        event.by.principal = None;
        event.answering = false;
        assert!(line(&event).ends_with("| no | the server | deploy 42"));
        event.unix_ms = u64::MAX;
        line(&event);
    }
}
