//! Tells owners, after the order and never instead of it. What does not get through is tried again by
//! the sweep.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use ironferry::{Context, Error, FetchOptions, Result, outbound};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::rows::{receive_webhook_notifications, receive_webhook_notified};

/// A slow listener holds up the others of its owner only.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const AT_ONCE: i32 = 20;

#[derive(Deserialize)]
struct Notification {
    id: i64,
    event: String,
    body: Value,
    name: String,
    preferences: Value,
}

/// Delivers what is due, of one owner or of all. Never fails: what went wrong is noted beside it.
pub(crate) async fn deliver(cx: &Context, user_id: Option<&str>) {
    let due = match claim(cx, user_id).await {
        Ok(due) => due,
        Err(error) => return cx.warn("receive_webhook.notify_failed", json!({ "error": error.chain() })),
    };
    for one in &due {
        let outcome = send(cx, one).await;
        let failure = outcome.err();
        let why = failure.as_ref().map(Error::chain);
        let arguments = receive_webhook_notified::Args {
            p_id: one.id,
            p_error: why.as_deref(),
            // A URL that is refused stays so until its owner changes it.
            p_final: failure.map(|error| !error.is_transient()),
        };
        if let Err(error) = cx.db().rpc(receive_webhook_notified::NAME, &arguments).execute().await {
            cx.warn(
                "receive_webhook.notify_failed",
                json!({ "notification": one.id, "error": error.chain() }),
            );
        }
    }
}

async fn claim(cx: &Context, user_id: Option<&str>) -> Result<Vec<Notification>> {
    let arguments =
        receive_webhook_notifications::Args { p_limit: AT_ONCE, p_lease_seconds: 60, p_user_id: user_id };
    cx.db().rpc(receive_webhook_notifications::NAME, &arguments).fetch().await
}

async fn send(cx: &Context, one: &Notification) -> Result<()> {
    let named = |name: &str| one.preferences[name].as_str();
    let url = named("url").or_else(|| named("webhook_url")).or_else(|| named("webhookUrl")).unwrap_or("");
    let target = outbound::guard(cx, url)?;
    let text = sentence(one);
    let host = target.host().unwrap_or("");
    let body = match named("format").unwrap_or("") {
        "slack" => json!({ "text": text }),
        "discord" => json!({ "content": text }),
        "" if host == "hooks.slack.com" => json!({ "text": text }),
        "" if host == "discord.com" || host == "discordapp.com" => json!({ "content": text }),
        _ => json!({ "event": one.event, "webhook": one.name, "message": text, "data": one.body }),
    };
    let body = ironferry::to_json(&body).unwrap_or_default();
    let request = http::Request::post(target).header(CONTENT_TYPE, "application/json").body(body.into())?;
    // A redirect could lead inside.
    let options = FetchOptions {
        timeout: ANSWER_WITHIN,
        max_body: 100_000,
        follow_redirects: false,
        ..FetchOptions::default()
    };
    let reply = cx.fetch_with(request, options).await?;
    match reply.status().as_u16() {
        200..300 => Ok(()),
        300..400 => Err(Error::bad_request("the notification URL redirects, which is not followed")),
        429 | 500.. => {
            Err(Error::unavailable(format!("the notification URL answered {}", reply.status().as_u16())))
        }
        status => Err(Error::bad_request(format!("the notification URL answered {status}"))),
    }
}

/// `AAPL: buy 10, filled at 150.02 (simulated)`
fn sentence(one: &Notification) -> String {
    let field = |name: &str| one.body[name].as_str().unwrap_or("");
    let mut text = format!("{} · {}: ", one.name, field("symbol"));
    if one.body["order_id"].is_null() {
        text.push_str(field("status"));
        for refusal in one.body["refusals"].as_array().into_iter().flatten() {
            text.extend([", ", refusal["message"].as_str().unwrap_or("")]);
        }
        return text;
    }
    text.extend([field("side"), " ", field("quantity"), ", ", field("status")]);
    if !field("filled_avg_price").is_empty() {
        text.extend([" ", field("filled_quantity"), " at ", field("filled_avg_price")]);
    }
    if !field("error").is_empty() {
        text.extend([": ", field("error")]);
    }
    if one.body["simulated"] == true {
        text.push_str(" (simulated)");
    }
    text
}
