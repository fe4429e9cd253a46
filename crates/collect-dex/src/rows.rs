//! What this crate uses of the schema `public`, written by `ferry gen types --part`
//! from its `rows.toml`. Do not edit.
#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(clippy::all, clippy::pedantic, rustdoc::all)]

/// One row per run. pg_cron only knows that a call was queued; this knows what came of it.
pub mod found_by {
    pub const TABLE: &str = "collection_runs";
    /// For `select`.
    pub const COLUMNS: &str = "function,started_at";
    pub const NAMES: [&str; 2] = ["function", "started_at"];
    pub const FUNCTION: &str = "function";
    pub const STARTED_AT: &str = "started_at";

    /// These columns of a row of `collection_runs`.
    #[derive(Clone, Debug, ::serde::Deserialize)]
    pub struct Row {
        /// The function that ran.
        pub function: String,
        /// When it claimed for the first time.
        pub started_at: String,
    }
}

/// One row per run. pg_cron only knows that a call was queued; this knows what came of it.
pub mod listed {
    pub const TABLE: &str = "collection_runs";
    /// For `select`.
    pub const COLUMNS: &str = "id,triggered_by,status,started_at,finished_at,companies_processed,successful_collections,total_records,error";
    pub const NAMES: [&str; 9] = [
        "id",
        "triggered_by",
        "status",
        "started_at",
        "finished_at",
        "companies_processed",
        "successful_collections",
        "total_records",
        "error",
    ];
    pub const ID: &str = "id";
    pub const TRIGGERED_BY: &str = "triggered_by";
    pub const STATUS: &str = "status";
    pub const STARTED_AT: &str = "started_at";
    pub const FINISHED_AT: &str = "finished_at";
    pub const COMPANIES_PROCESSED: &str = "companies_processed";
    pub const SUCCESSFUL_COLLECTIONS: &str = "successful_collections";
    pub const TOTAL_RECORDS: &str = "total_records";
    pub const ERROR: &str = "error";

    /// These columns of a row of `collection_runs`.
    #[derive(Clone, Debug, ::serde::Deserialize)]
    pub struct Row {
        /// The run's id, made by the function.
        pub id: String,
        /// cron or manual.
        pub triggered_by: String,
        /// running, succeeded, failed, or killed: the worker ended before the run reported.
        pub status: String,
        /// When it claimed for the first time.
        pub started_at: String,
        /// When the run reported, or was found killed.
        pub finished_at: Option<String>,
        /// Companies collected or tried.
        pub companies_processed: i32,
        /// Of those, the ones that succeeded.
        pub successful_collections: i32,
        /// New captures.
        pub total_records: i32,
        /// Why the run failed or was killed, or why a run that succeeded left companies due (CPU_BUDGET_SPENT).
        pub error: Option<String>,
    }
}
