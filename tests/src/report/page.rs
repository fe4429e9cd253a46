//! `docs/benchmarks.md`: the machine, what was aimed at, and the sections in order.

use std::fmt::Write as _;

use serde::Deserialize;

use super::{Section, Target, markdown};

/// Where and with what it was measured: names and values in order.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Machine(pub Vec<(String, String)>);

/// What became of one benchmark.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Its name on the command line.
    pub name: String,
    /// The machine's load averages just before it.
    pub load: String,
    /// How long it took.
    pub seconds: String,
    /// Nothing when it failed.
    pub sections: Vec<Section>,
}

const HEAD: &str = "# Benchmarks

Made by `scripts/bench`, which runs all of it on the local stack without its limits (`--no-limits`); changes by hand
are lost. What the figures mean, why a target is missed and what was tried is in [performance.md](performance.md).

Ratios are of what was measured side by side in one run, round by round in turns. A figure with a range in
brackets is the median of the rounds with the lowest and the highest. Absolute figures are this machine's.
";

/// The page.
#[must_use]
pub fn page(machine: &Machine, measured: &[Measured]) -> String {
    let mut text = format!("{HEAD}\n| | |\n|---|---|\n");
    for (name, value) in &machine.0 {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    let targets: Vec<&Target> =
        measured.iter().flat_map(|one| &one.sections).flat_map(|section| &section.targets).collect();
    let met = targets.iter().filter(|target| target.is_met()).count();
    let _ = write!(
        text,
        "\n## Targets\n\n{met} of {} are met.\n\n{}",
        targets.len(),
        markdown::targets(targets.iter().copied())
    );
    for one in measured {
        if one.sections.is_empty() {
            let _ = write!(text, "\n## {}\n\n`scripts/bench {}` failed in this run.\n", one.name, one.name);
        }
        for section in &one.sections {
            // The targets are all in one table already.
            let section = Section { targets: Vec::new(), ..section.clone() };
            let _ = write!(text, "\n{}", markdown::section(&section));
            let _ = write!(
                text,
                "\n`scripts/bench {}`; load before it: {}; it took {} s.\n",
                one.name, one.load, one.seconds
            );
        }
    }
    text
}
