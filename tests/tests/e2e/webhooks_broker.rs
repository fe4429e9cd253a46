//! Orders at a broker whose replies are late, lost or no: placed once, followed to their end, noted.

use std::time::Duration;

use anyhow::Result;
use ironferry_tests::alpaca::{Alpaca, Fault, KEY, SECRET};
use ironferry_tests::lab::{Db, Lab};
use serde_json::json;

use super::webhooks::{Webhook, comes_true, settled};

async fn start(story: &str, broker: &Alpaca) -> Result<(Lab, Db, Webhook)> {
    let url = broker.url();
    let settings = [
        ("SIMULATION_MODE", "false"),
        ("ALPACA_API_URL", url.as_str()),
        ("ALPACA_API_KEY", KEY),
        ("ALPACA_API_SECRET", SECRET),
    ];
    let lab = Lab::start(story, &settings).await?;
    let db = lab.db().await?;
    let webhook = Webhook::create(&lab, &db, "live", json!({})).await?;
    Ok((lab, db, webhook))
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_replies_place_each_order_once() -> Result<()> {
    let broker = Alpaca::start().await?;
    let (lab, db, webhook) = start("broker-lost", &broker).await?;
    broker.set_latency(Duration::from_millis(20));
    for (number, fault) in [
        None,
        Some(Fault::LostReply),
        Some(Fault::LostRequest),
        Some(Fault::PlacedButStatus(502)),
        Some(Fault::Status(500)),
        Some(Fault::RateLimited(1)),
    ]
    .into_iter()
    .enumerate()
    {
        broker.fail_next(fault);
        let reply = webhook.send(&lab, json!({ "ticker": "AAPL", "action": "buy", "quantity": 1, "id": 0, "alert_id": format!("n{number}") })).await?;
        assert_eq!(reply.status, 200);
        settled(&lab, &db).await?;
        assert_eq!(broker.orders().len(), number + 1, "{fault:?}: {:?}", broker.asked());
    }
    let ended = "select count(*) = 6 from public.orders where status = 'filled' and filled_quantity = 1 and filled_avg_price = 100";
    comes_true(&lab, &db, "six filled orders", ended).await?;
    assert_eq!(
        db.text("select quantity::text from public.positions where not is_simulated", &[]).await?,
        "6"
    );
    assert!(broker.orders().iter().all(|order| order.client_order_id.len() <= 48));
    // After each reply that did not tell, the order was looked up before anything else. Deno sends a
    // request again by itself when a connection that it kept breaks; the id bears that too.
    let asked = broker.asked();
    let looked_up = asked.iter().filter(|one| one.contains(":by_client_order_id")).count();
    assert!(looked_up >= 3, "{asked:?}");

    // What is held is sold, once, and the result noted.
    broker.fail_next([Fault::LostReply]);
    webhook.send(&lab, json!({ "ticker": "AAPL", "action": "sell", "market_position": "flat" })).await?;
    settled(&lab, &db).await?;
    let noted = "select exists (select from public.trade_results where quantity = 6 and profit = 0 and not is_simulated)";
    comes_true(&lab, &db, "the result", noted).await?;
    assert_eq!(broker.orders().len(), 7);
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_final_and_recorded_in_the_brokers_words() -> Result<()> {
    let broker = Alpaca::start().await?;
    let (lab, db, webhook) = start("broker-no", &broker).await?;
    // The engine would see this; the broker says it when the price has moved since.
    broker.set_buying_power(50_000);
    webhook.send(&lab, json!({ "ticker": "AAPL", "action": "buy", "quantity": 10 })).await?;
    settled(&lab, &db).await?;
    let noted =
        "select concat_ws(' ', s.status, s.refusals #>> '{0,code}', o.status, o.error_code, o.error_message)
                 from public.webhook_signals as s join public.orders as o on o.signal_id = s.id";
    assert_eq!(
        db.text(noted, &[]).await?,
        "failed BROKER_REFUSED refused 40310000 insufficient buying power"
    );
    assert_eq!(
        broker.asked().iter().filter(|one| one.starts_with("POST")).count(),
        1,
        "a refusal is not asked again"
    );
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_stands_is_followed_to_its_end() -> Result<()> {
    let broker = Alpaca::start().await?;
    let (lab, db, webhook) = start("broker-open", &broker).await?;
    let alert = json!({ "ticker": "MSFT", "action": "buy", "order_type": "LIMIT", "limit_price": "99.999", "quantity": "4" });
    webhook.send(&lab, alert).await?;
    settled(&lab, &db).await?;
    let order = broker.orders().pop().map(|order| (order.client_order_id, order.asked));
    let (id, asked) = order.unwrap_or_default();
    assert_eq!((&asked["type"], &asked["limit_price"]), (&json!("limit"), &json!("99.99")));
    let sweep = async || {
        db.run("update public.orders set next_check_at = now() where closed_at is null").await?;
        lab.as_service("POST", "/receive-webhook/sweep", None, json!({})).await
    };
    broker.fill(&id, 1, 9_990);
    sweep().await?;
    let part =
        "select exists (select from public.orders where status = 'partially_filled' and filled_quantity = 1)";
    comes_true(&lab, &db, "a part", part).await?;
    broker.fill(&id, 3, 9_994);
    sweep().await?;
    let whole = "select exists (select from public.orders where status = 'filled' and filled_avg_price = 99.93 and closed_at is not null)";
    comes_true(&lab, &db, "the rest", whole).await?;
    let fills = "select string_agg(trim_scale(quantity) || ' at ' || trim_scale(price), ', ' order by id) from public.order_events where event = 'fill'";
    assert_eq!(db.text(fills, &[]).await?, "1 at 99.9, 3 at 99.94");
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_down_is_asked_again_and_the_order_is_placed_once() -> Result<()> {
    let broker = Alpaca::start().await?;
    let (lab, db, webhook) = start("broker-down", &broker).await?;
    broker.fail_next([Fault::Status(503); 3]);
    webhook.send(&lab, json!({ "ticker": "AAPL", "action": "buy", "quantity": 2 })).await?;
    let waiting = "select exists (select from public.webhook_signals where status = 'pending' and last_error is not null)";
    db.wait_for("a later attempt", Duration::from_mins(1), waiting).await?;
    assert_eq!(broker.orders().len(), 0);
    db.run("update public.webhook_signals set next_attempt_at = now()").await?;
    lab.as_service("POST", "/receive-webhook/sweep", None, json!({})).await?;
    settled(&lab, &db).await?;
    assert_eq!(broker.orders().len(), 1);
    assert_eq!(db.text("select status from public.webhook_signals", &[]).await?, "ordered");
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_be_canceled_is_waited_for_and_then_everything_is_sold_once() -> Result<()> {
    let broker = Alpaca::start().await?;
    let (lab, db, webhook) = start("broker-cancel", &broker).await?;
    // What an open order would sell is held for it, until it is canceled.
    broker.cancel_within(Duration::from_millis(700));
    for alert in [
        json!({ "ticker": "AAPL", "action": "buy", "quantity": 10 }),
        json!({ "ticker": "AAPL", "action": "sell", "quantity": 10, "type": "LIMIT", "limit_price": 200 }),
        json!({ "ticker": "AAPL", "action": "close" }),
    ] {
        webhook.send(&lab, alert).await?;
        settled(&lab, &db).await?;
    }
    let statuses = || broker.orders().into_iter().map(|order| order.status).collect::<Vec<_>>();
    assert_eq!(statuses(), ["filled", "canceled", "filled"]);

    // An entry that is filled while it is being canceled is sold.
    broker.cancel_within(Duration::from_mins(1));
    let entry =
        json!({ "ticker": "MSFT", "action": "buy", "type": "LIMIT", "limit_price": 99, "quantity": 4 });
    webhook.send(&lab, entry).await?;
    settled(&lab, &db).await?;
    webhook.send(&lab, json!({ "ticker": "MSFT", "action": "close" })).await?;
    let deadline = std::time::Instant::now() + Duration::from_mins(1);
    while !broker.asked().iter().any(|one| one.starts_with("DELETE") && one.ends_with('4')) {
        anyhow::ensure!(std::time::Instant::now() < deadline, "{:?}", broker.asked());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let entry = broker.orders().pop().map(|order| order.client_order_id).unwrap_or_default();
    broker.fill(&entry, 4, 9_900);
    settled(&lab, &db).await?;
    assert_eq!(statuses()[3..], ["filled", "filled"]);
    let held =
        "select string_agg(concat_ws(' ', symbol, quantity), ', ' order by symbol) from public.positions";
    let nothing = format!("select ({held}) = 'AAPL 0, MSFT 0'");
    comes_true(&lab, &db, "nothing held", &nothing).await?;
    assert_eq!(
        db.count("select count(*) from public.webhook_signals where status <> 'ordered'", &[]).await?,
        0
    );
    lab.stop().await
}
