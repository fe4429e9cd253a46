//! What else changed: prices, faults and events, cash.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use eva_dts::{Amount, Both, Continuity, Event, Minor, Moment, Product, Reading};
use serde::Serialize;

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Price {
    pub(super) selection: String,
    pub(super) from: Minor,
    pub(super) to: Minor,
}

/// Products by their selection; of one that is listed twice the first counts.
pub(super) struct Products<'a>(HashMap<&'a str, &'a Product<'a>>);

impl<'a> Products<'a> {
    pub(super) fn of(reading: &'a Reading<'_>) -> Self {
        // The first one shall win: it is put in last.
        Self(reading.products.iter().rev().map(|product| (product.selection.as_ref(), product)).collect())
    }

    pub(super) fn get(&self, selection: &str) -> Option<&'a Product<'a>> {
        self.0.get(selection).copied()
    }

    /// Those of a file, each once, in its order.
    pub(super) fn in_order<'b>(&'b self, reading: &'b Reading<'_>) -> impl Iterator<Item = &'b Product<'b>> {
        let is_first = |product: &&'b Product<'b>| {
            self.get(&product.selection).is_some_and(|first| std::ptr::eq(first, *product))
        };
        reading.products.iter().filter(is_first)
    }
}

/// Of selections that both have.
pub(super) fn prices(before: &Reading<'_>, after: &Reading<'_>) -> Vec<Price> {
    let known = Products::of(before);
    let changed = Products::of(after);
    let changed = changed.in_order(after).filter_map(|new| {
        let (from, to) = (known.get(&new.selection)?.price?, new.price?);
        (from != to).then(|| Price { selection: new.selection.to_string(), from, to })
    });
    changed.collect()
}

/// The selections of one capture that the other does not have.
pub(super) fn missing(of: &Reading<'_>, other: &Reading<'_>) -> Vec<String> {
    let (own, others) = (Products::of(of), Products::of(other));
    let missing = own.in_order(of).filter(|product| others.get(&product.selection).is_none());
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

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub(super) struct Named {
    pub(super) code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) selection: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
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
        let others: HashSet<&Named> = others.iter().collect();
        these.iter().filter(|event| !others.contains(event)).cloned().collect()
    };
    Events { began: only(&is, &was), ended: only(&was, &is), happened: happened(before, after) }
}

/// Events that go on (EA2), and the faults of makers (MA5), which have a code alone.
fn active(reading: &Reading<'_>) -> Vec<Named> {
    let mut active: Vec<Named> =
        reading.events.iter().filter(|event| event.is_active).map(Named::of).collect();
    let codes: HashSet<String> = active.iter().map(|event| event.code.clone()).collect();
    let faults = reading.errors.iter().filter(|code| !codes.contains(code.as_ref()));
    active.extend(faults.map(|code| Named { code: code.to_string(), selection: None }));
    each_once(active)
}

fn each_once<T: Clone + Eq + Hash>(list: Vec<T>) -> Vec<T> {
    let mut seen = HashSet::new();
    list.into_iter().filter(|one| seen.insert(one.clone())).collect()
}

fn happened(before: &Reading<'_>, after: &Reading<'_>) -> Vec<Happened> {
    let mut known: HashMap<Named, Vec<&Event<'_>>> = HashMap::new();
    for old in &before.events {
        known.entry(Named::of(old)).or_default().push(old);
    }
    let news = after.events.iter().filter_map(|new| {
        let event = Named::of(new);
        let mut olds = known.get(&event).into_iter().flatten();
        if new.at.is_some() {
            let is_known = olds.any(|old| old.at == new.at);
            return (!is_known).then_some(Happened { event, at: new.at, times: None });
        }
        let old = olds.find_map(|old| old.count.since_init)?;
        let times = new.count.since_init?.checked_sub(old).filter(|times| *times > 0)?;
        Some(Happened { event, at: None, times: Some(times) })
    });
    each_once(news.collect())
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
