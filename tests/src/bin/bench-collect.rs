//! What collecting many companies costs, beside the same in TypeScript, and how long it takes beside
//! collecting them one at a time.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use ferry::stack::Options;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ironferry_tests::calls::Calls;
use ironferry_tests::dex_site::{Account, Site};
use ironferry_tests::lab::{Db, Lab, project};
use ironferry_tests::process;
use ironferry_tests::report::{Bound, Output, Rounds, Section, Table, count, number};
use time::OffsetDateTime;

/// Collects synthetic companies from a slow site as pg_cron does, by `collect-dex` and by its twin in
/// TypeScript in turns.
#[derive(Parser)]
#[command(after_help = "Examples:\n  bench-collect\n  bench-collect --companies 10,100 --json")]
struct Arguments {
    /// How many companies, each in a project of its own
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000,10000")]
    companies: Vec<u32>,
    /// Turns of each collector; from 10,000 companies on at most two
    #[arg(long, default_value_t = 4)]
    rounds: usize,
    /// Companies that are collected one at a time, for comparison
    #[arg(long, default_value_t = 40)]
    sample: u32,
    /// Milliseconds that the site takes for each answer
    #[arg(long, default_value_t = 100)]
    latency_ms: u64,
    /// New captures a company
    #[arg(long, default_value_t = 2)]
    readings: u32,
    /// Companies at once in each call of the collector
    #[arg(long, default_value_t = 25)]
    concurrency: u32,
    #[command(flatten)]
    output: Output,
}

const METHOD: &str = "Ticks of pg_cron over companies with new captures each, on a simulated site that takes its \
    time for each answer: log in, list, download, parse, store with sales and events. Each company must be visited \
    exactly once. `collect-dex` and `benches/collect/collect-dex-ts`, a TypeScript collector with supabase-js and the \
    same functions of the database, in turns on one stack, each first in every other turn; of 10,000 companies two \
    turns each. Before each turn all that was stored is forgotten, and after it what was stored is compared: the same \
    captures, sales, events, states and results. Time is from the first tick to the end of the last run. Database \
    calls are requests to the REST server. CPU and memory are the function's process, in which all calls of a tick \
    run; CPU is in steps of 10 ms and includes compiling.";

/// The collectors: the name of the function and how it is shown.
const COLLECTORS: [(&str, &str); 2] = [("collect-dex", "Ironferry"), ("collect-dex-ts", "TypeScript")];

/// Companies of the turn that warms up.
const WARM: u32 = 50;

/// One turn.
struct Turn {
    wall: Duration,
    cpu: Duration,
    runs: i64,
    database_calls: usize,
    peak_mb: f64,
    /// Requests that the site had under way together.
    most_at_once: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let asked = Arguments::parse();
    let mut section = Section::new("Collecting many companies", METHOD)
        .fact("rounds", asked.rounds)
        .fact("milliseconds an answer of the site", asked.latency_ms)
        .fact("new captures a company", asked.readings)
        .fact("companies at once in a call", asked.concurrency);
    let mut cost = Table::new([
        "companies",
        "collector",
        "seconds",
        "ms a company",
        "ratio",
        "database calls a company",
        "CPU ms a company",
        "CPU ms a call",
        "peak MB",
    ]);
    let mut flat = Vec::new();
    let mut ticks = (0, f64::NAN);
    for &companies in &asked.companies {
        let turns = measure(companies, asked.concurrency, &COLLECTORS, &asked).await?;
        let wall = |turns: &[Turn]| rounds(turns, |turn| per(turn.wall, companies));
        let base = wall(&turns[1]);
        for ((_, name), turns) in COLLECTORS.iter().zip(&turns) {
            let cpu = rounds(turns, |turn| per(turn.cpu, companies));
            #[allow(clippy::cast_precision_loss)] // some thousands
            let calls = rounds(turns, |turn| turn.database_calls as f64 / f64::from(companies));
            #[allow(clippy::cast_precision_loss)]
            let cpu_a_call = rounds(turns, |turn| turn.cpu.as_secs_f64() * 1_000.0 / turn.runs as f64);
            let wall = wall(turns);
            cost.row([
                count(companies as usize),
                (*name).into(),
                wall.map(|ms| ms * f64::from(companies) / 1_000.0).cell(1),
                wall.cell(2),
                base.against(&wall).cell(2),
                calls.cell(2),
                cpu.cell(2),
                cpu_a_call.cell(0),
                rounds(turns, |turn| turn.peak_mb).cell(0),
            ]);
            if *name == COLLECTORS[0].1 {
                flat.push((companies, cpu.median(), calls.median()));
                ticks = (companies, wall.median());
                let what = format!("collector, {companies} companies, as fast as its TypeScript twin");
                section.target(&what, Bound::AtLeast(1.0), base.against(&wall).median(), "×");
            }
        }
    }
    section.table(cost);
    // A few companies do not fill one call: what a call costs by itself would hide what a company does.
    if let (Some(few), Some(many)) = (flat.iter().find(|one| one.0 >= 100).or(flat.first()), flat.last())
        && few.0 < many.0
    {
        let what = |of: &str| format!("collector, {of} a company at {} against {} companies", many.0, few.0);
        section.target(&what("CPU"), Bound::AtMost(1.2), many.1 / few.1, "×");
        section.target(&what("database calls"), Bound::AtMost(1.1), many.2 / few.2, "×");
    }
    if asked.sample > 0 {
        let alone = measure(asked.sample, 1, &COLLECTORS[..1], &asked).await?;
        let one = per(alone[0][0].wall, asked.sample);
        let mut table = Table::new(["way", "at once", "ms a company"]).caption(
            "One company at a time, as the earlier implementations do it, and by ticks; both by `collect-dex`:",
        );
        let most = |turn: &Turn| count(usize::try_from(turn.most_at_once).unwrap_or_default());
        table.row(["one at a time".into(), most(&alone[0][0]), number(one, 1)]);
        table.row([
            format!("by ticks, {} companies", ticks.0).as_str().into(),
            "".into(),
            number(ticks.1, 1),
        ]);
        section.table(table);
        section.target(
            "collecting by ticks against one company at a time",
            Bound::AtLeast(10.0),
            one / ticks.1,
            "×",
        );
    }
    asked.output.finish(&[section])
}

