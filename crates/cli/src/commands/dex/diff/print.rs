//! A comparison for people.

use eva_dts::{Counter, Currency};

use super::changes::Named;
use super::compare::{Comparison, Side};
use crate::commands::dex::moment;
use crate::commands::dex::money::{Purse, plus};
use crate::commands::paint::{self, Tone, harmless};
use crate::commands::table::{Cell, Column, LONGEST, Table, cut};

pub(super) fn print(comparison: &Comparison) {
    print_side("old", &comparison.old);
    print_side("new", &comparison.new);
    print_verdict(comparison);
    if !comparison.comparable {
        return;
    }
    let currency = Currency {
        decimals: comparison.decimals,
        numeric: None,
        alpha: comparison.currency.as_deref().map(Into::into),
    };
    let purse = Purse::in_currency(&currency);
    print_sales(comparison, purse);
    print_prices(comparison, purse);
    print_events(comparison);
    print_cash(comparison, purse);
}

fn print_side(name: &str, side: &Side) {
    let mut facts = vec![side.file.clone()];
    facts.extend(side.serial.as_ref().map(|serial| format!("serial number {serial}")));
    facts.extend(side.clock.map(moment));
    if side.captures > 1 {
        facts.push(format!("the last of {} captures", side.captures));
    }
    paint::line(format!("{}  {}", paint::faint(name), cut(&harmless(&facts.join(" · ")), LONGEST)));
}

fn print_verdict(comparison: &Comparison) {
    let verdict = match comparison.continuity {
        None => paint::bad("not comparable"),
        Some("continuous") if comparison.wrapped == 1 => paint::good("continuous, 1 counter came round"),
        Some("continuous") if comparison.wrapped > 1 => {
            paint::good(format!("continuous, {} counters came round", comparison.wrapped))
        }
        Some("continuous") => paint::good("continuous"),
        Some("reinitialised") => {
            paint::warn("re-initialised: the counters began again at zero; what was sold until then is lost")
        }
        Some("rolled_back") => {
            paint::warn("rolled back: a memory from before was restored; nothing can be counted")
        }
        Some(other) => paint::warn(other),
    };
    paint::line(verdict);
    for note in &comparison.notes {
        paint::line(cut(&harmless(note), LONGEST));
    }
}

fn section(title: &str) {
    paint::line("");
    paint::line(paint::bold(title));
}

const PAID_BY: [(Counter, &str); 3] =
    [(Counter::Cash, "Cash"), (Counter::Cashless, "Cashless"), (Counter::Token, "Token")];
const GIVEN: [(Counter, &str); 2] = [(Counter::Free, "Free"), (Counter::Test, "Test")];

fn print_sales(comparison: &Comparison, purse: Purse<'_>) {
    section("Sold in between");
    let mut columns = vec![
        Column::left("Sel"),
        Column::left("Name").optional().elastic(),
        Column::right("Vends"),
        Column::right(purse.heading()).optional(),
    ];
    for (_, name) in PAID_BY {
        columns.extend([Column::right(name).optional(), Column::right(purse.heading()).optional()]);
    }
    columns.extend(GIVEN.map(|(_, name)| Column::right(name).optional()));
    let mut table = Table::new(columns).indent(2).empty("Nothing.");
    for row in &comparison.selections {
        let head = [Cell::new(&row.selection), Cell::maybe(row.name.as_ref())];
        table.row(head.into_iter().chain(cells(purse, |counter| row.of(counter))));
    }
    let vends = |counter: Counter| {
        let total = comparison.totals.iter().find(|total| total.counter == counter.name());
        total.map(|total| total.sold).unwrap_or_default()
    };
    if !comparison.totals.is_empty() {
        let head = [Cell::from("machine"), Cell::default()];
        let row = head.into_iter().chain(cells(purse, vends));
        table.row(row.map(|cell| cell.tone(Tone::Bold)));
    }
    table.print();
    let sum = comparison.selections.iter().map(|row| row.of(Counter::Vends)).reduce(plus).unwrap_or_default();
    let machine = vends(Counter::Vends).count.unwrap_or(0);
    let selections = sum.count.unwrap_or(0);
    if !comparison.selections.is_empty() && machine != selections {
        let note = format!("  The selections add up to {selections} vends, the machine counts {machine}.");
        paint::line(paint::faint(note));
    }
}

