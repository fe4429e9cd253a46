//! What this crate uses of the schema `public`, written by `ferry gen types --part`
//! from its `rows.toml`. Do not edit.
#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(clippy::all, clippy::pedantic, rustdoc::all)]

/// Everything that the function health measures in the database, a section a key; what is not installed is left out.
pub mod health_report {
    pub const NAME: &str = "health_report";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_expiring_seconds: Option<i32>,
    }
}
