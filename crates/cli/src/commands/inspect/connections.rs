//! `ferry inspect connections`

use std::process::ExitCode;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_postgres::Client;

use super::{duration, print_json, rows};
use crate::commands::paint::{self, Tone};
use crate::commands::table::{Cell, Column, Table};

#[derive(Serialize, Deserialize)]
struct Limits {
    allowed: u64,
    reserved: u64,
    used: u64,
}

#[derive(Serialize, Deserialize)]
struct Group {
    role: String,
    application: String,
    state: String,
    connections: u64,
    longest_seconds: f64,
}

/// From here on it is time to look for the leak.
const CROWDED_PERCENT: u64 = 80;

pub(super) async fn show(client: &Client, json: bool) -> Result<ExitCode> {
    let limits: Vec<Limits> = rows(client, include_str!("sql/limits.sql"), &[]).await?;
    let groups: Vec<Group> = rows(client, include_str!("sql/connections.sql"), &[]).await?;
    let Some(Limits { allowed, reserved, used }) = limits.into_iter().next() else {
        anyhow::bail!("the database tells no limits");
    };
    let room = allowed.saturating_sub(reserved);
    let is_crowded = used * 100 >= room * CROWDED_PERCENT;
    if json {
        print_json(&json!({
            "allowed": allowed, "reserved": reserved, "used": used, "crowded": is_crowded, "connections": groups,
        }));
    } else {
        let told = format!("{used} of {room} connections ({reserved} more are kept for superusers)");
        paint::line(if is_crowded { paint::bad(told) } else { told });
        let columns = [
            Column::left("Role"),
            Column::left("Application").elastic(),
            Column::left("State"),
            Column::right("Count"),
            Column::right("Longest"),
        ];
        let mut table = Table::new(columns);
        for group in groups {
            let is_stuck = group.state.starts_with("idle in transaction") && group.longest_seconds > 60.0;
            let state = Cell::from(group.state).tone(if is_stuck { Tone::Warn } else { Tone::Plain });
            table.row([
                group.role.into(),
                group.application.into(),
                state,
                group.connections.into(),
                duration(group.longest_seconds).into(),
            ]);
        }
        table.print();
    }
    Ok(if is_crowded { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
