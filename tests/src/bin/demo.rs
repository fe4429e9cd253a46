//! The main job on one machine: a simulated DEX site, three companies, and pg_cron.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use ferry::stack::Options;
use ironferry_tests::captures;
use ironferry_tests::dex_site::{Account, Site};
use ironferry_tests::lab::{Db, Lab, project};
use time::OffsetDateTime;

/// Collects DEX captures from a simulated site, by pg_cron, and shows what came.
#[derive(Parser)]
#[command(after_help = "Examples:\n  scripts/demo\n  DEX_CORPUS=~/dex scripts/demo --keep")]
struct Arguments {
    /// Leave everything running until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// A folder of `<case serial>_<dex id>.dex` [default: $DEX_CORPUS/cantaloupe, else the synthetic ones]
    #[arg(long)]
    captures: Option<PathBuf>,
}

const COMPANIES: [&str; 3] = ["Acme Vending", "Borealis Snacks", "Cobalt Coffee"];

#[tokio::main]
async fn main() -> Result<()> {
    let asked = Arguments::parse();
    let folder = asked.captures.clone().unwrap_or_else(default_folder);
    say(&format!("captures from {}", folder.display()));
    let accounts = accounts(&folder)?;
    let site = Site::start(0, accounts.clone()).await?;
    say(&format!("simulated DEX site at {}", site.url()));

    let state = std::env::temp_dir().join(format!("ironferry-demo-{}", std::process::id()));
    let options = Options {
        state: Some(state.clone()),
        function_env: vec![("ALLOWED_HOSTS".into(), "127.0.0.1".into())],
        progress: Some(Arc::new(say)),
        ..Options::new(project())
    };
    let lab = Lab::with(options, state).await?;
    let shown = collect(&lab, &site, &accounts).await;
    if asked.keep && shown.is_ok() {
        println!(
            "\nStill running, until Ctrl-C:\n  API       {}\n  database  {}",
            lab.stack.api_url(),
            lab.stack.db_url()
        );
        println!(
            "  curl -X POST '{}/functions/v1/collect-dex?wait=true' -H 'X-Service-Key: {}'",
            lab.stack.api_url(),
            lab.stack.service_api_key()
        );
        tokio::signal::ctrl_c().await?;
    }
    site.stop();
    lab.stop().await?;
    shown
}

fn default_folder() -> PathBuf {
    std::env::var_os("DEX_CORPUS")
        .map_or_else(|| project().join("tests/captures"), |corpus| PathBuf::from(corpus).join("cantaloupe"))
}

/// An account a company, with whole machines.
fn accounts(folder: &Path) -> Result<Vec<Account>> {
    let captures = captures::from_folder(folder, OffsetDateTime::now_utc())?;
    ensure!(!captures.is_empty(), "{} has no <case serial>_<dex id>.dex", folder.display());
    Ok(Account::dealt(captures, COMPANIES.len()))
}

async fn collect(lab: &Lab, site: &Site, accounts: &[Account]) -> Result<()> {
    let db = lab.db().await?;
    for (name, account) in COMPANIES.iter().zip(accounts) {
        lab.company(&db, name, site, account).await?;
    }
    say("3 companies with their logins, sealed");
    // Every 5 minutes in a project; a demo need not wait that long.
    db.run("select cron.schedule('collect-dex', '* * * * *', 'select private.collect_dex_tick()')").await?;
    let collected = wait_for_cron(&db).await?;
    show(&db, collected).await
}

/// Waits for the run that pg_cron sets off at the next full minute, and gives its time.
async fn wait_for_cron(db: &Db) -> Result<Duration> {
    let started = Instant::now();
    let terminal = std::io::stdout().is_terminal();
    let mut told = String::new();
    while started.elapsed() < Duration::from_secs(150) {
        let seconds = 60 - OffsetDateTime::now_utc().second();
        let captures = db.count("select count(*) from public.dex_captures", &[]).await?;
        let line = if captures > 0 {
            format!("collecting: {captures} captures")
        } else {
            format!("waiting for pg_cron, which fires on the full minute: {seconds} s")
        };
        if terminal {
            print!("\r\x1b[K{line}");
            std::io::stdout().flush()?;
        } else if told.is_empty() || captures > 0 {
            println!("{line}");
        }
        told = line;
        let done = db
            .rows(
                "select extract(epoch from finished_at - started_at)::float8 from public.collection_runs
                 where triggered_by = 'cron' and status = 'succeeded' and companies_processed > 0",
                &[],
            )
            .await?;
        if let Some(row) = done.first() {
            if terminal {
                println!();
            }
            return Ok(Duration::from_secs_f64(row.try_get(0)?));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    anyhow::bail!("pg_cron has not collected anything in 150 s: see the logs of collect-dex and pg_net")
}

const COLLECTED: &str = "
    select company.company_name, count(distinct machine.id)::bigint, sum(machine.captures)::bigint,
           sum((totals #>> '{since_init,count}')::bigint)::bigint,
           to_char(sum((totals #>> '{since_init,value}')::numeric / power(10::numeric, machine.decimals)), 'FM999G999G999G990D00'),
           string_agg(distinct machine.verdicts, ', ')
    from public.companies as company
    join lateral (
        select machine.id, machine.latest_dex_parsed #> '{totals,vends}' as totals,
               coalesce((machine.latest_dex_parsed #>> '{currency,decimals}')::integer, 2) as decimals,
               (select count(*) from public.dex_captures where machine_id = machine.id) as captures,
               (select string_agg(status || ' ' || number, ', ' order by status) from (
                   select crc_status as status, count(*) as number from public.dex_captures
                   where company_id = company.id group by crc_status
               ) as verdict) as verdicts
        from public.machines as machine
        where machine.company_id = company.id and machine.latest_dex_id is not null
    ) as machine on true
    group by company.company_name
    order by company.company_name";

async fn show(db: &Db, took: Duration) -> Result<()> {
    let rows = db.rows(COLLECTED, &[]).await?;
    ensure!(!rows.is_empty(), "nothing was collected");
    println!(
        "\n{:<18} {:>8} {:>9} {:>9} {:>14}  checksums",
        "company", "machines", "captures", "vends", "value"
    );
    let (mut machines, mut captures) = (0, 0);
    for row in rows {
        let (name, of_machines, of_captures): (String, i64, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let (vends, value): (Option<i64>, Option<String>) = (row.try_get(3)?, row.try_get(4)?);
        let verdicts: String = row.try_get(5)?;
        let (vends, value) = (vends.unwrap_or(0), value.unwrap_or_default());
        println!("{name:<18} {of_machines:>8} {of_captures:>9} {vends:>9} {value:>14}  {verdicts}");
        machines += of_machines;
        captures += of_captures;
    }
    let run = db
        .text(
            "select triggered_by || ', ' || status from public.collection_runs where companies_processed > 0",
            &[],
        )
        .await
        .context("the run is not in the ledger")?;
    println!("\n{captures} captures of {machines} machines in {:.2} s (run by {run})", took.as_secs_f64());
    Ok(())
}

fn say(text: &str) {
    println!("- {text}");
}
