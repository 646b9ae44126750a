//! Follows a list from page to page.

use crate::sidecar::messages::Page;

use super::failure::Failure;

/// Where in a list we are.
#[derive(Debug, Default)]
pub(super) struct Pages {
    next: Option<String>,
    begun: bool,
}

impl Pages {
    /// Whether there is another page.
    pub(super) fn more(&self) -> bool {
        !self.begun || self.next.is_some()
    }

    /// Where it begins; none: at the beginning.
    pub(super) fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// Takes the one item that there is instead of a page.
    pub(super) fn only<T>(&mut self, item: T) -> Vec<T> {
        self.begun = true;
        vec![item]
    }

    /// Takes a page and turns to the next. A server that sends us round in a circle is not followed.
    pub(super) fn turn<T>(&mut self, page: Page<T>) -> Result<Vec<T>, Failure> {
        let stuck = page.next.is_some() && (page.next == self.next || page.items.is_empty());
        if stuck {
            return Err(Failure::failed("the server's list does not end: a page leads to itself"));
        }
        self.begun = true;
        self.next = page.next;
        Ok(page.items)
    }
}
