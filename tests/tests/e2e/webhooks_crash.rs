//! The function's process is killed at random while alerts come in, some of them twice: each ends in
//! exactly one order or one recorded refusal.
//!
//! `WEBHOOK_SIGNALS` says how many alerts (1,000); 10,000 take some minutes.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ironferry_tests::lab::Lab;
use serde_json::json;

use super::webhooks::Webhook;

const OWNERS: usize = 8;
const SENDERS: usize = 16;
/// The function lives for so long between two kills, in milliseconds: hardly begun at first, then in
/// the middle of its work.
const SHORT_LIVES: [u64; 4] = [300, 500, 700, 900];
const LIVES: [u64; 5] = [6_100, 9_700, 4_300, 12_900, 7_700];

fn signals() -> usize {
    std::env::var("WEBHOOK_SIGNALS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_signal_ends_in_one_order_or_one_refusal_however_often_the_function_dies() -> Result<()> {
    let settings =
        [("WEBHOOK_LEASE_SECONDS", "2"), ("SIMULATION_EQUITY", "1000000000"), ("LOG_LEVEL", "error")];
    let lab = Lab::start("webhook-crash", &settings).await?;
    let db = lab.db().await?;
    let mut webhooks = Vec::new();
    for number in 0..OWNERS {
        let more = json!({ "act_within_seconds": 86_400 });
        webhooks.push(Webhook::create(&lab, &db, &format!("owner {number}"), more).await?);
    }
    // Some owners run into a limit.
    let limit = "insert into public.risk_limits (user_id, allowed_symbols) select user_id, '{AAPL}' from public.webhook_configs where name like '%_2' or name like '%_5'";
    db.run(limit).await?;

    let count = signals();
    let (next, kills, retries, duplicates) =
        (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let sending = AtomicBool::new(true);
    let started = Instant::now();
    let send = async || -> Result<()> {
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            if turn >= count {
                return Ok(());
            }
            // Three of ten repeat the one seven before.
            let number = if turn % 10 >= 7 { turn - 7 } else { turn };
            let ticker = if number % 2 == 0 { "AAPL" } else { "MSFT" };
            let alert = json!({ "ticker": ticker, "action": "buy", "qty": 1, "price": "100", "alert_id": number.to_string() });
            let webhook = &webhooks[number % OWNERS];
            // As TradingView does after 5xx, and more patiently.
            for attempt in 0.. {
                match webhook.send(&lab, alert.clone()).await {
                    Ok(reply) if reply.status == 200 => {
                        let is_duplicate = reply.json()?["outcome"] == "duplicate";
                        duplicates.fetch_add(usize::from(is_duplicate), Ordering::Relaxed);
                        break;
                    }
                    Ok(reply) => anyhow::ensure!(reply.status >= 500, "{}: {}", reply.status, reply.json()?),
                    Err(error) => anyhow::ensure!(attempt < 50, "no answer: {error:#}"),
                }
                retries.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    };
    let kill = async || -> Result<()> {
        for life in SHORT_LIVES.iter().chain(LIVES.iter().cycle()) {
            tokio::time::sleep(Duration::from_millis(*life)).await;
            if !sending.load(Ordering::Relaxed) {
                break;
            }
            if let Some(pid) = lab.stack.function_pid("receive-webhook") {
                std::process::Command::new("kill").args(["-9", &pid.to_string()]).status()?;
                kills.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    let senders = async {
        let all = futures_util::future::try_join_all((0..SENDERS).map(|_| send())).await;
        sending.store(false, Ordering::Relaxed);
        all.map(drop)
    };
    tokio::try_join!(senders, kill())?;
    let accepted_after = started.elapsed();

    // The net: what the dead left behind is swept up when their leases end.
    let open = "select count(*) from public.webhook_signals where finished_at is null";
    while db.count(open, &[]).await? > 0 {
        anyhow::ensure!(started.elapsed() < Duration::from_mins(15), "signals are left over");
        lab.as_service("POST", "/receive-webhook/sweep", None, json!({})).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    let unique: HashSet<usize> =
        (0..count).map(|turn| if turn % 10 >= 7 { turn - 7 } else { turn }).collect();
    let unique = i64::try_from(unique.len()).context("fits")?;
    assert_eq!(
        db.count("select count(*) from public.webhook_signals", &[]).await?,
        unique,
        "each alert is stored once"
    );
    let ended = "select count(*) from public.webhook_signals as s
        where (s.status = 'ordered') = ((select count(*) from public.orders as o where o.signal_id = s.id) = 1)
          and (s.status = 'refused') = (jsonb_array_length(s.refusals) = 1) and s.status in ('ordered', 'refused')";
    assert_eq!(db.count(ended, &[]).await?, unique, "one order or one refusal each");
    let orders = db.count("select count(*) from public.orders", &[]).await?;
    let refused =
        db.count("select count(*) from public.webhook_signals where status = 'refused'", &[]).await?;
    assert_eq!(orders + refused, unique);
    assert!(refused > 0 && orders > 0);
    assert!(kills.load(Ordering::Relaxed) > 0, "nobody was killed");
    // Fills and positions agree, to the share.
    let wrong = "select count(*) from public.positions as p where p.quantity <> (
        select sum(o.filled_quantity) from public.orders as o where o.user_id = p.user_id and o.symbol = p.symbol)";
    assert_eq!(db.count(wrong, &[]).await?, 0);
    println!(
        "{count} alerts, {unique} unique, {} answered as duplicates, {} sent again, {} kills: {orders} orders, {refused} refusals; accepted after {:.1} s, all done after {:.1} s",
        duplicates.load(Ordering::Relaxed),
        retries.load(Ordering::Relaxed),
        kills.load(Ordering::Relaxed),
        accepted_after.as_secs_f64(),
        started.elapsed().as_secs_f64()
    );
    lab.stop().await
}
