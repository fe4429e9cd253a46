//! Delivers the outbox of the database: messages to people, to a URL of theirs, to Slack or to Discord.
//!
//! SQL writes a message in the transaction that it is about, with `private.notify(…)` or, for a condition that
//! lasts, `private.notify_condition(…)`. The function that is named as the sender calls [`deliver`] after its
//! work and in its tick.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::{Context, Error, FetchOptions, Result, outbound};

/// A slow listener delays the messages after its own.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Delivers what is due of a sender, or only what is due in the name of one user. Never fails: why a message did
/// not get through is noted with it, and the message is tried again by a later call, up to 6 times.
pub async fn deliver(cx: &Context, sender: &str, user_id: Option<&str>) {
    let mut wanted = json!({ "p_sender": sender });
    // Left out and not null: not every REST server takes null for a uuid.
    if let Some(user_id) = user_id {
        wanted["p_user_id"] = user_id.into();
    }
    let due: Value = match cx.db().rpc("notifications_claim", &wanted).fetch().await {
        Ok(due) => due,
        Err(error) => return cx.warn("outbox.claim_failed", json!({ "error": error.chain() })),
    };
    for message in due.as_array().into_iter().flatten() {
        let mut outcome = json!({ "p_id": message["id"] });
        if let Err(error) = send(cx, message).await {
            outcome["p_error"] = error.chain().into();
            // A listener that refuses a message will refuse it again.
            outcome["p_final"] = (!error.is_transient()).into();
        }
        if let Err(error) = cx.db().rpc("notifications_finish", &outcome).execute().await {
            cx.warn("outbox.finish_failed", json!({ "notification": message["id"], "error": error.chain() }));
        }
    }
}

async fn send(cx: &Context, message: &Value) -> Result<()> {
    let target = outbound::guard(cx, message["url"].as_str().unwrap_or(""))?;
    let format = message["format"].as_str().unwrap_or_else(|| format_of(target.host().unwrap_or("")));
    let body = crate::to_json(&shaped(format, message)).unwrap_or_default();
    let request = http::Request::post(target).header(CONTENT_TYPE, "application/json").body(body.into())?;
    // A redirect could lead inside.
    let options = FetchOptions {
        timeout: ANSWER_WITHIN,
        max_body: 100_000,
        follow_redirects: false,
        ..FetchOptions::default()
    };
    let status = cx.fetch_with(request, options).await?.status().as_u16();
    match status {
        200..300 => Ok(()),
        300..400 => Err(Error::bad_request("the listener's URL redirects, which is not followed")),
        429 | 500.. => Err(Error::unavailable(format!("the listener answered {status}"))),
        _ => Err(Error::bad_request(format!("the listener answered {status}"))),
    }
}

fn format_of(host: &str) -> &'static str {
    match host {
        "hooks.slack.com" => "slack",
        "discord.com" | "discordapp.com" => "discord",
        _ => "json",
    }
}

/// The message as its listener reads it. Parts of a message may come from strangers: in Slack and Discord they
/// call nobody.
fn shaped(format: &str, message: &Value) -> Value {
    let text = message["message"].as_str().unwrap_or("");
    match format {
        "slack" => {
            json!({ "text": text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;") })
        }
        "discord" => json!({ "content": text, "allowed_mentions": { "parse": [] } }),
        _ => {
            let mut body = message["body"].clone();
            body["event"] = message["event"].clone();
            body["message"] = text.into();
            body
        }
    }
}