fn rounds(turns: &[Turn], of: impl Fn(&Turn) -> f64) -> Rounds {
    turns.iter().map(of).collect()
}

/// Milliseconds a company.
fn per(time: Duration, companies: u32) -> f64 {
    time.as_secs_f64() * 1_000.0 / f64::from(companies)
}

/// The turns of each collector over so many companies.
async fn measure(
    companies: u32,
    concurrency: u32,
    collectors: &[(&str, &str)],
    asked: &Arguments,
) -> Result<Vec<Vec<Turn>>> {
    eprintln!("making {companies} companies");
    let calls = Calls::default();
    let lab = start(concurrency, &calls).await?;
    let db = lab.db().await?;
    let accounts: Vec<Account> = (1..=companies)
        .map(|number| Account::synthetic(number, 1, asked.readings, OffsetDateTime::now_utc()))
        .collect();
    let site = Site::start(0, accounts.clone()).await?;
    stream::iter(&accounts)
        .map(|account| lab.company(&db, &account.email, &site, account))
        .buffer_unordered(16)
        .try_collect::<Vec<_>>()
        .await?;
    site.set_latency(Duration::from_millis(asked.latency_ms));
    // Many companies take longer than the usual five minutes: none is due again meanwhile.
    db.run(r#"update public.companies set settings = settings || '{"collectEveryMinutes": 1440}'"#).await?;
    // The twin's ticks are the same function with another name in it.
    db.run(
        "do $$ begin execute replace(replace(pg_get_functiondef('private.collect_dex_tick()'::regprocedure),
            'call_function(''collect-dex''', 'call_function(''collect-dex-ts'''), 'collect_dex_tick', 'collect_dex_ts_tick');
         end $$",
    )
    .await?;
    let turns = if companies < 10_000 { asked.rounds } else { asked.rounds.min(2) };
    let mut measured: Vec<Vec<Turn>> = collectors.iter().map(|_| Vec::new()).collect();
    let mut left = Vec::new();
    for round in 0..=turns {
        let mut order: Vec<_> = collectors.iter().zip(&mut measured).collect();
        // Neither is always the first.
        if round % 2 == 0 {
            order.reverse();
        }
        for ((function, name), turns) in order {
            let due = if round == 0 { WARM.min(companies) } else { companies };
            eprintln!("{name}: collecting {due} of {companies}");
            forget(&db, due).await?;
            site.reset_stats();
            let turn = collect(&lab, &db, &site, &calls, function).await?;
            let stored = db.count("select count(*) from public.dex_captures", &[]).await?;
            ensure!(stored == i64::from(due * asked.readings), "{stored} captures of {due} companies");
            let visits = site.stats().all_logins();
            ensure!(visits == u64::from(due), "{visits} visits of {due} companies");
            if round > 0 {
                left.push(result(&db).await?);
                turns.push(turn);
            }
        }
    }
    left.dedup();
    ensure!(left.len() == 1, "they did not store the same: {left:#?}");
    eprintln!("stored alike:\n{}", left[0]);
    site.stop();
    lab.stop().await?;
    Ok(measured)
}

