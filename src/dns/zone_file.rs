//! Zone files: text to the data of a zone (RFC 1035, section 5), or a file, a line and a reason why not.
//!
//! A file is used whole or not at all. Its zone is its name without `.zone`.

mod lex;
mod rdata;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hickory_proto::serialize::txt::parse_ttl;

use crate::view::wire::{self, Name};
pub use crate::view::zones::{FileZone, ZoneFileError};
use crate::view::zones::{MAX_TTL, Place, types};
use lex::{Entry, Lexer, Token};
pub(super) use rdata::type_number;

/// Octets of a zone file at most: about a million records.
const MAX_FILE: u64 = 64 << 20;
/// `$INCLUDE` within `$INCLUDE` at most: a file that includes itself ends here.
const MAX_INCLUDES: usize = 8;
/// Zone files at most in a directory.
const MAX_FILES: usize = 10_000;
/// What the names of zone files end with.
const SUFFIX: &str = ".zone";

/// Reads the zone files of a directory in the order of their names: all that end in `.zone` and do not begin
/// with a dot. The errors are the first of each file.
pub fn load_dir(dir: &Path) -> Result<Vec<FileZone>, Vec<ZoneFileError>> {
    let files = zone_files(dir).map_err(|e| vec![e])?;
    let mut zones: Vec<FileZone> = Vec::new();
    let mut errors = Vec::new();
    for (origin, path) in files {
        let text = match read(&path) {
            Ok(text) => text,
            Err(reason) => {
                errors.push(error(&path, 0, reason));
                continue;
            }
        };
        match load(&path, &origin, &text) {
            Ok(zone) => match zones.iter().find(|other| other.origin() == zone.origin()) {
                Some(other) => {
                    let reason = format!("the zone is already in {}", other.file());
                    errors.push(error(&path, 0, reason));
                }
                None => zones.push(zone),
            },
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(zones) } else { Err(errors) }
}

/// The zones and paths of a directory's zone files.
fn zone_files(dir: &Path) -> Result<Vec<(String, PathBuf)>, ZoneFileError> {
    let cannot = |e: std::io::Error| error(dir, 0, format!("cannot be listed: {e}"));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Some(origin) = name.strip_suffix(SUFFIX).filter(|_| !name.starts_with('.')) else {
            continue;
        };
        if files.len() == MAX_FILES {
            return Err(error(dir, 0, format!("has more than {MAX_FILES} zone files")));
        }
        files.push((format!("{origin}."), path));
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    // Looked at first: to open a pipe is to wait for somebody who writes.
    let found = std::fs::metadata(path).map_err(|e| format!("cannot be opened: {e}"))?;
    if !found.is_file() {
        return Err("is not a file".to_owned());
    }
    let file = File::open(path).map_err(|e| format!("cannot be opened: {e}"))?;
    let read = file.take(MAX_FILE + 1).read_to_string(&mut text);
    match read.map_err(|e| format!("cannot be read: {e}"))? {
        length if length as u64 > MAX_FILE => Err(format!("is longer than {MAX_FILE} octets")),
        _ => Ok(text),
    }
}

fn error(path: &Path, line: usize, reason: String) -> ZoneFileError {
    ZoneFileError { file: path.display().to_string(), line, reason }
}

/// Reads the text of a zone file. `path` is where it was found: errors name it, and files that it includes
/// are found from there. `origin` is the zone's name.
pub fn load(path: &Path, origin: &str, text: &str) -> Result<FileZone, ZoneFileError> {
    let name = wire::parse(origin, &[0])
        .and_then(|wire| Name::read(&wire).ok_or_else(|| format!("`{origin}` is no name")));
    let name = name.map_err(|e| error(path, 0, format!("the file's name is no zone's: {e}")))?;
    let zone = FileZone::new(name.wire().into(), &path.display().to_string());
    let mut loader = Loader { zone, default_ttl: None, last_ttl: None };
    let mut place = Scope { origin: name.wire().into(), owner: None };
    loader.text(path, text, &mut place, 0)?;
    Ok(loader.zone)
}

/// What a file's entries are read into.
struct Loader {
    zone: FileZone,
    /// `$TTL`
    default_ttl: Option<u32>,
    /// The last TTL that a record gave.
    last_ttl: Option<u32>,
}

/// What names in a file are relative to.
struct Scope {
    origin: Box<[u8]>,
    owner: Option<Box<[u8]>>,
}

impl Loader {
    fn text(
        &mut self,
        path: &Path,
        text: &str,
        scope: &mut Scope,
        depth: usize,
    ) -> Result<(), ZoneFileError> {
        let file: Arc<str> = path.display().to_string().into();
        let mut lexer = Lexer::new(text);
        while let Some(entry) = lexer.entry().map_err(|(line, reason)| error(path, line, reason))? {
            let place = Place { file: file.clone(), line: entry.line };
            let wrong = |reason| error(path, entry.line, reason);
            match directive(&entry) {
                Some("$INCLUDE") => self.include(path, &entry, scope, depth)?,
                Some(directive) => self.directive(directive, &entry, scope).map_err(wrong)?,
                None => self.record(&entry, scope, place).map_err(wrong)?,
            }
        }
        Ok(())
    }

    fn directive(
        &mut self,
        directive: &str,
        entry: &Entry,
        scope: &mut Scope,
    ) -> Result<(), String> {
        match (directive, &*entry.tokens) {
            ("$ORIGIN", [_, origin]) => scope.origin = wire::parse(&origin.raw, &scope.origin)?,
            ("$TTL", [_, text]) => self.default_ttl = Some(ttl(&text.raw)?),
            ("$ORIGIN" | "$TTL", _) => return Err(format!("{directive} takes one word")),
            _ => {
                let directive = wire::shown(directive);
                return Err(format!(
                    "`{directive}` is not supported; $ORIGIN, $TTL and $INCLUDE are"
                ));
            }
        }
        Ok(())
    }

    /// The including file goes on with its own origin and owner (RFC 1035, section 5.1).
    fn include(
        &mut self,
        path: &Path,
        entry: &Entry,
        scope: &Scope,
        depth: usize,
    ) -> Result<(), ZoneFileError> {
        let wrong = |reason| error(path, entry.line, reason);
        let (file, origin) = match &*entry.tokens {
            [_, file] => (file, scope.origin.clone()),
            [_, file, origin] => (file, wire::parse(&origin.raw, &scope.origin).map_err(wrong)?),
            _ => return Err(wrong("$INCLUDE takes a file, and perhaps a name".into())),
        };
        if depth == MAX_INCLUDES {
            return Err(wrong(format!("more than {MAX_INCLUDES} files include each other")));
        }
        let included = path.parent().unwrap_or(Path::new(".")).join(&file.raw);
        let text = read(&included).map_err(|e| wrong(format!("{} {e}", included.display())))?;
        let mut inner = Scope { origin, owner: scope.owner.clone() };
        self.text(&included, &text, &mut inner, depth + 1)
    }

    fn record(&mut self, entry: &Entry, scope: &mut Scope, place: Place) -> Result<(), String> {
        let mut tokens = entry.tokens.as_slice();
        if !entry.blank {
            let (owner, rest) = split(tokens)?;
            scope.owner = Some(wire::parse(&owner.raw, &scope.origin)?);
            tokens = rest;
        }
        let owner = scope.owner.clone().ok_or("the first record has no owner")?;
        let mut given_ttl = None;
        let mut class_given = false;
        let (type_name, rtype) = loop {
            let (word, rest) = split(tokens)?;
            tokens = rest;
            match word.raw.to_ascii_uppercase().as_str() {
                "IN" if !class_given => class_given = true,
                "CH" | "HS" | "CS" | "ANY" | "NONE" => {
                    return Err(format!("class {}: only IN is served", word.raw));
                }
                text if text.starts_with(|c: char| c.is_ascii_digit()) && given_ttl.is_none() => {
                    given_ttl = Some(ttl(text)?);
                }
                text => break (text.to_owned(), rdata::type_number(text)),
            }
        };
        let rtype = rtype.filter(|rtype| !types::is_meta(*rtype)).ok_or_else(|| {
            format!("`{}` is not a type that a zone can have", wire::shown(&type_name))
        })?;
        self.last_ttl = given_ttl.or(self.last_ttl);
        let ttl = given_ttl
            .or(self.default_ttl)
            .or(self.last_ttl)
            .ok_or("the record has no TTL; a line `$TTL 1h` above gives one to all")?;
        let data = rdata::rdata(rtype, &type_name, tokens, &scope.origin)?;
        self.zone.add(&owner, rtype, ttl, data, Some(place))
    }
}

/// The directive that an entry is, if it is one.
fn directive(entry: &Entry) -> Option<&str> {
    let first = entry.tokens.first().filter(|first| !first.quoted && !entry.blank)?;
    first.raw.starts_with('$').then_some(&*first.raw)
}

fn split(tokens: &[Token]) -> Result<(&Token, &[Token]), String> {
    tokens.split_first().ok_or_else(|| "the record has no type".into())
}

fn ttl(text: &str) -> Result<u32, String> {
    let ttl = parse_ttl(text)
        .map_err(|_| format!("`{}` is no time such as 3600 or 1h", wire::shown(text)))?;
    if ttl > MAX_TTL {
        return Err(format!("the TTL {ttl} is greater than {MAX_TTL}"));
    }
    Ok(ttl)
}

#[cfg(test)]
mod tests;
