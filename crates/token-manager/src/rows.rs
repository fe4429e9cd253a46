//! What this crate uses of the schema `public`, written by `ferry gen types --part`
//! from its `rows.toml`. Do not edit.
#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(clippy::all, clippy::pedantic, rustdoc::all)]

/// Marks tokens that have expired as inactive, and gives their number.
pub mod token_cleanup {
    pub const NAME: &str = "token_cleanup";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_actor: &'a str,
        pub p_request_id: &'a str,
    }

    /// What it gives.
    pub type Output = i32;
}

/// One account's sealed token, and whether it has expired by the database's clock; null when there is none. Noted as read or refused.
pub mod token_get {
    pub const NAME: &str = "token_get";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_account: &'a str,
        pub p_actor: &'a str,
        pub p_request_id: &'a str,
    }
}

/// Up to 1,000 tokens without the tokens, by account name: active ones unless p_all is set.
pub mod token_list {
    pub const NAME: &str = "token_list";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_main_account: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_expiring_within_seconds: Option<i32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_all: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_after: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_limit: Option<i32>,
    }
}

/// Claims tokens that end soon, as many as the rate limit still allows, each with all accounts and Redis keys that share it.
pub mod token_renew_claim {
    pub const NAME: &str = "token_renew_claim";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_within_seconds: i32,
        pub p_per_minute: i32,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_account: Option<&'a str>,
    }
}

/// Notes a renewal that failed; the next one waits 1, 2, 4, then 8 minutes.
pub mod token_renew_fail {
    pub const NAME: &str = "token_renew_fail";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_fingerprint: &'a str,
        pub p_error: &'a str,
        pub p_actor: &'a str,
        pub p_request_id: &'a str,
    }

    /// What it gives.
    pub type Output = ();
}

/// Tradovate wants no calls for a while: nobody makes one before then. Gives claims back, and the time.
pub mod token_renew_pause {
    pub const NAME: &str = "token_renew_pause";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a, Release> {
        pub p_seconds: i32,
        pub p_reason: &'a str,
        pub p_release: &'a [Release],
    }

    /// What it gives.
    pub type Output = String;
}

/// Stores a renewed token for each account that still has the old one, and gives their number.
pub mod token_renew_store {
    pub const NAME: &str = "token_renew_store";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a, Tokens: ?Sized> {
        pub p_fingerprint: &'a str,
        pub p_tokens: &'a Tokens,
        pub p_actor: &'a str,
        pub p_request_id: &'a str,
    }

    /// What it gives.
    pub type Output = i32;
}

/// Notes that Redis has the renewed token too: its keys count again.
pub mod token_renew_written {
    pub const NAME: &str = "token_renew_written";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a, RedisKeys> {
        pub p_redis_keys: &'a [RedisKeys],
        pub p_fingerprint: &'a str,
    }

    /// What it gives.
    pub type Output = ();
}

/// Tokens that are sealed under another key, the first ones by name after p_after.
pub mod token_rotate_batch {
    pub const NAME: &str = "token_rotate_batch";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_key_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_after: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_limit: Option<i32>,
    }
}

/// Puts tokens in place that were sealed again, where nobody changed them meanwhile; gives their number.
pub mod token_rotate_store {
    pub const NAME: &str = "token_rotate_store";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a, Tokens: ?Sized> {
        pub p_tokens: &'a Tokens,
        pub p_actor: &'a str,
        pub p_request_id: &'a str,
    }

    /// What it gives.
    pub type Output = i32;
}

/// Counts, the last sync, and the 10 tokens that changed last.
pub mod token_status {
    pub const NAME: &str = "token_status";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args {}
}

/// Stores sealed tokens, each in place of the account's other one, all or none; gives tokens_stored, created, updated.
pub mod token_store {
    pub const NAME: &str = "token_store";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a, Tokens: ?Sized> {
        pub p_tokens: &'a Tokens,
        pub p_actor: &'a str,
        pub p_request_id: &'a str,
    }
}

/// Begins a sync and gives its id.
pub mod token_sync_begin {
    pub const NAME: &str = "token_sync_begin";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_actor: &'a str,
        pub p_request_id: &'a str,
    }

    /// What it gives.
    pub type Output = String;
}

/// How many of these keys hold what the last sync saw there.
pub mod token_sync_compare {
    pub const NAME: &str = "token_sync_compare";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a, Keys, Fingerprints> {
        pub p_keys: &'a [Keys],
        pub p_fingerprints: &'a [Fingerprints],
    }

    /// What it gives.
    pub type Output = i32;
}

/// Ends a sync that failed. Nothing was changed.
pub mod token_sync_fail {
    pub const NAME: &str = "token_sync_fail";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_sync_id: &'a str,
        pub p_error: &'a str,
    }

    /// What it gives.
    pub type Output = ();
}

/// Puts in place what a sync has staged, in one transaction; a sync that was overtaken by one begun later changes nothing.
pub mod token_sync_finish {
    pub const NAME: &str = "token_sync_finish";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_sync_id: &'a str,
    }
}

/// Adds the tokens that token_sync_stage asked for.
pub mod token_sync_seal {
    pub const NAME: &str = "token_sync_seal";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a, Rows: ?Sized> {
        pub p_sync_id: &'a str,
        pub p_rows: &'a Rows,
    }

    /// What it gives.
    pub type Output = ();
}

/// Keeps what was read from Redis until the sync ends. Gives the places, from 0, of rows whose token is needed.
pub mod token_sync_stage {
    pub const NAME: &str = "token_sync_stage";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a, Rows: ?Sized> {
        pub p_sync_id: &'a str,
        pub p_rows: &'a Rows,
    }

    /// What it gives.
    pub type Output = Vec<i32>;
}
