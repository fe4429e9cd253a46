//! The main job on one machine: a simulated DEX site, three companies, and pg_cron.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::Parser;
use ferry::stack::Options;
use ironferry_tests::captures;
use ironferry_tests::dex_site::{Account, Site};
use ironferry_tests::lab::{Db, Lab, project};
use time::OffsetDateTime;
use tokio::signal::unix::{SignalKind, signal};

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
/// pg_cron fires on the full minute; one that is missed, and the time to collect.
const PATIENCE: Duration = Duration::from_secs(150);

#[tokio::main]
async fn main() -> Result<()> {
    let asked = Arguments::parse();
    let folder = asked.captures.clone().unwrap_or_else(default_folder);
    let accounts = accounts(&folder)?;
    say(&format!("captures from {}", folder.display()));
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
    let outcome = tokio::select! {
        outcome = run(&lab, &site, &accounts, asked.keep) => outcome,
        () = interrupted() => Ok(()),
    };
    if outcome.is_err() {
        show_logs(&lab);
    }
    say("stopping");
    site.stop();
    lab.stop().await?;
    outcome
}

async fn run(lab: &Lab, site: &Site, accounts: &[Account], keep: bool) -> Result<()> {
    let db = lab.db().await?;
    for (name, account) in COMPANIES.iter().zip(accounts) {
        lab.company(&db, name, site, account).await?;
    }
    say("3 companies with their logins, sealed");
    // Every 5 minutes in a project; a demo need not wait that long.
    lab.schedule(&db, "collect-dex", "* * * * *").await?;
    let took = wait_for_cron(&db).await?;
    show(&db, took).await?;
    if keep {
        show_ways_on(lab, site);
        std::future::pending::<()>().await;
    }
    println!("\nscripts/demo --keep leaves it running to look around; scripts/test runs the tests.");
    Ok(())
}

async fn interrupted() {
    let Ok(mut terminated) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
    println!();
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

/// Waits for the run that pg_cron sets off at the next full minute, and gives the time it took.
async fn wait_for_cron(db: &Db) -> Result<Duration> {
    let finished = "select status, error, extract(epoch from finished_at - started_at)::float8
        from public.collection_runs
        where triggered_by = 'cron' and finished_at is not null order by finished_at limit 1";
    let started = Instant::now();
    let mut progress = Progress::new();
    while started.elapsed() < PATIENCE {
        let captures = db.count("select count(*) from public.dex_captures", &[]).await?;
        let runs = db.count("select count(*) from public.collection_runs where triggered_by = 'cron'", &[]);
        if runs.await? > 0 {
            progress.say("pg_cron has fired", &format!(": {captures} captures"))?;
        } else {
            let seconds = 60 - OffsetDateTime::now_utc().second();
            progress.say("waiting for pg_cron, which fires on the full minute", &format!(": {seconds} s"))?;
        }
        if let Some(run) = db.rows(finished, &[]).await?.first() {
            progress.end();
            let (status, error): (String, Option<String>) = (run.try_get(0)?, run.try_get(1)?);
            ensure!(status == "succeeded", "the run has {status}: {}", error.unwrap_or_default());
            return Ok(Duration::from_secs_f64(run.try_get(2)?));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    progress.end();
    bail!("pg_cron has set off no run that ended within {PATIENCE:?}")
}

/// One line that changes on a terminal; elsewhere a line whenever another thing is done.
struct Progress {
    terminal: bool,
    told: String,
}

impl Progress {
    fn new() -> Self {
        Self { terminal: std::io::stdout().is_terminal(), told: String::new() }
    }

    fn say(&mut self, what: &str, detail: &str) -> Result<()> {
        if self.terminal {
            print!("\r\x1b[K- {what}{detail}");
            std::io::stdout().flush()?;
        } else if self.told != what {
            println!("- {what}{detail}");
        }
        what.clone_into(&mut self.told);
        Ok(())
    }

    fn end(&self) {
        if self.terminal {
            println!();
        }
    }
}

/// Vends and value are the counters of each machine's newest capture that has them.
const COLLECTED: &str = "
    select company.company_name,
           (select count(distinct machine_id) from public.dex_captures where company_id = company.id),
           (select count(*) from public.dex_captures where company_id = company.id),
           coalesce(sum((newest.vends ->> 'count')::bigint), 0)::bigint,
           to_char(coalesce(sum((newest.vends ->> 'value')::numeric / power(10::numeric, newest.decimals)), 0),
                   'FM999G999G999G990D00'),
           (select coalesce(string_agg(status || ' ' || number, ', ' order by status), '') from (
               select crc_status as status, count(*) as number from public.dex_captures
               where company_id = company.id group by crc_status
           ) as verdict)
    from public.companies as company
    left join (
        select distinct on (machine_id) company_id, parsed_data #> '{totals,vends,since_init}' as vends,
               coalesce((parsed_data #>> '{currency,decimals}')::integer, 2) as decimals
        from public.dex_captures
        where parsed_data #>> '{totals,vends,since_init,value}' is not null
        order by machine_id, captured_at desc, dex_id desc
    ) as newest on newest.company_id = company.id
    group by company.id, company.company_name
    order by company.company_name";

async fn show(db: &Db, took: Duration) -> Result<()> {
    println!(
        "\n{:<16} {:>8} {:>8} {:>9} {:>13}  checksums",
        "company", "machines", "captures", "vends", "value"
    );
    let (mut machines, mut captures) = (0, 0);
    for row in db.rows(COLLECTED, &[]).await? {
        let (name, of_machines, of_captures): (String, i64, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let (vends, value, verdicts): (i64, String, String) =
            (row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
        println!("{name:<16} {of_machines:>8} {of_captures:>8} {vends:>9} {value:>13}  {verdicts}");
        machines += of_machines;
        captures += of_captures;
    }
    if captures == 0 {
        let results = "select string_agg(results::text, ' ') from public.collection_runs";
        bail!("nothing was collected: {}", db.text(results, &[]).await?);
    }
    println!("\n{captures} captures of {machines} machines, collected in {:.2} s.", took.as_secs_f64());
    let between = db.count("select coalesce(sum(vends), 0)::bigint from public.dex_intervals", &[]).await?;
    println!("Between the first and the last capture of each machine: {between} vends.");
    Ok(())
}

fn show_ways_on(lab: &Lab, site: &Site) {
    let (api, key) = (lab.stack.api_url(), lab.stack.service_api_key());
    println!(
        "\nRunning until Ctrl-C. pg_cron collects every minute. Have the machines read again, and collect by hand:\n  \
         curl -X POST {site}/__control/advance\n  \
         curl -X POST '{api}/functions/v1/collect-dex?wait=true' -H 'X-Service-Key: {key}'\n\
         The last runs, the captures, the database:\n  \
         curl {api}/functions/v1/collect-dex/status -H 'X-Service-Key: {key}'\n  \
         curl '{api}/rest/v1/dex_captures?select=case_serial,captured_at,crc_status' -H 'apikey: {secret}'\n  \
         psql {db}",
        site = site.url(),
        secret = lab.stack.keys().secret,
        db = lab.stack.db_url(),
    );
}

/// The stack's folder goes with it, so that its logs are shown while they are there.
fn show_logs(lab: &Lab) {
    for part in ["collect-dex", "pg_net", "gateway"] {
        let log = std::fs::read_to_string(lab.stack.log(part)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        eprintln!("\nThe end of the log of {part}:");
        for line in &lines[lines.len().saturating_sub(8)..] {
            eprintln!("  {line}");
        }
    }
}

fn say(text: &str) {
    println!("- {text}");
}
