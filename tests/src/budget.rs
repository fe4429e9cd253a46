//! What an operation may cost in the units that do not change with the weather: calls of the database,
//! allocations. `tests/budget.json` has them; tests measure and compare.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use crate::lab::project;

/// What one operation needs, by what it needs.
pub type Needs = BTreeMap<String, usize>;

/// What a part of the budget permits, by operation.
pub fn allowed(part: &str) -> Result<BTreeMap<String, Needs>> {
    let path = project().join("tests/budget.json");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut all: BTreeMap<String, BTreeMap<String, Needs>> = serde_json::from_str(&text)?;
    all.remove(part).with_context(|| format!("{} has no {part}", path.display()))
}

/// Compares what was measured with a part of the budget: no operation may need more of anything, and one
/// that needs less has its entry lowered, or the next who spends it would not be noticed.
pub fn check(part: &str, measured: &BTreeMap<String, Needs>) -> Result<()> {
    let allowed = &allowed(part)?;
    ensure!(
        allowed == measured,
        "{part} differ from tests/budget.json. Is it meant? Then write there:\n\"{part}\": {}\nDifferent:\n{}",
        serde_json::to_string_pretty(measured)?,
        differences(allowed, measured).join("\n")
    );
    Ok(())
}

fn differences(allowed: &BTreeMap<String, Needs>, measured: &BTreeMap<String, Needs>) -> Vec<String> {
    let flat = |all: &BTreeMap<String, Needs>| -> BTreeMap<String, usize> {
        let pairs = all.iter().flat_map(|(operation, needs)| {
            needs.iter().map(move |(what, count)| (format!("{operation}: {what}"), *count))
        });
        pairs.collect()
    };
    let (allowed, measured) = (flat(allowed), flat(measured));
    let mut names: Vec<&String> = allowed.keys().chain(measured.keys()).collect();
    names.sort();
    names.dedup();
    let count = |all: &BTreeMap<String, usize>, name: &String| all.get(name).copied().unwrap_or(0);
    names
        .into_iter()
        .map(|name| (name, count(&allowed, name), count(&measured, name)))
        .filter(|(_, allowed, measured)| allowed != measured)
        .map(|(name, allowed, measured)| format!("  {name}: {allowed} allowed, {measured} measured"))
        .collect()
}
