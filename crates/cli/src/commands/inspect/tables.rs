//! `ferry inspect tables`

use std::process::ExitCode;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_postgres::Client;

use super::{moment, print_json, rows, size};
use crate::commands::paint::Tone;
use crate::commands::table::{Cell, Column, Table};
use crate::database::ask_one;

#[derive(Serialize, Deserialize)]
struct Relation {
    table_name: String,
    rows_estimate: i64,
    table_bytes: u64,
    index_bytes: u64,
    total_bytes: u64,
    dead_rows: u64,
    sequential_scans: u64,
    index_scans: u64,
    vacuumed_at: Option<String>,
    analyzed_at: Option<String>,
}

pub(super) async fn show(client: &Client, json: bool) -> Result<ExitCode> {
    let tables: Vec<Relation> = rows(client, include_str!("sql/tables.sql"), &[]).await?;
    let database = ask_one(client, "select pg_catalog.pg_database_size(current_database())", &[]).await?;
    let database = u64::try_from(database.try_get::<_, i64>(0)?)?;
    if json {
        print_json(&json!({ "database_bytes": database, "tables": tables }));
        return Ok(ExitCode::SUCCESS);
    }
    let columns = [
        Column::left("Table").elastic(),
        Column::right("Rows about"),
        Column::right("Table size"),
        Column::right("Indexes"),
        Column::right("Total"),
        Column::right("Dead rows"),
        Column::right("Seq scans"),
        Column::left("Vacuumed").optional(),
    ];
    let mut printed = Table::new(columns).empty("No tables.");
    for table in tables {
        let live = u64::try_from(table.rows_estimate).unwrap_or(0);
        let is_bloated = table.dead_rows > 10_000 && table.dead_rows > live / 5;
        printed.row([
            table.table_name.into(),
            live.into(),
            size(table.table_bytes).into(),
            size(table.index_bytes).into(),
            size(table.total_bytes).into(),
            Cell::from(table.dead_rows).tone(if is_bloated { Tone::Warn } else { Tone::Plain }),
            table.sequential_scans.into(),
            Cell::maybe(table.vacuumed_at.as_deref().map(moment)),
        ]);
    }
    printed.print();
    crate::commands::paint::line(format!("The database takes {}.", size(database)));
    Ok(ExitCode::SUCCESS)
}
