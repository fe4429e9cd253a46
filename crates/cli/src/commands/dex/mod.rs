//! `ferry dex`: the audit files of vending machines, read without any project.

mod check;
mod diff;
mod files;
mod money;
mod show;
mod verdict;

use std::process::ExitCode;

use anyhow::Result;
use eva_dts::Moment;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Show what a capture says: the machine, its totals, products, coins, events and faults
    Show(show::Arguments),
    /// Say of each file whether it is sound
    Check(check::Arguments),
    /// Show what was sold between two captures of a machine, and what else changed
    Diff(diff::Arguments),
}

pub(super) fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Show(arguments) => show::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Diff(arguments) => diff::run(arguments),
    }
}

/// A moment for people: `2026-11-21 14:30:00`.
fn moment(moment: Moment) -> String {
    moment.to_string().replace('T', " ")
}
