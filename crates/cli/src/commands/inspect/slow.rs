//! `ferry inspect slow`

use std::process::ExitCode;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::{duration, print_json, rows};
use crate::commands::paint;
use crate::commands::table::{Cell, Column, Table, cut};
use crate::database::ask_all;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// How many statements to show
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    limit: i64,
}

/// Characters of a statement; --json has all of it.
const SHOWN: usize = 200;

#[derive(Serialize, Deserialize)]
struct Statement {
    calls: u64,
    total_ms: f64,
    mean_ms: f64,
    max_ms: f64,
    rows: u64,
    role: String,
    query: String,
}

const INSTALLED: &str = "select quote_ident(namespace.nspname) from pg_catalog.pg_extension as extension
    join pg_catalog.pg_namespace as namespace on namespace.oid = extension.extnamespace
    where extension.extname = 'pg_stat_statements'";

pub(super) async fn show(client: &Client, arguments: &Arguments, json: bool) -> Result<ExitCode> {
    let missing = match ask_all(client, INSTALLED, &[]).await?.first() {
        None => "pg_stat_statements is not installed in this database, so nobody counts statements. Install it with: \
                 create extension pg_stat_statements with schema extensions;"
            .to_owned(),
        Some(row) => {
            let query = include_str!("sql/slow.sql").replace("{schema}", row.try_get(0)?);
            match rows::<Statement>(client, &query, &[(&arguments.limit, Type::INT8)]).await {
                Ok(statements) => return Ok(print(statements, json)),
                Err(error) => match not_loaded(&error) {
                    Some(reason) => format!("pg_stat_statements is installed and does not work: {reason}"),
                    None => return Err(error),
                },
            }
        }
    };
    if json {
        print_json(&json!({ "available": false, "reason": missing, "statements": [] }));
    } else {
        paint::line(missing);
    }
    Ok(ExitCode::FAILURE)
}

/// It must be named in `shared_preload_libraries` too.
fn not_loaded(error: &anyhow::Error) -> Option<String> {
    let error = error.downcast_ref::<tokio_postgres::Error>()?.as_db_error()?;
    (error.code() == &tokio_postgres::error::SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE)
        .then(|| error.message().to_owned())
}

fn print(statements: Vec<Statement>, json: bool) -> ExitCode {
    if json {
        print_json(&json!({ "available": true, "statements": statements }));
        return ExitCode::SUCCESS;
    }
    let columns = [
        Column::right("Total"),
        Column::right("Calls"),
        Column::right("Mean"),
        Column::right("Longest"),
        Column::right("Rows"),
        Column::left("Role"),
        Column::left("Query").elastic(),
    ];
    let mut table = Table::new(columns).empty("No statements were counted yet.");
    for statement in statements {
        table.row([
            duration(statement.total_ms / 1000.0).into(),
            statement.calls.into(),
            Cell::from(format!("{:.2} ms", statement.mean_ms)),
            Cell::from(format!("{:.2} ms", statement.max_ms)),
            statement.rows.into(),
            statement.role.into(),
            cut(&statement.query, SHOWN).into(),
        ]);
    }
    table.print();
    ExitCode::SUCCESS
}
