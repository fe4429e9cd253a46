//! The CPU that a collection takes of its worker, and what `dex-collector` counts for it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use ferry::stack::Options;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ironferry_tests::dex_site::{Account, Site};
use ironferry_tests::http::Client;
use ironferry_tests::instance::Recipe;
use ironferry_tests::lab::{Db, Lab, project};
use ironferry_tests::process;
use ironferry_tests::report::{Bound, Output, Rounds, Section, Table, number};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// Measures the main thread's CPU time of fresh workers that collect, under each Deno.
#[derive(Parser)]
#[command(
    after_help = "Examples:\n  bench-collect-cpu\n  bench-collect-cpu --deno deno-2.1 --rounds 9 --json"
)]
struct Arguments {
    /// Denos to measure
    #[arg(long, value_delimiter = ',', default_value = "deno,deno-2.1")]
    deno: Vec<String>,
    /// Workers for each load
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Companies of one collection
    #[arg(long, default_value_t = 40)]
    companies: u32,
    /// New captures a company
    #[arg(long, default_value_t = 10)]
    captures: u32,
    /// Captures in the long list
    #[arg(long, default_value_t = 2_000)]
    listed: u32,
    #[command(flatten)]
    output: Output,
}

const METHOD: &str = "Each load is one collection by a fresh process of `collect-dex`. Measured is the CPU time of its \
    main thread from the start of the process: that thread runs the JavaScript and the module, and is what the hosted \
    platform's limits count. Counted is what the module notes against `COLLECT_CPU_MS` for the same work. *New \
    captures* are companies on their first collection, *nothing new* the same companies once more, *one company* one \
    of them, *a long list* a company with many captures that are all known. The budget holds where at least as much is \
    counted as measured. The second table divides the differences between the loads.";

/// CPU of workers in ms: the main thread's, and as the module counted it.
#[derive(Default)]
struct Cost {
    measured: Rounds,
    counted: Rounds,
}

#[tokio::main]
async fn main() -> Result<()> {
    let asked = Arguments::parse();
    let lab = start().await?;
    let db = lab.db().await?;
    let now = OffsetDateTime::now_utc();
    let rounds = asked.rounds * u32::try_from(asked.deno.len())?;
    let mut accounts = vec![Account::synthetic(1, 10, asked.listed / 10, now)];
    accounts.extend(
        (0..rounds * asked.companies).map(|number| Account::synthetic(number + 2, 1, asked.captures, now)),
    );
    let site = Site::start(0, accounts.clone()).await?;
    let long = vec![lab.company(&db, "Long", &site, &accounts[0]).await?];
    due(&db, &long).await?;
    let reply = lab.as_service("POST", "/collect-dex?wait=true", None, json!({})).await?;
    ensure!(reply.json()?["totalRecords"] == asked.listed, "{}", reply.json()?);
    let mut rounds = accounts[1..].chunks_exact(asked.companies as usize);
    let mut section = Section::new("CPU of a collection", METHOD)
        .fact("workers for each load", asked.rounds)
        .fact("companies", asked.companies)
        .fact("new captures a company", asked.captures)
        .fact("captures in the long list", asked.listed);
    let mut table = Table::new(["Deno", "load", "measured ms", "counted ms", "counted / measured"]);
    let mut parts =
        Table::new(["Deno", "start and one company ms", "company ms", "capture ms", "100 rows of a list ms"]);
    for deno in &asked.deno {
        let mut costs: BTreeMap<&str, Cost> = BTreeMap::new();
        for round in 0..asked.rounds {
            eprintln!("{deno}: round {} of {}", round + 1, asked.rounds);
            let companies: Vec<String> = stream::iter(rounds.next().context("no round is left")?)
                .map(|account| lab.company(&db, &account.email, &site, account))
                .buffer_unordered(8)
                .try_collect()
                .await?;
            for (load, companies, stored) in [
                ("new captures", &companies[..], asked.companies * asked.captures),
                ("nothing new", &companies[..], 0),
                ("one company", &companies[..1], 0),
                ("a long list", &long[..], 0),
            ] {
                due(&db, companies).await?;
                let (measured, counted) = collect(&lab, deno, stored).await?;
                let cost = costs.entry(load).or_default();
                cost.measured.push(measured);
                cost.counted.push(counted);
            }
        }
        for (load, cost) in &costs {
            let share = cost.counted.against(&cost.measured);
            table.row([
                deno.as_str().into(),
                (*load).into(),
                cost.measured.cell(1),
                cost.counted.cell(1),
                share.cell(2),
            ]);
            section.target(
                &format!("{deno}, {load}: counted / measured"),
                Bound::AtLeast(1.0),
                share.median(),
                "×",
            );
        }
        let between = |less, more| {
            let measured = |load| costs.get(load).map_or(f64::NAN, |cost: &Cost| cost.measured.median());
            measured(more) - measured(less)
        };
        let one = costs.get("one company").map_or(f64::NAN, |cost| cost.measured.median());
        parts.row([
            deno.as_str().into(),
            number(one, 0),
            number(between("one company", "nothing new") / f64::from(asked.companies - 1), 2),
            number(between("nothing new", "new captures") / f64::from(asked.companies * asked.captures), 2),
            number(between("one company", "a long list") / f64::from(asked.listed) * 100.0, 2),
        ]);
    }
    section.table(table);
    section.table(parts);
    site.stop();
    lab.stop().await?;
    asked.output.finish(&[section])
}

async fn start() -> Result<Lab> {
    let folder = std::env::temp_dir().join(format!("ironferry-bench-collect-cpu-{}", std::process::id()));
    let mut options = Options::for_load(project(), &folder);
    options.function_env = [("ALLOWED_HOSTS", "127.0.0.1"), ("COLLECT_CPU_MS", "0")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    Lab::with(options, folder).await
}

/// Makes these companies due for all that their sites list, and no others.
async fn due(db: &Db, companies: &[String]) -> Result<()> {
    let set = "update public.collection_state set lease_run_id = null, leased_until = null,
        collect_from = null, next_due_at = case when company_id::text = any ($1) then now() else 'infinity' end where true";
    db.0.execute(set, &[&companies]).await.map(drop).context(set)
}

/// Collects what is due in a fresh worker, which must store this many captures. Gives the worker's CPU in ms, measured
/// and counted.
async fn collect(lab: &Lab, deno: &str, stored: u32) -> Result<(f64, f64)> {
    let script = project().join("benches/collect/worker.ts").display().to_string();
    let mut worker = Recipe::of(lab, "collect-dex")?.run_by(deno, script).start().await?;
    let api = Client::new(&format!("http://127.0.0.1:{}", worker.port));
    let headers = [("x-service-key", lab.stack.service_api_key())];
    let summary = api.send("POST", "/collect-dex?wait=true", &headers, String::new()).await?.json()?;
    let measured = process::cpu_of_main_thread(worker.pid)?.as_secs_f64() * 1_000.0;
    let all = summary["companiesProcessed"] == summary["successfulCollections"];
    ensure!(all && summary["totalRecords"] == stored, "{summary}");
    loop {
        let line = worker.output.next_line().await?.context("no event collect_dex.done")?;
        let event: Value = serde_json::from_str(&line).unwrap_or_default();
        if event["event"] == "collect_dex.done" {
            return Ok((measured, event["worker_cpu_ms"].as_f64().context("no worker_cpu_ms")?));
        }
    }
}
