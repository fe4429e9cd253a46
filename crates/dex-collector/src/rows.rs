//! What this crate uses of the schema `public`, written by `ferry gen types --part`
//! from its `rows.toml`. Do not edit.
#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(clippy::all, clippy::pedantic, rustdoc::all)]

/// Of `collect_dex_claimed`.
pub mod claim {
    /// These columns of a row of `collect_dex_claimed`.
    #[derive(Clone, Debug, ::serde::Deserialize)]
    pub struct Row {
        pub company_id: String,
        pub company_name: String,
        pub collect_from: Option<String>,
        pub username_encrypted: Option<String>,
        pub password_encrypted: Option<String>,
        pub site_url: Option<String>,
        pub skip_reason: Option<String>,
    }
}

/// Stores captures, each in a transaction of its own: stored, duplicate, or rejected with the reason.
pub mod stored {
    /// These columns of a row of `collect_dex_store`.
    #[derive(Clone, Debug, ::serde::Deserialize)]
    pub struct Row {
        pub dex_id: i64,
        pub outcome: String,
        pub error: Option<String>,
    }
}

/// Saves a sealed login in place of the company's other one, and gives its id.
pub mod collect_credentials_save {
    pub const NAME: &str = "collect_credentials_save";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_company_id: &'a str,
        pub p_username_encrypted: &'a str,
        pub p_password_encrypted: &'a str,
        pub p_site_url: &'a str,
        pub p_validation_status: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_user_id: Option<&'a str>,
    }

    /// What it gives.
    pub type Output = String;
}

/// What is stored next to these captures [{dex_id, case_serial, captured_at}], by serial: [{dex_id, captured_at (microseconds since 1970), counters}].
pub mod collect_dex_around {
    pub const NAME: &str = "collect_dex_around";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a, Captures: ?Sized> {
        pub p_company_id: &'a str,
        pub p_captures: &'a Captures,
    }
}

/// Leases up to so many companies that are due, the longest due first. Two calls at once never give the same company.
pub mod collect_dex_claim {
    pub const NAME: &str = "collect_dex_claim";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_run_id: &'a str,
        pub p_triggered_by: &'a str,
        pub p_limit: i32,
        pub p_lease_seconds: i32,
    }
}

/// Leases one company, due or not; no row when another run has it. P0002 when there is none.
pub mod collect_dex_claim_one {
    pub const NAME: &str = "collect_dex_claim_one";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_run_id: &'a str,
        pub p_triggered_by: &'a str,
        pub p_company_id: &'a str,
        pub p_lease_seconds: i32,
    }
}

/// Ends a run in the ledger, and gives back what it still has.
pub mod collect_dex_end {
    pub const NAME: &str = "collect_dex_end";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a, Summary: ?Sized> {
        pub p_run_id: &'a str,
        pub p_status: &'a str,
        pub p_summary: &'a Summary,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_error: Option<&'a str>,
    }

    /// What it gives.
    pub type Output = ();
}

/// Ends a company's collection: next due, where the next one begins (p_failed_from: the oldest capture that failed), or backoff doubling to 6 h; and what the site said of the login that was used (p_login: its sealed user name). False when another run has the lease; then nothing changes.
pub mod collect_dex_finish {
    pub const NAME: &str = "collect_dex_finish";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_run_id: &'a str,
        pub p_company_id: &'a str,
        pub p_success: bool,
        pub p_records: i32,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_error: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_failed_from: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_login: Option<&'a str>,
    }

    /// What it gives.
    pub type Output = bool;
}

/// Releases leases without a success or a failure: the companies are due, behind those that already wait.
pub mod collect_dex_release {
    pub const NAME: &str = "collect_dex_release";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a, CompanyIds> {
        pub p_run_id: &'a str,
        pub p_company_ids: &'a [CompanyIds],
    }

    /// What it gives.
    pub type Output = ();
}

/// Stores captures, each in a transaction of its own: stored, duplicate, or rejected with the reason.
pub mod collect_dex_store {
    pub const NAME: &str = "collect_dex_store";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a, Captures: ?Sized> {
        pub p_company_id: &'a str,
        pub p_captures: &'a Captures,
    }
}

/// Of these captures, those that are not stored.
pub mod collect_dex_unseen {
    pub const NAME: &str = "collect_dex_unseen";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_company_id: &'a str,
        pub p_dex_ids: &'a [i64],
    }

    /// What it gives.
    pub type Output = Vec<i64>;
}

/// The company of the user who calls, the first joined; null when there is none.
pub mod my_company_id {
    pub const NAME: &str = "my_company_id";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args {}

    /// What it gives.
    pub type Output = String;
}

/// The same company as my_company_id(), when the user who calls may change it; else null.
pub mod my_managed_company_id {
    pub const NAME: &str = "my_managed_company_id";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args {}

    /// What it gives.
    pub type Output = String;
}
