//! `ferry db import`: shows what would come and what stays behind, asks, and does it.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::backup::Progress;
use crate::commands::table::{Column, Table};
use crate::commands::{Misuse, paint};
use crate::database::{Database, Target};
use crate::import::{ApiRole, Import};
use crate::interrupt::unless_interrupted;
use crate::remote::{Place, block_on};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  ferry db import env:OLD_DATABASE_URL --local
  PGPASSWORD=… ferry db import postgresql://shop@old.example.com/shop --yes
  ferry db import env:OLD_DATABASE_URL --grant-to authenticated,service_role

The source is read, in one transaction, and never written. The target gets schema and rows in one transaction:
all or nothing. The migration is written into supabase/migrations and recorded as applied. Whatever the project's
default privileges are, the API's roles can do nothing with what is imported unless --grant-to names them.")]
pub(in crate::commands) struct Arguments {
    /// The source: postgresql://user@host/name without a password, or env:NAME for a variable that holds a URL
    source: String,
    /// What the migration is called
    #[arg(long, value_name = "NAME", default_value = "import", value_parser = name)]
    name: String,
    /// Grant tables, sequences and functions to these roles of the API [default: none]. Row level security stays on
    /// for every table; views and `security definer` functions pass by it
    #[arg(long, value_name = "ROLES", value_enum, value_delimiter = ',')]
    grant_to: Vec<ApiRole>,
    /// Only write the migration; apply nothing and take no rows
    #[arg(long)]
    schema_only: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

fn name(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if is_name { Ok(text.to_owned()) } else { Err("small letters, digits and _".to_owned()) }
}

pub(super) fn run(arguments: &Arguments, place: &Place) -> Result<ExitCode> {
    let project = place.project.as_ref().ok_or_else(|| {
        Misuse(
            "there is no project to write the migration into: go to one, or name it with --project"
                .to_owned(),
        )
    })?;
    let source = Database::from_argument(&arguments.source, arguments.target.password_in_url, place)?;
    let target = Database::find(&arguments.target, place)?;
    let progress = Progress::on_terminal();
    block_on(async {
        let import = Import::plan(&source, &target, &arguments.grant_to, &progress).await?;
        if !arguments.json {
            print(&import, &source, &target);
        }
        if !arguments.yes && !is_agreed(arguments.schema_only)? {
            paint::line("Nothing was changed.");
            return Ok(ExitCode::FAILURE);
        }
        let now = time::OffsetDateTime::from(std::time::SystemTime::now());
        let taking = async {
            let migration = import.write(project, &arguments.name, now)?;
            if !arguments.schema_only {
                import.load(&migration, &target, &progress).await.context("nothing was changed")?;
            }
            migration.keep()
        };
        let migration = unless_interrupted(taking).await?;
        if !arguments.schema_only {
            let checked = import.check(&target, &progress).await;
            checked.with_context(|| format!("{target} has taken all, as {}", migration.display()))?;
        }
        if arguments.json {
            paint::line(format!(
                "{:#}",
                json!({
                    "migration": migration, "loaded": !arguments.schema_only, "schemas": import.schemas, "tables": import.rows,
                    "rows": import.row_count(), "extensions": import.extensions, "left_out": import.left_out,
                    "access": import.access_summary(),
                })
            ));
        } else {
            paint::line(format!("{} {}", paint::good("ok"), migration.display()));
            if !arguments.schema_only {
                paint::line(format!(
                    "   {} rows of {} tables are in {target}, counted",
                    import.row_count(),
                    import.rows.len()
                ));
            }
            paint::line(format!(
                "   {} Every table has row level security: say who may see what, then `ferry inspect rls`.",
                import.access_summary()
            ));
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn print(import: &Import, source: &Database, target: &Database) {
    paint::line(format!("From {source} into {target}"));
    let mut table = Table::new([Column::left("Table"), Column::right("Rows")]).empty("No tables.").indent(2);
    for (name, rows) in &import.rows {
        table.row([name.as_str().into(), u64::try_from(*rows).unwrap_or(0).into()]);
    }
    table.print();
    if !import.extensions.is_empty() {
        paint::line(format!("Extensions: {}", import.extensions.join(", ")));
    }
    paint::line(import.access_summary());
    paint::line(paint::bold("What stays behind"));
    for thing in &import.left_out {
        paint::line(format!("  {}", paint::harmless(thing)));
    }
}

fn is_agreed(schema_only: bool) -> Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Misuse("nobody is there to be asked: --yes says that it shall be done".to_owned()).into());
    }
    let what = if schema_only { "Write the migration?" } else { "Write the migration and take the rows?" };
    let _ = write!(std::io::stderr(), "{what} [y/N] ");
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
