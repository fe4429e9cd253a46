//! Tradovate's `/auth/renewaccesstoken`, and the ways in which it says no.
//!
//! A refusal may come with 200: `errorText`, or a penalty of `p-ticket` and `p-time`: wait so many
//! seconds and ask again with the ticket. With `p-captcha` no program may go on. 429 wants an hour.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use ironferry::{Context, Error, FetchOptions, Result, Secret};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use time::OffsetDateTime;

use crate::expiry;

/// Where Apex' accounts live; `TRADOVATE_URL` names another host.
const URL: &str = "https://demo.tradovateapi.com/v1";
const TIMEOUT: Duration = Duration::from_secs(15);
const LARGEST: usize = 100_000;
/// What 429 and a captcha cost, by Tradovate's documentation.
const HOUR: u32 = 3_600;
/// A penalty that is longer is waited for outside of the call.
const LONGEST_WAIT: u32 = 20;

/// What came of asking.
pub(crate) enum Outcome {
    Renewed {
        token: Secret,
        /// The earlier of what Tradovate says and what the token does.
        expires_at: Option<OffsetDateTime>,
    },
    /// For this token only, in words for people.
    Refused(String),
    /// For all tokens.
    Pause { seconds: u32, reason: &'static str },
}

#[derive(Deserialize)]
struct Reply {
    #[serde(rename = "accessToken")]
    access_token: Option<Secret>,
    #[serde(rename = "expirationTime")]
    expiration_time: Option<String>,
    #[serde(rename = "errorText")]
    error_text: Option<String>,
    #[serde(rename = "p-ticket")]
    ticket: Option<Secret>,
    #[serde(rename = "p-time")]
    wait_seconds: Option<u32>,
    #[serde(rename = "p-captcha", default)]
    captcha: bool,
}

/// Asks for a longer life. The old token stays good until its own end.
pub(crate) async fn renew(cx: &Context, token: &Secret) -> Result<Outcome> {
    let mut ticket = None;
    loop {
        let reply = match ask(cx, token, ticket.as_ref()).await? {
            Ok(reply) => reply,
            Err(outcome) => return Ok(outcome),
        };
        let Some(next) = reply.ticket else { return Ok(outcome(reply, token)) };
        let seconds = reply.wait_seconds.unwrap_or(HOUR);
        if reply.captcha {
            return Ok(Outcome::Pause { seconds: HOUR, reason: "Tradovate wants a captcha solved" });
        }
        if seconds > LONGEST_WAIT || ticket.is_some() {
            return Ok(Outcome::Pause { seconds, reason: "Tradovate's penalty for too many calls" });
        }
        cx.sleep(Duration::from_secs(seconds.into())).await;
        ticket = Some(next);
    }
}

async fn ask(cx: &Context, token: &Secret, ticket: Option<&Secret>) -> Result<Result<Reply, Outcome>> {
    let base: String = cx.setting("TRADOVATE_URL", URL.to_owned())?;
    let mut url = format!("{}/auth/renewaccesstoken", base.trim_end_matches('/'));
    if let Some(ticket) = ticket {
        url.push_str("?p-ticket=");
        url.extend(utf8_percent_encode(ticket.expose(), NON_ALPHANUMERIC));
    }
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
        .map_err(|_| Error::internal("a token holds characters that no header may have"))?;
    bearer.set_sensitive(true);
    let request = http::Request::get(url)
        .header(AUTHORIZATION, bearer)
        .header(ACCEPT, HeaderValue::from_static("application/json"))
        .body(Bytes::new())?;
    let options = FetchOptions {
        timeout: TIMEOUT,
        max_body: LARGEST,
        follow_redirects: false,
        ..FetchOptions::default()
    };
    let reply = match cx.fetch_with(request, options).await {
        Ok(reply) => reply,
        Err(error) => return Ok(Err(Outcome::Refused(format!("Tradovate cannot be reached: {error}")))),
    };
    Ok(match reply.status() {
        StatusCode::OK => ironferry::from_json(reply.body())
            .map_err(|_| Outcome::Refused("Tradovate answers in a way that is not understood".to_owned())),
        StatusCode::TOO_MANY_REQUESTS => Err(Outcome::Pause {
            seconds: retry_after(reply.headers()).unwrap_or(0).max(HOUR),
            reason: "Tradovate's rate limit",
        }),
        StatusCode::UNAUTHORIZED => Err(Outcome::Refused("the session has ended".to_owned())),
        status => Err(Outcome::Refused(format!("Tradovate answered {}", status.as_u16()))),
    })
}

fn retry_after(headers: &HeaderMap) -> Option<u32> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

fn outcome(reply: Reply, old: &Secret) -> Outcome {
    let text = reply.error_text.filter(|text| !text.is_empty());
    match (reply.access_token, text) {
        (Some(token), None) if crate::value::is_token(token.expose()).is_ok() => {
            let told = reply.expiration_time.as_deref().and_then(expiry::parse);
            let expires_at = expiry::earliest([expiry::of_jwt(&token), told]);
            Outcome::Renewed { token, expires_at }
        }
        (_, Some(text)) => {
            let text: String = text.replace(old.expose(), "[redacted]").chars().take(200).collect();
            Outcome::Refused(format!("Tradovate says: {text}"))
        }
        _ => Outcome::Refused("Tradovate gave no token".to_owned()),
    }
}
