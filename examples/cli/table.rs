//! Tables for a terminal: columns that line up whatever the text in them is.

use std::borrow::Cow;
use std::fmt;

use ctforward_core::text::printable;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Between two columns.
const GAP: &str = "  ";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Left,
    Right,
    Bar,
}

/// A column of a [`Table`].
#[derive(Clone, Copy, Debug)]
pub struct Column {
    title: &'static str,
    kind: Kind,
    most: usize,
}

impl Column {
    /// Text, to the left.
    pub fn left(title: &'static str) -> Self {
        Self {
            title,
            kind: Kind::Left,
            most: usize::MAX,
        }
    }

    /// Numbers, to the right.
    pub fn right(title: &'static str) -> Self {
        Self {
            kind: Kind::Right,
            ..Self::left(title)
        }
    }

    /// Bars of at most so many cells. Best as the last column: terminals set to
    /// an East Asian language may draw the blocks twice as wide.
    pub fn bar(cells: usize) -> Self {
        Self {
            title: "",
            kind: Kind::Bar,
            most: cells,
        }
    }

    /// The same column, its texts cut to so many terminal cells.
    pub fn at_most(mut self, cells: usize) -> Self {
        self.most = cells;
        self
    }
}

/// What stands in one row of one column.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Text from anywhere: it is made printable, and cut to the column's width.
    Text(String),
    /// A share of one, for a bar.
    Share(f64),
}

impl Cell {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

/// Rows under titles; its `Display` ends each row with a line feed.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self {
            columns: columns.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells beyond the columns are left out, missing ones are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let shown = self.columns.iter().zip(cells);
        let row = shown.map(|(column, cell)| match cell {
            Cell::Text(text) => cut(&printable(&text), column.most).into_owned(),
            Cell::Share(share) => bar(share, column.most),
        });
        self.rows.push(row.collect());
    }

    fn line<'t>(
        &self,
        f: &mut fmt::Formatter<'_>,
        widths: &[usize],
        texts: impl Iterator<Item = &'t str>,
    ) -> fmt::Result {
        // Padding is owed, not written, so that no line ends in spaces.
        let mut owed = 0;
        for (index, ((column, width), text)) in
            self.columns.iter().zip(widths).zip(texts).enumerate()
        {
            if index > 0 {
                owed += GAP.len();
            }
            let room = width.saturating_sub(text.width());
            let (before, after) = match column.kind {
                Kind::Right => (room, 0),
                Kind::Left | Kind::Bar => (0, room),
            };
            owed += before;
            if !text.is_empty() {
                write!(f, "{:owed$}{text}", "")?;
                owed = 0;
            }
            owed += after;
        }
        writeln!(f)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths: Vec<usize> = self.columns.iter().map(|c| c.title.width()).collect();
        for row in &self.rows {
            for (width, text) in widths.iter_mut().zip(row) {
                *width = (*width).max(text.width());
            }
        }
        if self.columns.iter().any(|column| !column.title.is_empty()) {
            self.line(f, &widths, self.columns.iter().map(|column| column.title))?;
        }
        for row in &self.rows {
            self.line(f, &widths, row.iter().map(String::as_str))?;
        }
        Ok(())
    }
}

/// At most `most` terminal cells of a text, with `…` where it was cut; a mark
/// stays with the letter it stands on.
fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.width() <= most {
        return Cow::Borrowed(text);
    }
    let room = most.saturating_sub(1);
    let (mut end, mut width) = (0, 0);
    for (at, c) in text.char_indices() {
        width += c.width().unwrap_or(0);
        if width > room {
            break;
        }
        end = at + c.len_utf8();
    }
    Cow::Owned(format!("{}…", &text[..end]))
}

/// A bar of eighths of a cell; a share above nothing is always to be seen.
fn bar(share: f64, cells: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if share.is_nan() || share <= 0.0 {
        return String::new();
    }
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the share is of 0 to 1, and a bar is some dozen cells long"
    )]
    let eighths = ((share.min(1.0) * cells as f64 * 8.0).round() as usize).max(1);
    let mut bar = "█".repeat(eighths / 8);
    bar.push_str(EIGHTHS[eighths % 8]);
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table::new([
            Column::left("name").at_most(8),
            Column::right("count"),
            Column::bar(4),
        ])
    }

    fn shown(names: &[&str]) -> Vec<String> {
        let mut table = table();
        for name in names {
            table.row([Cell::text(*name), Cell::text("1"), Cell::Share(0.5)]);
        }
        table.to_string().lines().map(str::to_owned).collect()
    }

    /// In which terminal cell the count ends.
    fn count_ends(line: &str) -> usize {
        line.split("██").next().unwrap().trim_end().width()
    }

    #[test]
    fn columns_line_up_as_a_terminal_shows_them() {
        let lines = shown(&["GetObject", "日本", "日本語の名前", "e\u{301}te\u{301}", ""]);
        assert_eq!(lines[0], "name      count");
        assert_eq!(lines[1], "GetObje…      1  ██");
        assert_eq!(lines[2], "日本          1  ██");
        assert_eq!(lines[3], "日本語…       1  ██");
        assert_eq!(lines[4], "e\u{301}te\u{301}           1  ██");
        for line in &lines[1..] {
            assert_eq!(count_ends(line), count_ends(&lines[1]), "{line}");
        }
    }

    #[test]
    fn what_would_steer_the_terminal_is_escaped_and_counted_as_escaped() {
        let lines = shown(&["\x1b[2J", "a\nb", "\u{202e}x"]);
        assert_eq!(lines.len(), 4, "a line break makes no line");
        assert!(lines[1].starts_with("\\u{1b}[…"), "{}", lines[1]);
        assert!(lines[2].starts_with("a\\u{a}b "), "{}", lines[2]);
        for line in &lines {
            assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'));
            assert_eq!(line.trim_end(), line);
        }
    }

    #[test]
    fn a_cut_keeps_marks_with_their_letters_and_never_splits_a_wide_one() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("日本語", 4), "日…", "one cell stays free");
        assert_eq!(cut("ae\u{301}\u{323}bc", 3), "ae\u{301}\u{323}…");
        assert_eq!(cut("abc", 0), "…");
        assert_eq!(cut("", 0), "");
    }

    #[test]
    fn bars_show_eighths_and_something_for_little() {
        assert_eq!(bar(0.0, 4), "");
        assert_eq!(bar(f64::NAN, 4), "");
        assert_eq!(bar(0.000_01, 4), "▏");
        assert_eq!(bar(0.5, 4), "██");
        assert_eq!(bar(0.53, 4), "██▏");
        assert_eq!(bar(7.0, 4), "████");
    }

    #[test]
    fn a_table_without_titles_has_no_line_of_them() {
        let mut table = Table::new([Column::left(""), Column::left("")]);
        table.row([Cell::text("a"), Cell::text("b")]);
        table.row([Cell::text("long")]);
        assert_eq!(table.to_string(), "a     b\nlong\n");
    }
}
