//! Aligned columns without lines, never wrapped: what a person reads and `awk` takes apart.

use std::iter::repeat_n;

use crate::text::clean;

/// Where a column's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// What a piece of text means; only that decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Tone {
    /// No colour.
    #[default]
    Plain,
    /// Green.
    Good,
    /// Yellow.
    Warn,
    /// Red.
    Bad,
    /// Bold: headings.
    Head,
}

/// Paints, or does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Painter {
    /// Whether escape sequences are written.
    pub(crate) color: bool,
}

impl Painter {
    /// `text`, cleaned and in the colour of `tone`.
    pub(crate) fn paint(self, text: &str, tone: Tone) -> String {
        let text = clean(text);
        let code = match tone {
            Tone::Plain => return text.into_owned(),
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Head => "1",
        };
        if self.color && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.into_owned()
        }
    }
}

/// One cell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell whose text means something.
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }

    fn width(&self) -> usize {
        clean(&self.text).chars().count()
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }
}

enum Line {
    /// Cells of a row, and text that follows them without taking part in the widths.
    Row { cells: Vec<Cell>, tail: Option<Cell> },
    /// An indented remark below a row.
    Note(Cell),
}

/// A table under construction.
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    lines: Vec<Line>,
    indent: usize,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), lines: Vec::new(), indent: 0 }
    }

    /// The same, moved right.
    #[must_use]
    pub(crate) fn indented(mut self, indent: usize) -> Self {
        self.indent = indent;
        self
    }

    /// A row; cells that are missing at its end are blank.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.lines.push(Line::Row { cells, tail: None });
    }

    /// A row that ends in free text instead of its last columns.
    pub(crate) fn row_with_tail(&mut self, cells: Vec<Cell>, tail: Cell) {
        self.lines.push(Line::Row { cells, tail: Some(tail) });
    }

    /// A remark below the last row.
    pub(crate) fn note(&mut self, text: impl Into<String>, tone: Tone) {
        self.lines.push(Line::Note(Cell::toned(text, tone)));
    }

    /// Drops those of the columns `names` in which no row has anything to say: what a daemon does not keep is no column.
    #[must_use]
    pub(crate) fn without_empty(mut self, names: &[&str]) -> Self {
        for name in names {
            let Some(at) = self.columns.iter().position(|(column, _)| column == name) else { continue };
            let says = |line: &Line| match line {
                Line::Row { cells, .. } => {
                    cells.get(at).is_some_and(|cell| !matches!(cell.text.as_str(), "" | "-"))
                }
                Line::Note(_) => false,
            };
            if !self.lines.iter().any(says) {
                self.columns.remove(at);
                for line in &mut self.lines {
                    if let Line::Row { cells, .. } = line
                        && at < cells.len()
                    {
                        cells.remove(at);
                    }
                }
            }
        }
        self
    }

    /// The whole table, a line end after each line.
    pub(crate) fn render(&self, painter: Painter) -> String {
        let widths = self.widths();
        let header: Vec<Cell> = self.columns.iter().map(|(name, _)| Cell::toned(*name, Tone::Head)).collect();
        let mut text = String::new();
        self.push_row(&mut text, &header, None, &widths, painter);
        for line in &self.lines {
            match line {
                Line::Row { cells, tail } => self.push_row(&mut text, cells, tail.as_ref(), &widths, painter),
                Line::Note(note) => {
                    text.extend(repeat_n(' ', self.indent + 4));
                    text.push_str(&painter.paint(&note.text, note.tone));
                    text.push('\n');
                }
            }
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|(name, _)| name.len()).collect();
        for line in &self.lines {
            if let Line::Row { cells, .. } = line {
                for (width, cell) in widths.iter_mut().zip(cells) {
                    *width = (*width).max(cell.width());
                }
            }
        }
        widths
    }

    fn push_row(
        &self,
        text: &mut String,
        cells: &[Cell],
        tail: Option<&Cell>,
        widths: &[usize],
        painter: Painter,
    ) {
        let mut line: String = repeat_n(' ', self.indent).collect();
        for ((cell, width), (_, align)) in cells.iter().zip(widths).zip(&self.columns) {
            let padding = repeat_n(' ', width.saturating_sub(cell.width()));
            let painted = painter.paint(&cell.text, cell.tone);
            match align {
                Align::Left => {
                    line.push_str(&painted);
                    line.extend(padding);
                }
                Align::Right => {
                    line.extend(padding);
                    line.push_str(&painted);
                }
            }
            line.push_str("  ");
        }
        if let Some(tail) = tail {
            line.push_str(&painter.paint(&tail.text, tail.tone));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(&[("NAME", Align::Left), ("N", Align::Right), ("STATE", Align::Left)]);
        table.row(vec!["a".into(), "1000".into(), Cell::toned("up", Tone::Good)]);
        table
            .row_with_tail(vec!["long-name".into()], Cell::toned("a remark that widens nothing", Tone::Warn));
        table.note("below", Tone::Plain);
        table
    }

    #[test]
    fn a_column_that_says_nothing_is_dropped_only_where_it_may_be() {
        let mut table = Table::new(&[("A", Align::Left), ("B", Align::Right), ("C", Align::Left)]);
        table.row(vec!["1".into(), "-".into(), "-".into()]);
        table.row(vec!["2".into(), "".into(), "-".into()]);
        let painter = Painter { color: false };
        assert_eq!(table.without_empty(&["A", "B"]).render(painter), "A  C\n1  -\n2  -\n");
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_blanks_at_their_end() {
        assert_eq!(
            sample().render(Painter { color: false }),
            "NAME          N  STATE\n\
             a          1000  up\n\
             long-name  a remark that widens nothing\n    below\n"
        );
    }

    #[test]
    fn colour_does_not_move_anything() {
        let painted = sample().render(Painter { color: true });
        assert!(painted.contains("a          1000  \u{1b}[32mup\u{1b}[0m\n"), "{painted:?}");
        let mut bare = painted;
        for code in ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[32m", "\u{1b}[33m"] {
            bare = bare.replace(code, "");
        }
        assert_eq!(bare, sample().render(Painter { color: false }));
    }
}
