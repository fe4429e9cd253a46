//! `ferry cache`: what an operator asks the function `cache`.

mod data;
mod import;
mod overview;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;

use crate::remote::{Method, Place, Remote, RemoteError, Target, block_on};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Print cached data as JSON
    Get(Get),
    /// Save a JSON object
    Put(Put),
    /// Fetch data from its source now, and print it
    Refresh(Get),
    /// List what is cached, how old it is, and how its source stands
    Status(Status),
    /// Show who answered, how fast, and how late refreshes are
    Metrics(Metrics),
    /// Take over a folder of JSON cache files
    Import(Import),
}

#[derive(clap::Args)]
#[command(after_help = "Example:
  ferry cache get tracker strava | jq .total_activities")]
pub(super) struct Get {
    /// The project's name
    #[arg(value_name = "PROJECT")]
    name: String,
    /// The type of the data
    #[arg(value_name = "TYPE")]
    kind: String,
    /// Write it to a file instead
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  ferry cache put tracker fundraising totals.json
  curl -s https://api.example.com/rates | ferry cache put shop rates --fresh-seconds 3600")]
pub(super) struct Put {
    /// The project's name; it is made when there is none
    #[arg(value_name = "PROJECT")]
    name: String,
    /// The type of the data
    #[arg(value_name = "TYPE")]
    kind: String,
    /// The file; - reads the standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// When the data was true, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    last_fetch: Option<String>,
    /// It is fresh for so long [default: until it is replaced]
    #[arg(long, value_name = "N")]
    fresh_seconds: Option<u32>,
    /// It is deleted when it was not saved for so long
    #[arg(long, value_name = "N")]
    retention_days: Option<u32>,
    #[command(flatten)]
    target: Target,
}

#[derive(clap::Args)]
pub(super) struct Status {
    /// Only this project
    #[arg(value_name = "PROJECT")]
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(clap::Args)]
pub(super) struct Metrics {
    /// Only this project
    #[arg(value_name = "PROJECT")]
    name: Option<String>,
    /// Of the last hours
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=720))]
    hours: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(clap::Args)]
#[command(after_help = "Each .json file of the folder becomes an entry: strava_cache.json the type strava,
fundraising.json the type fundraising. When it was fetched is read from its last_fetch, timestamp,
last_updated or last_saved, else it is the file's own date. What is newer in the cache stays.

Example:
  ferry cache import /var/lib/tracker/cache --into tracker

Exit code 1 says that a file was not taken; the others were.")]
pub(super) struct Import {
    /// The folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The project's name; it is made when there is none
    #[arg(long, value_name = "PROJECT")]
    into: String,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(command: &Command, place: &Place) -> Result<ExitCode> {
    match command {
        Command::Get(get) => {
            let remote = Remote::find(&get.target, place)?;
            block_on(data::get(&remote, get, Method::GET, ""))
        }
        Command::Refresh(get) => {
            let remote = Remote::find(&get.target, place)?;
            block_on(data::get(&remote, get, Method::POST, "/refresh"))
        }
        Command::Put(put) => {
            let remote = Remote::find(&put.target, place)?;
            block_on(data::put(&remote, put))
        }
        Command::Status(status) => {
            let remote = Remote::find(&status.target, place)?;
            block_on(overview::status(&remote, status))
        }
        Command::Metrics(metrics) => {
            let remote = Remote::find(&metrics.target, place)?;
            block_on(overview::metrics(&remote, metrics))
        }
        Command::Import(import) => {
            let remote = Remote::find(&import.target, place)?;
            block_on(import::import(&remote, import))
        }
    }
}

/// Longer than the minute that the rate limit counts.
const LONGEST_WAIT: Duration = Duration::from_secs(65);

/// Asks, and once more after the wait when the minute's requests are used up.
async fn ask(
    remote: &Remote,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, RemoteError> {
    let path = format!("cache{path}");
    let first = remote.function(method.clone(), &path, body).await?;
    if first.status != 429 {
        return first.success();
    }
    let seconds = first.json["details"]["retry_after"].as_u64().unwrap_or(60);
    anstream::eprintln!("The cache asks to wait {seconds} s.");
    tokio::time::sleep(Duration::from_secs(seconds).min(LONGEST_WAIT)).await;
    remote.function(method, &path, body).await?.success()
}

/// A name as it stands in a path or a query.
fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
