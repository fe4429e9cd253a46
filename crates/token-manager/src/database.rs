//! Speaks to Postgres: one RPC a verb, each atomic. The SQL is in `supabase/migrations/*_token_manager*.sql`.
//! What is absent is left out of the arguments and has a default there.

use ironferry::{Context, Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Caller;
use crate::types::{ListedToken, Status, StoreReply, SyncCounts};

/// A token read from Redis; a row of `private.token_sync_rows`.
#[derive(Serialize)]
pub(crate) struct SyncRow {
    pub(crate) redis_key: String,
    pub(crate) account_name: String,
    pub(crate) main_account: String,
    pub(crate) key_type: &'static str,
    /// Sealed; none when the database shall say whether it is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) access_token: Option<String>,
    pub(crate) fingerprint: String,
    pub(crate) token_length: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ttl_seconds: Option<i64>,
}

pub(crate) async fn begin_sync(cx: &Context, caller: &Caller) -> Result<String> {
    cx.db().rpc("token_sync_begin", &who(caller, json!({}))).fetch().await
}

#[derive(Serialize)]
struct Staged<'a, T> {
    p_sync_id: &'a str,
    // Not `json!`, which would make a tree of thousands of rows first.
    p_rows: &'a [T],
}

/// Gives the places of rows whose token is needed.
pub(crate) async fn stage(cx: &Context, sync_id: &str, rows: &[SyncRow]) -> Result<Vec<usize>> {
    cx.db().rpc("token_sync_stage", &Staged { p_sync_id: sync_id, p_rows: rows }).fetch().await
}

/// The token of a row that was staged without.
#[derive(Serialize)]
pub(crate) struct SealedRow<'a> {
    pub(crate) redis_key: &'a str,
    pub(crate) fingerprint: &'a str,
    pub(crate) access_token: String,
}

pub(crate) async fn add_tokens(cx: &Context, sync_id: &str, rows: &[SealedRow<'_>]) -> Result<()> {
    cx.db().rpc("token_sync_seal", &Staged { p_sync_id: sync_id, p_rows: rows }).execute().await
}

pub(crate) async fn finish_sync(cx: &Context, sync_id: &str) -> Result<SyncCounts> {
    cx.db().rpc("token_sync_finish", &json!({ "p_sync_id": sync_id })).fetch().await
}

pub(crate) async fn fail_sync(cx: &Context, sync_id: &str, error: &Error) -> Result<()> {
    let error = format!("{}: {error}", error.as_code());
    cx.db().rpc("token_sync_fail", &json!({ "p_sync_id": sync_id, "p_error": error })).execute().await
}

/// How many of these keys hold what the last sync saw there.
pub(crate) async fn known(cx: &Context, keys: &[String], fingerprints: &[String]) -> Result<u64> {
    #[derive(Serialize)]
    struct Arguments<'a> {
        p_keys: &'a [String],
        p_fingerprints: &'a [String],
    }
    cx.db().rpc("token_sync_compare", &Arguments { p_keys: keys, p_fingerprints: fingerprints }).fetch().await
}

/// A token to be stored, sealed.
#[derive(Serialize)]
pub(crate) struct StoredRow {
    pub(crate) account_name: String,
    pub(crate) main_account: String,
    pub(crate) token_type: String,
    pub(crate) access_token: String,
    pub(crate) fingerprint: String,
    pub(crate) token_length: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<String>,
    pub(crate) metadata: Value,
}

pub(crate) async fn store(cx: &Context, caller: &Caller, rows: &[StoredRow]) -> Result<StoreReply> {
    #[derive(Serialize)]
    #[expect(clippy::struct_field_names, reason = "the names of the RPC's arguments")]
    struct Arguments<'a> {
        p_tokens: &'a [StoredRow],
        p_actor: &'a str,
        p_request_id: &'a str,
    }
    let Caller { actor, request_id } = caller;
    let arguments = Arguments { p_tokens: rows, p_actor: actor, p_request_id: request_id };
    cx.db().rpc("token_store", &arguments).fetch().await
}

/// One account's sealed token.
#[derive(Deserialize)]
pub(crate) struct Stored {
    pub(crate) account_name: String,
    pub(crate) main_account: String,
    pub(crate) token_type: String,
    pub(crate) access_token: String,
    pub(crate) token_length: usize,
    pub(crate) expires_at: Option<String>,
    pub(crate) is_active: bool,
    pub(crate) is_expired: bool,
    pub(crate) version: u32,
    pub(crate) metadata: Value,
}

