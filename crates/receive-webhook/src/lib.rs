//! TradingView alerts in, orders out: accepted once, acted on once, never lost.
//!
//! `receive` lets an alert in: `body` and `parse` read it, `verify` tells who sent it, `store` keeps
//! it, `known` has the webhooks that were read before. `act` turns what is kept into orders by the order
//! engine, `cancel` clears the way; they go to a `broker`: `alpaca` or `simulator`, and `placed` is one as it
//! is noted. `sweep` takes up what was left behind; owners are told by `ironferry::outbox`. `manage` and `limits`
//! are where owners make their webhooks, `config` is a webhook's row.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

mod act;
mod alpaca;
mod body;
mod broker;
mod cancel;
mod config;
mod known;
mod limits;
mod manage;
mod parse;
mod placed;
mod receive;
mod rows;
mod simulator;
mod store;
mod sweep;
mod verify;

use ironferry::seal::reseal;
use ironferry::{Context, Error, Request, Response, Result};

ironferry::export!(handle);

/// This function's name in the outbox.
const SENDER: &str = "receive-webhook";

/// `POST /receive-webhook/{config_id}` takes an alert; `/receive-webhook/configs…` and `/limits` are for owners,
/// `POST /receive-webhook/sweep` for pg_cron, `POST /receive-webhook/rotate-key` for a new key.
pub async fn handle(request: Request, cx: Context) -> Result<Response> {
    let route = request.route().trim_start_matches('/').to_owned();
    let (first, rest) = route.split_once('/').unwrap_or((&route, ""));
    match (first, rest) {
        ("configs", rest) => manage::route(&request, &cx, rest).await,
        ("limits", "") => limits::route(&request, &cx).await,
        ("sweep", "") if request.method() == http::Method::POST => sweep::run(&cx),
        ("rotate-key", "") if request.method() == http::Method::POST => {
            reseal(&cx, config::KEY_RING, "receive-webhook").await
        }
        ("sweep" | "rotate-key", "") => Err(Error::method_not_allowed("POST")),
        (id, "") if is_uuid(id) && request.method() == http::Method::POST => {
            receive::signal(&request, &cx, id).await
        }
        (id, "") if is_uuid(id) => Err(Error::method_not_allowed("POST")),
        _ => Err(no_config()),
    }
}

/// Forgets the webhooks that the instance knows, as a restart does. For tests.
pub fn forget() {
    known::forget();
}

/// The answer to a webhook that is not there, whatever its id looks like.
pub(crate) fn no_config() -> Error {
    Error::new(ironferry::Kind::NotFound, "there is no such webhook").code("CONFIG_NOT_FOUND")
}

/// PostgREST answers anything else with an error of its own.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
