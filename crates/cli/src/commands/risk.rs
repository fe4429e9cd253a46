//! `ferry risk`: what an owner's alerts may not exceed.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::table::{Cell, Column, Table};
use super::webhooks::setting;
use super::{Misuse, paint};
use crate::remote::{Method, Place, Remote, Target, block_on};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Show the limits
    Show(Whose),
    /// Set limits; null takes one away
    #[command(after_help = "Examples:
  ferry risk set --user 5f0c… max_order_notional=5000 max_orders_per_day=20
  ferry risk set --user 5f0c… 'allowed_symbols=[\"AAPL\",\"BTC/USD\"]' max_daily_loss=null

There are allowed_symbols, max_order_notional, max_position_notional, max_orders_per_day, max_daily_loss and
cooldown_seconds.")]
    Set {
        /// NAME=VALUE, several may be given
        #[arg(required = true, value_parser = setting)]
        limits: Vec<(String, Value)>,
        #[command(flatten)]
        whose: Whose,
    },
    /// Stop all trading of an owner: no order goes out, exits neither
    Kill {
        /// Let orders out again
        #[arg(long)]
        undo: bool,
        #[command(flatten)]
        whose: Whose,
    },
}

#[derive(clap::Args)]
pub(super) struct Whose {
    /// The owner, an id of auth.users
    #[arg(long, value_name = "ID")]
    user: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(command: &Command, place: &Place) -> Result<ExitCode> {
    let (whose, body) = match command {
        Command::Show(whose) => (whose, None),
        Command::Set { limits, whose } => {
            if limits.iter().any(|(name, _)| name == "kill_switch") {
                return Err(Misuse("the kill switch has a command of its own: ferry risk kill".into()).into());
            }
            (whose, Some(Value::Object(limits.iter().cloned().collect::<Map<_, _>>())))
        }
        Command::Kill { undo, whose } => (whose, Some(json!({ "kill_switch": !undo }))),
    };
    let remote = Remote::find(&whose.target, place)?;
    let path = format!("receive-webhook/limits?user_id={}", whose.user);
    let method = if body.is_some() { Method::PUT } else { Method::GET };
    let reply: Value =
        block_on(async { Ok(remote.function(method, &path, body.as_ref()).await?.success()?) })?;
    let limits = &reply["limits"];
    if whose.json {
        paint::line(format!("{limits:#}"));
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new([Column::left("Limit"), Column::left("Value")]).empty("No limits are set.");
    for (name, value) in limits.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        table.row([Cell::new(name), Cell::new(&value)]);
    }
    table.print();
    Ok(ExitCode::SUCCESS)
}