pub(crate) async fn get(cx: &Context, caller: &Caller, account: &str) -> Result<Option<Stored>> {
    cx.db().rpc("token_get", &who(caller, json!({ "p_account": account }))).fetch().await
}

pub(crate) async fn list(cx: &Context, filter: &Value) -> Result<Vec<ListedToken>> {
    cx.db().rpc("token_list", filter).fetch().await
}

#[derive(Deserialize)]
pub(crate) struct DatabaseStatus {
    #[serde(flatten)]
    pub(crate) status: Status,
    pub(crate) recent_tokens: Vec<crate::types::RecentToken>,
}

pub(crate) async fn status(cx: &Context) -> Result<DatabaseStatus> {
    cx.db().rpc("token_status", &json!({})).fetch().await
}

pub(crate) async fn cleanup(cx: &Context, caller: &Caller) -> Result<u64> {
    cx.db().rpc("token_cleanup", &who(caller, json!({}))).fetch().await
}

/// Tokens that this call may renew.
#[derive(Deserialize)]
pub(crate) struct Claims {
    pub(crate) tokens: Vec<Claim>,
    pub(crate) waiting: u64,
    #[serde(default)]
    pub(crate) paused_until: Option<String>,
    #[serde(default)]
    pub(crate) reason: Option<String>,
}

/// One of them, with all accounts and Redis keys that share it.
#[derive(Deserialize)]
pub(crate) struct Claim {
    pub(crate) fingerprint: String,
    pub(crate) account_name: String,
    pub(crate) access_token: String,
    pub(crate) accounts: Vec<String>,
    pub(crate) redis_keys: Vec<String>,
}

pub(crate) async fn claim_renewals(
    cx: &Context,
    within_seconds: u32,
    per_minute: u32,
    account: Option<&str>,
) -> Result<Claims> {
    let mut arguments = json!({ "p_within_seconds": within_seconds, "p_per_minute": per_minute });
    if let Some(account) = account {
        arguments["p_account"] = account.into();
    }
    cx.db().rpc("token_renew_claim", &arguments).fetch().await
}

pub(crate) async fn store_renewed(
    cx: &Context,
    caller: &Caller,
    fingerprint: &str,
    tokens: Vec<Value>,
) -> Result<u64> {
    let arguments = json!({ "p_fingerprint": fingerprint, "p_tokens": tokens });
    cx.db().rpc("token_renew_store", &who(caller, arguments)).fetch().await
}

pub(crate) async fn renewed_in_redis(cx: &Context, keys: &[String], fingerprint: &str) -> Result<()> {
    let arguments = json!({ "p_redis_keys": keys, "p_fingerprint": fingerprint });
    cx.db().rpc("token_renew_written", &arguments).execute().await
}

pub(crate) async fn renewal_failed(
    cx: &Context,
    caller: &Caller,
    fingerprint: &str,
    why: &str,
) -> Result<()> {
    let arguments = json!({ "p_fingerprint": fingerprint, "p_error": why });
    cx.db().rpc("token_renew_fail", &who(caller, arguments)).execute().await
}

/// No renewals for a while; gives back the claims on tokens that were not asked for yet.
pub(crate) async fn pause_renewals(
    cx: &Context,
    seconds: u32,
    why: &str,
    release: &[&str],
) -> Result<String> {
    let arguments = json!({ "p_seconds": seconds, "p_reason": why, "p_release": release });
    cx.db().rpc("token_renew_pause", &arguments).fetch().await
}

/// A token that is sealed under another key than the first.
#[derive(Deserialize)]
pub(crate) struct Outdated {
    pub(crate) account_name: String,
    pub(crate) access_token: String,
    pub(crate) fingerprint: String,
}

pub(crate) async fn outdated(cx: &Context, key_id: &str, after: &str) -> Result<Vec<Outdated>> {
    cx.db().rpc("token_rotate_batch", &json!({ "p_key_id": key_id, "p_after": after })).fetch().await
}

pub(crate) async fn store_rotated(cx: &Context, caller: &Caller, tokens: Vec<Value>) -> Result<u64> {
    cx.db().rpc("token_rotate_store", &who(caller, json!({ "p_tokens": tokens }))).fetch().await
}

fn who(caller: &Caller, mut arguments: Value) -> Value {
    arguments["p_actor"] = caller.actor.as_str().into();
    arguments["p_request_id"] = caller.request_id.as_str().into();
    arguments
}
