//! Sections as Markdown.

use std::fmt::Write as _;

use super::{Bound, Cell, Section, Table, Target};

/// A section with its heading.
#[must_use]
pub fn section(section: &Section) -> String {
    let mut text = format!("## {}\n\n{}\n", section.title, section.method);
    if !section.facts.is_empty() {
        let facts: Vec<String> =
            section.facts.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let _ = write!(text, "\nThis run: {}.\n", facts.join(", "));
    }
    for one in &section.tables {
        text += "\n";
        if !one.caption.is_empty() {
            let _ = write!(text, "{}\n\n", one.caption);
        }
        text += &table(one);
    }
    if !section.targets.is_empty() {
        text += "\n";
        text += &targets(section.targets.iter());
    }
    text
}

/// What was asked for, what was measured, and whether that is enough.
pub(super) fn targets<'a>(targets: impl Iterator<Item = &'a Target>) -> String {
    let mut text = String::from("| target | asked | measured | met |\n|---|---:|---:|---|\n");
    for target in targets {
        let (sign, asked) = match target.asked {
            Bound::AtLeast(least) => ("≥", least),
            Bound::AtMost(most) => ("≤", most),
        };
        let met = if target.is_met() { "yes" } else { "**no**" };
        let unit = &target.unit;
        let measured = if target.measured.is_nan() {
            "not measured".to_owned()
        } else {
            format!("{} {unit}", significant(target.measured))
        };
        let _ =
            writeln!(text, "| {} | {sign} {} {unit} | {measured} | {met} |", target.what, significant(asked));
    }
    text
}

fn table(table: &Table) -> String {
    let mut text = format!("| {} |\n|", table.columns.join(" | "));
    for column in 0..table.columns.len() {
        let words = table.rows.iter().filter_map(|row| row.get(column)).any(
            |cell| matches!(cell, Cell::Text(text) if !text.is_empty() && !text.starts_with(is_numeric)),
        );
        text += if words { "---|" } else { "---:|" };
    }
    text += "\n";
    for row in &table.rows {
        let cells: Vec<String> = row.iter().map(cell).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

fn is_numeric(first: char) -> bool {
    first.is_ascii_digit()
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => text.clone(),
        Cell::Number { value, .. } if value.is_nan() => "–".to_owned(),
        Cell::Number { value, digits, spread } => {
            let shown = |value: f64| in_thousands(&format!("{value:.digits$}"));
            match spread {
                Some((low, high)) => format!("{} ({}–{})", shown(*value), shown(*low), shown(*high)),
                None => shown(*value),
            }
        }
    }
}

/// Three significant digits, and no digit before the point lost.
fn significant(value: f64) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        medium if medium >= 10.0 => 1,
        small if small >= 1.0 => 2,
        _ => 3,
    };
    let shown = format!("{value:.digits$}");
    let shown = if shown.contains('.') { shown.trim_end_matches('0').trim_end_matches('.') } else { &shown };
    in_thousands(shown)
}

/// A comma after each thousand.
fn in_thousands(number: &str) -> String {
    let (whole, rest) = number.split_at(number.find('.').unwrap_or(number.len()));
    let (sign, digits) = whole.split_at(usize::from(whole.starts_with('-')));
    let mut text = String::from(sign);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + rest
}
