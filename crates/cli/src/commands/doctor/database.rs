//! Inside the database: Vault, grants, RLS, jobs, migrations, the clock.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::Client;

use super::Finding;
use crate::database::{ask_all, ask_one};
use crate::remote::Settings;
use crate::stack::migrations;

/// Tokens live for an hour, leases for minutes; less than this hurts nobody.
const SKEW: Duration = Duration::from_secs(5);

/// What `database.sql` answers.
#[derive(Deserialize)]
struct Facts {
    /// Seconds since 1970.
    now: f64,
    vault: bool,
    cron: bool,
    /// Those that functions of ours ask for.
    wanted_secrets: Vec<String>,
    no_rls: Vec<String>,
    /// Which no role of the API may use.
    tables: Vec<String>,
    /// Which clients may use, and the functions, as service_role, not.
    not_for_service: Vec<String>,
    routines: Vec<String>,
}

pub(super) async fn look(client: &Client, project: &Path, set: &mut Settings<'_>) -> Result<Vec<Finding>> {
    let before = since_1970();
    let row = ask_one(client, include_str!("database.sql"), &[]).await.context("asking the database")?;
    let between = f64::midpoint(before, since_1970());
    let facts: Facts = serde_json::from_value(row.get::<_, Value>(0))?;
    let mut findings = Vec::from_iter(clock(facts.now - between));
    findings.extend(grants(&facts));
    if facts.vault {
        findings.extend(vault(client, &facts, set).await?);
    }
    if facts.cron {
        findings.extend(jobs(client, project).await?);
    }
    findings.extend(migrations::pending_in(client, project).await?.iter().map(|version| {
        let what = "the database has not seen this migration";
        Finding::warning("MIGRATION_PENDING", version, what, "ferry deploy")
    }));
    Ok(findings)
}

fn since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn clock(ahead: f64) -> Option<Finding> {
    (ahead.abs() > SKEW.as_secs_f64()).then(|| {
        let way = if ahead > 0.0 { "ahead of" } else { "behind" };
        Finding::error(
            "CLOCK_SKEW",
            "clock",
            format!(
                "the database's clock is {:.0} s {way} this machine's: tokens are refused, windows are wrong",
                ahead.abs()
            ),
            "set this machine's clock (timedatectl set-ntp true)",
        )
    })
}

fn grants(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for table in &facts.no_rls {
        findings.push(Finding::error(
            "RLS_OFF",
            table,
            "has no row-level security: every grant on it is a grant on all rows",
            format!("in a new migration: alter table public.{table} enable row level security;"),
        ));
    }
    for table in &facts.tables {
        findings.push(Finding::error(
            "GRANT_MISSING",
            table,
            "no role of the API may use it: each call answers 42501 (new tables have no grants since 2026-10-30)",
            format!("in a new migration: grant select, insert, update, delete on public.{table} to service_role;"),
        ));
    }
    for table in &facts.not_for_service {
        findings.push(Finding::warning(
            "GRANT_MISSING",
            table,
            "clients may use it, the functions may not: as service_role each call answers 42501",
            format!("where a function uses it, in a new migration: grant select on public.{table} to service_role;"),
        ));
    }
    for routine in &facts.routines {
        findings.push(Finding::error(
            "GRANT_MISSING",
            routine,
            "no role of the API may execute it: each call answers 42501",
            format!("in a new migration: grant execute on function public.{routine} to service_role;"),
        ));
    }
    findings
}

async fn vault(client: &Client, facts: &Facts, set: &mut Settings<'_>) -> Result<Vec<Finding>> {
    let secrets = "select name, btrim(decrypted_secret, E' \\t\\r\\n') from vault.decrypted_secrets where name is not null";
    let rows = ask_all(client, secrets, &[]).await.context("reading the Vault")?;
    let known: BTreeMap<String, Option<String>> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let value = |name: &str| known.get(name).and_then(Option::as_deref).filter(|value| !value.is_empty());
    let mut findings = Vec::new();
    for name in &facts.wanted_secrets {
        if value(name).is_none() {
            findings.push(Finding::error(
                "VAULT_SECRET_MISSING",
                name,
                "a job needs this Vault secret: pg_net would drop the header in silence, so the job raises",
                format!("select vault.create_secret('…', '{name}'); or: ferry secrets push"),
            ));
        }
    }
    if let (Some(in_vault), Some(set)) = (value("service_api_key"), set.get("SERVICE_API_KEY")?)
        && !set.split(',').any(|key| key.trim() == in_vault)
    {
        findings.push(Finding::error(
            "VAULT_KEY_DIFFERS",
            "service_api_key",
            "the key in the Vault is none of SERVICE_API_KEY: each scheduled call is refused with 401",
            "ferry secrets push",
        ));
    }
    Ok(findings)
}

async fn jobs(client: &Client, project: &Path) -> Result<Vec<Finding>> {
    let query = "select jobname, active, (
            select status || coalesce(': ' || left(return_message, 200), '') from cron.job_run_details as run
            where run.jobid = job.jobid and end_time is not null order by runid desc limit 1
        ) from cron.job as job where jobname is not null";
    let rows = ask_all(client, query, &[]).await.context("reading pg_cron's jobs")?;
    let known: Vec<(String, bool, Option<String>)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let mut findings = Vec::new();
    for name in scheduled(project) {
        match known.iter().find(|(job, ..)| *job == name) {
            None => findings.push(Finding::error(
                "JOB_NOT_SCHEDULED",
                &name,
                "a migration schedules this job, and it is not there",
                "supabase db push, where the migration is new; else run its `select cron.schedule(…)` again",
            )),
            Some((_, false, _)) => findings.push(Finding::warning(
                "JOB_INACTIVE",
                &name,
                "the job is switched off",
                format!(
                    "select cron.alter_job(jobid, active := true) from cron.job where jobname = '{name}';"
                ),
            )),
            Some((_, true, Some(last))) if last.starts_with("failed") => findings.push(Finding::error(
                "JOB_FAILED",
                &name,
                format!("its last run {last}"),
                "mend what it says; ferry cron shows the runs",
            )),
            Some(_) => {}
        }
    }
    Ok(findings)
}

/// The jobs that the migrations schedule and do not take away again, by name.
fn scheduled(project: &Path) -> Vec<String> {
    let mut files: Vec<_> = std::fs::read_dir(project.join("supabase/migrations"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    let mut names: Vec<String> = Vec::new();
    for text in files.iter().filter_map(|file| std::fs::read_to_string(file).ok()) {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("--"));
        for line in lines {
            if let Some(name) = quoted(line, "cron.schedule(") {
                names.push(name);
            }
            if let Some(name) = quoted(line, "cron.unschedule(") {
                names.retain(|known| *known != name);
            }
        }
    }
    names.sort();
    names.dedup();
    names
}

fn quoted(line: &str, call: &str) -> Option<String> {
    let (_, after) = line.split_once(call)?;
    Some(after.trim_start().strip_prefix('\'')?.split('\'').next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_by_more_than_a_moment_is_told_with_its_direction() {
        assert_eq!((clock(4.9), clock(-4.9)), (None, None));
        for (ahead, told) in [(61.2, "61 s ahead of"), (-7_200.0, "7200 s behind")] {
            let finding = clock(ahead).expect("a finding");
            assert_eq!(finding.code, "CLOCK_SKEW");
            assert!(finding.what.contains(told), "{}", finding.what);
        }
    }
}
