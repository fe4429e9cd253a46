//! Alerts on the whole stack: over HTTP in, as orders out, in simulation.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ironferry_tests::http::Reply;
use ironferry_tests::lab::{Db, Lab};
use ironferry_tests::server::{Server, json as json_reply};
use serde_json::{Value, json};

/// A webhook with its owner.
pub(super) struct Webhook {
    pub(super) id: String,
    pub(super) user: String,
    pub(super) token: String,
}

impl Webhook {
    /// Makes a user and, with their own token, a webhook.
    pub(super) async fn create(lab: &Lab, db: &Db, name: &str, more: Value) -> Result<Self> {
        let user = db
            .text("insert into auth.users (id, email) values (gen_random_uuid(), $1 || '@tests.example') returning id::text", &[&name])
            .await?;
        let mut body = json!({ "name": name, "source": "other", "rate_limit_per_minute": 100_000 });
        body.as_object_mut().context("an object")?.extend(more.as_object().cloned().unwrap_or_default());
        let made = as_user(lab, &user, "POST", "/receive-webhook/configs", body).await?;
        let reply = made.json()?;
        anyhow::ensure!(made.status == 201, "{reply}");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(Self { id: text(&reply["config"]["id"]), user, token: text(&reply["security_token"]) })
    }

    /// Sends an alert with the passphrase.
    pub(super) async fn send(&self, lab: &Lab, alert: Value) -> Result<Reply> {
        let mut alert = alert;
        alert["passphrase"] = self.token.clone().into();
        self.post(lab, "text/plain; charset=utf-8", &alert.to_string()).await
    }

    pub(super) async fn post(&self, lab: &Lab, kind: &str, body: &str) -> Result<Reply> {
        let path = format!("/functions/v1/receive-webhook/{}", self.id);
        lab.api.send("POST", &path, &[("content-type", kind)], body.to_owned()).await
    }
}

pub(super) async fn as_user(lab: &Lab, user: &str, method: &str, path: &str, body: Value) -> Result<Reply> {
    let token = format!("Bearer {}", lab.stack.keys().user_jwt(user, &json!({})));
    let headers = [("content-type", "application/json"), ("authorization", token.as_str())];
    lab.api.send(method, &format!("/functions/v1{path}"), &headers, body.to_string()).await
}

/// Waits until no signal waits.
pub(super) async fn settled(lab: &Lab, db: &Db) -> Result<()> {
    let done = "select not exists (select from public.webhook_signals where finished_at is null)";
    comes_true(lab, db, "the end of all signals", done).await
}

