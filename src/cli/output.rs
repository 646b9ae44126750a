//! What goes to standard output.

use std::io::{self, BufWriter, StdoutLock, Write};

use serde::Serialize;

use super::failure::Failure;

/// Standard output, buffered: flushed by [`finish`].
pub(super) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::new(io::stdout().lock())
}

/// Flushes, and says so if that fails.
pub(super) fn finish(mut out: impl Write) -> Result<(), Failure> {
    Ok(out.flush()?)
}

/// One value as a line of JSON.
pub(super) fn json_line(mut out: impl Write, value: &impl Serialize) -> Result<(), Failure> {
    let line = serde_json::to_string(value).map_err(|error| Failure::failed(error.to_string()))?;
    Ok(writeln!(out, "{line}")?)
}

/// The result of a change: text for people, or JSON for programs.
pub(super) fn result(json: bool, value: &impl Serialize, text: &str) -> Result<(), Failure> {
    let mut out = stdout();
    match json {
        true => json_line(&mut out, value)?,
        false => writeln!(out, "{text}")?,
    }
    finish(out)
}

/// Milliseconds for people: `23.4 s`, `5 min 3 s`, `2 h 5 min`.
pub(super) fn duration(millis: u64) -> String {
    let secs = millis / 1000;
    match secs {
        0..60 => format!("{}.{} s", secs, millis % 1000 / 100),
        60..3600 => format!("{} min {} s", secs / 60, secs % 60),
        3600..86400 => format!("{} h {} min", secs / 3600, secs % 3600 / 60),
        _ => format!("{} d {} h", secs / 86400, secs % 86400 / 3600),
    }
}

/// What is left of a lease, for people.
pub(super) fn remaining(expires_in_ms: Option<u64>) -> String {
    expires_in_ms.map_or_else(|| "no end".to_owned(), duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_for_people() {
        for (millis, text) in [
            (0, "0.0 s"),
            (23_456, "23.4 s"),
            (303_000, "5 min 3 s"),
            (7_500_000, "2 h 5 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(millis), text);
        }
    }
}
