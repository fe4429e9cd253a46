//! `ferry inspect indexes`

use std::process::ExitCode;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_postgres::Client;

use super::{print_json, rows, size};
use crate::commands::paint::{self, Tone};
use crate::commands::table::{Cell, Column, Table};
use crate::database::ask_one;

#[derive(Serialize, Deserialize)]
struct Index {
    table_name: String,
    name: String,
    bytes: u64,
    scans: u64,
    is_unique: bool,
    note: Option<String>,
}

pub(super) async fn show(client: &Client, json: bool) -> Result<ExitCode> {
    let indexes: Vec<Index> = rows(client, include_str!("sql/indexes.sql"), &[]).await?;
    let counted =
        "select stats_reset::text from pg_catalog.pg_stat_database where datname = current_database()";
    let since = ask_one(client, counted, &[]).await?.try_get::<_, Option<String>>(0)?;
    if json {
        print_json(&json!({ "counted_since": since, "indexes": indexes }));
        return Ok(ExitCode::SUCCESS);
    }
    let columns = [
        Column::left("Table"),
        Column::left("Index").elastic(),
        Column::right("Size"),
        Column::right("Scans"),
        Column::left("Note").optional(),
    ];
    let mut table = Table::new(columns).empty("No indexes.");
    for index in indexes {
        let note = Cell::maybe(index.note).tone(Tone::Warn);
        table.row([
            index.table_name.into(),
            index.name.into(),
            size(index.bytes).into(),
            index.scans.into(),
            note,
        ]);
    }
    table.print();
    let since = since.map_or_else(|| "the database was made".to_owned(), |since| super::moment(&since));
    paint::line(paint::faint(format!(
        "Scans are counted since {since}, on this server: a replica counts its own."
    )));
    Ok(ExitCode::SUCCESS)
}