/// Waits until a query that gives one boolean gives true. What a function on a busy machine has left to a
/// later attempt is done by sweeps, which the minute's tick makes elsewhere.
pub(super) async fn comes_true(lab: &Lab, db: &Db, what: &str, query: &str) -> Result<()> {
    let started = Instant::now();
    while !db.0.query_one(query, &[]).await?.try_get::<_, bool>(0)? {
        anyhow::ensure!(started.elapsed() < Duration::from_mins(3), "{what}: not within 3 minutes");
        if started.elapsed() > Duration::from_secs(5) {
            db.run("update public.orders set next_check_at = now() where closed_at is null").await?;
            lab.as_service("POST", "/receive-webhook/sweep", None, json!({})).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_accepted_once_and_becomes_one_order() -> Result<()> {
    let lab = Lab::start("webhook", &[]).await?;
    let db = lab.db().await?;
    let webhook = Webhook::create(&lab, &db, "trend", json!({})).await?;
    let alert = json!({ "ticker": "NASDAQ:AAPL", "action": "BUY", "quantity": "3", "price": 150.25 });

    let reply = webhook.send(&lab, alert.clone()).await?;
    assert_eq!((reply.status, &reply.json()?["outcome"]), (200, &json!("accepted")));
    let again = webhook.send(&lab, alert).await?;
    assert_eq!((again.status, &again.json()?["outcome"]), (200, &json!("duplicate")));
    settled(&lab, &db).await?;
    let order = db
        .text("select concat_ws(' ', symbol, side, quantity, is_simulated) from public.orders", &[])
        .await?;
    assert_eq!(order, "AAPL buy 3 t");
    let stored = db.text("select payload::text || signal::text from public.webhook_signals", &[]).await?;
    assert!(!stored.contains(&webhook.token), "the passphrase is stored: {stored}");

    // What is held is sold, and the result is written.
    let exit = json!({ "symbol": "AAPL", "strategy.order.action": "sell", "strategy.market_position": "flat", "close": "160" });
    assert_eq!(webhook.send(&lab, exit).await?.status, 200);
    settled(&lab, &db).await?;
    lab.as_service("POST", "/receive-webhook/sweep", None, json!({})).await?;
    db.run("update public.orders set next_check_at = now() where closed_at is null").await?;
    lab.as_service("POST", "/receive-webhook/sweep", None, json!({})).await?;
    let closed = "select not exists (select from public.orders where closed_at is null)";
    comes_true(&lab, &db, "the end of the orders", closed).await?;
    // What was not filled of the entry is canceled: nothing is left, and nothing comes later.
    let result = "select concat_ws(' ', sum(r.quantity) = max(o.filled_quantity), sum(r.profit) > 9, max(p.quantity) = 0)
        from public.trade_results as r, public.orders as o, public.positions as p where o.role = 'entry'";
    assert_eq!(db.text(result, &[]).await?, "t t t");
    // An entry that still stands is canceled too, and there is nothing to sell.
    webhook
        .send(
            &lab,
            json!({ "ticker": "MSFT", "action": "buy", "type": "STOP", "stop_price": 500, "price": 400 }),
        )
        .await?;
    settled(&lab, &db).await?;
    webhook.send(&lab, json!({ "ticker": "MSFT", "action": "close" })).await?;
    settled(&lab, &db).await?;
    let canceled = "select o.status || ' ' || (select refusals #>> '{0,code}' from public.webhook_signals where status = 'refused')
        from public.orders as o where o.symbol = 'MSFT'";
    assert_eq!(db.text(canceled, &[]).await?, "canceled NOTHING_TO_EXIT");
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_an_alert_is_said() -> Result<()> {
    let lab = Lab::start("webhook-wrong", &[]).await?;
    let db = lab.db().await?;
    let webhook = Webhook::create(&lab, &db, "trend", json!({})).await?;
    let good = json!({ "ticker": "AAPL", "action": "buy" });
    let code = |reply: &Reply| {
        Ok::<_, anyhow::Error>((reply.status, reply.json()?["code"].as_str().unwrap_or("").to_owned()))
    };
    let expect = |status: u16, text: &str| (status, text.to_owned());

    let wrong = webhook
        .send(&lab, json!({ "ticker": "A A", "strategy": { "order": { "action": "hodl" } }, "qty": "-1" }))
        .await?;
    assert_eq!(code(&wrong)?, expect(400, "INVALID_PAYLOAD"));
    let reply = wrong.json()?;
    let paths: Vec<_> =
        reply["details"].as_array().into_iter().flatten().map(|one| one["path"].clone()).collect();
    assert_eq!(paths, ["ticker", "strategy.order.action", "qty"]);

    assert_eq!(
        code(&webhook.post(&lab, "text/plain", "{\"ticker\": {{ticker}}}").await?)?,
        expect(400, "INVALID_JSON")
    );
    assert_eq!(
        code(&webhook.post(&lab, "application/xml", "<a/>").await?)?,
        expect(415, "UNSUPPORTED_MEDIA_TYPE")
    );
    assert_eq!(
        code(&webhook.post(&lab, "text/plain", &"x".repeat(20_000)).await?)?,
        expect(413, "BODY_TOO_LARGE")
    );
    assert_eq!(
        code(&webhook.post(&lab, "application/json", &good.to_string()).await?)?,
        expect(401, "UNAUTHORIZED")
    );
    let path = format!("/functions/v1/receive-webhook/{}", webhook.id);
    let in_url = format!("{path}?token={}", webhook.token);
    let reply =
        lab.api.send("POST", &in_url, &[("content-type", "application/json")], good.to_string()).await?;
    assert_eq!(reply.status, 200);
    assert_eq!(code(&lab.api.send("GET", &path, &[], "").await?)?, expect(405, "METHOD_NOT_ALLOWED"));
    let nowhere = path.replace(&webhook.id, "00000000-0000-4000-8000-000000000000");
    assert_eq!(
        code(&lab.api.send("POST", &nowhere, &[], good.to_string()).await?)?,
        expect(404, "CONFIG_NOT_FOUND")
    );
    let old = webhook
        .send(&lab, json!({ "ticker": "AAPL", "action": "buy", "timenow": "2026-01-01T00:00:00Z" }))
        .await?;
    assert_eq!(code(&old)?, expect(409, "SIGNAL_STALE"));

    db.run("update public.webhook_configs set rate_limit_per_minute = 1").await?;
    let limited = webhook.send(&lab, json!({ "ticker": "MSFT", "action": "buy" })).await?;
    assert_eq!(code(&limited)?, expect(429, "TOO_MANY_REQUESTS"));
    assert!(limited.headers.contains_key("retry-after"));
    db.run("update public.webhook_configs set source = 'tradingview'").await?;
    assert_eq!(code(&webhook.send(&lab, good.clone()).await?)?, expect(401, "UNAUTHORIZED"));
    db.run("update public.webhook_configs set source = 'other', is_active = false").await?;
    assert_eq!(code(&webhook.send(&lab, good).await?)?, expect(410, "CONFIG_INACTIVE"));
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_manage_their_webhooks_and_nobody_elses() -> Result<()> {
    let lab = Lab::start("webhook-owners", &[]).await?;
    let db = lab.db().await?;
    let anna = Webhook::create(&lab, &db, "anna", json!({ "position_size_value": 0.1 })).await?;
    let boris = Webhook::create(&lab, &db, "boris", json!({})).await?;
    let alert = |ticker: &str| json!({ "ticker": ticker, "action": "buy", "price": "10" });

    let listed = as_user(&lab, &anna.user, "GET", "/receive-webhook/configs", json!({})).await?.json()?;
    assert_eq!(listed["configs"].as_array().map(Vec::len), Some(1));
    assert_eq!(listed["configs"][0]["position_size_value"].to_string(), "0.1");
    assert!(!listed.to_string().contains("sha256") && !listed.to_string().contains(&anna.token));
    let path = format!("/receive-webhook/configs/{}", boris.id);
    for method in ["GET", "PATCH", "DELETE"] {
        let reply = as_user(&lab, &anna.user, method, &path, json!({ "name": "mine" })).await?;
        assert_eq!((reply.status, &reply.json()?["code"]), (404, &json!("CONFIG_NOT_FOUND")), "{method}");
    }

    // A new passphrase replaces the old one at once.
    let own = format!("/receive-webhook/configs/{}", anna.id);
    let rotated = as_user(&lab, &anna.user, "POST", &format!("{own}/rotate"), json!({})).await?.json()?;
    assert_eq!(anna.send(&lab, alert("AAPL")).await?.status, 401);
    let anna = Webhook { token: rotated["security_token"].as_str().unwrap_or_default().to_owned(), ..anna };
    assert_eq!(anna.send(&lab, alert("AAPL")).await?.status, 200);

    let wrong =
        as_user(&lab, &anna.user, "PATCH", &own, json!({ "position_sizing_method": "all in" })).await?;
    assert_eq!((wrong.status, &wrong.json()?["code"]), (400, &json!("INVALID_PAYLOAD")));
    let off = as_user(&lab, &anna.user, "PATCH", &own, json!({ "isActive": false })).await?;
    assert_eq!((off.status, &off.json()?["config"]["is_active"]), (200, &json!(false)));
    assert_eq!(anna.send(&lab, alert("MSFT")).await?.status, 410);
    assert_eq!(as_user(&lab, &anna.user, "DELETE", &own, json!({})).await?.status, 200);
    assert_eq!(anna.send(&lab, alert("MSFT")).await?.status, 404);
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_is_told_again_until_the_listener_takes_it() -> Result<()> {
    let lab = Lab::start("webhook-told", &[]).await?;
    let db = lab.db().await?;
    // Down at first.
    let heard = Arc::new(Mutex::new(Vec::<Value>::new()));
    let listener = {
        let heard = Arc::clone(&heard);
        Server::start(move |request| {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.push(serde_json::from_slice(request.body()).unwrap_or_default());
            let status = if heard.len() == 1 { 503 } else { 200 };
            async move { json_reply(status, &json!({})) }
        })
        .await?
    };
    let preferences = json!({ "on_failure": true, "url": listener.url() });
    let webhook =
        Webhook::create(&lab, &db, "told", json!({ "notification_preferences": preferences })).await?;
    // There is nothing to close.
    webhook.send(&lab, json!({ "ticker": "AAPL", "action": "close", "price": 1 })).await?;
    settled(&lab, &db).await?;
    let tried = "select exists (select from public.notifications where last_error is not null)";
    db.wait_for("the first attempt", Duration::from_mins(1), tried).await?;
    // A busy machine may miss the listener's answer once more.
    let sent = "select not exists (select from public.notifications where status <> 'sent')";
    let started = Instant::now();
    while !db.0.query_one(sent, &[]).await?.try_get::<_, bool>(0)? {
        let state = "select string_agg(status || ' ' || attempts || ' ' || last_error, ', ') from public.notifications";
        anyhow::ensure!(started.elapsed() < Duration::from_mins(2), "{}", db.text(state, &[]).await?);
        db.run("update public.notifications set next_attempt_at = now() where status = 'pending'").await?;
        lab.as_service("POST", "/receive-webhook/sweep", None, json!({})).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(heard.len() > 1, "{heard:?}");
    assert_eq!((&heard[1]["event"], &heard[1]["webhook"]), (&json!("failure"), &json!("told")));
    let message = heard[1]["message"].as_str().context("no message")?;
    assert!(message.starts_with("told · AAPL: refused, "), "{message}");
    lab.stop().await
}
