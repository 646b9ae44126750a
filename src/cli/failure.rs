//! Why a subcommand did not do what it was to do, as an exit code and words.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::sidecar::ClientError;

/// Refused, or failed.
const FAILED: u8 = 1;
/// The command line, or what it names, is wrong.
const USAGE: u8 = 2;
/// The instance or service is not listed.
const NOT_LISTED: u8 = 3;
/// The server was not reached.
const UNREACHABLE: u8 = 4;
/// The server denied it.
const DENIED: u8 = 5;

/// An exit code and what is said on standard error.
#[derive(Debug)]
pub(super) struct Failure {
    exit_code: u8,
    message: String,
}

impl Failure {
    /// It failed.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self { exit_code: FAILED, message: message.into() }
    }

    /// The command line is wrong.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { exit_code: USAGE, message: message.into() }
    }

    /// Nobody has what was asked for.
    pub(super) fn not_listed(message: impl Into<String>) -> Self {
        Self { exit_code: NOT_LISTED, message: message.into() }
    }

    /// The server was not reached.
    pub(super) fn unreachable(message: impl Into<String>) -> Self {
        Self { exit_code: UNREACHABLE, message: message.into() }
    }

    /// The same, with where it happened in front.
    pub(super) fn at(self, place: &str) -> Self {
        Self { message: format!("{place}: {}", self.message), ..self }
    }

    /// Whether trying something else at the same server is of use.
    pub(super) fn is_about_one_call(&self) -> bool {
        !matches!(self.exit_code, UNREACHABLE | DENIED)
    }

    /// The same exit code, in other words.
    pub(super) fn with_message(self, message: &str) -> Self {
        Self { message: message.to_owned(), ..self }
    }

    /// Whether it is that something is not listed.
    pub(super) fn is_not_listed(&self) -> bool {
        self.exit_code == NOT_LISTED
    }

    /// What is said.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// Says it, and gives the exit code.
    pub(super) fn report(&self) -> ExitCode {
        if !self.message.is_empty() {
            complain(&self.message);
        }
        ExitCode::from(self.exit_code)
    }
}

/// Says something on standard error.
pub(super) fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "rollcall: {message}");
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit_code = match &error {
            ClientError::Usage(_) => USAGE,
            ClientError::NotListed(_) => NOT_LISTED,
            ClientError::Unreachable { .. } => UNREACHABLE,
            ClientError::Denied { .. } => DENIED,
            ClientError::Refused(_)
            | ClientError::TooOld { .. }
            | ClientError::Unavailable { .. }
            | ClientError::BadReply { .. } => FAILED,
        };
        Self { exit_code, message: error.to_string() }
    }
}

/// An error of standard output. A reader that has seen enough and closed it is none.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { exit_code: 0, message: String::new() },
            _ => Self::failed(format!("cannot write to standard output: {error}")),
        }
    }
}
