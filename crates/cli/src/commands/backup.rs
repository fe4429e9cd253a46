//! `ferry backup`: makes a backup, or lists those there are.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::inspect::size;
use super::paint;
use crate::backup::{Keep, Progress, Store, make, verify};
use crate::database::{Database, Target};
use crate::interrupt::unless_interrupted;
use crate::remote::{Place, block_on};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  ferry backup --to /var/backups/shop --keep 7d4w6m
  ferry backup --to s3://shop-backups/nightly --keep 7d4w6m --verify
  ferry backup --to s3://shop-backups/nightly --list

A backup holds the project's own schemas, the accounts of Auth, roles without passwords, jobs, and the names
of the Vault's secrets. It holds no secret's value, no file of Storage, and no setting of the dashboard.")]
pub(super) struct Arguments {
    /// Where backups are kept: a folder, or s3://bucket/prefix of any S3-compatible store
    #[arg(long, value_name = "PLACE", default_value = "backups")]
    to: String,
    /// Which backups stay: one for each of so many days, weeks, months [default: all]
    #[arg(long, value_name = "7d4w6m")]
    keep: Option<Keep>,
    /// Restore the new backup into a server made for it, and count its rows
    #[arg(long)]
    verify: bool,
    /// List the backups there are instead of making one
    #[arg(long, conflicts_with_all = ["keep", "verify"])]
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
        let made = make(&database, &store, arguments.keep, &progress).await?;
        let verified =
            if arguments.verify { Some(verify(&store, &made.manifest.name, &progress).await?) } else { None };
        if arguments.json {
            paint::line(format!(
                "{:#}",
                json!({
                    "address": made.address, "manifest": made.manifest, "deleted": made.deleted,
                    "verified": verified.as_ref().map(|verified| json!({ "tables": verified.tables, "rows": verified.rows })),
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
                    "   restored for a test: all {} rows of {} tables are there",
                    verified.rows, verified.tables
                ));
            }
            None => paint::line(paint::faint(
                "   read back by pg_restore --list; --verify restores it for a test",
            )),
        }
        if !manifest.vault_secrets.is_empty() {
            let names = manifest.vault_secrets.join(", ");
            paint::line(paint::faint(format!("   not in it: the values of the Vault's secrets {names}")));
        }
        for thing in &manifest.not_in_it {
            paint::line(paint::warn(format!("   not in it: {}", paint::harmless(thing))));
        }
        for name in &made.deleted {
            paint::line(format!("   deleted {name}"));
        }
        Ok(ExitCode::SUCCESS)
    }))
}

async fn list(store: &Store, json: bool) -> Result<ExitCode> {
    let names = store.list().await?;
    if json {
        let backups: Vec<_> =
            names.iter().map(|name| json!({ "name": name, "address": store.address(name) })).collect();
        paint::line(format!("{:#}", json!({ "backups": backups })));
    } else if names.is_empty() {
        paint::line(paint::faint("No backups."));
    } else {
        for name in names {
            paint::line(store.address(&name));
        }
    }
    Ok(ExitCode::SUCCESS)
}
