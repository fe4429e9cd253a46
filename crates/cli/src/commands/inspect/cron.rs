//! `ferry inspect cron`: pg_cron's own view. What came of a job's calls, `ferry cron` tells.

use std::process::ExitCode;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_postgres::Client;

use super::{duration, moment, print_json, rows};
use crate::commands::paint::{self, Tone};
use crate::commands::table::{Cell, Column, Table};
use crate::database::ask_one;

#[derive(Serialize, Deserialize)]
struct Job {
    id: i64,
    name: String,
    schedule: String,
    active: bool,
    last_run_at: Option<String>,
    last_status: Option<String>,
    last_error: Option<String>,
    runs: u64,
    failures: u64,
    average_ms: Option<f64>,
}

pub(super) async fn show(client: &Client, json: bool) -> Result<ExitCode> {
    let installed = ask_one(client, "select to_regclass('cron.job') is not null", &[]).await?;
    if !installed.try_get::<_, bool>(0)? {
        bail!("pg_cron is not installed in this database: create extension pg_cron with schema pg_catalog;");
    }
    let jobs: Vec<Job> = rows(client, include_str!("sql/cron.sql"), &[]).await?;
    let is_failing = jobs.iter().any(|job| job.last_status.as_deref() == Some("failed"));
    if json {
        print_json(&json!({ "jobs": jobs }));
    } else {
        print(jobs);
    }
    Ok(if is_failing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(jobs: Vec<Job>) {
    let columns = [
        Column::left("Job"),
        Column::left("Schedule"),
        Column::left("Last run"),
        Column::left("Status"),
        Column::right("Runs 24 h"),
        Column::right("Failed"),
        Column::right("Mean"),
        Column::left("Error").optional().elastic(),
    ];
    let mut table = Table::new(columns).empty("No jobs.");
    for job in jobs {
        let (status, tone) = match (job.active, job.last_status.as_deref()) {
            (false, _) => ("switched off", Tone::Warn),
            (true, None) => ("never ran", Tone::Warn),
            (true, Some("failed")) => ("failed", Tone::Bad),
            (true, Some(status)) => (status, Tone::Good),
        };
        let failures = Cell::from(job.failures).tone(if job.failures > 0 { Tone::Bad } else { Tone::Plain });
        table.row([
            job.name.into(),
            job.schedule.into(),
            Cell::maybe(job.last_run_at.as_deref().map(moment)),
            Cell::from(status).tone(tone),
            job.runs.into(),
            failures,
            Cell::maybe(job.average_ms.map(|ms| duration(ms / 1000.0))),
            Cell::maybe(job.last_error),
        ]);
    }
    table.print();
    let more =
        "`succeeded` says that the SQL ran, so that a call was queued. `ferry cron` tells what came of it.";
    paint::line(paint::faint(more));
}
