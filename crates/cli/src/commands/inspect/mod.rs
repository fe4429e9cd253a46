//! `ferry inspect`: what a database is doing, how it is used, and what it leaves open.
//!
//! Each file asks one question; its SQL is in `sql/`. `database` finds the database and reads rows.

mod connections;
mod cron;
mod indexes;
mod long_queries;
mod rls;
mod slow;
mod tables;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_postgres::Client;

use super::paint;
use crate::database::{Database, Parameters, Target, ask_one};
use crate::remote::{Place, block_on};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  ferry inspect connections
  ferry inspect long-queries --longer 60
  ferry inspect long-queries --kill 4711
  ferry inspect rls --json | jq -r '.findings[].remedy'

Exit code 1 says that something is wrong: no connections left, a failing job, an open gap, nothing to tell from.")]
pub(super) struct Arguments {
    #[command(subcommand)]
    question: Question,
    #[command(flatten)]
    target: Target,
    /// Print one JSON object instead of a table
    #[arg(long, global = true)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Question {
    /// Who is connected, and how many connections are left
    Connections,
    /// What has been running for long, what it waits for; ends it with --kill
    LongQueries(long_queries::Arguments),
    /// Which statements take the most time, by pg_stat_statements
    Slow(slow::Arguments),
    /// Which indexes are used, and which are not or twice there
    Indexes,
    /// How large the tables are
    Tables,
    /// When each job of pg_cron ran last, and how often it failed within a day
    Cron,
    /// What row level security leaves open, and what makes it slow
    Rls(rls::Arguments),
}

pub(super) fn run(arguments: &Arguments, place: &Place) -> Result<ExitCode> {
    let database = Database::find(&arguments.target, place)?;
    let json = arguments.json;
    block_on(async {
        let client = database.connect().await?;
        // For this transaction and no longer: behind a pooler the connection is another's afterwards.
        client.batch_execute("begin read only; set local statement_timeout = '60s'").await?;
        match &arguments.question {
            Question::Connections => connections::show(&client, json).await,
            Question::LongQueries(arguments) => long_queries::show(&client, arguments, json).await,
            Question::Slow(arguments) => slow::show(&client, arguments, json).await,
            Question::Indexes => indexes::show(&client, json).await,
            Question::Tables => tables::show(&client, json).await,
            Question::Cron => cron::show(&client, json).await,
            Question::Rls(arguments) => rls::show(&client, arguments, place, json).await,
        }
    })
}

/// The rows of a query, by the names of its columns.
pub(super) async fn rows<T: DeserializeOwned>(
    client: &Client,
    query: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<T>> {
    let query = format!("select coalesce(jsonb_agg(to_jsonb(one_row)), '[]') from ({query}) as one_row");
    let row = ask_one(client, &query, parameters).await?;
    serde_json::from_value(row.try_get::<_, Value>(0)?)
        .context("the database answered in an unexpected shape")
}

fn print_json(value: &Value) {
    paint::line(format!("{value:#}"));
}

/// `12.3 MB`
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} B"),
    }
}

/// `850 ms`, `12 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "no negative and no endless time"
)]
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0 => format!("{} ms", (seconds.max(0.0) * 1000.0).round() as u64),
        1..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {} s", whole / 60, whole % 60),
        3_600..86_400 => format!("{} h {} min", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

/// `2026-11-21 14:30:00` of the database's `2026-11-21T14:30:00.123+00:00`.
pub(super) fn moment(text: &str) -> String {
    text.get(..19).unwrap_or(text).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_for_people() {
        assert_eq!([0, 1_023, 1_536, 12_897_485].map(size), ["0 B", "1023 B", "1.5 kB", "12.3 MB"]);
        let told = [0.0123, 59.9, 185.0, 7_800.0, 356_400.0].map(duration);
        assert_eq!(told, ["12 ms", "59 s", "3 min 5 s", "2 h 10 min", "4 d 3 h"]);
        assert_eq!(moment("2026-11-21T14:30:00.123+00:00"), "2026-11-21 14:30:00");
    }
}
