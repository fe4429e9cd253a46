//! What was sold and taken in: totals, products, coins and bills.

use eva_dts::{Amount, Both, CashIn, CashOut, Count, Minor, Product, Reading, SoldOut};

use super::section;
use crate::commands::dex::moment;
use crate::commands::dex::money::{Purse, plus_both};
use crate::commands::paint::Tone;
use crate::commands::table::{Cell, Column, Table};

pub(super) fn print(reading: &Reading<'_>) {
    let purse = Purse::of(reading);
    section("Totals since initialisation and since reset");
    totals(reading, purse).print();
    if !reading.products.is_empty() {
        section("Products");
        products(&reading.products, purse).print();
    }
    print_coins(reading, purse);
    print_columns(reading, purse);
}

/// Headings of count and value, twice.
fn amounts(purse: Purse<'_>) -> [Column; 4] {
    [
        Column::right("Vends").optional(),
        Column::right(purse.heading()).optional(),
        Column::right("Reset vends").optional(),
        Column::right(format!("Reset {}", purse.code().unwrap_or("value"))).optional(),
    ]
}

/// Rows that say nothing, or that say nothing but zero of what is rare, are left out.
fn totals(reading: &Reading<'_>, purse: Purse<'_>) -> Table {
    let totals = &reading.totals;
    let mut table = Table::new([Column::left("")].into_iter().chain(amounts(purse))).indent(2).empty("None.");
    let mut row = |name: &str, both: Both<Amount>, is_rare: bool| {
        let told =
            [both.since_init.count, both.since_init.value, both.since_reset.count, both.since_reset.value];
        let is_told = told.into_iter().flatten().any(|number| number > 0 || !is_rare);
        if is_told {
            table.row([Cell::from(name)].into_iter().chain(purse.cells(both)));
        }
    };
    row("paid vends", totals.vends, false);
    row("by cash", totals.cash_sales, false);
    row("by cashless 1", totals.cashless_1_sales, false);
    row("by cashless 2", totals.cashless_2_sales, true);
    row("by vend token", totals.token_sales, true);
    row("by value token", totals.value_token_sales, true);
    row("free vends", totals.free_vends, true);
    row("test vends", totals.test_vends, true);
    row("discounts", totals.discounts, true);
    row("surcharges", totals.surcharges, true);
    row("cash discounts", totals.cash_discounts, true);
    row("cash surcharges", totals.cash_surcharges, true);
    for (name, both, is_rare) in sums(reading) {
        row(name, worth(both), is_rare);
    }
    table
}

/// Sums of money without a count.
fn sums(reading: &Reading<'_>) -> [(&'static str, Both<Option<Minor>>, bool); 18] {
    let totals = &reading.totals;
    let cash_in = |of: fn(&CashIn) -> Option<Minor>| both(&totals.cash_in, of);
    let cash_out = |of: fn(&CashOut) -> Option<Minor>| both(&totals.cash_out, of);
    let now = |value| Both { since_init: value, since_reset: None };
    [
        ("cash in", cash_in(|cash| cash.total), false),
        ("  coins to the box", cash_in(|cash| cash.cash_box), true),
        ("  coins to the tubes", cash_in(|cash| cash.tubes), true),
        ("  bills", cash_in(|cash| cash.bills), true),
        ("  bills to the recycler", cash_in(|cash| cash.recycler), true),
        ("cash out", cash_out(|cash| cash.dispensed), false),
        ("  by hand", cash_out(|cash| cash.manual), true),
        ("  bills", cash_out(|cash| cash.bills_dispensed), true),
        ("coins filled in", totals.cash_filled, true),
        ("bills filled in", totals.bills_filled, true),
        ("overpaid", totals.overpay, true),
        ("sold while change was short", totals.exact_change_vends, true),
        ("cashless 1: debited", totals.cashless_1.debited, true),
        ("cashless 1: put on cards", totals.cashless_1.credited, true),
        ("cashless 2: debited", totals.cashless_2.debited, true),
        ("cashless 2: put on cards", totals.cashless_2.credited, true),
        ("in the tubes now", now(totals.tube_value), false),
        ("in the bill recycler now", now(totals.recycler_value), true),
    ]
}

fn both<T>(both: &Both<T>, of: fn(&T) -> Option<Minor>) -> Both<Option<Minor>> {
    Both { since_init: of(&both.since_init), since_reset: of(&both.since_reset) }
}

fn worth(both: Both<Option<Minor>>) -> Both<Amount> {
    let amount = |value| Amount { count: None, value };
    Both { since_init: amount(both.since_init), since_reset: amount(both.since_reset) }
}

