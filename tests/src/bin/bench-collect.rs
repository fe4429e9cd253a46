//! How long collecting many companies takes, side by side with one at a time.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ironferry_tests::dex_site::{Account, Site};
use ironferry_tests::lab::{Db, Lab};
use ironferry_tests::process;
use ironferry_tests::report::{Bound, Output, Section, Table, number};
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
    #[command(flatten)]
    output: Output,
}

const METHOD: &str = "Synthetic companies whose site takes a while for every answer, each with new captures. By \
    ticks is pg_cron's own way, `private.collect_dex_tick()`; one at a time is what the earlier implementations \
    do. No capture may be downloaded twice. CPU is that of the whole process, start-up included: all calls of a \
    tick share one process here, up to eight at a time. A hosted worker lives 150 s, may use 2,000 ms of CPU a \
    request and 256 MB.";

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
    let mut section = Section::new("Many companies on a slow site", METHOD)
        .fact("milliseconds that the site takes", asked.latency_ms)
        .fact("new captures a company", asked.readings)
        .fact("companies at once in a call", asked.concurrency);
    let mut table = Table::new([
        "",
        "companies",
        "calls",
        "at once",
        "seconds",
        "ms a company",
        "CPU ms a call",
        "resident MB",
        "ratio",
    ]);
    for (name, one) in [("one at a time", &alone), ("by ticks", &together)] {
        #[allow(clippy::cast_precision_loss)] // a handful of calls
        let cpu = one.cpu.as_secs_f64() * 1_000.0 / one.calls as f64;
        table.row([
            name.into(),
            number(f64::from(one.companies), 0),
            one.calls.to_string().as_str().into(),
            one.most_at_once.to_string().as_str().into(),
            number(one.wall.as_secs_f64(), 1),
            number(per_company(one), 1),
            number(cpu, 0),
            number(one.resident_mb, 0),
            number(per_company(&alone) / per_company(one), 1),
        ]);
    }
    section.table(table);
    section.target(
        "companies collected in a given time against one at a time",
        Bound::AtLeast(10.0),
        ratio,
        "×",
    );
    asked.output.finish(&[section])
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
    let cpu_before = process::cpu(lab.pid("collect-dex")?)?;
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
        cpu: process::cpu(lab.pid("collect-dex")?)?.saturating_sub(cpu_before),
        calls: db.count("select count(*) from public.collection_runs", &[]).await?,
        resident_mb: process::resident_mb(lab.pid("collect-dex")?)?,
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
