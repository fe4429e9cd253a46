//! Hands tokens out, and lists them without the tokens.

use http::header::{CACHE_CONTROL, HeaderValue};
use ironferry::{Context, Error, Kind, Request, Response, Result};
use serde_json::json;

use crate::rows::token_list;
use crate::types::{GetReply, ListReply};
use crate::vault::Vault;
use crate::{Caller, database};

/// Tokens a page, when the caller names no limit, and at the most.
const PAGE: i32 = 100;
const LARGEST_PAGE: i32 = 1_000;

pub(crate) async fn get(request: &Request, cx: &Context, caller: &Caller) -> Result<Response> {
    let account = request.query("account").unwrap_or_default();
    let account = account.trim();
    if account.is_empty() {
        return Err(Error::bad_request("Account parameter is required").code("MISSING_ACCOUNT"));
    }
    let Some(stored) = database::get(cx, caller, account).await? else {
        return Err(not_found(format!("no token of {account} is stored")));
    };
    if stored.is_expired {
        return expired(cx, stored.expires_at.as_deref(), &stored.account_name);
    }
    if !stored.is_active {
        return Err(not_found(format!("the token of {account} is gone from Redis")));
    }
    let token = Vault::open(cx)?.unseal(&stored.account_name, &stored.access_token)?;
    let reply = GetReply {
        success: true,
        token,
        account_name: stored.account_name,
        expires_at: stored.expires_at,
        token_length: stored.token_length,
        metadata: stored.metadata,
        main_account: stored.main_account,
        token_type: stored.token_type,
        version: stored.version,
    };
    Ok(Response::json(200, &reply)?.header(CACHE_CONTROL, HeaderValue::from_static("no-store")))
}

fn not_found(details: String) -> Error {
    Error::new(Kind::NotFound, "Token not found").code("TOKEN_NOT_FOUND").details(details)
}

/// 410. Callers know `expires_at` and `account_name` beside `error`, so that it is no plain error reply.
fn expired(cx: &Context, expires_at: Option<&str>, account: &str) -> Result<Response> {
    let body = json!({
        "success": false, "error": "Token expired", "code": Kind::Gone.code(), "request_id": cx.request_id(),
        "expires_at": expires_at, "account_name": account,
    });
    Response::json(410, &body)
}

pub(crate) async fn list(request: &Request, cx: &Context) -> Result<Response> {
    let limit: i32 = request.query_or("limit", PAGE)?;
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(
            Error::bad_request(format!("`limit` must be between 1 and {LARGEST_PAGE}")).code("INVALID_QUERY")
        );
    }
    let all = request.query_or("all", false)?;
    let within = match request.query("expiring_within") {
        Some(_) => Some(request.query_or("expiring_within", 0)?),
        None => None,
    };
    let (main, after) = (request.query("main_account"), request.query("after"));
    let filter = token_list::Args {
        p_main_account: main.as_deref(),
        p_expiring_within_seconds: within,
        p_all: Some(all),
        p_after: after.as_deref(),
        p_limit: Some(limit),
    };
    let tokens = database::list(cx, &filter).await?;
    let last = tokens.last().filter(|_| i32::try_from(tokens.len()) == Ok(limit));
    let next_after = last.map(|token| token.account_name.clone());
    Response::json(200, &ListReply { success: true, tokens, next_after })
}
