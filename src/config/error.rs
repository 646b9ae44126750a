//! What is wrong with a configuration: every problem with its place, all of them at once.

use std::fmt;
use std::path::{Path, PathBuf};

/// Problems that are told at once: more would not be read.
pub(super) const MAX_PROBLEMS: usize = 20;

/// Where a setting was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// On the command line, by this flag.
    Flag(&'static str),
    /// In the configuration file, in this line, counted from 1.
    Line(usize),
    /// In the configuration file as a whole, or nowhere: it is the default.
    Whole,
}

impl Place {
    /// The line, if it is in the file; else 0.
    pub(super) fn line(self) -> usize {
        match self {
            Self::Line(line) => line,
            Self::Flag(_) | Self::Whole => 0,
        }
    }
}

/// One thing that is wrong, and the way out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What, with the name of the setting.
    pub text: String,
}

/// Why a configuration cannot be used; shown with one line a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The configuration file; `None`: there is none.
    pub file: Option<PathBuf>,
    /// What is wrong, at least one thing, in the order of the places.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) fn new(file: Option<&Path>, mut problems: Vec<Problem>) -> Self {
        problems.sort();
        problems.dedup();
        problems.truncate(MAX_PROBLEMS);
        Self { file: file.map(Path::to_owned), problems }
    }

    /// One sentence a problem, with its place.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.problems.iter().map(|Problem { place, text }| match (place, &self.file) {
            (Place::Flag(flag), _) => format!("{flag}: {text}"),
            (Place::Line(line), Some(file)) => format!("{} line {line}: {text}", file.display()),
            (_, Some(file)) => format!("{}: {text}", file.display()),
            (_, None) => text.clone(),
        })
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, line) in self.lines().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&line)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
