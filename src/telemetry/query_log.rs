//! The query log: a line of JSON for one query in so many.
//!
//! What clients asked is theirs: their addresses may be cut to their networks, and the file is for its owner alone.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use serde::Serialize;

use super::tapping::{Counts, Sampling};
use crate::answer::counters::{self, TRANSPORT_NAMES};
use crate::answer::tap::Tapped;
use crate::view::wire::{self, Name};

/// Octets of a header.
const HEADER: usize = 12;
/// Bits of a client's address that are told where it is cut: those of the networks that limits go by.
const NETWORK_BITS: (u32, u32) = (24, 56);

/// A log that is written to.
#[derive(Debug)]
pub struct QueryLog {
    path: PathBuf,
    file: Option<File>,
    sampling: Sampling,
    tapped_one_in: u32,
    cuts_addresses: bool,
    lines: Vec<u8>,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    time: String,
    client: IpAddr,
    transport: &'a str,
    name: String,
    r#type: String,
    /// The response code; of EDNS' extended ones the lower four bits.
    rcode: &'a str,
    flags: String,
    query_octets: usize,
    reply_octets: usize,
    one_in: u32,
}

impl QueryLog {
    /// Opens the file, which is made for its owner alone, or added to. `tapped_one_in`: of how many queries one comes here.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(
        path: &Path,
        one_in: u32,
        tapped_one_in: u32,
        cuts_addresses: bool,
    ) -> Result<Self, String> {
        let file = open(path).map_err(|error| {
            format!("query_log.file: {} cannot be written: {error}", path.display())
        })?;
        Ok(Self {
            path: path.to_path_buf(),
            file: Some(file),
            sampling: Sampling::new(one_in),
            tapped_one_in,
            cuts_addresses,
            lines: Vec::new(),
            count: 0,
        })
    }

    pub(super) fn one_in(&self) -> u32 {
        self.sampling.one_in()
    }

    /// Adds a line, if the query is one of those that are told.
    pub(super) fn tell(&mut self, tapped: &Tapped<'_>, at: SystemTime) {
        if !self.sampling.takes(self.tapped_one_in) {
            return;
        }
        let (name, rtype) = question(tapped.query);
        let client = tapped.client.ip();
        let line = Line {
            time: humantime::format_rfc3339_millis(at).to_string(),
            client: if self.cuts_addresses { network(client) } else { client },
            transport: TRANSPORT_NAMES.get(tapped.transport as usize).copied().unwrap_or_default(),
            name,
            r#type: rtype,
            rcode: rcode(tapped.reply),
            flags: flags(tapped.reply),
            query_octets: tapped.query.len(),
            reply_octets: tapped.reply_len,
            one_in: self.sampling.one_in(),
        };
        // Text and numbers always serialise, and a Vec takes them.
        if serde_json::to_writer(&mut self.lines, &line).is_ok() {
            self.lines.push(b'\n');
            self.count += 1;
        }
    }

    /// Writes what was told; what cannot be written is let go of.
    pub(super) fn write(&mut self, counts: &Counts, anew: bool) {
        if anew || self.file.is_none() {
            self.file = open(&self.path).ok();
        }
        if self.lines.is_empty() {
            return;
        }
        let written = self.file.as_mut().map(|file| file.write_all(&self.lines));
        match written {
            Some(Ok(())) => {
                counts.logged.fetch_add(self.count, Ordering::Relaxed);
            }
            _ => {
                counts.log_failures.fetch_add(1, Ordering::Relaxed);
                self.file = None;
            }
        }
        self.lines.clear();
        self.count = 0;
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// The name as people write it, and the type.
fn question(query: &[u8]) -> (String, String) {
    let question = query.get(HEADER..).unwrap_or_default();
    let Some(name) = Name::read(question) else { return Default::default() };
    let rtype = question.get(name.wire().len()..).and_then(<[u8]>::first_chunk);
    let rtype = rtype.map_or(0, |rtype| u16::from_be_bytes(*rtype));
    let known = counters::type_name(rtype).map_or_else(|| format!("TYPE{rtype}"), str::to_owned);
    (wire::text(name.wire()), known)
}

fn rcode(reply: &[u8]) -> &'static str {
    const NAMES: [&str; 6] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];
    let code = reply.get(3).map_or(usize::MAX, |octet| usize::from(octet & 15));
    NAMES.get(code).copied().unwrap_or("other")
}

/// The flags that are set, as dig shows them.
fn flags(reply: &[u8]) -> String {
    let [high, low] = reply.get(2..4).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
    let all = [
        (high & 0x80, "qr"),
        (high & 0x04, "aa"),
        (high & 0x02, "tc"),
        (high & 0x01, "rd"),
        (low & 0x80, "ra"),
        (low & 0x20, "ad"),
        (low & 0x10, "cd"),
    ];
    let set: Vec<_> = all.into_iter().filter(|(bit, _)| *bit != 0).map(|(_, name)| name).collect();
    set.join(" ")
}

/// The address of a client's network.
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(v4) => IpAddr::V4((u32::from(v4) & (u32::MAX << (32 - NETWORK_BITS.0))).into()),
        IpAddr::V6(v6) => {
            IpAddr::V6((u128::from(v6) & (u128::MAX << (128 - NETWORK_BITS.1))).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Transport;
    use crate::view::LeaseTime;

    #[test]
    fn a_query_is_a_line_for_its_owners_eyes() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("queries.jsonl");
        let mut log = QueryLog::open(&path, 2, 1, true).unwrap();
        let query = b"\xab\xcd\x01\0\0\x01\0\0\0\0\0\0\x03web\x03svc\x08internal\0\0\x21\0\x01";
        let mut reply = query.to_vec();
        (reply[2], reply[3]) = (0x85, 0x83);
        let tapped = Tapped {
            at: LeaseTime::default(),
            transport: Transport::Https,
            client: "192.0.2.77:5".parse().unwrap(),
            query,
            reply: &reply,
            reply_len: 99,
        };
        let counts = Counts::default();
        for _ in 0..4 {
            log.tell(&tapped, SystemTime::UNIX_EPOCH);
        }
        log.write(&counts, false);
        let text = std::fs::read_to_string(&path).unwrap();
        let line = concat!(
            r#"{"time":"1970-01-01T00:00:00.000Z","client":"192.0.2.0","transport":"https","name":"web.svc.internal.","#,
            r#""type":"SRV","rcode":"NXDOMAIN","flags":"qr aa rd ra","query_octets":34,"reply_octets":99,"one_in":2}"#
        );
        assert_eq!(text.lines().collect::<Vec<_>>(), [line, line]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // It was moved away, and is opened again.
        std::fs::rename(&path, dir.path().join("old")).unwrap();
        log.tell(&tapped, SystemTime::UNIX_EPOCH);
        log.write(&counts, true);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
        assert_eq!(counts.logged.load(Ordering::Relaxed), 3);
        assert!(QueryLog::open(dir.path(), 1, 1, false).unwrap_err().contains("query_log.file"));
    }

    #[test]
    fn what_is_no_question_is_told_without_one() {
        assert_eq!(question(b"short"), (String::new(), String::new()));
        assert_eq!(
            question(&[b"123456789012".as_slice(), b"\0\xff\0\0\x01"].concat()).1,
            "TYPE65280"
        );
        assert_eq!((rcode(b""), flags(b"")), ("other", String::new()));
        assert_eq!(
            network("2001:db8:1:2345::1".parse().unwrap()),
            "2001:db8:1:2300::".parse::<IpAddr>().unwrap()
        );
    }
}
