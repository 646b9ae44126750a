//! What was found: how it stands, in words, and what to do.

use serde_json::{Value, json};

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Standing {
    /// As it should be.
    Well,
    /// Worth knowing; it may be meant so.
    Note,
    /// Something does not work, or will not.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Finding {
    /// The thing, such as `clock`.
    pub(in crate::cli) about: &'static str,
    /// How it stands.
    pub(in crate::cli) standing: Standing,
    /// In words.
    pub(in crate::cli) text: String,
    /// What to do; empty: nothing.
    pub(in crate::cli) way_out: String,
}

/// Everything that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Report {
    /// In the order in which it was looked at.
    pub(in crate::cli) findings: Vec<Finding>,
}

impl Finding {
    pub(super) fn well(about: &'static str, text: impl Into<String>) -> Self {
        Self { about, standing: Standing::Well, text: text.into(), way_out: String::new() }
    }

    pub(super) fn note(
        about: &'static str,
        text: impl Into<String>,
        way_out: impl Into<String>,
    ) -> Self {
        Self { about, standing: Standing::Note, text: text.into(), way_out: way_out.into() }
    }

    pub(super) fn problem(
        about: &'static str,
        text: impl Into<String>,
        way_out: impl Into<String>,
    ) -> Self {
        Self { about, standing: Standing::Problem, text: text.into(), way_out: way_out.into() }
    }
}

impl Standing {
    fn word(self) -> &'static str {
        match self {
            Self::Well => "ok",
            Self::Note => "note",
            Self::Problem => "problem",
        }
    }
}

impl Report {
    /// How many problems there are.
    pub(super) fn problems(&self) -> usize {
        self.findings.iter().filter(|finding| finding.standing == Standing::Problem).count()
    }

    /// For people: a line a finding, and one below it with what to do.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for Finding { about, standing, text, way_out } in &self.findings {
            lines.push(format!("{:7}  {about}: {text}", standing.word()));
            if !way_out.is_empty() {
                lines.push(format!("{:7}  -> {way_out}", ""));
            }
        }
        lines
    }

    /// For programs.
    pub(super) fn to_json(&self) -> Value {
        let findings = self.findings.iter().map(|Finding { about, standing, text, way_out }| {
            let standing = standing.word();
            json!({ "about": about, "standing": standing, "text": text, "way_out": way_out })
        });
        json!({ "problems": self.problems(), "findings": findings.collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_for_people_and_programs() {
        let findings = vec![
            Finding::well("clock", "is right"),
            Finding::note("port 53", "is taken", "free it"),
            Finding::problem("data", "is lost", "weep"),
        ];
        let report = Report { findings };
        let lines = [
            "ok       clock: is right",
            "note     port 53: is taken",
            "         -> free it",
            "problem  data: is lost",
            "         -> weep",
        ];
        assert_eq!(report.lines(), lines);
        let value = report.to_json();
        assert_eq!(
            (&value["problems"], &value["findings"][2]["way_out"]),
            (&1.into(), &"weep".into())
        );
    }
}
