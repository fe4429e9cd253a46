//! `ferry cache status` and `metrics`.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;

use super::super::paint::{self, Tone};
use super::super::table::{Cell, Column, Table};
use super::{Metrics, Status, ask, encoded};
use crate::remote::{Method, Remote};

pub(super) async fn status(remote: &Remote, status: &Status) -> Result<ExitCode> {
    let path = status.name.as_deref().map(|name| format!("/{}", encoded(name))).unwrap_or_default();
    let entries = ask(remote, Method::GET, &path, None).await?;
    if status.json {
        paint::line(format!("{entries:#}"));
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new([
        Column::left("Project"),
        Column::left("Type"),
        Column::right("Bytes"),
        Column::right("Age"),
        Column::left("Source").optional(),
        Column::left("Standing"),
        Column::left("Last error").optional().elastic(),
    ])
    .empty("Nothing is cached.");
    for entry in entries.as_array().into_iter().flatten() {
        let (standing, tone) = standing(entry);
        table.row([
            text(entry, "project"),
            text(entry, "type"),
            Cell::maybe(entry["data_size"].as_u64()),
            Cell::maybe(entry["age_seconds"].as_u64().map(age)),
            text(entry, "kind"),
            Cell::from(standing).tone(tone),
            text(entry, "last_error"),
        ]);
    }
    table.print();
    Ok(ExitCode::SUCCESS)
}

fn text(entry: &Value, field: &str) -> Cell {
    Cell::maybe(entry[field].as_str())
}

fn standing(entry: &Value) -> (&'static str, Tone) {
    let expired = match (entry["age_seconds"].as_u64(), entry["fresh_seconds"].as_u64()) {
        (Some(age), Some(fresh)) => age >= fresh,
        _ => false,
    };
    match () {
        () if entry["needs_login_at"].is_string() => ("needs login", Tone::Bad),
        () if entry["refreshing"] == true => ("refreshing", Tone::Plain),
        () if entry["consecutive_failures"].as_u64().is_some_and(|failures| failures > 0) => {
            ("failing", Tone::Bad)
        }
        () if entry["data_size"].is_null() => ("not fetched yet", Tone::Warn),
        () if expired => ("expired", Tone::Warn),
        () => ("fresh", Tone::Good),
    }
}

/// Seconds in the largest unit that fits.
fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// In the order in which they are asked.
const LAYERS: [&str; 8] = ["memory", "file", "database", "origin", "stale", "miss", "refresh", "repair"];

pub(super) async fn metrics(remote: &Remote, metrics: &Metrics) -> Result<ExitCode> {
    let project = encoded(metrics.name.as_deref().unwrap_or(""));
    let path = format!("/metrics?hours={}&project={project}", metrics.hours);
    let figures = ask(remote, Method::GET, &path, None).await?;
    if metrics.json {
        paint::line(format!("{figures:#}"));
        return Ok(ExitCode::SUCCESS);
    }
    let ratio = figures["hit_ratio"].as_f64().map_or("-".to_owned(), percent);
    paint::line(format!(
        "{} reads in {} h, answered from the cache: {ratio}",
        figures["reads"], metrics.hours
    ));
    let mut table = Table::new([
        Column::left("Layer"),
        Column::right("Answers"),
        Column::right("Share").optional(),
        Column::right("p50 ms"),
        Column::right("p95 ms"),
        Column::right("p99 ms"),
    ]);
    for layer in LAYERS {
        let figures = &figures["layers"][layer];
        if figures.is_null() {
            continue;
        }
        let ms = |name: &str| Cell::maybe(figures[name].as_f64());
        table.row([
            layer.into(),
            Cell::maybe(figures["answers"].as_u64()),
            Cell::maybe(figures["ratio"].as_f64().map(percent)),
            ms("p50_ms"),
            ms("p95_ms"),
            ms("p99_ms"),
        ]);
    }
    if !table.is_empty() {
        table.print();
    }
    let refresh = &figures["refresh"];
    paint::line(format!(
        "{} sources, {} failing, {} overdue; refreshes begin {} s late at the most. {} alerts.",
        refresh["sources"],
        refresh["failing"],
        refresh["overdue"],
        refresh["lag_seconds_max"].as_f64().unwrap_or(0.0),
        figures["alerts"],
    ));
    Ok(ExitCode::SUCCESS)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
