//! `ferry sales`: what was sold, as the database's reports tell it.

mod ask;
mod csv;
mod days;
mod print;
mod row;

use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::json;
use time::Date;

use super::paint;
use crate::remote::{Place, Remote, Target, block_on};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  ferry sales                                      the last seven days
  ferry sales --days 30 --by machine --top 10
  ferry sales --by product --company 'Harbour Vending' --from 2026-11-01 --to 2026-11-15
  ferry sales --days 90 --csv > sales.csv
  ferry sales --json | jq '[.rows[].vends] | add'

Days are those of each company's time zone (settings.timezone). An interval between two captures counts to
the day on which it ended. JSON has one object: by, from, to and rows as the database gives them, money in
minor units with decimals beside it. CSV has amounts with their decimals: 12.50.

Exit code 1 says that the project refused or could not be reached, 2 that a setting is missing.")]
pub(super) struct Arguments {
    /// The first day, YYYY-MM-DD
    #[arg(long, value_name = "DATE", value_parser = days::parse, conflicts_with = "days")]
    from: Option<Date>,
    /// The last day, YYYY-MM-DD [default: today]
    #[arg(long, value_name = "DATE", value_parser = days::parse)]
    to: Option<Date>,
    /// How many days, the last one included
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=3660))]
    days: u16,
    /// What a bar stands for
    #[arg(long, value_enum, default_value_t = By::Day)]
    by: By,
    /// Only this company, by its name or id
    #[arg(long, value_name = "NAME|ID")]
    company: Option<String>,
    /// How many machines or products to show, the best first; 0 shows all
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    /// Draw bars with # instead of blocks
    #[arg(long)]
    ascii: bool,
    /// Print one JSON object
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print comma-separated values
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum By {
    Day,
    Machine,
    Product,
}

pub(super) fn run(arguments: &Arguments, place: &Place) -> Result<ExitCode> {
    let days = days::Days::of(arguments)?;
    let remote = Remote::find(&arguments.target, place)?;
    let answer = block_on(ask::ask(&remote, days, arguments.by, arguments.company.as_deref()))?;
    if arguments.json {
        let (from, to) = (days.from.to_string(), days.to.to_string());
        let told = json!({"by": arguments.by, "from": from, "to": to, "rows": answer.rows});
        paint::line(format!("{told:#}"));
    } else if arguments.csv {
        csv::print(&answer.read()?, arguments.by);
    } else {
        print::print(&answer.read()?, days, arguments);
    }
    Ok(ExitCode::SUCCESS)
}
