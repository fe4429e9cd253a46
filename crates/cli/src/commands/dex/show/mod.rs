//! `ferry dex show`: a capture as a report for people, or as JSON.

mod head;
mod sold;
mod state;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use eva_dts::{Dump, Report};

use super::{files, verdict};
use crate::commands::paint;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  ferry dex show audit.dex
  unzip -p captures.zip one.dex | ferry dex show -
  ferry dex show --json audit.dex | jq '.[0].totals.vends.since_init'

With --json it is an array with one object a capture: identity, currency, totals, products, coin_tubes,
events, reads, temperatures, errors, crc, warnings, segments and, where the file has them, more. Money is
in minor units: 1250 with currency.decimals 2 is 12.50. What a file does not say is left out.

Exit code 0 says that there was a capture, be it damaged (`ferry dex check` judges), 1 that there was none,
2 that the file could not be read.")]
pub(in crate::commands) struct Arguments {
    /// The file; - is standard input
    file: PathBuf,
    /// Print JSON instead of a report
    #[arg(long)]
    json: bool,
    /// Also show events without a date or count, and all warnings
    #[arg(long)]
    all: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let file = files::read(&arguments.file)?;
    let dumps = eva_dts::parse(&file);
    let captures: Vec<&Dump<'_>> = dumps.iter().filter(|dump| verdict::is_dex(dump)).collect();
    if arguments.json {
        let reports: Vec<Report> = captures.iter().map(|dump| dump.report()).collect();
        paint::line(serde_json::to_string_pretty(&reports)?);
    }
    if captures.is_empty() {
        let name = files::name(&arguments.file);
        anstream::eprintln!("{} {name} is not a DEX file.", paint::bad("error:"));
        return Ok(ExitCode::FAILURE);
    }
    if !arguments.json {
        for (place, dump) in captures.iter().enumerate() {
            if place > 0 {
                paint::line("");
            }
            let of = (captures.len() > 1).then_some((place + 1, captures.len()));
            print(dump, of, arguments.all);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(dump: &Dump<'_>, of: Option<(usize, usize)>, all: bool) {
    let reading = dump.reading();
    head::print(dump, &reading, of);
    sold::print(&reading);
    state::print(&reading, all);
}

fn section(title: &str) {
    paint::line("");
    paint::line(paint::bold(title));
}
