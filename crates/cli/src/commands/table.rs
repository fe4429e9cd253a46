//! Tables for people: columns as wide as what is in them, and no lines around.
//!
//! ```text
//! let mut table = Table::new([Column::left("Machine"), Column::right("Vends")]).empty("No machines.");
//! table.row(["SIM1".into(), Cell::from(12).tone(Tone::Good)]);
//! table.print();
//! ```

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::paint::{self, Tone};

/// A column: its heading, and what becomes of its cells.
#[derive(Clone, Debug)]
pub(super) struct Column {
    heading: String,
    is_right: bool,
    is_optional: bool,
    is_elastic: bool,
}

impl Column {
    fn new(heading: impl Into<String>, is_right: bool) -> Self {
        Self { heading: heading.into(), is_right, is_optional: false, is_elastic: false }
    }

    /// For words.
    pub(super) fn left(heading: impl Into<String>) -> Self {
        Self::new(heading, false)
    }

    /// For numbers.
    pub(super) fn right(heading: impl Into<String>) -> Self {
        Self::new(heading, true)
    }

    /// Left out when all its cells are empty.
    pub(super) fn optional(self) -> Self {
        Self { is_optional: true, ..self }
    }

    /// Gives way, its texts cut short, where the terminal is narrow.
    pub(super) fn elastic(self) -> Self {
        Self { is_elastic: true, ..self }
    }
}

/// What stands in a row and column. Texts come from anywhere: control characters are replaced, and
/// one that is endless is cut off, since all other rows are as wide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(super) fn new(text: &(impl ToString + ?Sized)) -> Self {
        Self { text: cut(&paint::harmless(&text.to_string()), LONGEST), tone: Tone::Plain }
    }

    /// A text whose line breaks are kept: it takes as many lines of the table.
    pub(super) fn paragraph(text: &str) -> Self {
        let lines: Vec<String> = paint::lines(text).map(|line| cut(&line, LONGEST)).collect();
        Self { text: lines.join("\n"), tone: Tone::Plain }
    }

    /// The cell's part of a line of the table.
    fn line(&self, number: usize) -> Self {
        Self { text: self.text.lines().nth(number).unwrap_or_default().to_owned(), tone: self.tone }
    }

    /// An empty cell where there is nothing to tell.
    pub(super) fn maybe(text: Option<impl ToString>) -> Self {
        text.map_or_else(Self::default, |text| Self::new(&text))
    }

    pub(super) fn tone(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::new(&number)
    }
}

/// Rows of cells under headings.
#[derive(Clone, Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    empty: &'static str,
    indent: usize,
    has_headings: bool,
}

/// The longest text that is worth a column.
pub(super) const LONGEST: usize = 300;
const BETWEEN: usize = 2;
/// An elastic column keeps this much.
const NARROWEST: usize = 6;

impl Table {
    pub(super) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        let columns = columns.into_iter().collect();
        Self { columns, rows: Vec::new(), empty: "Nothing.", indent: 0, has_headings: true }
    }

    /// What is said when there are no rows.
    pub(super) fn empty(self, empty: &'static str) -> Self {
        Self { empty, ..self }
    }

    /// How far it stands from the left.
    pub(super) fn indent(self, indent: usize) -> Self {
        Self { indent, ..self }
    }

    /// The cells alone: a list of names and values says what they are.
    pub(super) fn without_headings(self) -> Self {
        Self { has_headings: false, ..self }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cells: Vec<Cell> = cells.into_iter().collect();
        let height = cells.iter().map(|cell| cell.text.lines().count()).max().unwrap_or_default().max(1);
        self.rows.extend((0..height).map(|number| cells.iter().map(|cell| cell.line(number)).collect()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How wide it is where there is room.
    pub(super) fn width(&self) -> usize {
        let shown = self.shown();
        self.widths(&shown, None).iter().sum::<usize>()
            + BETWEEN * shown.len().saturating_sub(1)
            + self.indent
    }

    fn shown(&self) -> Vec<usize> {
        (0..self.columns.len()).filter(|column| self.is_shown(*column)).collect()
    }

    /// Prints it as wide as the terminal permits.
    pub(super) fn print(&self) {
        for line in self.lines(paint::width()) {
            paint::line(line);
        }
    }

    /// The lines, headings first, at most `room` columns wide where that can be done.
    pub(super) fn lines(&self, room: Option<usize>) -> Vec<String> {
        if self.rows.is_empty() {
            return vec![format!("{:1$}{2}", "", self.indent, paint::faint(self.empty))];
        }
        let shown = self.shown();
        let widths = self.widths(&shown, room);
        let headings: Vec<Cell> =
            self.columns.iter().map(|column| Cell::from(column.heading.as_str()).tone(Tone::Faint)).collect();
        let headings = self.has_headings.then_some(&headings);
        headings.into_iter().chain(&self.rows).map(|row| self.line(row, &shown, &widths)).collect()
    }

    fn is_shown(&self, column: usize) -> bool {
        let is_filled = |row: &Vec<Cell>| row.get(column).is_some_and(|cell| !cell.text.is_empty());
        !self.columns[column].is_optional || self.rows.iter().any(is_filled)
    }

    fn widths(&self, shown: &[usize], room: Option<usize>) -> Vec<usize> {
        let widest = |column: &usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(*column)).map(|cell| cell.text.width());
            cells.max().unwrap_or(0).max(self.columns[*column].heading.width())
        };
        let mut widths: Vec<usize> = shown.iter().map(widest).collect();
        let between = BETWEEN * shown.len().saturating_sub(1) + self.indent;
        let mut excess = room.map_or(0, |room| (widths.iter().sum::<usize>() + between).saturating_sub(room));
        for (width, column) in widths.iter_mut().zip(shown).rev() {
            if self.columns[*column].is_elastic {
                let gives = excess.min(width.saturating_sub(NARROWEST));
                *width -= gives;
                excess -= gives;
            }
        }
        widths
    }

    fn line(&self, row: &[Cell], shown: &[usize], widths: &[usize]) -> String {
        let mut line = " ".repeat(self.indent);
        let mut owed = 0;
        for (place, (column, width)) in shown.iter().zip(widths).enumerate() {
            let (text, tone) = row
                .get(*column)
                .map_or((String::new(), Tone::Plain), |cell| (cut(&cell.text, *width), cell.tone));
            let padding = width.saturating_sub(text.width());
            if place > 0 {
                owed += BETWEEN;
            }
            // No blanks at the end of a line: they are written when something follows.
            if text.is_empty() {
                owed += padding;
                continue;
            }
            let is_right = self.columns[*column].is_right;
            let before = owed + if is_right { padding } else { 0 };
            owed = if is_right { 0 } else { padding };
            let text = if tone == Tone::Plain { text } else { tone.paint(text) };
            line += &" ".repeat(before);
            line += &text;
        }
        line
    }
}

