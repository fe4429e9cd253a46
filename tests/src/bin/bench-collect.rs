//! How long collecting many companies takes, side by side with one at a time.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ironferry_tests::dex_site::{Account, Site};
use ironferry_tests::lab::{Db, Lab};
use serde_json::json;
use time::OffsetDateTime;

/// Collects synthetic companies from a slow site, as pg_cron does and one at a time, and prints the ratio.
#[derive(Parser)]
#[command(after_help = "Examples:\n  bench-collect\n  bench-collect --companies 10000 --sample 40 --json")]
struct Arguments {
    /// Companies
    #[arg(long, default_value_t = 1_000)]
    companies: u32,
    /// Companies that are collected one at a time, for comparison
    #[arg(long, default_value_t = 40)]
    sample: u32,
    /// Milliseconds that the site takes for each answer
    #[arg(long, default_value_t = 100)]
    latency_ms: u64,
    /// New captures a company
    #[arg(long, default_value_t = 1)]
    readings: u32,
    /// Companies at once in each call of the collector
    #[arg(long, default_value_t = 25)]
    concurrency: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was measured.
struct Measured {
    companies: u32,
    wall: Duration,
    cpu: Duration,
    calls: i64,
    resident_mb: f64,
    /// Requests that the site had under way together.
    most_at_once: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let asked = Arguments::parse();
    let alone = measure("one at a time", asked.sample, 1, &asked).await?;
    let together = measure("by ticks", asked.companies, asked.concurrency, &asked).await?;
    let per_company = |one: &Measured| one.wall.as_secs_f64() * 1_000.0 / f64::from(one.companies);
    let ratio = per_company(&alone) / per_company(&together);
    if asked.json {
        let told = |one: &Measured| {
            json!({
                "companies": one.companies, "seconds": one.wall.as_secs_f64(), "calls": one.calls,
                "cpu_seconds": one.cpu.as_secs_f64(), "resident_mb": one.resident_mb,
                "most_at_once": one.most_at_once,
            })
        };
        println!("{}", json!({ "one_at_a_time": told(&alone), "by_ticks": told(&together), "ratio": ratio }));
        return Ok(());
    }
    println!("\n| | companies | calls | at once | seconds | ms a company | CPU ms a call | resident MB |");
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    for (name, one) in [("one at a time", &alone), ("by ticks", &together)] {
        #[allow(clippy::cast_precision_loss)] // a handful of calls
        let cpu = one.cpu.as_secs_f64() * 1_000.0 / one.calls as f64;
        println!(
            "| {name} | {} | {} | {} | {:.1} | {:.1} | {cpu:.0} | {:.0} |",
            one.companies,
            one.calls,
            one.most_at_once,
            one.wall.as_secs_f64(),
            per_company(one),
            one.resident_mb
        );
    }
    println!("\nratio: {ratio:.1}");
    Ok(())
}

async fn measure(name: &str, companies: u32, concurrency: u32, asked: &Arguments) -> Result<Measured> {
    let Arguments { readings, latency_ms, .. } = *asked;
    eprintln!("{name}: making {companies} companies");
    let concurrency = concurrency.to_string();
    let lab = Lab::start("bench", &[("COLLECT_CONCURRENCY", &concurrency), ("LOG_LEVEL", "warn")]).await?;
    let db = lab.db().await?;
    let accounts: Vec<Account> = (1..=companies)
        .map(|number| Account::synthetic(number, 1, readings, OffsetDateTime::now_utc()))
        .collect();
    let site = Site::start(0, accounts.clone()).await?;
    stream::iter(&accounts)
        .map(|account| lab.company(&db, &account.email, &site, account))
        .buffer_unordered(16)
        .try_collect::<Vec<_>>()
        .await?;
    site.set_latency(Duration::from_millis(latency_ms));
    site.reset_stats();

    eprintln!("{name}: collecting");
    let cpu_before = cpu_time(&lab)?;
    let started = Instant::now();
    while left(&db).await? > 0 {
        db.run("select private.collect_dex_tick()").await?;
        let idle = "select not exists (select from public.collection_runs where status = 'running')
                    and not exists (select from net.http_request_queue)
                    and exists (select from public.collection_runs)";
        db.wait_for("the end of a tick", Duration::from_secs(170), idle).await?;
        ensure!(started.elapsed() < Duration::from_mins(15), "not done in 15 minutes");
    }
    let measured = Measured {
        companies,
        wall: started.elapsed(),
        cpu: cpu_time(&lab)?.saturating_sub(cpu_before),
        calls: db.count("select count(*) from public.collection_runs", &[]).await?,
        resident_mb: resident_mb(&lab)?,
        most_at_once: site.stats().most_at_once,
    };
    let stored = db.count("select count(*) from public.dex_captures", &[]).await?;
    ensure!(stored == i64::from(companies * readings), "{stored} captures of {companies} companies");
    let again = site.stats().downloaded_again();
    ensure!(again.is_empty(), "downloaded more than once: {again:?}");
    site.stop();
    lab.stop().await?;
    Ok(measured)
}

async fn left(db: &Db) -> Result<i64> {
    db.count("select count(*) from public.collection_state where last_succeeded_at is null", &[]).await
}

/// CPU time of the collector's process.
fn cpu_time(lab: &Lab) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid(lab)?))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // User and system time, in ticks of 10 ms.
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}

fn resident_mb(lab: &Lab) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid(lab)?))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<f64>()? / 1_024.0)
}

fn pid(lab: &Lab) -> Result<u32> {
    lab.stack.function_pid("collect-dex").ok_or_else(|| anyhow::anyhow!("collect-dex does not run"))
}
