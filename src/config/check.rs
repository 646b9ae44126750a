//! How a setting is checked: numbers against their bounds, lists member by member, paths. What is wrong is
//! noted with its place and the work goes on, so that all problems are told at once; `sections.rs` says which
//! setting is checked how.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::Unguarded;
use super::error::{Place, Problem};
use super::raw::{self, Given, List};

/// Members that a list may have: a socket, a zone or a key each, and none is free.
const MAX_MEMBERS: usize = 256;

/// A whole number's setting: its name, bounds and default.
pub(super) struct Number<N> {
    pub(super) key: &'static str,
    pub(super) least: N,
    pub(super) most: N,
    pub(super) default: N,
}

/// A value with the place where it was set.
pub(super) struct Placed<T> {
    pub(super) place: Place,
    pub(super) value: T,
}

/// What the settings are checked against, and what was found.
pub(super) struct Checker<'a> {
    /// The file's text; empty: there is no file.
    pub(super) text: &'a str,
    /// What relative paths are relative to.
    pub(super) directory: &'a Path,
    /// Where the unit's credentials are, if there are any.
    pub(super) credentials: Option<&'a Path>,
    /// What is wrong.
    pub(super) problems: Vec<Problem>,
    /// What is wrong if the store does not know anybody either.
    pub(super) unguarded: Vec<Unguarded>,
}

impl Checker<'_> {
    /// Notes that something is wrong.
    pub(super) fn problem(&mut self, place: Place, text: impl Into<String>) {
        self.problems.push(Problem { place, text: text.into() });
    }

    /// Where a setting is; [`Place::Whole`] if it is not in the file.
    pub(super) fn place<T>(&self, given: &Given<T>) -> Place {
        given.as_ref().map_or(Place::Whole, |given| self.place_of(given))
    }

    /// Where a value is.
    pub(super) fn place_of<T>(&self, given: &Spanned<T>) -> Place {
        raw::place(self.text, Some(given.span()))
    }

    /// A number within its bounds.
    pub(super) fn number<N>(&mut self, number: &Number<N>, given: &Given<i64>) -> N
    where
        N: TryFrom<i64> + PartialOrd + Copy + Display,
    {
        self.optional_number(number, number.key, given).unwrap_or(number.default)
    }

    /// A number within its bounds, if it is given, under another key.
    pub(super) fn optional_number<N>(
        &mut self,
        Number { least, most, .. }: &Number<N>,
        key: &str,
        given: &Given<i64>,
    ) -> Option<N>
    where
        N: TryFrom<i64> + PartialOrd + Copy + Display,
    {
        let given = given.as_ref()?;
        let value = *given.get_ref();
        let valid = N::try_from(value).ok().filter(|n| least <= n && n <= most);
        if valid.is_none() {
            let text = format!("{key} must be {least} to {most}, not {value}");
            self.problem(self.place_of(given), text);
        }
        valid
    }

    /// The members of a list, each parsed, none twice. `parse` says what is wrong with a member as the end of a
    /// sentence that begins with it.
    pub(super) fn members<T: PartialEq>(
        &mut self,
        key: &str,
        given: &Spanned<Vec<Spanned<String>>>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<Placed<T>> {
        let texts = given.get_ref();
        if texts.len() > MAX_MEMBERS {
            let place = self.place_of(given);
            let text = format!("{key} has {} members, and may have {MAX_MEMBERS}", texts.len());
            self.problem(place, text);
        }
        let mut members: Vec<Placed<T>> = Vec::new();
        for text in texts.iter().take(MAX_MEMBERS) {
            let place = self.place_of(text);
            let shown = text.get_ref().escape_debug();
            match parse(text.get_ref()) {
                Err(reason) => self.problem(place, format!("{key}: `{shown}` {reason}")),
                Ok(value) if members.iter().any(|member| member.value == value) => {
                    self.problem(place, format!("{key}: `{shown}` is there twice"));
                }
                Ok(value) => members.push(Placed { place, value }),
            }
        }
        members
    }

    /// The addresses of a door: the first of `above` that are any, else those of the file, else the default.
    pub(super) fn listen(
        &mut self,
        key: &str,
        given: &List,
        above: &[(&'static str, &[SocketAddr])],
        default: Option<SocketAddr>,
    ) -> Vec<Placed<SocketAddr>> {
        let listen = match given {
            Some(given) => self.members(key, given, address),
            None => {
                default.into_iter().map(|value| Placed { place: Place::Whole, value }).collect()
            }
        };
        let Some((flag, flagged)) = above.iter().find(|(_, flagged)| !flagged.is_empty()) else {
            return listen;
        };
        flagged.iter().map(|value| Placed { place: Place::Flag(flag), value: *value }).collect()
    }

    /// The path of a secret.
    pub(super) fn secret_path(&mut self, key: &str, given: &Given<String>) -> Option<PathBuf> {
        self.path(key, given)?;
        given.as_ref().map(|given| self.secret_at(given.get_ref().as_ref()))
    }

    /// Where a secret of the file is: relative paths are those of a credential if there is one of the file's name,
    /// so that one configuration is right under systemd and by hand.
    pub(super) fn secret_at(&self, path: &Path) -> PathBuf {
        let credential = self.credentials.zip(path.file_name()).map(|(at, name)| at.join(name));
        let credential = credential.filter(|file| path.is_relative() && file.exists());
        credential.unwrap_or_else(|| self.directory.join(path))
    }

    /// A path of the file; relative ones are relative to the file's directory.
    pub(super) fn path(&mut self, key: &str, given: &Given<String>) -> Option<PathBuf> {
        let given = given.as_ref()?;
        if given.get_ref().is_empty() {
            let place = self.place_of(given);
            self.problem(place, format!("{key} is empty: name a path, or leave it out"));
            return None;
        }
        Some(self.directory.join(given.get_ref()))
    }

    /// Notes a list that has nothing in it, unless its members were all refused already.
    pub(super) fn not_empty<T, U>(
        &mut self,
        key: &str,
        given: &Given<Vec<U>>,
        list: &[Placed<T>],
        way_out: &str,
    ) {
        if list.is_empty()
            && let Some(given) = given
            && given.get_ref().is_empty()
        {
            let place = self.place_of(given);
            self.problem(place, format!("{key} is empty: {way_out}, or leave the key out"));
        }
    }

    /// Two doors over the same protocol cannot share an address; port 0 is a free one each time.
    pub(super) fn apart(
        &mut self,
        key: &str,
        listen: &[Placed<SocketAddr>],
        other_key: &str,
        others: &[Placed<SocketAddr>],
    ) {
        for Placed { place, value } in listen.iter().filter(|placed| placed.value.port() != 0) {
            if let Some(other) = others.iter().find(|other| other.value == *value) {
                let text = format!("{value} is in {key} and in {other_key}: they cannot share it");
                // Of a default and a setting, the setting is what can be changed.
                self.problem(other.place.min(*place), text);
            }
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "is no address with a port, such as `127.0.0.1:5300` or `[::1]:5300`".to_owned()
    })
}

/// The values alone.
pub(super) fn values<T>(placed: Vec<Placed<T>>) -> Vec<T> {
    placed.into_iter().map(|placed| placed.value).collect()
}