/// At most so wide, with an ellipsis where something was cut off.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut room = width.saturating_sub(1);
    for char in text.chars() {
        let Some(left) = room.checked_sub(char.width().unwrap_or(0)) else { break };
        room = left;
        cut.push(char);
    }
    cut + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(table: &Table, room: Option<usize>) -> Vec<String> {
        let strip = |line: String| anstream::adapter::strip_str(&line).to_string();
        table.lines(room).into_iter().map(strip).collect()
    }

    fn machines() -> Table {
        let columns = [
            Column::left("Machine").elastic(),
            Column::right("Vends"),
            Column::left("Note").optional(),
            Column::left("State"),
        ];
        let mut table = Table::new(columns).empty("No machines.");
        table.row(["Lobby".into(), 7.into(), Cell::default(), Cell::from("ok").tone(Tone::Good)]);
        table.row(["Station Ñuñoa 東".into(), 1_234.into(), Cell::default(), Cell::default()]);
        table
    }

    #[test]
    fn columns_are_as_wide_as_their_cells_and_nobody_ends_in_blanks() {
        let wanted =
            ["Machine           Vends  State", "Lobby                 7  ok", "Station Ñuñoa 東   1234"];
        assert_eq!(plain(&machines(), None), wanted);
    }

    #[test]
    fn a_narrow_terminal_cuts_the_elastic_column_only() {
        let wanted = ["Machine      Vends  State", "Lobby            7  ok", "Station Ñu…   1234"];
        assert_eq!(plain(&machines(), Some(25)), wanted);
        assert_eq!(plain(&machines(), Some(3))[2], "Stati…   1234", "but not to nothing");
    }

    #[test]
    fn a_table_without_rows_says_so() {
        let table = Table::new([Column::left("A")]).empty("No machines.").indent(2);
        assert_eq!(plain(&table, None), ["  No machines."]);
    }

    #[test]
    fn what_would_steer_the_terminal_is_not_printed() {
        let mut table = Table::new([Column::left("A")]);
        table.row(["a\u{1b}[31mb\n".into()]);
        assert_eq!(table.lines(None)[1], "a\u{fffd}[31mb\u{fffd}");
    }

    #[test]
    fn a_paragraph_keeps_its_line_breaks_within_its_column() {
        let mut table = Table::new([Column::left("Tick"), Column::left("Where it broke")]);
        table.row(["14:30".into(), Cell::paragraph("no such table\nLINE 1: select\u{1b}[31m\n")]);
        table.row(["14:35".into(), "fine".into()]);
        let wanted = [
            "Tick   Where it broke",
            "14:30  no such table",
            "       LINE 1: select\u{fffd}[31m",
            "14:35  fine",
        ];
        assert_eq!(plain(&table, None), wanted);
    }

    #[test]
    fn an_endless_text_does_not_widen_all_rows_without_end() {
        let mut table = Table::new([Column::left("A"), Column::right("B")]);
        table.row(["x".repeat(1_000_000).into(), 1.into()]);
        table.row(["y".into(), 2.into()]);
        assert_eq!(plain(&table, None)[2].len(), LONGEST + BETWEEN + 1);
    }

    #[test]
    fn colours_stand_around_the_text_and_not_around_the_blanks() {
        let line = machines().lines(None)[1].clone();
        assert!(line.ends_with(&paint::good("ok")), "{line:?}");
    }
}
