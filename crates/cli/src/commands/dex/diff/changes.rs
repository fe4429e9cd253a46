//! What else changed: prices, faults and events, cash.

use eva_dts::{Amount, Both, Continuity, Event, Minor, Moment, Reading};
use serde::Serialize;

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Price {
    pub(super) selection: String,
    pub(super) from: Minor,
    pub(super) to: Minor,
}

/// Of selections that both have; the first of each counts.
pub(super) fn prices(before: &Reading<'_>, after: &Reading<'_>) -> Vec<Price> {
    let changed = after.products.iter().filter_map(|new| {
        let old = before.products.iter().find(|old| old.selection == new.selection)?;
        let (from, to) = (old.price?, new.price?);
        (from != to).then(|| Price { selection: new.selection.to_string(), from, to })
    });
    let mut prices: Vec<Price> = Vec::new();
    for price in changed {
        if prices.iter().all(|known| known.selection != price.selection) {
            prices.push(price);
        }
    }
    prices
}

/// The selections of one capture that the other does not have.
pub(super) fn missing(of: &Reading<'_>, other: &Reading<'_>) -> Vec<String> {
    let is_there = |selection: &str| other.products.iter().any(|product| product.selection == selection);
    let missing = of.products.iter().filter(|product| !is_there(&product.selection));
    missing.map(|product| product.selection.to_string()).collect()
}

/// What began, what ended, and what happened in between.
#[derive(Default, Serialize)]
pub(super) struct Events {
    /// Active in the newer capture only.
    pub(super) began: Vec<Named>,
    /// Active in the older capture only.
    pub(super) ended: Vec<Named>,
    /// Counted more often in the newer capture, or dated there and not in the older one.
    pub(super) happened: Vec<Happened>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Named {
    pub(super) code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) selection: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Happened {
    #[serde(flatten)]
    pub(super) event: Named,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) times: Option<u64>,
}

impl Named {
    fn of(event: &Event<'_>) -> Self {
        let selection = event.selection.as_ref().map(ToString::to_string);
        Self { code: event.code.to_string(), selection }
    }
}

pub(super) fn events(before: &Reading<'_>, after: &Reading<'_>) -> Events {
    let (was, is) = (active(before), active(after));
    let only = |these: &[Named], others: &[Named]| {
        these.iter().filter(|event| !others.contains(event)).cloned().collect()
    };
    Events { began: only(&is, &was), ended: only(&was, &is), happened: happened(before, after) }
}

/// Events that go on (EA2), and the faults of makers (MA5), which have a code alone.
fn active(reading: &Reading<'_>) -> Vec<Named> {
    let mut active: Vec<Named> = Vec::new();
    for event in reading.events.iter().filter(|event| event.is_active).map(Named::of) {
        if !active.contains(&event) {
            active.push(event);
        }
    }
    for code in &reading.errors {
        if active.iter().all(|event| event.code != *code) {
            active.push(Named { code: code.to_string(), selection: None });
        }
    }
    active
}

fn happened(before: &Reading<'_>, after: &Reading<'_>) -> Vec<Happened> {
    let news = after.events.iter().filter_map(|new| {
        let event = Named::of(new);
        let mut olds = before.events.iter().filter(|old| Named::of(old) == event);
        if new.at.is_some() {
            let is_known = olds.any(|old| old.at == new.at);
            return (!is_known).then_some(Happened { event, at: new.at, times: None });
        }
        let old = olds.find_map(|old| old.count.since_init)?;
        let times = new.count.since_init?.checked_sub(old).filter(|times| *times > 0)?;
        Some(Happened { event, at: None, times: Some(times) })
    });
    let mut happened: Vec<Happened> = Vec::new();
    for one in news {
        if !happened.contains(&one) {
            happened.push(one);
        }
    }
    happened
}

/// Where the cash went.
#[derive(Default, Serialize)]
pub(super) struct Cash {
    /// What moved in between, by counter; what did not is left out.
    pub(super) moved: Vec<Moved>,
    /// Coins in the tubes before and after, where they changed.
    pub(super) tubes: Vec<Tube>,
    /// What the tubes hold, before and after.
    pub(super) tube_value: Level,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Moved {
    pub(super) what: &'static str,
    pub(super) value: Minor,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Tube {
    pub(super) coin: u64,
    pub(super) value: Option<Minor>,
    pub(super) from: u64,
    pub(super) to: u64,
}

#[derive(Default, Serialize)]
pub(super) struct Level {
    pub(super) from: Option<Minor>,
    pub(super) to: Option<Minor>,
}

pub(super) fn cash(before: &Reading<'_>, after: &Reading<'_>, continuity: Continuity) -> Cash {
    let moved = counters(before).into_iter().zip(counters(after)).filter_map(|((what, old), (_, new))| {
        let value = match continuity {
            Continuity::Continuous => new?.checked_sub(old?)?,
            // What they show is since the new beginning.
            Continuity::Reinitialised => new?,
            Continuity::RolledBack | Continuity::BoardChanged => return None,
        };
        (value > 0).then_some(Moved { what, value })
    });
    let tubes = after.coin_tubes.iter().filter_map(|new| {
        let old = before.coin_tubes.iter().find(|old| old.coin == new.coin)?;
        let (from, to) = (old.coins?, new.coins?);
        (from != to).then_some(Tube { coin: new.coin?, value: new.value.or(old.value), from, to })
    });
    Cash {
        moved: moved.collect(),
        tubes: tubes.collect(),
        tube_value: Level { from: before.totals.tube_value, to: after.totals.tube_value },
    }
}

/// The counters of cash since initialisation.
fn counters(reading: &Reading<'_>) -> [(&'static str, Option<Minor>); 10] {
    let totals = &reading.totals;
    let (paid, given) = (&totals.cash_in.since_init, &totals.cash_out.since_init);
    let of = |both: Both<Option<Minor>>| both.since_init;
    let Both { since_init: Amount { value: sales, .. }, .. } = totals.cash_sales;
    [
        ("sales", sales),
        ("in", paid.total),
        ("to_box", paid.cash_box),
        ("to_tubes", paid.tubes),
        ("bills", paid.bills),
        ("out", given.dispensed),
        ("out_by_hand", given.manual),
        ("bills_out", given.bills_dispensed),
        ("filled", of(totals.cash_filled)),
        ("overpaid", of(totals.overpay)),
    ]
}
