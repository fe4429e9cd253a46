//! `ferry signals`: the alerts that came in, and what became of them.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;

use super::paint::{self, Tone};
use super::table::{Cell, Column, Table};
use crate::remote::{Place, Remote, Target, block_on};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  ferry signals                       the last 20
  ferry signals --status refused      those that became no order, and why
  ferry signals --json | jq '.[0].payload'")]
pub(super) struct Arguments {
    /// Only this owner's
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Only those that stand so
    #[arg(long, value_parser = ["pending", "processing", "ordered", "refused", "failed"])]
    status: Option<String>,
    /// How many, the latest first
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(arguments: &Arguments, place: &Place) -> Result<ExitCode> {
    let remote = Remote::find(&arguments.target, place)?;
    let Arguments { user, status, limit, .. } = arguments;
    let rows: Vec<Value> = block_on(async {
        Ok(remote
            .select("webhook_signals", *limit, |mut query| {
                query = query.select("*").order("received_at.desc");
                if let Some(user) = user {
                    query = query.eq("user_id", user);
                }
                if let Some(status) = status {
                    query = query.eq("status", status);
                }
                query
            })
            .await?)
    })?;
    if arguments.json {
        paint::line(format!("{:#}", Value::from(rows)));
        return Ok(ExitCode::SUCCESS);
    }
    let columns = [
        Column::left("Received"),
        Column::left("Symbol"),
        Column::left("Action"),
        Column::left("Status"),
        Column::left("Why").elastic(),
        Column::left("Signal"),
    ];
    let mut table = Table::new(columns).empty("No signals.");
    for row in &rows {
        let text = |value: &Value| Cell::new(value.as_str().unwrap_or(""));
        let tone = match row["status"].as_str() {
            Some("ordered") => Tone::Good,
            Some("refused" | "failed") => Tone::Bad,
            _ => Tone::Plain,
        };
        table.row([
            Cell::new(&seconds(&row["received_at"])),
            text(&row["symbol"]),
            text(&row["signal"]["action"]),
            text(&row["status"]).tone(tone),
            Cell::new(&why(row)),
            text(&row["id"]),
        ]);
    }
    table.print();
    Ok(ExitCode::SUCCESS)
}

/// `2026-11-21T14:30:00`
pub(super) fn seconds(time: &Value) -> String {
    time.as_str().unwrap_or("").chars().take(19).collect()
}

/// The reasons against it, or what the last attempt said, or how the order came about.
fn why(row: &Value) -> String {
    let messages = |list: &Value| -> Vec<String> {
        let message = |one: &Value| one["message"].as_str().or(one.as_str()).unwrap_or_default().to_owned();
        list.as_array().into_iter().flatten().map(message).collect()
    };
    let refusals = messages(&row["refusals"]);
    match (refusals.is_empty(), row["last_error"].as_str()) {
        (false, _) => refusals.join("; "),
        (true, Some(error)) if row["finished_at"].is_null() => error.to_owned(),
        _ => messages(&row["reasons"]).join("; "),
    }
}
