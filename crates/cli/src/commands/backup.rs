//! `ferry backup`: makes a backup, or lists those there are.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::inspect::size;
use super::paint;
use crate::backup::{Keep, Progress, Store, make, prune, verify};
use crate::database::{Database, Target};
use crate::interrupt::unless_interrupted;
use crate::remote::{Place, block_on};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  ferry backup --to /var/backups/shop --keep 7d4w6m
  ferry backup --to s3://shop-backups/nightly --keep 7d4w6m
  ferry backup --to s3://shop-backups/nightly --list

A backup holds the project's own schemas, the accounts of Auth, roles without passwords, jobs, and the names
of the Vault's secrets. It holds no secret's value, no file of Storage, and no setting of the dashboard.

Each new backup is restored into a PostgreSQL server that is made for the test on this machine. --keep deletes
earlier backups only after the new one has passed.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Arguments {
    /// Where backups are kept: a folder, or s3://bucket/prefix of any S3-compatible store
    #[arg(long, value_name = "PLACE", default_value = "backups")]
    to: String,
    /// Which backups stay: one for each of so many days, weeks, months [default: all]
    #[arg(long, value_name = "7d4w6m")]
    keep: Option<Keep>,
    /// Do not restore the new backup for a test
    #[arg(long, overrides_with = "verify")]
    no_verify: bool,
    /// Restore the new backup for a test: the default
    #[arg(long, hide = true, overrides_with = "no_verify")]
    verify: bool,
    /// List the backups there are instead of making one
    #[arg(long, conflicts_with_all = ["keep", "verify", "no_verify"])]
    list: bool,
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
    let store = Store::open(&arguments.to, arguments.s3_endpoint.as_deref(), place)?;
    if arguments.list {
        return block_on(async { list(&store, arguments.json).await });
    }
    let database = Database::find(&arguments.target, place)?;
    let progress = Progress::on_terminal();
    block_on(unless_interrupted(async {
        let made = make(&database, &store, &progress).await?;
        let verified = if arguments.verify || !arguments.no_verify {
            let verified = verify(&store, &made.manifest.name, &progress).await;
            Some(verified.with_context(|| {
                format!("{} was made, and is not verified; no earlier backup was deleted", made.address)
            })?)
        } else {
            None
        };
        let deleted = match arguments.keep {
            Some(rule) => prune(&store, rule).await?,
            None => Vec::new(),
        };
        if arguments.json {
            paint::line(format!(
                "{:#}",
                json!({
                    "address": made.address, "manifest": made.manifest, "deleted": deleted,
                    "verified": verified.as_ref().map(|verified| json!({
                        "tables": verified.tables, "rows": verified.rows, "unverified": verified.unverified,
                    })),
                })
            ));
            return Ok(ExitCode::SUCCESS);
        }
        let manifest = &made.manifest;
        paint::line(format!("{} {}", paint::good("ok"), made.address));
        paint::line(format!(
            "   {} rows of {} tables, {} jobs, {}",
            manifest.row_count(),
            manifest.rows.len(),
            manifest.jobs,
            size(manifest.bytes())
        ));
        match verified {
            Some(verified) => {
                paint::line(format!(
                    "   restored for a test: all {} rows of {} tables are there, and all grants are the same",
                    verified.rows, verified.tables
                ));
                for thing in &verified.unverified {
                    paint::line(paint::warn(format!("   not verified: {}", paint::harmless(thing))));
                }
            }
            None => {
                paint::line(paint::faint("   read back by pg_restore --list, and not restored for a test"));
            }
        }
        if !manifest.vault_secrets.is_empty() {
            let names = manifest.vault_secrets.join(", ");
            paint::line(paint::faint(format!("   not in it: the values of the Vault's secrets {names}")));
        }
        for thing in &manifest.not_in_it {
            paint::line(paint::warn(format!("   not in it: {}", paint::harmless(thing))));
        }
        for name in &deleted {
            paint::line(format!("   deleted {name}"));
        }
        Ok(ExitCode::SUCCESS)
    }))
}

async fn list(store: &Store, json: bool) -> Result<ExitCode> {
    let (names, failed) = (store.list().await?, store.list_failed().await?);
    if json {
        let described = |name: &String| json!({ "name": name, "address": store.address(name) });
        let backups: Vec<_> = names.iter().map(described).collect();
        let failed: Vec<_> = failed.iter().map(described).collect();
        paint::line(format!("{:#}", json!({ "backups": backups, "failed": failed })));
        return Ok(ExitCode::SUCCESS);
    }
    if names.is_empty() {
        paint::line(paint::faint("No backups."));
    }
    for name in names {
        paint::line(store.address(&name));
    }
    for name in failed {
        paint::line(paint::warn(format!("{} failed its verification", store.address(&name))));
    }
    Ok(ExitCode::SUCCESS)
}
