//! What the database knows of each link: pg_cron's ticks, the ledger of calls, the tables of runs.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::database::{ask_all, ask_one};

/// Everything, at one moment.
#[derive(Deserialize)]
pub(super) struct Facts {
    /// Seconds since 1970, by the database's clock.
    pub(super) now: f64,
    /// Nothing of pg_cron runs, so that no tick will come.
    pub(super) scheduler_gone: bool,
    /// The oldest call that is written down.
    pub(super) ledger_since: Option<f64>,
    pub(super) jobs: Vec<Job>,
    /// Whether calls are written down: the migration `function_calls` was applied.
    #[serde(default)]
    pub(super) has_ledger: bool,
    /// By their ids.
    #[serde(default)]
    pub(super) runs: HashMap<String, Run>,
}

/// A job of pg_cron, with its last ticks, the newest first.
#[derive(Clone, Default, Deserialize)]
pub(super) struct Job {
    pub(super) name: String,
    pub(super) schedule: String,
    pub(super) command: String,
    pub(super) active: bool,
    /// It was there then already; it may be older.
    pub(super) known_since: Option<f64>,
    pub(super) ticks: Vec<Tick>,
}

/// A row of `cron.job_run_details`.
#[derive(Clone, Default, Deserialize)]
pub(super) struct Tick {
    pub(super) status: Option<String>,
    pub(super) message: Option<String>,
    pub(super) at: Option<f64>,
    pub(super) calls: Vec<Call>,
}

/// A row of `private.function_calls`, with pg_net's answer.
#[derive(Clone, Default, Deserialize, Serialize)]
pub(super) struct Call {
    pub(super) function: String,
    pub(super) request_id: i64,
    pub(super) at: f64,
    pub(super) status: Option<u16>,
    pub(super) error: Option<String>,
    pub(super) answered: bool,
    pub(super) took: Option<f64>,
    pub(super) run_id: Option<String>,
    pub(super) queued: bool,
    pub(super) is_retry: bool,
    pub(super) retry: Option<Retry>,
}

/// The same call once more, by a later tick.
#[derive(Clone, Default, Deserialize, Serialize)]
pub(super) struct Retry {
    pub(super) at: f64,
    pub(super) status: Option<u16>,
    pub(super) answered: bool,
    pub(super) error: Option<String>,
}

/// A row of `collection_runs`, or of another table of runs.
#[derive(Clone, Default, Deserialize, Serialize)]
pub(super) struct Run {
    pub(super) table: String,
    pub(super) status: Option<String>,
    pub(super) error: Option<String>,
    /// Seconds since it began.
    pub(super) age: Option<f64>,
}

/// Asks the database.
pub(super) async fn ask(client: &Client, ticks: i64) -> Result<Facts> {
    let installed =
        "select to_regclass('cron.job') is not null, to_regclass('private.function_calls') is not null";
    let there = ask_one(client, installed, &[]).await?;
    if !there.try_get::<_, bool>(0)? {
        bail!("pg_cron is not installed in this database, so nothing is scheduled");
    }
    let has_ledger = there.try_get(1)?;
    let since = "(select extract(epoch from min(called_at)) from private.function_calls)";
    let (calls, since) =
        if has_ledger { (include_str!("calls.sql"), since) } else { ("'[]'::jsonb", "null") };
    let query = include_str!("facts.sql").replace("{calls}", calls).replace("{since}", since);
    let answer: Value = ask_one(client, &query, &[(&ticks, Type::INT8)]).await?.try_get(0)?;
    let mut facts: Facts =
        serde_json::from_value(answer).context("the database answered in an unexpected shape")?;
    facts.has_ledger = has_ledger;
    for call in facts.jobs.iter_mut().flat_map(|job| &mut job.ticks).flat_map(|tick| &mut tick.calls) {
        for error in [&mut call.error].into_iter().chain(call.retry.as_mut().map(|retry| &mut retry.error)) {
            *error = error.take().map(unescaped);
        }
    }
    facts.runs = runs(client, &facts.jobs).await?;
    Ok(facts)
}

/// The runs that the answers named, wherever they are kept: in tables of `public` called `…_runs`.
async fn runs(client: &Client, jobs: &[Job]) -> Result<HashMap<String, Run>> {
    let calls = jobs.iter().flat_map(|job| &job.ticks).flat_map(|tick| &tick.calls);
    let ids: Vec<&str> = calls.filter_map(|call| call.run_id.as_deref()).collect();
    let mut runs = HashMap::new();
    if ids.is_empty() {
        return Ok(runs);
    }
    let tables = "select format('%I.%I', table_schema, table_name), array_agg(column_name::text) from information_schema.columns
        where table_schema = 'public' and table_name like '%\\_runs' group by table_schema, table_name
        having array_agg(column_name::text) @> array['id', 'status'] order by 1";
    for row in ask_all(client, tables, &[]).await? {
        let table: String = row.try_get(0)?;
        let columns: Vec<String> = row.try_get(1)?;
        let has = |name: &str| columns.iter().any(|column| column == name);
        let error = if has("error") { "run.error::text" } else { "null::text" };
        let age = if has("started_at") { "extract(epoch from now() - run.started_at)" } else { "null" };
        let query = format!(
            "select run.id::text, jsonb_build_object('table', '{table}', 'status', run.status::text, 'error', {error}, 'age', {age})
             from {table} as run where run.id::text = any ($1)"
        );
        for row in ask_all(client, &query, &[(&ids, Type::TEXT_ARRAY)]).await? {
            let run = serde_json::from_value(row.try_get::<_, Value>(1)?)
                .context("a run of an unexpected shape")?;
            runs.insert(row.try_get(0)?, run);
        }
    }
    Ok(runs)
}

/// The ledger keeps an error as it stands in the JSON of the answer: `\n` is a line break. It may have been cut off
/// within an escape.
fn unescaped(stored: String) -> String {
    if !stored.contains('\\') {
        return stored;
    }
    let read = |text: &str| serde_json::from_str(&format!("\"{text}\"")).ok();
    let whole = || stored.rsplit_once('\\').and_then(|(whole, _)| read(whole));
    read(&stored).or_else(whole).unwrap_or(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_an_answer_is_read_as_its_json_meant_it() {
        for (stored, told) in [
            (r"42P01: no such table\nLINE 1: select", "42P01: no such table\nLINE 1: select"),
            (r"invalid input \", "invalid input "),
            (r"one\ntwo \u00", "one\ntwo "),
            ("Timeout of 10000 ms reached", "Timeout of 10000 ms reached"),
            (r#"a "path" C:\new"#, r#"a "path" C:\new"#),
        ] {
            assert_eq!(unescaped(stored.to_owned()), told);
        }
    }
}
