//! Sales for people: a table with a bar beside each row, one a company and currency.

use std::collections::BTreeMap;

use super::days::{self, Days};
use super::row::Row;
use super::{Arguments, By};
use crate::commands::chart::Scale;
use crate::commands::paint::{self, Tone, harmless};
use crate::commands::table::{Cell, Column, Table};

/// Bars, where the terminal has room for more or is none.
const LONGEST: usize = 40;
/// Below that a bar tells nothing. Columns that say how it was paid give way to it.
const SHORTEST: usize = 8;
const BETWEEN: usize = 2;

pub(super) fn print(rows: &[Row], days: Days, arguments: &Arguments) {
    if rows.is_empty() {
        paint::line(format!("No sales from {} to {}.", days.from, days.to));
        return;
    }
    let mut groups: BTreeMap<_, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        groups.entry(row.group()).or_default().push(row);
    }
    for (place, ((company, _, currency, _), rows)) in groups.into_iter().enumerate() {
        if place > 0 {
            paint::line("");
        }
        let title = format!("{} · {} to {}", harmless(company), days.from, days.to);
        paint::line(paint::bold(title));
        print_group(&rows, &harmless(currency.unwrap_or("Value")), days, arguments);
    }
}

/// A bar and what stands beside it.
struct Entry<'a> {
    head: Vec<Cell>,
    /// None for a day without sales.
    row: Option<&'a Row>,
    tail: Cell,
}

fn print_group(rows: &[&Row], currency: &str, days: Days, arguments: &Arguments) {
    let mut entries = entries(rows, days, arguments.by);
    let hidden = match (arguments.by, arguments.top) {
        (By::Day, _) | (_, 0) => 0,
        (_, top) => entries.len().saturating_sub(top),
    };
    entries.truncate(entries.len() - hidden);
    // Machines that give away what they have sell for nothing: then their vends are drawn.
    let is_by_value = rows.iter().any(|row| row.value_minor > 0);
    let measure = |row: &Row| if is_by_value { row.value_minor } else { row.vends };
    let room = |is_narrow| {
        let beside = Sheet { entries: &entries, all: rows, currency, by: arguments.by, is_narrow };
        let beside = beside.table(|_| Cell::default()).width();
        paint::width().map_or(LONGEST, |width| width.saturating_sub(beside + BETWEEN))
    };
    let is_narrow = room(false) < SHORTEST;
    let room = room(is_narrow);
    let values = entries.iter().filter_map(|entry| entry.row).map(measure);
    let scale = Scale::new(values, room.clamp(SHORTEST, LONGEST), arguments.ascii);
    let bar = |row: &Row| Cell::from(scale.bar(measure(row))).tone(Tone::Bar);
    Sheet { entries: &entries, all: rows, currency, by: arguments.by, is_narrow }.table(bar).print();
    if hidden > 0 {
        paint::line(paint::faint(format!("and {hidden} more (--top 0 shows all)")));
    }
}

fn entries<'a>(rows: &[&'a Row], days: Days, by: By) -> Vec<Entry<'a>> {
    if by != By::Day {
        return rows.iter().map(|row| entry(row, by)).collect();
    }
    let by_day: BTreeMap<_, &Row> =
        rows.iter().filter_map(|row| Some((days::parse(row.day.as_deref()?).ok()?, *row))).collect();
    let last = by_day.last_key_value().map(|(day, _)| *day);
    let day = |day| {
        let row = by_day.get(&day).copied();
        let machines = Cell::maybe(row.and_then(|row| row.machines));
        Entry { head: vec![days::label(day).into()], row, tail: machines }
    };
    days.each(last).map(day).collect()
}

fn entry(row: &Row, by: By) -> Entry<'_> {
    let cell = |text: &Option<String>| Cell::maybe(text.as_ref());
    // To the minute: `2026-11-20 14:30`.
    let last_sale =
        row.last_sale_at.as_ref().map(|at| at.replace('T', " ").chars().take(16).collect::<String>());
    let (head, tail) = match by {
        By::Product => {
            (vec![cell(&row.case_serial), cell(&row.selection), cell(&row.product_name)], Cell::default())
        }
        By::Day | By::Machine => (vec![cell(&row.case_serial), cell(&row.location)], Cell::maybe(last_sale)),
    };
    Entry { head, row: Some(row), tail }
}

/// What stands beside the bars.
struct Sheet<'a> {
    entries: &'a [Entry<'a>],
    /// All that add up, those that are not shown too.
    all: &'a [&'a Row],
    currency: &'a str,
    by: By,
    /// There is room for the most important columns only.
    is_narrow: bool,
}

impl Sheet<'_> {
    fn columns(&self) -> (Vec<Column>, Column) {
        match self.by {
            By::Day => (vec![Column::left("Day")], Column::right("Machines").optional()),
            By::Machine => (
                vec![Column::left("Machine"), Column::left("Location").optional().elastic()],
                Column::left("Last sale UTC").optional(),
            ),
            By::Product => (
                vec![
                    Column::left("Machine"),
                    Column::left("Sel"),
                    Column::left("Product").optional().elastic(),
                ],
                Column::left("").optional(),
            ),
        }
    }

    fn table(&self, bar: impl Fn(&Row) -> Cell) -> Table {
        let (first, last) = self.columns();
        let heads = first.len();
        let numbers = [
            Column::right(self.currency),
            Column::right("Vends"),
            Column::right("Cash").optional(),
            Column::right("Cashless").optional(),
            last,
            Column::left("").optional(),
        ];
        let mut table = Table::new(first.into_iter().chain(numbers));
        for entry in self.entries {
            let mut cells = entry.head.clone();
            cells.extend(entry.row.map_or_else(|| vec!["-".into()], |row| self.amounts(row)));
            cells.resize(heads + 4, Cell::default());
            cells.push(if self.is_narrow { Cell::default() } else { entry.tail.clone() });
            cells.extend(entry.row.map(&bar));
            table.row(cells);
        }
        if let Some(total) = total(self.all) {
            let mut cells = vec![Cell::from("all")];
            cells.resize(heads, Cell::default());
            cells.extend(self.amounts(&total));
            table.row(cells.into_iter().map(|cell| cell.tone(Tone::Bold)));
        }
        table
    }

    fn amounts(&self, row: &Row) -> Vec<Cell> {
        let paid =
            |minor: Option<u64>| Cell::maybe(minor.filter(|_| !self.is_narrow).map(|minor| row.money(minor)));
        let value = Cell::from(row.money(row.value_minor));
        vec![value, row.vends.into(), paid(row.cash_minor), paid(row.cashless_minor)]
    }
}

fn total(rows: &[&Row]) -> Option<Row> {
    let plus = |left: Option<u64>, right: Option<u64>| match (left, right) {
        (Some(left), Some(right)) => Some(left.saturating_add(right)),
        (one, other) => one.or(other),
    };
    rows.iter().map(|row| (*row).clone()).reduce(|sum, row| Row {
        vends: sum.vends.saturating_add(row.vends),
        value_minor: sum.value_minor.saturating_add(row.value_minor),
        cash_minor: plus(sum.cash_minor, row.cash_minor),
        cashless_minor: plus(sum.cashless_minor, row.cashless_minor),
        ..sum
    })
}
