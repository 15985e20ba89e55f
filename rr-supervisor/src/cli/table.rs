//! Tables as the reference draws them: a box, the head in the middle of its columns, the cells at the left.

use std::{fmt::Write, io::IsTerminal};

/// A table that grows by rows.
#[derive(Debug)]
pub(super) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

/// One cell.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    text: String,
    colour: Option<Colour>,
}

/// The colours that the reference uses.
#[derive(Clone, Copy, Debug)]
pub(super) enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Cyan = 36,
    BrightYellow = 93,
}

impl Table {
    /// With these titles.
    pub(super) fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|title| (*title).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; what is missing at its end is empty.
    pub(super) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        let mut cells = Vec::from(cells);
        cells.resize_with(self.head.len(), Cell::default);
        self.rows.push(cells);
    }

    /// The whole box, with a line end after each line.
    pub(super) fn draw(&self, colours: bool) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].width());
            cells.chain([self.head[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let rule = |left: &str, middle: &str, right: &str| {
            let lines: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
            format!("{left}{}{right}\n", lines.join(middle))
        };
        let mut out = rule("┌", "┬", "┐");
        for (title, width) in self.head.iter().zip(&widths) {
            // Writing to a String cannot fail.
            let _ = write!(out, "│ {title:^width$} ");
        }
        out += "│\n";
        out += &rule("├", "┼", "┤");
        for row in &self.rows {
            for (cell, width) in row.iter().zip(&widths) {
                let padding = " ".repeat(width - cell.width());
                let _ = write!(out, "│ {}{padding} ", cell.drawn(colours));
            }
            out += "│\n";
        }
        out + &rule("└", "┴", "┘")
    }
}

impl Cell {
    /// In a colour.
    pub(super) fn coloured(text: impl Into<String>, colour: Colour) -> Self {
        let colour = Some(colour);
        Self {
            colour,
            ..Self::from(text.into())
        }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }

    fn drawn(&self, colours: bool) -> String {
        match self.colour.filter(|_| colours) {
            Some(colour) => paint(&self.text, colour),
            None => self.text.clone(),
        }
    }
}

impl<T: ToString> From<T> for Cell {
    /// Control characters, a line end above all, would break the box.
    fn from(value: T) -> Self {
        let text = value.to_string().replace(char::is_control, " ");
        Self { text, colour: None }
    }
}

/// A text in a colour.
pub(super) fn paint(text: &str, colour: Colour) -> String {
    format!("\x1b[{}m{text}\x1b[0m", colour as u8)
}

/// Whether a person looks at our output, and wants colours.
pub(super) fn colours() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CLI-03: as the reference drew it.
    #[test]
    fn it_looks_like_the_references() {
        let mut table = Table::new(&["PID", "STATUS", "EXECS", "MEMORY", "CPU %", "CREATED"]);
        table.row(["13850", "ready", "1", "19 MB", "0.00", "1 second ago"].map(Cell::from));
        table.row(["13851", "ready", "2", "19 MB", "0.38", "1 second ago"].map(Cell::from));
        let expected = "\
┌───────┬────────┬───────┬────────┬───────┬──────────────┐
│  PID  │ STATUS │ EXECS │ MEMORY │ CPU % │   CREATED    │
├───────┼────────┼───────┼────────┼───────┼──────────────┤
│ 13850 │ ready  │ 1     │ 19 MB  │ 0.00  │ 1 second ago │
│ 13851 │ ready  │ 2     │ 19 MB  │ 0.38  │ 1 second ago │
└───────┴────────┴───────┴────────┴───────┴──────────────┘
";
        assert_eq!(table.draw(true), expected);
    }

    #[test]
    fn colours_take_no_room_and_no_text_breaks_the_box() {
        let mut table = Table::new(&["A", "B"]);
        table.row([Cell::coloured("x", Colour::Red), Cell::from("1\n2\x1b[2J")]);
        table.row([Cell::from("ü")]);
        let plain = table.draw(false);
        assert_eq!(plain.lines().count(), 6);
        let widths: Vec<usize> = plain.lines().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{plain}");
        assert_eq!(table.draw(true).replace("\x1b[31m", "").replace("\x1b[0m", ""), plain);
    }
}
