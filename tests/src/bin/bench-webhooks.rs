//! The accept path of receive-webhook under many senders, beside the same in TypeScript.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use ferry::stack::Options;
use ironferry_tests::lab::{Lab, project};
use serde_json::json;

/// Sends alerts to receive-webhook and to its twin with supabase-js, and prints how long they waited.
#[derive(Parser)]
#[command(after_help = "Example:\n  bench-webhooks --senders 200 --alerts 4000")]
struct Arguments {
    /// Senders at once
    #[arg(long, default_value_t = 200)]
    senders: usize,
    /// Alerts in all, for each of the two
    #[arg(long, default_value_t = 4_000)]
    alerts: usize,
}

const WEBHOOKS: usize = 20;
const PASSPHRASE: &str = "a passphrase for the bench";

#[tokio::main]
async fn main() -> Result<()> {
    let asked = Arguments::parse();
    let folder = std::env::temp_dir().join(format!("ironferry-bench-webhooks-{}", std::process::id()));
    let mut options = Options::for_tests(project(), &folder);
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

    println!(
        "| | alerts | at once | per second | p50 ms | p99 ms | p99.9 ms |\n|---|---:|---:|---:|---:|---:|---:|"
    );
    for round in 0..2 {
        for function in ["receive-webhook", "receive-webhook-ts"] {
            // The first round warms up.
            let alerts = if round == 0 { asked.alerts / 10 } else { asked.alerts };
            let (mut waits, wall) = measure(&lab, function, &ids, asked.senders, alerts, round).await?;
            waits.sort_unstable();
            let at = |share: usize| {
                waits[(waits.len() * share / 1_000).min(waits.len() - 1)].as_secs_f64() * 1_000.0
            };
            if round == 1 {
                println!(
                    "| `{function}` | {alerts} | {} | {:.0} | {:.1} | {:.1} | {:.1} |",
                    asked.senders,
                    f64::from(u32::try_from(waits.len())?) / wall.as_secs_f64(),
                    at(500),
                    at(990),
                    at(999)
                );
            }
        }
    }
    lab.stop().await
}

async fn measure(
    lab: &Lab,
    function: &str,
    ids: &[String],
    senders: usize,
    alerts: usize,
    round: usize,
) -> Result<(Vec<Duration>, Duration)> {
    let next = AtomicUsize::new(0);
    let started = Instant::now();
    let send = async || -> Result<Vec<Duration>> {
        let mut waits = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= alerts {
                return Ok(waits);
            }
            let alert = json!({
                "passphrase": PASSPHRASE, "ticker": "AAPL", "action": "buy", "qty": 1, "price": "150.25",
                "alert_id": format!("{function} {round} {number}"),
            });
            let path = format!("/functions/v1/{function}/{}", ids[number % ids.len()]);
            let sent = Instant::now();
            let reply =
                lab.api.send("POST", &path, &[("content-type", "text/plain")], alert.to_string()).await?;
            waits.push(sent.elapsed());
            let outcome = reply.json()?["outcome"].as_str().context("an outcome")?.to_owned();
            ensure!(reply.status == 200 && outcome == "accepted", "{}: {outcome}", reply.status);
        }
    };
    let all = futures_util::future::try_join_all((0..senders).map(|_| send())).await?;
    Ok((all.into_iter().flatten().collect(), started.elapsed()))
}
