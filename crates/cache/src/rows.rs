//! What this crate uses of the schema `public`, written by `ferry gen types --part`
//! from its `rows.toml`. Do not edit.
#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(clippy::all, clippy::pedantic, rustdoc::all)]

/// Whether a caller may ask (admitted, limited, network, unknown, elsewhere), and how many requests of its minute it may make unasked.
pub mod cache_admit {
    pub const NAME: &str = "cache_admit";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_ip: &'a str,
        pub p_limit: i32,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_project: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_key_hash: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_at_once: Option<i32>,
    }
}

/// Leases sources that are due, or a named one, due or not, unless it was fetched p_settled_ms ago or sooner or needs a login; busy_ms when another has it, or just had it; resting_ms when it fails.
pub mod cache_claim {
    pub const NAME: &str = "cache_claim";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_lease_seconds: i32,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_limit: Option<i32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_project: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_type: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_settled_ms: Option<i32>,
    }
}

/// Keeps sealed credentials unless newer ones are there, by their age and not by the caller's clock.
pub mod cache_credentials {
    pub const NAME: &str = "cache_credentials";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_project: &'a str,
        pub p_type: &'a str,
        pub p_credentials: &'a str,
        pub p_got_at: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_sent_at: Option<&'a str>,
    }

    /// What it gives.
    pub type Output = bool;
}

/// Deletes the data of a project and type. Its source stays.
pub mod cache_delete {
    pub const NAME: &str = "cache_delete";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_project: &'a str,
        pub p_type: &'a str,
    }

    /// What it gives.
    pub type Output = bool;
}

/// Ends a lease without data: a minute, doubled by each failure, an hour at the most, or longer where the source asks for it.
pub mod cache_fail {
    pub const NAME: &str = "cache_fail";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_lease_id: &'a str,
        pub p_error: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_retry_seconds: Option<i32>,
    }

    /// What it gives.
    pub type Output = ();
}

/// Adds a key by its hash. Older keys of the same name stay good for the overlap.
pub mod cache_key_issue {
    pub const NAME: &str = "cache_key_issue";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_project: &'a str,
        pub p_name: &'a str,
        pub p_key_hash: &'a str,
        pub p_can_write: bool,
        pub p_overlap_seconds: i32,
    }
}

/// Ends all keys of a name at once, and gives their number.
pub mod cache_key_revoke {
    pub const NAME: &str = "cache_key_revoke";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_project: &'a str,
        pub p_name: &'a str,
    }

    /// What it gives.
    pub type Output = i32;
}

/// The row of a project and type with its ages by the database's clock, and its source; without data when that does not fit its checksum.
pub mod cache_load {
    pub const NAME: &str = "cache_load";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_project: &'a str,
        pub p_type: &'a str,
    }
}

/// Notes that a source refuses these credentials, or that its newest are lost, and raises an alert. False where newer credentials are there or it was known.
pub mod cache_needs_login {
    pub const NAME: &str = "cache_needs_login";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_project: &'a str,
        pub p_type: &'a str,
        pub p_error: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_credentials: Option<&'a str>,
    }

    /// What it gives.
    pub type Output = bool;
}

/// An instance of the cache says how many saves it holds, for how long, and how many more were refused for good.
pub mod cache_pending_report {
    pub const NAME: &str = "cache_pending_report";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_instance_id: &'a str,
        pub p_pending: i32,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_oldest_seconds: Option<i32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_refused: Option<i32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_error: Option<&'a str>,
    }

    /// What it gives.
    pub type Output = ();
}

/// Writes operations to the audit log, counts them, and raises alerts; a batch that was written before, not again.
pub mod cache_record {
    pub const NAME: &str = "cache_record";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a, Entries: ?Sized> {
        pub p_entries: &'a Entries,
    }

    /// What it gives.
    pub type Output = ();
}

/// Hit ratios and latencies by layer, lag of refreshes, number of alerts; of one project or of all.
pub mod cache_report {
    pub const NAME: &str = "cache_report";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_project: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_hours: Option<i32>,
    }
}

/// Lets the holder of a lease renew the credentials of its source, and gives the newest; null while another worker may hold newer ones, or without the lease.
pub mod cache_rotation_begin {
    pub const NAME: &str = "cache_rotation_begin";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_lease_id: &'a str,
    }

    /// What it gives.
    pub type Output = String;
}

/// Ends a renewal that brought no new credentials.
pub mod cache_rotation_fail {
    pub const NAME: &str = "cache_rotation_fail";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_lease_id: &'a str,
    }

    /// What it gives.
    pub type Output = ();
}

/// Saves data unless newer is there (outcome older), and ends the lease it was fetched under.
pub mod cache_save {
    pub const NAME: &str = "cache_save";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a, Data: ?Sized, Metadata: ?Sized> {
        pub p_project: &'a str,
        pub p_type: &'a str,
        pub p_data: &'a Data,
        pub p_etag: &'a str,
        pub p_last_fetch: &'a str,
        pub p_sent_at: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_last_rich_fetch: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_fresh_seconds: Option<i32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_metadata: Option<&'a Metadata>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_retention_days: Option<i32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_make_project: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_lease_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_every_seconds: Option<i32>,
    }
}

/// Makes or replaces a source, due at once. Credentials stay unless new ones are given.
pub mod cache_source_save {
    pub const NAME: &str = "cache_source_save";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a, Headers: ?Sized, Settings: ?Sized> {
        pub p_project: &'a str,
        pub p_type: &'a str,
        pub p_kind: &'a str,
        pub p_url: &'a str,
        pub p_headers: &'a Headers,
        pub p_settings: &'a Settings,
        pub p_is_active: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_refresh_seconds: Option<i32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_rich_seconds: Option<i32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_credentials: Option<&'a str>,
    }

    /// What it gives.
    pub type Output = String;
}

/// What is kept and where each source stands, of one project or of all; never the data.
pub mod cache_status {
    pub const NAME: &str = "cache_status";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_project: Option<&'a str>,
    }
}

/// What a new instance fills its files with: the rows that were saved last.
pub mod cache_warm {
    pub const NAME: &str = "cache_warm";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_limit: Option<i32>,
    }
}
