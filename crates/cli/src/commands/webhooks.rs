//! `ferry webhooks`: where alerts are sent to.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use super::table::{Cell, Column, Table};
use super::{Misuse, paint};
use crate::remote::{Method, Place, Remote, RemoteError, Target, block_on};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a webhook, and show its passphrase once
    #[command(after_help = "Examples:
  ferry webhooks create --user 5f0c… --name 'Trend following'
  ferry webhooks create --user 5f0c… --name Relay --source other --hmac
  ferry webhooks create --user 5f0c… --name Risky --set position_sizing_method=risk --set position_size_value=1")]
    Create(Create),
    /// List webhooks
    List(List),
    /// Give a webhook a new passphrase; the old one is refused at once
    Rotate(One),
    /// Switch a webhook off: its alerts are answered 410
    Disable(Switch),
    /// Send an alert as TradingView would, and show the answer
    #[command(
        after_help = "The passphrase comes from the environment, where no other user of the machine sees it:
  WEBHOOK_TOKEN=… ferry webhooks test 5f0c… --ticker AAPL --price 150.25"
    )]
    Test(Test),
}

#[derive(clap::Args)]
pub(super) struct Create {
    /// The owner, an id of auth.users
    #[arg(long, value_name = "ID")]
    user: String,
    /// For people
    #[arg(long)]
    name: String,
    /// tradingview lets in its four addresses only
    #[arg(long, default_value = "tradingview", value_parser = ["tradingview", "other"])]
    source: String,
    /// Make a signing key for a relay too
    #[arg(long)]
    hmac: bool,
    /// A setting, as the table webhook_configs names it; several may be given
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, Value)>,
    #[command(flatten)]
    target: Target,
}

#[derive(clap::Args)]
pub(super) struct List {
    /// Only this owner's
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(clap::Args)]
pub(super) struct One {
    /// The webhook's id
    id: String,
    #[command(flatten)]
    target: Target,
}

#[derive(clap::Args)]
pub(super) struct Switch {
    /// The webhook's id
    id: String,
    /// Switch it on again
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(clap::Args)]
pub(super) struct Test {
    /// The webhook's id
    id: String,
    /// What is traded
    #[arg(long, default_value = "AAPL")]
    ticker: String,
    /// buy, sell, long, short or close
    #[arg(long, default_value = "buy")]
    action: String,
    /// Shares or coins [default: by the webhook's sizing]
    #[arg(long)]
    quantity: Option<String>,
    /// What the price is said to be
    #[arg(long)]
    price: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// `name=value`; what is no JSON is a text.
pub(super) fn setting(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("a setting is NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((name.trim().to_owned(), value))
}

pub(super) fn run(command: &Command, place: &Place) -> Result<ExitCode> {
    match command {
        Command::Create(create) => make(create, place)?,
        Command::List(wanted) => list(wanted, place)?,
        Command::Rotate(One { id, target }) => {
            let path = format!("receive-webhook/configs/{id}/rotate");
            secrets(&ask(target, place, Method::POST, &path, Some(&json!({})))?);
        }
        Command::Disable(Switch { id, undo, target }) => {
            let path = format!("receive-webhook/configs/{id}");
            ask(target, place, Method::PATCH, &path, Some(&json!({ "is_active": undo })))?;
            paint::line(format!("{id} is {}", if *undo { "on" } else { "off" }));
        }
        Command::Test(test) => send(test, place)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn ask(target: &Target, place: &Place, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
    let remote = Remote::find(target, place)?;
    block_on(async { Ok(remote.function(method, path, body).await?.success()?) })
}

fn make(create: &Create, place: &Place) -> Result<()> {
    let mut body = Map::new();
    body.insert("name".into(), create.name.as_str().into());
    body.insert("source".into(), create.source.as_str().into());
    if create.hmac {
        body.insert("hmac".into(), true.into());
    }
    body.extend(create.settings.iter().cloned());
    let path = format!("receive-webhook/configs?user_id={}", create.user);
    secrets(&ask(&create.target, place, Method::POST, &path, Some(&Value::Object(body)))?);
    Ok(())
}

/// What is shown once.
fn secrets(reply: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    paint::line(format!("Webhook     {}", text(&reply["config"]["id"])));
    paint::line(format!("URL         {}", text(&reply["config"]["webhook_url"])));
    paint::line(format!("Passphrase  {}", text(&reply["security_token"])));
    if let Some(secret) = reply["hmac_secret"].as_str() {
        paint::line(format!("Signing key {secret}"));
    }
    paint::line(
        "This is shown once. Send it as \"passphrase\" in the alert's message, or as ?token= of the URL.",
    );
}

fn list(wanted: &List, place: &Place) -> Result<()> {
    let user = wanted.user.as_ref().map(|id| format!("?user_id={id}")).unwrap_or_default();
    let reply = ask(&wanted.target, place, Method::GET, &format!("receive-webhook/configs{user}"), None)?;
    if wanted.json {
        paint::line(format!("{:#}", reply["configs"]));
        return Ok(());
    }
    let columns = [
        Column::left("Id"),
        Column::left("Name").elastic(),
        Column::left("State"),
        Column::left("From"),
        Column::left("Orders"),
        Column::left("Owner"),
    ];
    let mut table = Table::new(columns).empty("No webhooks. `ferry webhooks create` makes one.");
    for config in reply["configs"].as_array().context("a list of webhooks")? {
        let text = |name: &str| Cell::new(config[name].as_str().unwrap_or(""));
        let orders = match config["simulation_mode"].as_bool() {
            Some(true) => "simulated",
            Some(false) => "real",
            None => "as set",
        };
        let state = if config["is_active"] == true { "on" } else { "off" };
        table.row([
            text("id"),
            text("name"),
            Cell::new(state),
            text("source"),
            Cell::new(orders),
            text("user_id"),
        ]);
    }
    table.print();
    Ok(())
}

fn send(test: &Test, place: &Place) -> Result<()> {
    let token = place.environment.get("WEBHOOK_TOKEN").filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| Misuse("set WEBHOOK_TOKEN to the webhook's passphrase".to_owned()))?;
    let mut alert = json!({ "passphrase": token, "ticker": test.ticker, "action": test.action });
    for (name, value) in [("quantity", &test.quantity), ("price", &test.price)] {
        if let Some(value) = value {
            alert[name] = value.as_str().into();
        }
    }
    let path = format!("receive-webhook/{}", test.id);
    // 401 is about the passphrase here, not about the key that every call of a function carries.
    let reply = ask(&test.target, place, Method::POST, &path, Some(&alert)).map_err(|error| {
        match error.downcast() {
            Ok(RemoteError::KeyRefused { problem, .. }) => anyhow::anyhow!(problem),
            Ok(error) => error.into(),
            Err(error) => error,
        }
    })?;
    let said = |name: &str| reply[name].as_str().unwrap_or_default().to_owned();
    paint::line(format!("{}: signal {}", said("outcome"), said("signal_id")));
    paint::line("`ferry signals` shows what became of it.");
    Ok(())
}
