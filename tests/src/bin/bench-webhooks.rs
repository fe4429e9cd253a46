//! The accept path of receive-webhook under many senders, beside the same in TypeScript.

use anyhow::{Result, ensure};
use bytes::Bytes;
use clap::Parser;
use ferry::stack::Options;
use http::Request;
use ironferry_tests::lab::{Db, Lab, project};
use ironferry_tests::load::{self, Measured};
use ironferry_tests::process;
use ironferry_tests::report::{Bound, Output, Rounds, Section, Table};
use serde_json::json;

/// Sends alerts to receive-webhook and to its twin with supabase-js, and prints how long they waited.
#[derive(Parser)]
#[command(after_help = "Example:\n  bench-webhooks --senders 200 --alerts 4000")]
struct Arguments {
    /// Senders at once
    #[arg(long, default_value_t = 200)]
    senders: usize,
    /// Alerts of a round, for each of the two
    #[arg(long, default_value_t = 2_000)]
    alerts: usize,
    /// Rounds, in turns
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    #[command(flatten)]
    output: Output,
}

const METHOD: &str = "The accept path of `receive-webhook`, from the request to the answer, under many senders, straight \
    to the function's port. The twin is `benches/webhooks/receive-webhook-ts`: the same table and the same RPC by \
    supabase-js with one client for all requests, the JSON checked less. Neither makes orders meanwhile, and each \
    alert must leave its signal. In turns after a warm-up; the ratio is round by round. Both wait for PostgREST. \
    TradingView gives up after 3 s.";

const WEBHOOKS: usize = 20;
const PASSPHRASE: &str = "a passphrase for the bench";
const FUNCTIONS: [&str; 2] = ["receive-webhook", "receive-webhook-ts"];

/// What one of the two did.
#[derive(Default)]
struct Turns {
    measured: Vec<Measured>,
    cpu_ms: Rounds,
}

#[tokio::main]
async fn main() -> Result<()> {
    let asked = Arguments::parse();
    let folder = std::env::temp_dir().join(format!("ironferry-bench-webhooks-{}", std::process::id()));
    let mut options = Options::for_load(project(), &folder);
    options.extra_functions = vec!["benches/webhooks/receive-webhook-ts".into()];
    options.function_env = vec![("LOG_LEVEL".into(), "error".into())];
    let lab = Lab::with(options, folder).await?;
    let db = lab.db().await?;
    db.run(&format!(
        "insert into auth.users (id, email) select gen_random_uuid(), n || '@bench.example' from generate_series(1, {WEBHOOKS}) as n;
         insert into public.webhook_configs (user_id, name, security_token, source, rate_limit_per_minute)
         select id, email, '{PASSPHRASE}', 'other', 100000 from auth.users;
         -- Somebody else has every turn: the accept path alone is measured, orders are not made.
         insert into private.trading_turns (user_id, lease_id, leased_until) select id, gen_random_uuid(), now() + interval '1 day' from auth.users;"
    ))
    .await?;
    let ids = db.rows("select id::text from public.webhook_configs order by name", &[]).await?;
    let ids = ids.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;

    let mut turns = [Turns::default(), Turns::default()];
    for round in 0..=asked.rounds {
        eprintln!("round {round} of {}", asked.rounds);
        for (function, turns) in FUNCTIONS.into_iter().zip(&mut turns) {
            let (measured, cpu_ms) = measure(&lab, &db, function, &ids, &asked, round).await?;
            // The first round warms up.
            if round > 0 {
                turns.measured.push(measured);
                turns.cpu_ms.push(cpu_ms);
            }
        }
    }
    lab.stop().await?;
    asked.output.finish(&[section(&asked, &turns)])
}

async fn measure(
    lab: &Lab,
    db: &Db,
    function: &str,
    ids: &[String],
    asked: &Arguments,
    round: usize,
) -> Result<(Measured, f64)> {
    let signals = "select count(*) from public.webhook_signals";
    let (before, pid) = (db.count(signals, &[]).await?, lab.pid(function)?);
    let cpu = process::cpu(pid)?;
    let alert = |number: usize| {
        let body = json!({
            "passphrase": PASSPHRASE, "ticker": "AAPL", "action": "buy", "qty": 1, "price": "150.25",
            "alert_id": format!("{function} {round} {number}"),
        });
        let mut request = Request::new(Bytes::from(body.to_string()));
        *request.method_mut() = http::Method::POST;
        // Numbers and a UUID: it cannot fail.
        *request.uri_mut() = format!("/{function}/{}", ids[number % ids.len()]).parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert("host", http::HeaderValue::from_static("localhost"));
        headers.insert("content-type", http::HeaderValue::from_static("text/plain"));
        request
    };
    let measured = load::run_all(asked.senders, lab.port(function)?, asked.alerts, alert)?;
    let cpu = process::cpu(pid)?.saturating_sub(cpu);
    ensure!(measured.failed == 0, "{function} refused {} alerts", measured.failed);
    let made = db.count(signals, &[]).await? - before;
    ensure!(made == i64::try_from(asked.alerts)?, "{function} left {made} signals of {}", asked.alerts);
    #[allow(clippy::cast_precision_loss)] // thousands
    let cpu_ms = cpu.as_secs_f64() * 1_000.0 / asked.alerts as f64;
    Ok((measured, cpu_ms))
}

fn section(asked: &Arguments, turns: &[Turns; 2]) -> Section {
    let mut section = Section::new("Accepting alerts", METHOD)
        .fact("alerts a round", asked.alerts)
        .fact("rounds", asked.rounds)
        .fact("senders at once", asked.senders);
    let rates = |one: &Turns| one.measured.iter().map(|turn| turn.per_second).collect::<Rounds>();
    let theirs = rates(&turns[1]);
    let mut table =
        Table::new(["", "per second", "ratio", "p50 ms", "p99 ms", "p99.9 ms", "CPU ms an alert"]);
    for (function, one) in FUNCTIONS.into_iter().zip(turns) {
        let at = |share: f64| one.measured.iter().map(|turn| turn.quantile(share)).collect::<Rounds>();
        let ratio = rates(one).against(&theirs);
        table.row([
            format!("`{function}`").as_str().into(),
            rates(one).cell(0),
            ratio.cell(2),
            at(0.5).cell(0),
            at(0.99).cell(0),
            at(0.999).cell(0),
            one.cpu_ms.cell(2),
        ]);
    }
    section.table(table);
    let ratio = rates(&turns[0]).against(&theirs).median();
    section.target("alerts accepted a second against the twin", Bound::AtLeast(1.0), ratio, "×");
    let slowest: Rounds = turns[0].measured.iter().map(|turn| turn.quantile(0.999)).collect();
    section.target(
        "99.9 % of alerts answered, before TradingView gives up",
        Bound::AtMost(3_000.0),
        slowest.median(),
        "ms",
    );
    section
}
