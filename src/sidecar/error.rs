//! What can become of a call to a server, in words that say what to do.

use std::fmt;

/// Why a call did not do what it was to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientError {
    /// What was given cannot be asked: nothing was sent.
    Usage(String),
    /// The server was not reached, or did not reply in time: the call may or may not have been carried out.
    Unreachable {
        /// The server.
        server: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The instance, or the service, is not listed.
    NotListed(String),
    /// The server wants a token, or another one.
    Denied {
        /// The server.
        server: String,
        /// Its words.
        reason: String,
    },
    /// The server refused the call; the same call will be refused again.
    Refused(String),
    /// What happened since the revision that was asked from is forgotten in part.
    TooOld {
        /// Nothing is forgotten since this revision.
        complete_since: u64,
        /// The server's words.
        reason: String,
    },
    /// The server cannot do it now; the same call may work later.
    Unavailable {
        /// The server.
        server: String,
        /// Its words.
        reason: String,
    },
    /// What answered does not speak as a Rollcall server does.
    BadReply {
        /// The server.
        server: String,
        /// What was wrong.
        reason: String,
    },
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Usage(reason)
            | ClientError::NotListed(reason)
            | ClientError::Refused(reason)
            | ClientError::TooOld { reason, .. }
            | ClientError::Unreachable { reason, .. } => f.write_str(reason),
            ClientError::Denied { server, reason } => write!(f, "{server} denied it: {reason}"),
            ClientError::Unavailable { server, reason } => {
                write!(f, "{server} cannot do it now: {reason}; try again later")
            }
            ClientError::BadReply { server, reason } => {
                write!(f, "what answers at {server} is not a Rollcall server: {reason}")
            }
        }
    }
}

impl std::error::Error for ClientError {}
