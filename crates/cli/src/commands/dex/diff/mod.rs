//! `ferry dex diff`: two captures of a machine, and what happened between them.

mod changes;
mod compare;
mod print;
mod sold;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use super::files;
use crate::commands::{Misuse, paint};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  ferry dex diff monday.dex tuesday.dex
  ferry dex diff --json monday.dex tuesday.dex | jq '.totals[] | select(.counter == \"vends\") .count'

Sales are differences of the counters since initialisation; those since reset play no part, since anybody may
reset them. Of a file with several captures the last one is taken.

The JSON object: old, new (file, serial, clock, crc), comparable, and where it is false, reason: not_dex,
mismatch, truncated, other_machine, wrong_order or decimals_changed. Else continuity (continuous,
reinitialised, rolled_back), wrapped (how many counters came round), decimals, currency, totals, selections,
prices, added, removed, events and cash. Money is in minor units.

Exit code 0 says that the two could be compared, changed or not, 1 that they could not, 2 that a file could
not be read.")]
pub(in crate::commands) struct Arguments {
    /// The older capture; - is standard input
    old: PathBuf,
    /// The newer capture; - is standard input
    new: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.old.as_os_str() == "-" && arguments.new.as_os_str() == "-" {
        return Err(Misuse("standard input can be one of the two, not both".to_owned()).into());
    }
    let (old, new) = (files::read(&arguments.old)?, files::read(&arguments.new)?);
    let (old, new) = (eva_dts::parse(&old), eva_dts::parse(&new));
    let old = compare::Capture::last(files::name(&arguments.old), &old);
    let new = compare::Capture::last(files::name(&arguments.new), &new);
    let comparison = compare::compare(&old, &new);
    if arguments.json {
        paint::line(serde_json::to_string_pretty(&comparison)?);
    } else {
        print::print(&comparison);
    }
    Ok(if comparison.comparable { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
