//! A service's part of the list, in each form in which it has been asked for.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use axum::body::Bytes;

use super::gzip::Part;
use super::kept::shown;
use super::wire::{Counts, Info};
use super::write::Format;
use crate::registrar::Listed;

/// One of the four forms of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) format: Format,
    pub(super) gzip: bool,
}

impl Form {
    pub(super) const COUNT: usize = 4;

    /// Its place among the four.
    pub(super) fn index(self) -> usize {
        usize::from(self.format == Format::Xml) * 2 + usize::from(self.gzip)
    }
}

/// The instances of a service that have their app there.
#[derive(Debug)]
pub(super) struct Fragment {
    listed: Vec<Listed>,
    counts: Counts,
    as_of_unix_ms: u64,
    written: [OnceLock<Written>; Form::COUNT],
}

/// A part as it is sent.
#[derive(Debug)]
enum Written {
    Plain(Bytes),
    Gzip(Part),
}

impl Fragment {
    /// Of a service's instances; `None` if none of them has its app there.
    pub(super) fn new(listed: Vec<Listed>, now_unix_ms: u64) -> Option<Self> {
        let mut counts = Counts::default();
        let mut own = Vec::with_capacity(listed.len());
        for one in listed {
            let shown = shown(&one, now_unix_ms);
            if !shown.is_twin {
                counts.add(shown.info.status);
                own.push(one);
            }
        }
        let written = Default::default();
        (!own.is_empty()).then_some(Self {
            listed: own,
            counts,
            as_of_unix_ms: now_unix_ms,
            written,
        })
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Forgets a form that nobody asks for.
    pub(super) fn forget(&mut self, form: usize) {
        if let Some(written) = self.written.get_mut(form) {
            *written = OnceLock::new();
        }
    }

    /// Its text, in a form that is not compressed.
    pub(super) fn plain(&self, format: Format) -> Bytes {
        let form = Form { format, gzip: false };
        match self.written(form) {
            Written::Plain(octets) => octets.clone(),
            Written::Gzip(_) => Bytes::new(),
        }
    }

    /// Its text, compressed.
    pub(super) fn gzip(&self, format: Format) -> Option<&Part> {
        match self.written(Form { format, gzip: true }) {
            Written::Gzip(part) => Some(part),
            Written::Plain(_) => None,
        }
    }

    fn written(&self, form: Form) -> &Written {
        self.written[form.index()].get_or_init(|| {
            let text = self.text(form.format);
            match form.gzip {
                true => Written::Gzip(Part::new(text.as_bytes())),
                false => Written::Plain(text.into()),
            }
        })
    }

    fn text(&self, format: Format) -> String {
        let infos = self.listed.iter().map(|listed| shown(listed, self.as_of_unix_ms).info);
        applications(format, infos)
    }
}

/// Instances as applications, one after the other.
pub(super) fn applications<'a>(format: Format, infos: impl Iterator<Item = Info<'a>>) -> String {
    let mut apps: BTreeMap<String, Vec<Info<'a>>> = BTreeMap::new();
    for info in infos {
        match apps.get_mut(&*info.app) {
            Some(app) => app.push(info),
            None => drop(apps.insert(info.app.clone().into_owned(), vec![info])),
        }
    }
    let mut text = String::new();
    for (app, infos) in &apps {
        if !text.is_empty() {
            text.push_str(format.between());
        }
        text.push_str(&format.application(app, infos));
    }
    text
}
