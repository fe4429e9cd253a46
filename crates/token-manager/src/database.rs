//! Speaks to Postgres: one RPC a verb, each atomic. The SQL is in `supabase/migrations/*_token_manager_functions.sql`,
//! `rows` has their names and arguments. What is absent is left out and has a default there.

use ironferry::{Context, Error, Raw, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Caller;
use crate::rows::{
    token_cleanup, token_get, token_list, token_renew_claim, token_renew_fail, token_renew_pause,
    token_renew_store, token_renew_written, token_rotate_batch, token_rotate_store, token_status,
    token_store, token_sync_begin, token_sync_compare, token_sync_fail, token_sync_finish, token_sync_seal,
    token_sync_stage,
};
use crate::types::{ListedToken, RecentToken, Status, StoreReply, SyncCounts};

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

pub(crate) async fn begin_sync(cx: &Context, caller: &Caller) -> Result<token_sync_begin::Output> {
    let Caller { actor: p_actor, request_id: p_request_id } = caller;
    cx.db().rpc(token_sync_begin::NAME, &token_sync_begin::Args { p_actor, p_request_id }).fetch().await
}

/// Gives the places of rows whose token is needed.
pub(crate) async fn stage(cx: &Context, sync_id: &str, rows: &[SyncRow]) -> Result<Vec<usize>> {
    let arguments = token_sync_stage::Args { p_sync_id: sync_id, p_rows: rows };
    cx.db().rpc(token_sync_stage::NAME, &arguments).fetch().await
}

/// The token of a row that was staged without.
#[derive(Serialize)]
pub(crate) struct SealedRow<'a> {
    pub(crate) redis_key: &'a str,
    pub(crate) fingerprint: &'a str,
    pub(crate) access_token: String,
}

pub(crate) async fn add_tokens(cx: &Context, sync_id: &str, rows: &[SealedRow<'_>]) -> Result<()> {
    let arguments = token_sync_seal::Args { p_sync_id: sync_id, p_rows: rows };
    cx.db().rpc(token_sync_seal::NAME, &arguments).execute().await
}

pub(crate) async fn finish_sync(cx: &Context, sync_id: &str) -> Result<SyncCounts> {
    cx.db().rpc(token_sync_finish::NAME, &token_sync_finish::Args { p_sync_id: sync_id }).fetch().await
}

pub(crate) async fn fail_sync(cx: &Context, sync_id: &str, error: &Error) -> Result<()> {
    let error = format!("{}: {error}", error.as_code());
    let arguments = token_sync_fail::Args { p_sync_id: sync_id, p_error: &error };
    cx.db().rpc(token_sync_fail::NAME, &arguments).execute().await
}

/// How many of these keys hold what the last sync saw there.
pub(crate) async fn known(cx: &Context, keys: &[String], fingerprints: &[String]) -> Result<u64> {
    let arguments = token_sync_compare::Args { p_keys: keys, p_fingerprints: fingerprints };
    cx.db().rpc(token_sync_compare::NAME, &arguments).fetch().await
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
    let Caller { actor: p_actor, request_id: p_request_id } = caller;
    let arguments = token_store::Args { p_tokens: rows, p_actor, p_request_id };
    cx.db().rpc(token_store::NAME, &arguments).fetch().await
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
    let Caller { actor: p_actor, request_id: p_request_id } = caller;
    let arguments = token_get::Args { p_account: account, p_actor, p_request_id };
    cx.db().rpc(token_get::NAME, &arguments).fetch().await
}

pub(crate) async fn list(cx: &Context, filter: &token_list::Args<'_>) -> Result<Vec<ListedToken>> {
    cx.db().rpc(token_list::NAME, filter).fetch().await
}

/// What is in the reply beside the counts.
#[derive(Deserialize)]
struct Recent {
    recent_tokens: Vec<RecentToken>,
}

pub(crate) async fn status(cx: &Context) -> Result<(Status, Vec<RecentToken>)> {
    let reply: Raw = cx.db().rpc(token_status::NAME, &token_status::Args {}).fetch().await?;
    let read = || Ok((reply.read()?, reply.read::<Recent>()?.recent_tokens));
    read().map_err(|problem: String| {
        Error::internal("the database answered with another shape").code("DATABASE_ERROR").source(problem)
    })
}

pub(crate) async fn cleanup(cx: &Context, caller: &Caller) -> Result<u64> {
    let Caller { actor: p_actor, request_id: p_request_id } = caller;
    cx.db().rpc(token_cleanup::NAME, &token_cleanup::Args { p_actor, p_request_id }).fetch().await
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
    let arguments = token_renew_claim::Args {
        p_within_seconds: integer(within_seconds),
        p_per_minute: integer(per_minute),
        p_account: account,
    };
    cx.db().rpc(token_renew_claim::NAME, &arguments).fetch().await
}

pub(crate) async fn store_renewed(
    cx: &Context,
    caller: &Caller,
    fingerprint: &str,
    tokens: &[Value],
) -> Result<u64> {
    let Caller { actor: p_actor, request_id: p_request_id } = caller;
    let arguments =
        token_renew_store::Args { p_fingerprint: fingerprint, p_tokens: tokens, p_actor, p_request_id };
    cx.db().rpc(token_renew_store::NAME, &arguments).fetch().await
}

pub(crate) async fn renewed_in_redis(cx: &Context, keys: &[String], fingerprint: &str) -> Result<()> {
    let arguments = token_renew_written::Args { p_redis_keys: keys, p_fingerprint: fingerprint };
    cx.db().rpc(token_renew_written::NAME, &arguments).execute().await
}

pub(crate) async fn renewal_failed(
    cx: &Context,
    caller: &Caller,
    fingerprint: &str,
    why: &str,
) -> Result<()> {
    let Caller { actor: p_actor, request_id: p_request_id } = caller;
    let arguments =
        token_renew_fail::Args { p_fingerprint: fingerprint, p_error: why, p_actor, p_request_id };
    cx.db().rpc(token_renew_fail::NAME, &arguments).execute().await
}

/// No renewals for a while; gives back the claims on tokens that were not asked for yet.
pub(crate) async fn pause_renewals(
    cx: &Context,
    seconds: u32,
    why: &str,
    release: &[&str],
) -> Result<token_renew_pause::Output> {
    let arguments =
        token_renew_pause::Args { p_seconds: integer(seconds), p_reason: why, p_release: release };
    cx.db().rpc(token_renew_pause::NAME, &arguments).fetch().await
}

/// A token that is sealed under another key than the first.
#[derive(Deserialize)]
pub(crate) struct Outdated {
    pub(crate) account_name: String,
    pub(crate) access_token: String,
    pub(crate) fingerprint: String,
}

pub(crate) async fn outdated(cx: &Context, key_id: &str, after: &str) -> Result<Vec<Outdated>> {
    let arguments = token_rotate_batch::Args { p_key_id: key_id, p_after: Some(after), p_limit: None };
    cx.db().rpc(token_rotate_batch::NAME, &arguments).fetch().await
}

pub(crate) async fn store_rotated(cx: &Context, caller: &Caller, tokens: &[Value]) -> Result<u64> {
    let Caller { actor: p_actor, request_id: p_request_id } = caller;
    let arguments = token_rotate_store::Args { p_tokens: tokens, p_actor, p_request_id };
    cx.db().rpc(token_rotate_store::NAME, &arguments).fetch().await
}

/// What the database's `integer` cannot hold is as good as its greatest.
fn integer(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
