//! What was sold in an interval, by counter and selection.

use eva_dts::{Amount, Continuity, Counter, Interval, Reading, Snapshot};
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Total {
    pub(super) counter: &'static str,
    #[serde(flatten)]
    pub(super) sold: Amount,
}

/// What a selection sold. Counters that gained nothing are left out.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the names of the JSON")]
pub(super) struct Selection {
    pub(super) selection: String,
    pub(super) name: Option<String>,
    pub(super) sold: Vec<Total>,
}

impl Selection {
    pub(super) fn of(&self, counter: Counter) -> Amount {
        let total = self.sold.iter().find(|total| total.counter == counter.name());
        total.map(|total| total.sold).unwrap_or_default()
    }
}

/// A line of which less is counted than before, and of which something was sold all the same.
pub(super) fn wrapped(pair: &[Snapshot; 2], interval: &Interval<'_>) -> usize {
    if interval.continuity != Continuity::Continuous {
        return 0;
    }
    let [before, after] = pair;
    let fell = |old: Option<u64>, new: Option<u64>, sold: Option<u64>| {
        old.zip(new).is_some_and(|(old, new)| new < old) && sold.is_some_and(|sold| sold > 0)
    };
    let came_round = |sale: &&eva_dts::Sale<'_>| {
        let total = |snapshot: &Snapshot| {
            let mut lines = snapshot.lines.iter();
            lines
                .find(|line| line.selection.as_deref() == sale.selection && line.counter == sale.counter)
                .map(|line| line.total)
                .unwrap_or_default()
        };
        let (old, new) = (total(before), total(after));
        fell(old.count, new.count, sale.sold.count) || fell(old.value, new.value, sale.sold.value)
    };
    interval.sales.iter().filter(came_round).count()
}

/// What the counters of a selection, or of the machine, gained.
pub(super) fn totals(interval: &Interval<'_>, selection: Option<&str>) -> Vec<Total> {
    let rows = interval.sales.iter().filter(|sale| sale.selection == selection);
    rows.map(|sale| Total { counter: sale.counter.name(), sold: sale.sold }).collect()
}

/// In the order of the newer file.
pub(super) fn selections(
    interval: &Interval<'_>,
    before: &Reading<'_>,
    after: &Reading<'_>,
) -> Vec<Selection> {
    let mut selections: Vec<Selection> = Vec::new();
    for product in &after.products {
        let selection = product.selection.as_ref();
        let sold = totals(interval, Some(selection));
        if sold.is_empty() || selections.iter().any(|known| known.selection == selection) {
            continue;
        }
        let known = before.products.iter().find(|known| known.selection == product.selection);
        let name = product.name.as_ref().or_else(|| known.and_then(|known| known.name.as_ref()));
        let name = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        selections.push(Selection { selection: selection.to_owned(), name, sold });
    }
    selections
}
