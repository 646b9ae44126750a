//! The check of a child: whether a URL answers with a 2xx status.

use std::time::Duration;

use hyper::Uri;
use tokio::sync::watch;

use super::client::trust;
use super::http::{Http, Trouble};
use super::trust::TlsFiles;
use super::url::http_url;

/// Failures in a row after which a child that has passed is declared down.
pub const FALL: u32 = 3;
/// Until the first pass a check is made at least this often, so that a start is noticed soon.
const EAGER: Duration = Duration::from_millis(250);

/// What is checked, and how often.
#[derive(Debug, Clone)]
pub struct Check {
    uri: Uri,
    interval: Duration,
    http: Http,
}

/// What a check says of the child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It has never passed.
    Waiting,
    /// It passes.
    Passing,
    /// It has passed, and failed [`FALL`] times since then, for this reason.
    Failing(String),
}

impl Check {
    /// A check of an `http://` or `https://` URL, made every `interval` and failed if it takes longer than `timeout`. The files
    /// are for TLS.
    pub fn new(
        url: &str,
        interval: Duration,
        timeout: Duration,
        tls: &TlsFiles,
    ) -> Result<Self, String> {
        let uri = http_url(url)?;
        // A connection of its own each time: that the child still accepts is part of the check.
        Ok(Self { uri, interval, http: Http::over_tcp(timeout, false, trust(url, tls)?) })
    }

    /// What is checked.
    pub fn url(&self) -> String {
        self.uri.to_string()
    }

    /// Checks for ever, and tells every change of the verdict.
    pub(super) async fn watch(self, verdict: watch::Sender<Verdict>) {
        let mut failures = 0;
        loop {
            match self.once().await {
                Ok(()) => {
                    failures = 0;
                    verdict.send_if_modified(|verdict| {
                        std::mem::replace(verdict, Verdict::Passing) != Verdict::Passing
                    });
                }
                Err(reason) => {
                    failures += 1;
                    let fell = failures >= FALL && *verdict.borrow() == Verdict::Passing;
                    if fell {
                        verdict.send_replace(Verdict::Failing(reason));
                    }
                }
            }
            let waiting = *verdict.borrow() == Verdict::Waiting;
            tokio::time::sleep(if waiting { self.interval.min(EAGER) } else { self.interval })
                .await;
        }
    }

    async fn once(&self) -> Result<(), String> {
        match self.http.status(self.uri.clone()).await {
            Ok(status) if status.is_success() => Ok(()),
            Ok(status) => Err(format!("check failed: status {}", status.as_u16())),
            Err(Trouble::Refused) => Err("check failed: connection refused".to_owned()),
            Err(Trouble::TimedOut(_)) => Err("check failed: no reply in time".to_owned()),
            Err(Trouble::Other(reason)) => Err(format!("check failed: {reason}")),
        }
    }
}
