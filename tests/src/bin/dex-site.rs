//! Runs the simulated DEX site by itself.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use ironferry_tests::captures;
use ironferry_tests::dex_site::{Account, Faults, Site};
use time::OffsetDateTime;

/// A simulated Cantaloupe dashboard on 127.0.0.1.
#[derive(Parser)]
#[command(after_help = "\
Examples:
  dex-site tests/captures
  dex-site --accounts 1000 --latency-ms 100
  dex-site --faults '{\"*\": {\"list\": {\"status\": 500}, \"times\": 3}}'

Log in as operator-1@example.com with the password \"let me in\".

While it runs, each by POST with JSON or GET:
  GET    /__control/stats      what was asked; DELETE starts anew
  GET    /__control/accounts   the logins
  POST   /__control/faults     {\"operator-1@example.com\": {\"download\": \"hang\"}}, or \"*\" for all; DELETE ends them
  POST   /__control/expire     ends the sessions, of all or of {\"account\": …}
  POST   /__control/advance    reads every machine once more, of all or of {\"account\": …}

Faults: latency_ms, session_requests, grows_by, page_rows, times (how many answers fail), and page,
login, list, download, captures (by dex id), each one of {\"status\": 500}, \"too_many\", \"html\",
\"garbage\", \"hang\", \"cut_off\", \"truncated\", {\"drip\": 50}, \"endless\".")]
struct Arguments {
    /// A folder of `<case serial>_<dex id>.dex`, dealt out to the accounts by machine
    folder: Option<PathBuf>,
    /// Accounts [default: 1 with a folder, else 3]
    #[arg(long)]
    accounts: Option<u32>,
    /// Synthetic machines an account, without a folder
    #[arg(long, default_value_t = 2)]
    machines: u32,
    /// Captures a machine, without a folder
    #[arg(long, default_value_t = 2)]
    readings: u32,
    /// Milliseconds that every answer takes
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Faults from the start, as for /__control/faults
    #[arg(long, value_name = "JSON")]
    faults: Option<String>,
    /// Port
    #[arg(long, default_value_t = 54400)]
    port: u16,
}

#[tokio::main]
async fn main() -> Result<()> {
    let asked = Arguments::parse();
    let now = OffsetDateTime::now_utc();
    let accounts = match &asked.folder {
        Some(folder) => {
            let captures = captures::from_folder(folder, now)?;
            Account::dealt(captures, asked.accounts.unwrap_or(1) as usize)
        }
        None => (1..=asked.accounts.unwrap_or(3))
            .map(|number| Account::synthetic(number, asked.machines, asked.readings, now))
            .collect(),
    };
    let served: usize = accounts.iter().map(|account| account.captures.len()).sum();
    let owners = accounts.len();
    let site = Site::start(asked.port, accounts).await?;
    site.set_faults("*", Faults::slow(Duration::from_millis(asked.latency_ms)));
    if let Some(faults) = &asked.faults {
        site.set_faults_json(faults).context("--faults")?;
    }
    println!("simulated DEX site at {}: {served} captures, {owners} accounts; Ctrl-C ends it", site.url());
    tokio::signal::ctrl_c().await?;
    site.stop();
    Ok(())
}
