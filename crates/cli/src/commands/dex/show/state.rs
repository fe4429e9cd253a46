//! How the machine is: faults, events, services, temperatures, and what is odd in the file.

use eva_dts::{Event, Reading};

use super::section;
use crate::commands::dex::moment;
use crate::commands::paint::{self, Tone, harmless};
use crate::commands::table::{Cell, Column, LONGEST, Table, cut};

/// A file of garbage has a thousand.
const WARNINGS: usize = 20;

pub(super) fn print(reading: &Reading<'_>, all: bool) {
    if !reading.errors.is_empty() {
        let codes: Vec<String> = reading.errors.iter().map(|code| cut(&harmless(code), LONGEST)).collect();
        section("Faults now");
        paint::line(format!("  {}", paint::bad(codes.join(", "))));
    }
    print_events(&reading.events, all);
    print_services(reading);
    if !reading.temperatures.is_empty() {
        section("Temperatures");
        let mut table = Table::new([Column::left("Of"), Column::right("Degrees")]).indent(2);
        for temperature in &reading.temperatures {
            let unit = temperature.unit.as_deref().unwrap_or_default();
            let degrees = format!("{} {unit}", hundredths(temperature.hundredths));
            table.row([Cell::new(&temperature.name), degrees.trim().into()]);
        }
        table.print();
    }
    print_warnings(reading, all);
}

/// `-5.50`
fn hundredths(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", value.unsigned_abs() / 100, value.unsigned_abs() % 100)
}

/// Those that are so now come first. Many machines list what never happened, with a zero or nothing.
fn print_events(events: &[Event<'_>], all: bool) {
    let is_news = |event: &&Event<'_>| {
        let count = event.count;
        let is_counted = count.since_init.unwrap_or(0) > 0 || count.since_reset.unwrap_or(0) > 0;
        all || event.is_active || event.at.is_some() || is_counted
    };
    let (active, others): (Vec<_>, Vec<_>) = events.iter().filter(is_news).partition(|event| event.is_active);
    let silent = events.len() - active.len() - others.len();
    if events.is_empty() {
        return;
    }
    let columns = [
        Column::left("Code"),
        Column::left("").optional(),
        Column::left("Selection").optional(),
        Column::left("When").optional(),
        Column::right("Times").optional(),
        Column::right("Since reset").optional(),
        Column::right("Minutes").optional(),
        Column::left("By").optional(),
    ];
    let mut table = Table::new(columns).indent(2).empty("None happened.");
    for event in active.into_iter().chain(others) {
        let now = match (event.is_fault(), event.is_active) {
            (true, _) => Cell::from("active").tone(Tone::Bad),
            (_, true) => Cell::from("active").tone(Tone::Warn),
            _ => Cell::default(),
        };
        table.row([
            Cell::new(&event.code),
            now,
            Cell::maybe(event.selection.as_ref()),
            Cell::maybe(event.at.map(moment)),
            Cell::maybe(event.count.since_init),
            Cell::maybe(event.count.since_reset),
            Cell::maybe(event.minutes),
            Cell::maybe(event.user.as_ref()),
        ]);
    }
    section("Events");
    table.print();
    if silent > 0 {
        paint::line(paint::faint(format!("  and {silent} without a date or count (--all shows them)")));
    }
}

fn print_services(reading: &Reading<'_>) {
    let columns = [Column::left("When"), Column::left("By").optional(), Column::left("What").optional()];
    let mut table = Table::new(columns).indent(2);
    for service in &reading.services {
        table.row([
            Cell::maybe(service.at.map(moment)),
            Cell::maybe(service.terminal.as_ref()),
            Cell::maybe(service.what.as_ref()),
        ]);
    }
    if !table.is_empty() {
        section("Services");
        table.print();
    }
}

fn print_warnings(reading: &Reading<'_>, all: bool) {
    let warnings = &reading.warnings;
    if warnings.is_empty() {
        return;
    }
    section("Warnings");
    let shown = if all { warnings.len() } else { WARNINGS.min(warnings.len()) };
    for warning in &warnings[..shown] {
        paint::line(format!("  {}", paint::warn(harmless(&warning.to_string()))));
    }
    if shown < warnings.len() {
        paint::line(paint::faint(format!("  and {} more (--all shows them)", warnings.len() - shown)));
    }
}
