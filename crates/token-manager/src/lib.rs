//! Broker tokens: read from Redis, sealed in Postgres, handed out to services, renewed before they end.
//!
//! | to follow | read |
//! |---|---|
//! | a sync | `sync` → `scan` (keys and values of Redis) → `value`, `account`, `expiry` → `vault` (sealing) → `database` |
//! | Redis itself | `redis`: over a socket in `redis::resp`, over HTTP in `redis::rest` |
//! | a renewal | `renew` → `tradovate` |
//! | a new key | `rotate` |
//! | what goes over the wire | [`types`], which `ferry tokens` uses too |
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

mod account;
mod database;
mod expiry;
mod read;
mod redis;
mod renew;
mod rotate;
mod rows;
mod scan;
mod status;
mod store;
mod sync;
mod tradovate;
pub mod types;
mod value;
mod vault;

use http::Method;
use ironferry::{Context, Error, Request, Response, Result};
use serde_json::json;

ironferry::export!(handle);

/// `/token-manager?action=…`, by GET or POST; without an action it is a sync. For services only.
pub async fn handle(request: Request, cx: Context) -> Result<Response> {
    cx.require_service()?;
    if request.route() != "/" {
        return Err(Error::not_found());
    }
    let by_post = request.method() == Method::POST;
    if !by_post && request.method() != Method::GET {
        return Err(Error::method_not_allowed("GET, POST"));
    }
    let caller = Caller::of(&request, &cx);
    let action = request.query("action").unwrap_or_default();
    match action.as_str() {
        "" | "sync" => sync::answer(&request, &cx, caller).await,
        "status" => status::answer(&cx).await,
        "get" => read::get(&request, &cx, &caller).await,
        "list" => read::list(&request, &cx).await,
        "store" if by_post => store::answer(&request, &cx, &caller).await,
        "store" => Err(Error::method_not_allowed("POST")),
        "cleanup" => {
            let cleaned_up = database::cleanup(&cx, &caller).await?;
            let message = "Expired tokens marked as inactive".to_owned();
            Response::json(200, &types::CleanupReply { success: true, message, cleaned_up })
        }
        "renew" => renew::answer(&request, &cx, caller).await,
        "rotate-key" => rotate::answer(&cx, &caller).await,
        _ => Err(Error::bad_request(
            "Invalid action. Use: sync, get, store, cleanup, status, list, renew, rotate-key",
        )
        .code("INVALID_ACTION")),
    }
}

/// Who asks, for the audit trail.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) actor: String,
    pub(crate) request_id: String,
}

/// As much of a name as is kept.
const LONGEST_NAME: usize = 200;

impl Caller {
    /// All callers show the same kind of key, so they say themselves who they are: by `X-Actor`, or else
    /// by the program that they are (`pg_net/0.14`, `ferry/0.1.0`).
    fn of(request: &Request, cx: &Context) -> Self {
        let named = |name| request.header(name).map(str::trim).filter(|text| !text.is_empty());
        let actor = named("x-actor").or_else(|| named("user-agent")).unwrap_or("unknown");
        let actor = actor.chars().take(LONGEST_NAME).collect();
        Self { actor, request_id: cx.request_id().to_owned() }
    }
}

/// Whether the caller waits for the end: `wait=false` is for pg_cron, whose calls end after 10 s.
fn waits(request: &Request) -> Result<bool> {
    request.query_or("wait", true)
}

/// 202: the work goes on in the background, and the log tells what became of it.
fn accepted(cx: &Context, message: &str) -> Result<Response> {
    Response::json(202, &json!({ "success": true, "message": message, "request_id": cx.request_id() }))
}
