//! Text in aligned columns.

use std::io::{self, Write};

/// Rows that are aligned together at most: a long list is written in such portions, not held whole.
pub(super) const PORTION_ROWS: usize = 5_000;
/// Spaces between two columns.
const GAP: usize = 2;

/// A head and rows of so many cells.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table with this head.
    pub(super) fn new(head: [&str; N]) -> Self {
        Self { rows: vec![head.map(str::to_owned)] }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    /// Whether there are as many rows as are aligned together.
    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= PORTION_ROWS
    }

    /// Writes the rows and lets go of them; the head is written the first time.
    pub(super) fn write(&mut self, mut out: impl Write) -> io::Result<()> {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in self.rows.drain(..) {
            let mut line = String::new();
            for (width, cell) in widths.iter().zip(&row) {
                line.push_str(cell);
                let gap = width - cell.chars().count() + GAP;
                line.extend(std::iter::repeat_n(' ', gap));
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(["ID", "STATE", "WHY"]);
        table.row(["web-1".into(), "up".into(), String::new()]);
        table.row(["é".into(), "draining".into(), "deploy 42".into()]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "ID     STATE     WHY\nweb-1  up\né      draining  deploy 42\n");
    }
}