async fn start(concurrency: u32, calls: &Calls) -> Result<Lab> {
    let folder = std::env::temp_dir().join(format!("ironferry-bench-collect-{}", std::process::id()));
    let mut options = Options::for_load(project(), &folder);
    options.extra_functions = vec!["benches/collect/collect-dex-ts".into()];
    options.function_env = vec![
        ("ALLOWED_HOSTS".into(), "127.0.0.1".into()),
        ("COLLECT_CONCURRENCY".into(), concurrency.to_string()),
        // One worker collects it all, as no hosted one may.
        ("COLLECT_CPU_MS".into(), "0".into()),
        ("LOG_LEVEL".into(), "warn".into()),
    ];
    options.listener = Some(calls.listener());
    Lab::with(options, folder).await
}

/// Nothing was ever collected, and so many companies are due.
async fn forget(db: &Db, due: u32) -> Result<()> {
    db.run(&format!(
        "update public.collection_state set lease_run_id = null, leased_until = null, last_error = null, skip_reason = null,
            consecutive_failures = 0, last_started_at = null, last_succeeded_at = null, last_records = null, collect_from = null, next_due_at = 'infinity';
         update public.collection_state set next_due_at = now() where company_id in
            (select id from public.companies order by company_name limit {due});
         delete from public.collection_runs;
         delete from public.dex_captures;
         delete from public.machine_states;
         update public.machines set machine_model = null, firmware_version = null, latest_dex_id = null, latest_dex_data = null,
            latest_dex_parsed = null, latest_errors = '[]', dex_history = '[]', dex_has_errors = false, dex_last_capture = null;
         truncate public.dex_intervals, public.dex_sales, public.dex_events"
    ))
    .await?;
    // Both begin with tables of the same size, and with the same plans.
    db.run("vacuum full analyze").await
}

/// Ticks until none is due.
async fn collect(lab: &Lab, db: &Db, site: &Site, calls: &Calls, function: &str) -> Result<Turn> {
    let pid = lab.pid(function)?;
    process::forget_peak(pid)?;
    let (_, cpu) = (calls.take(), process::cpu(pid)?);
    let started = Instant::now();
    let micros = |time| format!("select (extract(epoch from {time}) * 1000000)::bigint");
    let began = db.count(&micros("clock_timestamp()"), &[]).await?;
    let due = "select count(*) from public.collection_state where next_due_at <= now()";
    let tick = format!("select private.{}_tick()::bigint", function.replace('-', "_"));
    let mut calls_made = 0;
    while db.count(due, &[]).await? > 0 {
        calls_made += db.count(&tick, &[]).await?;
        // By their number: a call that is no longer queued may have made no claim yet, and so no run.
        let ended =
            format!("select count(*) >= {calls_made} from public.collection_runs where status <> 'running'");
        db.wait_for("the end of a tick", Duration::from_secs(170), &ended).await?;
        ensure!(started.elapsed() < Duration::from_mins(15), "not done in 15 minutes");
    }
    // To the microsecond: the waiting above looks ten times a second.
    let last = "(select max(finished_at) from public.collection_runs)";
    let ended = db.count(&micros(last), &[]).await?;
    Ok(Turn {
        wall: Duration::from_micros(u64::try_from(ended - began)?),
        cpu: process::cpu(pid)?.saturating_sub(cpu),
        runs: db.count("select count(*) from public.collection_runs", &[]).await?,
        database_calls: calls.take().into_values().sum(),
        peak_mb: process::peak_mb(pid)?,
        most_at_once: site.stats().most_at_once,
    })
}

/// What a collection leaves, a line a table: all but times of day and numbers that are dealt out.
async fn result(db: &Db) -> Result<String> {
    let results = "(select result from public.collection_runs, jsonb_array_elements(results) as result
        where status = 'succeeded' and function = 'collect-dex' and triggered_by = 'cron')";
    let mut lines = Vec::new();
    for (table, dealt) in [
        ("public.dex_captures", ",id"),
        ("public.dex_intervals", ""),
        ("public.dex_sales", ""),
        ("public.dex_events", ",id"),
        ("public.machine_states", ""),
        ("public.machines", ""),
        ("public.collection_state", ",next_due_at,last_started_at,last_succeeded_at,collect_from"),
        (results, ""),
    ] {
        let query = format!(
            "select count(*) || ' ' || md5(coalesce(string_agg(row, chr(10) order by row), '')) from (
                select (to_jsonb(one) - '{{created_at,updated_at{dealt}}}'::text[])::text as row from {table} as one
             ) as listed"
        );
        lines.push(format!("{table}: {}", db.text(&query, &[]).await?));
    }
    Ok(lines.join("\n"))
}