fn cells(purse: Purse<'_>, of: impl Fn(Counter) -> eva_dts::Amount) -> Vec<Cell> {
    let mut cells: Vec<Cell> = purse.pair(of(Counter::Vends)).into();
    for (counter, _) in PAID_BY {
        cells.extend(purse.pair(of(counter)));
    }
    cells.extend(GIVEN.map(|(counter, _)| Cell::maybe(of(counter).count)));
    cells
}

fn print_prices(comparison: &Comparison, purse: Purse<'_>) {
    if !comparison.prices.is_empty() {
        section("Prices");
        let mut table =
            Table::new([Column::left("Sel"), Column::right("From"), Column::right("To")]).indent(2);
        for price in &comparison.prices {
            table.row([
                Cell::new(&price.selection),
                purse.cell(Some(price.from)),
                purse.cell(Some(price.to)),
            ]);
        }
        table.print();
    }
    for (selections, what) in
        [(&comparison.added, "New selections"), (&comparison.removed, "Gone selections")]
    {
        if !selections.is_empty() {
            section(what);
            paint::line(format!("  {}", harmless(&selections.join(", "))));
        }
    }
}

fn print_events(comparison: &Comparison) {
    let events = &comparison.events;
    if events.began.is_empty() && events.ended.is_empty() && events.happened.is_empty() {
        return;
    }
    section("Events");
    let columns = [
        Column::left("Code"),
        Column::left("Selection").optional(),
        Column::left(""),
        Column::left("").optional(),
    ];
    let mut table = Table::new(columns).indent(2);
    let mut row = |event: &Named, what: Cell, more: Option<String>| {
        table.row([Cell::new(&event.code), Cell::maybe(event.selection.as_ref()), what, Cell::maybe(more)]);
    };
    for event in &events.began {
        row(event, Cell::from("began").tone(Tone::Bad), None);
    }
    for event in &events.ended {
        row(event, Cell::from("ended").tone(Tone::Good), None);
    }
    for happened in &events.happened {
        let times =
            happened.times.map(|times| if times == 1 { "once".to_owned() } else { format!("{times} times") });
        row(&happened.event, "happened".into(), happened.at.map(moment).or(times));
    }
    table.print();
}

fn print_cash(comparison: &Comparison, purse: Purse<'_>) {
    let cash = &comparison.cash;
    let levels = (cash.tube_value.from, cash.tube_value.to);
    let tubes_changed = matches!(levels, (Some(from), Some(to)) if from != to);
    if cash.moved.is_empty() && cash.tubes.is_empty() && !tubes_changed {
        return;
    }
    section("Cash");
    let mut table = Table::new([Column::left(""), Column::right("")]).indent(2).without_headings();
    for moved in &cash.moved {
        table.row([words(moved.what).into(), purse.full(moved.value).into()]);
    }
    if let (Some(from), Some(to), true) = (levels.0, levels.1, tubes_changed) {
        table.row(["in the tubes".into(), format!("{} → {}", purse.plain(from), purse.full(to)).into()]);
    }
    for tube in &cash.tubes {
        let coin = tube.value.map_or_else(|| format!("coin {}", tube.coin), |value| purse.plain(value));
        table.row([format!("coins of {coin}").into(), format!("{} → {}", tube.from, tube.to).into()]);
    }
    table.print();
}

fn words(what: &'static str) -> &'static str {
    match what {
        "sales" => "cash sales",
        "in" => "cash in",
        "to_box" => "  coins to the box",
        "to_tubes" => "  coins to the tubes",
        "bills" | "bills_out" => "  bills",
        "out" => "cash out",
        "out_by_hand" => "  by hand",
        "filled" => "coins filled in",
        "overpaid" => "overpaid",
        other => other,
    }
}
