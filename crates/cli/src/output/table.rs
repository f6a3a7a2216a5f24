//! Aligned columns.

use super::style::{Palette, Style};
use super::width::{fit, width};

/// A cell: text that can be shown as it is, and what it is for the eye.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    style: Option<Style>,
}

impl Cell {
    pub fn styled(text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            style: Some(style),
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            style: None,
        }
    }
}

/// How a column behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// As wide as its widest cell.
    Left,
    /// The same, with numbers under each other.
    Right,
    /// Gives way when the screen is too narrow.
    Flexible,
}

/// Rows under a head.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(String, Column)>,
    rows: Vec<Vec<Cell>>,
}

const GAP: &str = "  ";

/// A flexible column is not cut below this.
const NARROWEST: usize = 12;

impl Table {
    pub fn new<N: AsRef<str>>(columns: &[(N, Column)]) -> Self {
        let columns = columns.iter().map(|(name, column)| (name.as_ref().to_owned(), *column));
        Self {
            columns: columns.collect(),
            rows: Vec::new(),
        }
    }

    /// Two columns without a head.
    pub fn pairs() -> Self {
        Self::new(&[("", Column::Left), ("", Column::Left)])
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table, cut to `screen` columns if there is a screen.
    pub fn render(&self, palette: Palette, screen: Option<usize>) -> String {
        let mut widths: Vec<usize> = self.columns.iter().map(|(head, _)| width(head)).collect();
        for row in &self.rows {
            for (cell, known) in row.iter().zip(&mut widths) {
                *known = width(&cell.text).max(*known);
            }
        }
        if let Some(screen) = screen {
            self.give_way(&mut widths, screen);
        }
        let mut text = String::new();
        let head: Vec<Cell> = self
            .columns
            .iter()
            .map(|(name, _)| Cell::styled(name, Style::Faint))
            .collect();
        let named = self.columns.iter().any(|(name, _)| !name.is_empty());
        for row in named.then_some(&head).into_iter().chain(&self.rows) {
            self.line(&mut text, row, &widths, palette);
        }
        text
    }

    fn give_way(&self, widths: &mut [usize], screen: usize) {
        let total = widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1);
        let mut over = total.saturating_sub(screen);
        for ((_, column), width) in self.columns.iter().zip(widths) {
            if *column == Column::Flexible {
                let less = over.min(width.saturating_sub(NARROWEST));
                *width -= less;
                over -= less;
            }
        }
    }

    fn line(&self, text: &mut String, row: &[Cell], widths: &[usize], palette: Palette) {
        let start = text.len();
        for (((_, column), columns), cell) in self.columns.iter().zip(widths).zip(row) {
            if text.len() > start {
                text.push_str(GAP);
            }
            let shown = fit(&cell.text, *columns);
            let blanks = " ".repeat(columns.saturating_sub(width(&shown)));
            let painted = cell
                .style
                .map_or_else(|| shown.clone(), |style| palette.paint(style, &shown));
            let (before, after) = if *column == Column::Right {
                (blanks.as_str(), "")
            } else {
                ("", blanks.as_str())
            };
            text.push_str(before);
            text.push_str(&painted);
            text.push_str(after);
        }
        let end = start.max(text.trim_end_matches(' ').len());
        text.truncate(end);
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[
            ("REF", Column::Left),
            ("TITLE", Column::Flexible),
            ("NOTES", Column::Right),
        ]);
        table.row(["#12".into(), "全文検索が遅い".into(), "7".into()]);
        table.row([
            "#4".into(),
            "A long title that does not fit the screen".into(),
            "123".into(),
        ]);
        table
    }

    #[test]
    fn columns_stand_under_each_other() {
        assert_eq!(
            table().render(Palette::Plain, None),
            "REF  TITLE                                      NOTES\n\
             #12  全文検索が遅い                                 7\n\
             #4   A long title that does not fit the screen    123\n"
        );
    }

    #[test]
    fn only_the_flexible_column_gives_way() {
        assert_eq!(
            table().render(Palette::Plain, Some(30)),
            "REF  TITLE               NOTES\n\
             #12  全文検索が遅い          7\n\
             #4   A long title that…    123\n"
        );
        let narrow = table().render(Palette::Plain, Some(5));
        assert!(narrow.contains("A long titl…"), "{narrow}");
    }

    #[test]
    fn colour_does_not_move_columns() {
        let mut table = Table::new(&[("A", Column::Left), ("B", Column::Left)]);
        table.row([Cell::styled("x", Style::Good), "y".into()]);
        assert_eq!(
            table.render(Palette::Coloured, None),
            "\x1b[2mA\x1b[0m  \x1b[2mB\x1b[0m\n\x1b[32mx\x1b[0m  y\n"
        );
    }
}
