//! `ferry inspect long-queries`

use std::process::ExitCode;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::{duration, print_json, rows};
use crate::commands::paint;
use crate::commands::table::{Cell, Column, Table, cut};
use crate::database::{ask_all, ask_one};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// How many seconds are long
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    longer: f64,
    /// End the connection with this number; its transaction is rolled back
    #[arg(long, value_name = "PID", conflicts_with = "longer")]
    kill: Option<i32>,
}

/// Characters of a statement; --json has all of it.
const SHOWN: usize = 200;

#[derive(Serialize, Deserialize)]
struct Query {
    pid: i32,
    role: String,
    application: String,
    state: String,
    seconds: f64,
    waits_for: Option<String>,
    blocked_by: Vec<i32>,
    statement: String,
}

pub(super) async fn show(client: &Client, arguments: &Arguments, json: bool) -> Result<ExitCode> {
    if let Some(pid) = arguments.kill {
        return kill(client, pid, json).await;
    }
    let queries: Vec<Query> =
        rows(client, include_str!("sql/long_queries.sql"), &[(&arguments.longer, Type::FLOAT8)]).await?;
    if json {
        print_json(&json!({ "longer_seconds": arguments.longer, "queries": queries }));
        return Ok(ExitCode::SUCCESS);
    }
    let columns = [
        Column::right("PID"),
        Column::left("Role"),
        Column::left("Application"),
        Column::left("State"),
        Column::right("For"),
        Column::left("Blocked by").optional(),
        Column::left("Query").elastic(),
    ];
    let mut table = Table::new(columns).empty("Nothing has been running for that long.");
    for query in queries {
        let blockers: Vec<String> = query.blocked_by.iter().map(ToString::to_string).collect();
        table.row([
            Cell::new(&query.pid),
            query.role.into(),
            query.application.into(),
            query.state.into(),
            duration(query.seconds).into(),
            blockers.join(", ").into(),
            cut(&query.statement, SHOWN).into(),
        ]);
    }
    table.print();
    Ok(ExitCode::SUCCESS)
}

async fn kill(client: &Client, pid: i32, json: bool) -> Result<ExitCode> {
    let asked = "select backend_type, pid = pg_catalog.pg_backend_pid() from pg_catalog.pg_stat_activity where pid = $1";
    let Some(row) = ask_all(client, asked, &[(&pid, Type::INT4)]).await?.into_iter().next() else {
        bail!("no connection has the number {pid}; it may have ended by itself");
    };
    if row.try_get(1)? {
        bail!("{pid} is the connection that asks");
    }
    let kind: &str = row.try_get(0)?;
    if kind != "client backend" {
        bail!("{pid} is no query but the server's own {kind}");
    }
    let ended =
        ask_one(client, "select pg_catalog.pg_terminate_backend($1, 5000)", &[(&pid, Type::INT4)]).await?;
    if !ended.try_get::<_, bool>(0)? {
        bail!("{pid} did not end within 5 s");
    }
    if json {
        print_json(&json!({ "killed": pid }));
    } else {
        paint::line(format!("{} connection {pid} was ended, its transaction rolled back", paint::good("ok")));
    }
    Ok(ExitCode::SUCCESS)
}
