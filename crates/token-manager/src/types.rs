//! What goes over the wire, for the function and for its clients.

use ironferry::Secret;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

/// What `action=sync` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncReply {
    /// Always true: a failure has an error reply.
    pub success: bool,
    /// The same in words.
    pub message: String,
    /// What was done.
    #[serde(flatten)]
    pub counts: SyncCounts,
    /// Keys that hold no token.
    pub skipped: u64,
    /// The first of them, and why.
    pub warnings: Vec<Skipped>,
    /// `token_syncs.id`
    pub sync_id: String,
}

/// What a sync did, as `public.token_sync_finish` counts it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncCounts {
    /// Accounts that have a token in Redis.
    pub tokens_synced: u64,
    /// Redis keys with a token in them.
    pub key_mappings: u64,
    /// Keys that the last sync did not see.
    pub key_mappings_created: u64,
    /// Keys that are gone.
    pub key_mappings_removed: u64,
    /// Accounts that are new.
    pub created: u64,
    /// Accounts with another token, or another end of it.
    pub updated: u64,
    /// Accounts that were inactive.
    pub reactivated: u64,
    /// Accounts with nothing new.
    pub unchanged: u64,
    /// Accounts whose stored or renewed token outlives the one in Redis.
    pub kept: u64,
    /// Accounts that are gone from Redis.
    pub deactivated: u64,
    /// Another sync that began later was done first: this one changed nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub superseded: bool,
    /// The accounts by name, the first 1,000.
    pub accounts: Vec<String>,
}

/// A key that was passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The Redis key.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// What `action=status` answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusReply {
    /// Always true.
    pub success: bool,
    /// Counts of both sides.
    pub status: Status,
    /// The 10 tokens that changed last.
    pub recent_tokens: Vec<RecentToken>,
}

/// Counts of both sides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Active tokens.
    pub supabase_tokens: u64,
    /// Keys in Redis that hold a token; none when Redis cannot be asked.
    pub redis_tokens: Option<u64>,
    /// Whether Redis holds something else than at the last sync; none when it cannot be asked.
    pub sync_needed: Option<bool>,
    /// When a token last changed, RFC 3339.
    pub last_updated: Option<String>,
    /// When a sync was last done.
    pub last_synced: Option<String>,
    /// Why Redis cannot be asked: an error code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis_error: Option<String>,
    /// Tokens that are no longer active.
    pub inactive_tokens: u64,
    /// Active tokens that have expired and wait for the cleanup.
    pub expired_tokens: u64,
    /// Active tokens that end within 15 minutes.
    pub expiring_tokens: u64,
    /// Known Redis keys.
    pub key_mappings: u64,
    /// Tokens by the key that they are sealed with.
    pub keys: Map<String, Value>,
    /// The last sync: status, started_at, finished_at, error.
    pub last_sync: Option<Value>,
    /// Until when Tradovate wants no renewals.
    pub renewal_paused_until: Option<String>,
}

/// A token that changed lately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentToken {
    /// The account.
    pub account_name: String,
    /// Its main account.
    pub main_account: String,
    /// When the token ends.
    pub expires_at: Option<String>,
    /// When the account was first seen.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
}

/// What `action=get` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetReply {
    /// Always true.
    pub success: bool,
    /// The token.
    #[serde(serialize_with = "exposed")]
    pub token: Secret,
    /// The account.
    pub account_name: String,
    /// When the token ends; none when nobody knows.
    pub expires_at: Option<String>,
    /// Characters of the token.
    pub token_length: usize,
    /// `redis_key`, `ttl_seconds` and `synced_at`, or what was stored with it.
    pub metadata: Value,
    /// The account's main account.
    pub main_account: String,
    /// `bearer` or `auth`.
    pub token_type: String,
    /// How many tokens the account has had.
    pub version: u32,
}

/// The body of `action=store`: up to 1,000 tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoreRequest {
    /// The tokens; of two for one account the last one counts.
    pub tokens: Vec<TokenData>,
}

/// A token to be stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenData {
    /// The account.
    pub account_name: String,
    /// The token.
    #[serde(serialize_with = "exposed", alias = "token")]
    pub access_token: Secret,
    /// Its main account; else it follows from the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main_account: Option<String>,
    /// `bearer` (default) or `auth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_type: Option<String>,
    /// When it ends, RFC 3339. The `exp` of a JWT counts when it is earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Anything else, 8 kB at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// What `action=store` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreReply {
    /// Always true.
    #[serde(default)]
    pub success: bool,
    /// The same in words.
    #[serde(default)]
    pub message: String,
    /// Accounts that were given a token.
    pub tokens_stored: u64,
    /// Of these, new accounts.
    pub created: u64,
    /// And known ones.
    pub updated: u64,
}

/// What `action=cleanup` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanupReply {
    /// Always true.
    pub success: bool,
    /// The same in words.
    pub message: String,
    /// Tokens that had expired and are inactive now.
    pub cleaned_up: u64,
}

/// What `action=list` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListReply {
    /// Always true.
    pub success: bool,
    /// By account name.
    pub tokens: Vec<ListedToken>,
    /// What to give as `after` for the next page, when there may be one.
    pub next_after: Option<String>,
}

/// A token without the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedToken {
    /// The account.
    pub account_name: String,
    /// Its main account.
    pub main_account: String,
    /// `bearer` or `auth`.
    pub token_type: String,
    /// Characters of the token.
    pub token_length: usize,
    /// When it ends.
    pub expires_at: Option<String>,
    /// False once it has expired or is gone from Redis.
    pub is_active: bool,
    /// Whether it has ended, by the database's clock.
    pub is_expired: bool,
    /// `redis`, `store` or `renew`.
    pub source: String,
    /// How many tokens the account has had.
    pub version: u32,
    /// The key that it is sealed with.
    pub key_id: String,
    /// When the account was first seen.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
}

/// What `action=renew` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewReply {
    /// Always true: what failed is listed.
    pub success: bool,
    /// The same in words.
    pub message: String,
    /// Tokens that were renewed.
    pub renewed: u64,
    /// Accounts that have them.
    pub accounts: Vec<String>,
    /// Redis keys that were given the new token.
    pub redis_keys_written: u64,
    /// Tokens that were not renewed.
    pub failed: Vec<FailedRenewal>,
    /// Tokens that wait for the next minute.
    pub waiting: u64,
    /// Until when Tradovate wants no calls.
    pub paused_until: Option<String>,
}

/// A token that was not renewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedRenewal {
    /// An account that has it.
    pub account_name: String,
    /// Why.
    pub reason: String,
}

/// What `action=rotate-key` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotateReply {
    /// Always true.
    pub success: bool,
    /// The same in words.
    pub message: String,
    /// The key that seals now.
    pub key_id: String,
    /// Tokens that were sealed again by this call.
    pub rotated: u64,
    /// Accounts whose token no key of the ring opens, the first 100.
    pub unreadable: Vec<String>,
    /// Whether the call's time ran out: call again.
    pub has_more: bool,
}

fn exposed<S: Serializer>(token: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(token.expose())
}
