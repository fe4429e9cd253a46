//! `ferry cron`: for each job, whether its ticks come, what was answered to their calls, and what
//! became of the runs. pg_cron's own `succeeded` only says that a call was queued.

mod chain;
mod facts;
mod schedule;

use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::inspect::{duration, moment};
use super::paint::{self, Tone};
use super::table::{Cell, Column, Table};
use crate::database::{Database, Target};
use crate::remote::{Place, block_on};
use chain::Break;
use facts::{Facts, Job, Tick};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  ferry cron
  ferry cron collect-dex --last 20
  ferry cron --json | jq '.jobs[] | select(.broken)'

Exit code 1 says that the newest tick of a job broke, or did not come.")]
pub(super) struct Arguments {
    /// Only this job
    job: Option<String>,
    /// How many ticks of each job to show
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(i64).range(1..=500))]
    last: i64,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(arguments: &Arguments, place: &Place) -> Result<ExitCode> {
    let database = Database::find(&arguments.target, place)?;
    let mut facts = block_on(async { facts::ask(&database.connect().await?, arguments.last).await })?;
    if let Some(wanted) = &arguments.job {
        facts.jobs.retain(|job| job.name == *wanted);
        if facts.jobs.is_empty() {
            bail!("there is no job {wanted}; `ferry cron` lists them");
        }
    }
    if arguments.json {
        let jobs: Vec<Value> = facts.jobs.iter().map(|job| job_json(job, &facts)).collect();
        paint::line(format!("{:#}", json!({ "has_ledger": facts.has_ledger, "jobs": jobs })));
    } else {
        print(&facts);
    }
    let is_broken = facts.jobs.iter().any(|job| broken(job, &facts).is_some_and(|broken| !broken.mended));
    Ok(if is_broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What is wrong with a job now: its ticks do not come, or the newest that is over broke.
fn broken(job: &Job, facts: &Facts) -> Option<Break> {
    chain::job(job, facts).or_else(|| chain::tick(job, job.ticks.first()?, facts))
}

fn job_json(job: &Job, facts: &Facts) -> Value {
    let ticks = job.ticks.iter().map(|tick| {
        let runs: Vec<_> =
            tick.calls.iter().filter_map(|call| facts.runs.get(call.run_id.as_deref()?)).collect();
        json!({
            "at": tick.at.and_then(stamp), "fired": tick.status, "message": tick.message, "calls": tick.calls,
            "runs": runs, "broken": chain::tick(job, tick, facts),
        })
    });
    json!({
        "job": job.name, "schedule": job.schedule, "active": job.active, "calls_functions": chain::calls_functions(job),
        "broken": broken(job, facts), "ticks": ticks.collect::<Vec<_>>(),
    })
}

fn print(facts: &Facts) {
    for job in &facts.jobs {
        let verdict = match broken(job, facts) {
            None => paint::good("ok"),
            Some(broken) if broken.mended => paint::warn("mended"),
            Some(_) => paint::bad("broken"),
        };
        paint::line(format!("{}  {}  {verdict}", paint::bold(paint::harmless(&job.name)), job.schedule));
        if let Some(broken) = chain::job(job, facts) {
            for line in paint::lines(&broken.reason) {
                paint::line(format!("  {line}"));
            }
        }
        if job.ticks.is_empty() && broken(job, facts).is_none() {
            paint::line(paint::faint("  no tick yet"));
        }
        let mut table = table();
        for tick in &job.ticks {
            table.row(row(job, tick, facts));
        }
        if !table.is_empty() {
            table.print();
        }
    }
    if facts.jobs.is_empty() {
        paint::line(paint::faint("No jobs."));
    }
    if !facts.has_ledger {
        paint::line(paint::warn(
            "This database does not write down which call belongs to which job: apply the migration function_calls. \
             Until then the chain is known up to `fired`.",
        ));
    }
}

fn table() -> Table {
    Table::new([
        Column::left("Tick"),
        Column::left("Fired"),
        Column::left("Answer").optional(),
        Column::left("Run").optional(),
        Column::left("Where it broke").optional(),
    ])
    .indent(2)
}

fn row(job: &Job, tick: &Tick, facts: &Facts) -> [Cell; 5] {
    let fired = tick.status.as_deref().unwrap_or("?");
    let answers = tick.calls.iter().map(|call| match (call.status, call.answered) {
        (Some(status), _) => format!("{status} in {}", duration(call.took.unwrap_or_default())),
        (None, true) => "none".to_owned(),
        (None, false) => "not yet".to_owned(),
    });
    let runs = tick.calls.iter().filter_map(|call| facts.runs.get(call.run_id.as_deref()?)?.status.clone());
    let (reason, tone) = match chain::tick(job, tick, facts) {
        None => (String::new(), Tone::Plain),
        Some(broken) => (broken.reason, if broken.mended { Tone::Warn } else { Tone::Bad }),
    };
    [
        Cell::maybe(tick.at.and_then(stamp)),
        Cell::from(fired).tone(if fired == "failed" { Tone::Bad } else { Tone::Plain }),
        answers.collect::<Vec<_>>().join(", ").into(),
        runs.collect::<Vec<_>>().join(", ").into(),
        Cell::paragraph(&reason).tone(tone),
    ]
}

/// `2026-11-21 14:30:00`, UTC.
#[expect(clippy::cast_possible_truncation, reason = "seconds of our age")]
fn stamp(at: f64) -> Option<String> {
    let at = time::OffsetDateTime::from_unix_timestamp(at as i64).ok()?;
    Some(moment(&at.format(&time::format_description::well_known::Rfc3339).ok()?))
}
