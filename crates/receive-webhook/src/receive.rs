//! Lets an alert in. TradingView gives up after 3 s and sends again after an answer of 5xx: so it is
//! stored, answered, and acted on behind.

use http::HeaderValue;
use http::header::RETRY_AFTER;
use ironferry::{Context, Error, Raw, Request, Response, Result};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use time::format_description::well_known::Rfc3339;

use crate::config::Config;
use crate::store::{self, Recorded};
use crate::verify::{self, Unverified, Verified};
use crate::{act, known, parse};

/// `POST /receive-webhook/{config_id}`
pub(crate) async fn signal(request: &Request, cx: &Context, config_id: &str) -> Result<Response> {
    let recorded = accept(cx, request, config_id).await?;
    let message = match recorded.outcome.as_str() {
        "accepted" => "Webhook processed",
        "duplicate" => "Webhook processed: this alert was there already",
        "limited" => return Err(limited(&recorded)),
        _ => return Err(Error::gone("this webhook is switched off").code("CONFIG_INACTIVE")),
    };
    // One that came before, too: whoever stored it may have ended without a word.
    if let (Some(user_id), false) = (recorded.user_id, recorded.is_busy) {
        let behind = cx.clone();
        cx.wait_until(async move { act::run(&behind, &user_id).await });
    }
    Response::json(
        200,
        &json!({
            "success": true,
            "status": "success",
            "message": message,
            "outcome": recorded.outcome,
            "signal_id": recorded.signal_id,
            "request_id": cx.request_id(),
        }),
    )
}

/// How often a webhook may change while one alert comes in.
const MOST_CHANGES: usize = 5;

/// Verifies and stores the alert, first by the webhook as it was read last. Whoever that turns away may
/// know what has changed since: so a refusal counts only when the webhook has just been read.
async fn accept(cx: &Context, request: &Request, config_id: &str) -> Result<Recorded> {
    if let Some(config) = known::get(config_id) {
        let outcome = verified(cx, request, config).await;
        match &outcome {
            Ok(recorded) if !is_outdated(recorded) && recorded.outcome != "inactive" => return outcome,
            Err(error) if !error.status().is_client_error() => return outcome,
            _ => known::evict(config_id),
        }
    }
    for _ in 0..MOST_CHANGES {
        let config = store::config(cx, config_id).await?;
        let recorded = verified(cx, request, config.clone()).await?;
        if !is_outdated(&recorded) {
            known::put(&config);
            return Ok(recorded);
        }
    }
    Err(Error::unavailable("the webhook is being changed").code("CONFIG_CHANGING"))
}

async fn verified(cx: &Context, request: &Request, config: Config) -> Result<Recorded> {
    let verified = Unverified { request, config }.verify(cx)?;
    record(cx, request, &verified).await
}

fn is_outdated(recorded: &Recorded) -> bool {
    recorded.outcome == "changed"
}

async fn record(cx: &Context, request: &Request, verified: &Verified) -> Result<Recorded> {
    let Verified { config, fields, shown } = verified;
    let alert = parse::alert(fields)?;
    verify::is_fresh(cx, config, alert.sent_at)?;
    let payload = fields.payload(shown.as_ref().map(ironferry::Secret::expose));
    let content_hash = verify::hex(&Sha256::digest(&payload));
    let id = request.header("idempotency-key").map(str::to_owned).or(alert.id);
    // With a time of its own the same content is the same alert for ever.
    let dedupe_key = match (id, alert.sent_at) {
        (Some(id), _) => Some(format!("id:{id}")),
        (None, Some(_)) => Some(format!("content:{content_hash}")),
        (None, None) => None,
    };
    let payload = ironferry::from_json::<Raw<&str>>(payload.as_bytes())
        .map_err(|problem| Error::internal("the payload could not be kept").source(problem))?;
    let price = alert.signal.price.map(|price| price.to_string());
    let alert_at = alert.sent_at.and_then(|time| time.format(&Rfc3339).ok());
    let arguments = store::Record {
        p_config_id: &config.id,
        p_payload: &payload,
        p_signal: &alert.signal,
        p_content_hash: &content_hash,
        p_dedupe_key: dedupe_key.as_deref(),
        p_price: price.as_deref(),
        p_alert_at: alert_at.as_deref(),
        p_config_version: Some(&config.updated_at),
    };
    store::record(cx, &arguments).await
}

fn limited(recorded: &Recorded) -> Error {
    let seconds = recorded.retry_after.unwrap_or(60);
    Error::too_many_requests("too many alerts in a minute").header(RETRY_AFTER, HeaderValue::from(seconds))
}
