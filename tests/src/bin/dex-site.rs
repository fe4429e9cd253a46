//! Runs the simulated DEX site by itself.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use ironferry_tests::captures;
use ironferry_tests::dex_site::{Account, Faults, Site};
use time::OffsetDateTime;

/// A simulated Cantaloupe dashboard on 127.0.0.1.
#[derive(Parser)]
#[command(
    after_help = "Examples:\n  dex-site tests/captures\n  dex-site --accounts 1000 --latency-ms 100\n\n\
    Log in as operator-1@example.com with the password \"let me in\".\n\
    GET /__control/stats tells what was asked; POST /__control/faults makes accounts fail:\n  \
    {\"operator-1@example.com\": {\"list\": {\"status\": 500}}}, or \"*\" for all."
)]
struct Arguments {
    /// A folder of `<case serial>_<dex id>.dex`, served to one account
    folder: Option<PathBuf>,
    /// Accounts with synthetic captures, instead of a folder
    #[arg(long, default_value_t = 3)]
    accounts: u32,
    /// Machines an account
    #[arg(long, default_value_t = 2)]
    machines: u32,
    /// Captures a machine
    #[arg(long, default_value_t = 2)]
    readings: u32,
    /// Milliseconds that every answer takes
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
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
            vec![Account::new("operator-1@example.com", "let me in", captures::from_folder(folder, now)?)]
        }
        None => (1..=asked.accounts)
            .map(|number| Account::synthetic(number, asked.machines, asked.readings, now))
            .collect(),
    };
    let served: usize = accounts.iter().map(|account| account.captures.len()).sum();
    let site = Site::start(asked.port, accounts).await?;
    site.set_faults("*", Faults::slow(Duration::from_millis(asked.latency_ms)));
    println!("simulated DEX site at {}, {served} captures; Ctrl-C ends it", site.url());
    tokio::signal::ctrl_c().await?;
    site.stop();
    Ok(())
}