fn products(products: &[Product<'_>], purse: Purse<'_>) -> Table {
    let first =
        [Column::left("Sel"), Column::left("Name").optional().elastic(), Column::right("Price").optional()];
    let last = [
        Column::right("Free").optional(),
        Column::right("Test").optional(),
        Column::right("Left").optional(),
        Column::left("By payment").optional(),
        Column::left("Sold out").optional(),
    ];
    let mut table = Table::new(first.into_iter().chain(amounts(purse)).chain(last)).indent(2);
    let mut sum = Both::default();
    for product in products {
        let sold = sold(product);
        sum = plus_both(sum, sold);
        let name = Cell::maybe(product.name.as_ref().map(|name| name.trim()));
        let head = [Cell::new(&product.selection), name, purse.cell(product.price)];
        let some = |amount: Both<Amount>| Cell::maybe(amount.since_init.count.filter(|count| *count > 0));
        let tail = [
            some(product.free_vends),
            some(product.test_vends),
            Cell::maybe(left(product)),
            Cell::from(payments(product)),
            sold_out(product),
        ];
        table.row(head.into_iter().chain(purse.cells(sold)).chain(tail));
    }
    if products.len() > 1 {
        let bold = |cell: Cell| cell.tone(Tone::Bold);
        let head = [Cell::from("all").tone(Tone::Bold), Cell::default(), Cell::default()];
        table.row(head.into_iter().chain(purse.cells(sum).map(bold)));
    }
    table
}

/// Paid vends: PA2, or what PA7 adds up to, which supersedes it.
fn sold(product: &Product<'_>) -> Both<Amount> {
    if product.vends != Both::default() {
        return product.vends;
    }
    product.payments.iter().fold(Both::default(), |sum, payment| plus_both(sum, payment.vends))
}

/// `5 of 18`
fn left(product: &Product<'_>) -> Option<String> {
    let level = product.level?;
    Some(product.capacity.map_or_else(|| level.to_string(), |capacity| format!("{level} of {capacity}")))
}

/// `cash 120, cashless 1 35`: vends since initialisation.
fn payments(product: &Product<'_>) -> String {
    let mut by: Vec<(&str, Count)> = Vec::new();
    for payment in &product.payments {
        let count = payment.vends.since_init.count.unwrap_or(0);
        match by.iter_mut().find(|(device, _)| *device == payment.device) {
            Some((_, sum)) => *sum = sum.saturating_add(count),
            None => by.push((&payment.device, count)),
        }
    }
    by.retain(|(_, count)| *count > 0);
    let told = by.into_iter().map(|(device, count)| match device {
        "CA" => format!("cash {count}"),
        "DA" => format!("card {count}"),
        "DB" => format!("card 2 {count}"),
        "TA" => format!("token {count}"),
        other => format!("{other} {count}"),
    });
    told.collect::<Vec<_>>().join(", ")
}

fn sold_out(product: &Product<'_>) -> Cell {
    if product.is_missing {
        return Cell::from("no column").tone(Tone::Warn);
    }
    let Some(SoldOut { at, presses }) = product.sold_out else { return Cell::default() };
    let presses = presses.filter(|presses| *presses > 0).map(|presses| format!("asked for {presses} times"));
    let told: Vec<String> = at.map(moment).into_iter().chain(presses).collect();
    Cell::from(told.join(", "))
}

fn print_coins(reading: &Reading<'_>, purse: Purse<'_>) {
    let columns = [
        Column::right("Tube"),
        Column::right("Coin").optional(),
        Column::right("Coins"),
        Column::right(purse.heading()).optional(),
        Column::left("").optional(),
    ];
    let mut tubes = Table::new(columns).indent(2);
    for tube in &reading.coin_tubes {
        let worth = tube.value.zip(tube.coins).and_then(|(value, coins)| value.checked_mul(coins));
        let full = if tube.is_full { Cell::from("full").tone(Tone::Warn) } else { Cell::default() };
        tubes.row([
            Cell::maybe(tube.coin),
            purse.cell(tube.value),
            Cell::maybe(tube.coins),
            purse.cell(worth),
            full,
        ]);
    }
    if !tubes.is_empty() {
        section("Coin tubes");
        tubes.print();
    }
    let columns = [
        Column::right(purse.heading()),
        Column::right("Accepted").optional(),
        Column::right("Stacked").optional(),
        Column::right("Reset accepted").optional(),
        Column::right("Reset stacked").optional(),
    ];
    let mut bills = Table::new(columns).indent(2);
    for bill in &reading.bills {
        let (accepted, stacked) = (bill.accepted, bill.stacked);
        let counts = [accepted.since_init, stacked.since_init, accepted.since_reset, stacked.since_reset];
        bills.row([purse.cell(bill.value)].into_iter().chain(counts.map(Cell::maybe)));
    }
    if !bills.is_empty() {
        section("Bills");
        bills.print();
    }
}

/// What Coca-Cola's machines tell of their columns.
fn print_columns(reading: &Reading<'_>, purse: Purse<'_>) {
    let columns = [
        Column::left("Column"),
        Column::left("Motors").optional(),
        Column::right("By card").optional(),
        Column::right(purse.heading()).optional(),
    ];
    let mut table = Table::new(columns).indent(2);
    for column in &reading.columns {
        let card = reading.cards.iter().find(|card| card.column == column.column);
        let [count, value] = purse.pair(card.map(|card| card.sales).unwrap_or_default());
        table.row([Cell::new(&column.column), Cell::maybe(column.motors.as_ref()), count, value]);
    }
    for card in &reading.cards {
        if !reading.columns.iter().any(|column| column.column == card.column) {
            let [count, value] = purse.pair(card.sales);
            table.row([Cell::new(&card.column), Cell::default(), count, value]);
        }
    }
    if !table.is_empty() {
        section("Columns");
        table.print();
    }
}
