//! `ferry restore`: brings a backup back, into an empty database.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{Misuse, paint};
use crate::backup::{Progress, Store, restore};
use crate::database::{Database, Target};
use crate::interrupt::unless_interrupted;
use crate::remote::{Place, block_on};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  ferry restore backups/ferry-20261121T020000Z --db-url postgresql://postgres@db.new.supabase.co:5432/postgres
  ferry restore s3://shop-backups/nightly/latest --local

All of it is restored, or nothing. A database that is not empty is refused; a local one is empty after
`ferry up --no-migrate` on a new state folder.")]
pub(super) struct Arguments {
    /// The backup: its folder, or s3://bucket/prefix/NAME; `latest` for NAME is the newest
    backup: String,
    /// Set the jobs of pg_cron going; else they are made and switched off
    #[arg(long)]
    with_jobs: bool,
    /// The address of a store other than Amazon's [default: AWS_ENDPOINT_URL]
    #[arg(long, value_name = "URL")]
    s3_endpoint: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(arguments: &Arguments, place: &Place) -> Result<ExitCode> {
    let whole = arguments.backup.trim_end_matches('/');
    let (at, name) = whole.rsplit_once('/').unwrap_or((".", whole));
    if name.is_empty() || at == "s3:/" {
        return Err(Misuse(format!("{whole} names no backup: s3://bucket/prefix/NAME")).into());
    }
    let store = Store::open(at, arguments.s3_endpoint.as_deref(), place)?;
    let database = Database::find(&arguments.target, place)?;
    let progress = Progress::on_terminal();
    block_on(unless_interrupted(async {
        let name = match name {
            "latest" => store
                .list()
                .await?
                .into_iter()
                .next()
                .with_context(|| format!("there is no backup in {at}"))?,
            name => name.to_owned(),
        };
        let restored = restore(&store, &name, &database, arguments.with_jobs, &progress).await?;
        let manifest = &restored.manifest;
        if arguments.json {
            paint::line(format!(
                "{:#}",
                json!({
                    "backup": name, "database": database.to_string(), "tables": manifest.rows.len(), "rows": manifest.row_count(),
                    "jobs": manifest.jobs, "jobs_run": restored.jobs_run, "missing_secrets": restored.missing_secrets,
                    "missing_roles": restored.missing_roles, "differences": restored.differences,
                })
            ));
            return Ok(ExitCode::SUCCESS);
        }
        paint::line(format!(
            "{} {name} of {}: {} rows of {} tables, counted, with the grants of the backup",
            paint::good("ok"),
            manifest.made_at,
            manifest.row_count(),
            manifest.rows.len()
        ));
        if manifest.jobs > 0 && !restored.jobs_run {
            paint::line(format!(
                "   {} jobs are switched off. When this database shall act: select cron.alter_job(jobid, active := true) from cron.job;",
                manifest.jobs
            ));
        }
        for role in &restored.missing_roles {
            let role = paint::harmless(role);
            paint::line(paint::warn(format!(
                "   this database lacks the role {role}, so nothing was granted to it"
            )));
        }
        for difference in &restored.differences {
            let difference = paint::harmless(difference);
            paint::line(paint::warn(format!("   other default privileges: {difference}")));
        }
        for secret in &restored.missing_secrets {
            let name = secret.replace('\'', "''");
            paint::line(paint::warn(format!(
                "   the Vault lacks {secret}: select vault.create_secret('…', '{name}');"
            )));
        }
        Ok(ExitCode::SUCCESS)
    }))
}
