//! `ferry orders`: what alerts became.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;

use super::paint::{self, Tone};
use super::signals::seconds;
use super::table::{Cell, Column, Table};
use crate::remote::{Place, Remote, Target, block_on};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  ferry orders                 the last 20
  ferry orders --open          those that are not at their end
  ferry orders --json")]
pub(super) struct Arguments {
    /// Only this owner's
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Only those that are not at their end
    #[arg(long)]
    open: bool,
    /// How many, the latest first
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(arguments: &Arguments, place: &Place) -> Result<ExitCode> {
    let remote = Remote::find(&arguments.target, place)?;
    let Arguments { user, open, limit, .. } = arguments;
    // As text: prices are not to go through floating point numbers here either.
    let columns = "id,signal_id,client_order_id,broker_order_id,is_simulated,role,symbol,side,order_type,time_in_force,\
        quantity::text,limit_price::text,stop_price::text,status,filled_quantity::text,filled_avg_price::text,\
        error_code,error_message,created_at,closed_at";
    let rows: Vec<Value> = block_on(async {
        Ok(remote
            .select("orders", *limit, |mut query| {
                query = query.select(columns).order("created_at.desc");
                if let Some(user) = user {
                    query = query.eq("user_id", user);
                }
                if *open {
                    query = query.is("closed_at", "null");
                }
                query
            })
            .await?)
    })?;
    if arguments.json {
        paint::line(format!("{:#}", Value::from(rows)));
        return Ok(ExitCode::SUCCESS);
    }
    let columns = [
        Column::left("Made"),
        Column::left("Symbol"),
        Column::left("Order"),
        Column::right("Quantity"),
        Column::left("Status"),
        Column::right("Filled"),
        Column::right("At"),
        Column::left("Said").elastic().optional(),
        Column::left("Money"),
    ];
    let mut table = Table::new(columns).empty("No orders.");
    for row in &rows {
        let text = |name: &str| row[name].as_str().unwrap_or("");
        let tone = match text("status") {
            "filled" => Tone::Good,
            "refused" | "lost" | "rejected" => Tone::Bad,
            _ => Tone::Plain,
        };
        table.row([
            Cell::new(&seconds(&row["created_at"])),
            Cell::new(text("symbol")),
            Cell::new(&format!("{} {} ({})", text("side"), text("order_type"), text("role"))),
            Cell::new(text("quantity")),
            Cell::new(text("status")).tone(tone),
            Cell::new(text("filled_quantity")),
            Cell::new(text("filled_avg_price")),
            Cell::new(text("error_message")),
            Cell::new(if row["is_simulated"] == true { "simulated" } else { "real" }),
        ]);
    }
    table.print();
    Ok(ExitCode::SUCCESS)
}
