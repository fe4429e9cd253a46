//! What a benchmark hands in: a section of `docs/benchmarks.md`, as data. Programs print it as Markdown or
//! JSON, or write it to a file from which `bench-report` makes the page.
//!
//! Every figure is data until it is shown: the targets are judged by the numbers, not by what was typed.

mod markdown;
mod page;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

pub use markdown::section as markdown;
pub use page::{Machine, Measured, page};

/// Options of every benchmark: where the result goes.
#[derive(clap::Args, Debug)]
pub struct Output {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write the section to this file, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

impl Output {
    /// Shows the sections, and writes them where that was asked for.
    pub fn finish(&self, sections: &[Section]) -> Result<()> {
        let data = serde_json::to_string_pretty(sections)?;
        if let Some(path) = &self.report {
            std::fs::write(path, &data).with_context(|| path.display().to_string())?;
        }
        if self.json {
            println!("{data}");
        } else {
            for section in sections {
                print!("\n{}", markdown::section(section));
            }
        }
        Ok(())
    }
}

/// Sections that a benchmark wrote.
pub fn read(path: &Path) -> Result<Vec<Section>> {
    let data = std::fs::read(path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&data).with_context(|| path.display().to_string())
}

/// A section of the page.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// How it is measured. Words only: a figure here goes stale.
    pub method: String,
    /// What this run was asked for: rounds, companies, connections.
    #[serde(default)]
    pub facts: Vec<(String, String)>,
    /// What was measured.
    #[serde(default)]
    pub tables: Vec<Table>,
    /// What was aimed at, with what was reached.
    #[serde(default)]
    pub targets: Vec<Target>,
}

impl Section {
    /// A section without results yet.
    #[must_use]
    pub fn new(title: &str, method: &str) -> Self {
        Self {
            title: title.to_owned(),
            method: method.to_owned(),
            facts: Vec::new(),
            tables: Vec::new(),
            targets: Vec::new(),
        }
    }

    /// Says what this run was asked for.
    #[must_use]
    #[allow(clippy::needless_pass_by_value)] // numbers and words
    pub fn fact(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.facts.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds a table.
    pub fn table(&mut self, table: Table) -> &mut Self {
        self.tables.push(table);
        self
    }

    /// Adds a target: what must reach how much of which unit, and what it reached.
    pub fn target(&mut self, what: &str, asked: Bound, measured: f64, unit: &str) -> &mut Self {
        self.targets.push(Target { what: what.to_owned(), asked, measured, unit: unit.to_owned() });
        self
    }
}

/// Rows under named columns.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Table {
    /// What stands above it; may be empty.
    #[serde(default)]
    pub caption: String,
    /// Their names, with units.
    pub columns: Vec<String>,
    /// A cell for each column.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows yet.
    #[must_use]
    pub fn new<const N: usize>(columns: [&str; N]) -> Self {
        Self { caption: String::new(), columns: columns.map(str::to_owned).to_vec(), rows: Vec::new() }
    }

    /// With a line above it.
    #[must_use]
    pub fn caption(mut self, caption: impl Into<String>) -> Self {
        self.caption = caption.into();
        self
    }

    /// Adds a row.
    ///
    /// # Panics
    /// When it has not a cell for each column.
    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) -> &mut Self {
        assert_eq!(N, self.columns.len(), "a cell for each of {:?}", self.columns);
        self.rows.push(cells.into());
        self
    }
}

/// What stands in a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// A number with so many digits after its point, and the lowest and highest of its rounds.
    Number {
        /// The median where there were rounds; `null` in JSON when there is no number.
        #[serde(deserialize_with = "number_or_nan")]
        value: f64,
        /// How many digits are shown after the point.
        digits: usize,
        /// The lowest and the highest round.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spread: Option<(f64, f64)>,
    },
    /// A word.
    Text(String),
}

impl Cell {
    /// No value.
    #[must_use]
    pub fn empty() -> Self {
        Self::Text(String::new())
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A number without rounds, with so many digits after its point.
#[must_use]
pub fn number(value: f64, digits: usize) -> Cell {
    Cell::Number { value, digits, spread: None }
}

/// A whole number.
#[must_use]
#[allow(clippy::cast_precision_loss)] // what is counted here stays below 2^52
pub fn count(value: usize) -> Cell {
    number(value as f64, 0)
}

/// One value for each round.
#[derive(Clone, Debug, Default)]
pub struct Rounds(Vec<f64>);

impl Rounds {
    /// Adds a round.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The one in the middle, or between the two there; NaN without rounds.
    #[must_use]
    pub fn median(&self) -> f64 {
        let sorted = self.sorted();
        let half = sorted.len() / 2;
        if sorted.is_empty() || sorted.len() % 2 == 1 {
            return quantile(&sorted, 0.5);
        }
        f64::midpoint(sorted[half - 1], sorted[half])
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The mean; NaN without rounds.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // some thousands
    pub fn mean(&self) -> f64 {
        self.sum() / self.0.len() as f64
    }

    /// The sum of all.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.0.iter().sum()
    }

    /// This against another, round by round, so that what else the machine does is the same for both.
    #[must_use]
    pub fn against(&self, other: &Self) -> Self {
        self.0.iter().zip(&other.0).map(|(this, other)| this / other).collect()
    }

    /// Each value by a function.
    #[must_use]
    pub fn map(&self, change: impl Fn(f64) -> f64) -> Self {
        self.0.iter().map(|value| change(*value)).collect()
    }

    /// The median and the spread, with so many digits after the point.
    #[must_use]
    pub fn cell(&self, digits: usize) -> Cell {
        let sorted = self.sorted();
        let spread = sorted.first().zip(sorted.last()).map(|(low, high)| (*low, *high));
        Cell::Number { value: self.median(), digits, spread: spread.filter(|_| sorted.len() > 1) }
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

impl FromIterator<f64> for Rounds {
    fn from_iter<T: IntoIterator<Item = f64>>(values: T) -> Self {
        Self(values.into_iter().collect())
    }
}

/// The value below which this share of sorted values is; NaN of none.
#[must_use]
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let place = (sorted.len() as f64 * share) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// What a figure must reach.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// As much or more.
    AtLeast(f64),
    /// As much or less.
    AtMost(f64),
}

/// What was aimed at, and what was reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// What it is about.
    pub what: String,
    /// What is asked for.
    pub asked: Bound,
    /// What was measured; `null` in JSON when there is no number.
    #[serde(deserialize_with = "number_or_nan")]
    pub measured: f64,
    /// The unit of both.
    pub unit: String,
}

fn number_or_nan<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

impl Target {
    /// Whether it was reached. What was not measured was not.
    #[must_use]
    pub fn is_met(&self) -> bool {
        match self.asked {
            Bound::AtLeast(least) => self.measured >= least,
            Bound::AtMost(most) => self.measured <= most,
        }
    }
}

#[cfg(test)]
mod tests;
