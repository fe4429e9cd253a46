//! What was sold in an interval, by counter and selection.

use std::collections::HashMap;

use eva_dts::{Amount, Continuity, Counter, Interval, Reading, Sale, Snapshot};
use serde::Serialize;

use super::changes::Products;

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
    let totals = |snapshot: &Snapshot| -> HashMap<(Option<String>, Counter), Amount> {
        let lines = snapshot.lines.iter();
        lines.map(|line| ((line.selection.clone(), line.counter), line.total)).collect()
    };
    let (before, after) = (totals(before), totals(after));
    let came_round = |sale: &&Sale<'_>| {
        let line = (sale.selection.map(str::to_owned), sale.counter);
        let total = |totals: &HashMap<_, Amount>| totals.get(&line).copied().unwrap_or_default();
        let (old, new) = (total(&before), total(&after));
        fell(old.count, new.count, sale.sold.count) || fell(old.value, new.value, sale.sold.value)
    };
    interval.sales.iter().filter(came_round).count()
}

/// What the counters gained of the machine, and of each selection in the order of the newer file.
pub(super) fn sold(
    interval: &Interval<'_>,
    before: &Reading<'_>,
    after: &Reading<'_>,
) -> (Vec<Total>, Vec<Selection>) {
    let mut by: HashMap<Option<&str>, Vec<Total>> = HashMap::new();
    for sale in &interval.sales {
        let total = Total { counter: sale.counter.name(), sold: sale.sold };
        by.entry(sale.selection).or_default().push(total);
    }
    let machine = by.remove(&None).unwrap_or_default();
    let (known, products) = (Products::of(before), Products::of(after));
    let selections = products.in_order(after).filter_map(|product| {
        let sold = by.remove(&Some(product.selection.as_ref()))?;
        let old_name = || known.get(&product.selection)?.name.as_ref();
        let name = product.name.as_ref().or_else(old_name).map(|name| name.trim().to_owned());
        let name = name.filter(|name| !name.is_empty());
        Some(Selection { selection: product.selection.to_string(), name, sold })
    });
    (machine, selections.collect())
}
