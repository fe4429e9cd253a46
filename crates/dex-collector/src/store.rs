//! Speaks to Postgres: one RPC a verb, each atomic. The SQL is in
//! `supabase/migrations/*_collect_dex.sql`. What is absent is left out of the arguments and has a
//! default there.

use ironferry::{Context, Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::capture::Capture;
use crate::credentials::Sealed;
use crate::sales::Around;

/// Who set a run off; `collection_runs.triggered_by`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// pg_cron.
    Cron,
    /// A person or a script.
    Manual,
}

impl Trigger {
    const fn name(self) -> &'static str {
        match self {
            Trigger::Cron => "cron",
            Trigger::Manual => "manual",
        }
    }
}

/// A company that this run has leased, or that it must skip.
#[derive(Clone, Debug, Deserialize)]
pub struct Claim {
    /// `companies.id`
    pub company_id: String,
    /// `companies.company_name`
    pub company_name: String,
    #[serde(default)]
    last_succeeded_at: Option<String>,
    /// The sealed login.
    #[serde(default)]
    username_encrypted: Option<String>,
    #[serde(default)]
    password_encrypted: Option<String>,
    /// Where to log in.
    #[serde(default)]
    pub site_url: Option<String>,
    /// Why the company is not collected; no lease then.
    #[serde(default)]
    pub skip_reason: Option<String>,
}

impl Claim {
    /// The end of the last collection that succeeded.
    pub fn last_succeeded_at(&self) -> Option<OffsetDateTime> {
        OffsetDateTime::parse(self.last_succeeded_at.as_deref()?, &Rfc3339).ok()
    }

    /// The sealed login; the database gives a claim without one a reason to skip it.
    pub fn login(&self) -> Result<Sealed> {
        match (&self.username_encrypted, &self.password_encrypted) {
            (Some(username), Some(password)) => {
                Ok(Sealed { username: username.clone(), password: password.clone() })
            }
            _ => Err(Error::bad_request("the company has no DEX credentials").code("NO_CREDENTIALS")),
        }
    }
}

/// How long a lease lasts that nobody gives back: `COLLECT_LEASE_SECONDS`, by default as long as
/// the longest-lived free worker, so that the tick after a crash finds the company free.
pub fn lease_seconds(cx: &Context) -> Result<u32> {
    cx.setting("COLLECT_LEASE_SECONDS", 150)
}

/// Leases up to so many companies that are due, the longest due first.
pub async fn claim(cx: &Context, run_id: &str, trigger: Trigger, limit: usize) -> Result<Vec<Claim>> {
    let arguments = json!({
        "p_run_id": run_id,
        "p_triggered_by": trigger.name(),
        "p_limit": limit,
        "p_lease_seconds": lease_seconds(cx)?,
    });
    cx.db().rpc("collect_dex_claim", &arguments).fetch().await
}

/// Leases one company, due or not. 409 when another run has it, 404 when there is none.
pub async fn claim_one(cx: &Context, run_id: &str, trigger: Trigger, company_id: &str) -> Result<Claim> {
    let arguments = json!({
        "p_run_id": run_id,
        "p_triggered_by": trigger.name(),
        "p_company_id": company_id,
        "p_lease_seconds": lease_seconds(cx)?,
    });
    let claims: Result<Vec<Claim>> = cx.db().rpc("collect_dex_claim_one", &arguments).fetch().await;
    let claims = claims.map_err(|error| match error.database().map(|problem| problem.code.as_str()) {
        Some("P0002" | "22P02") => {
            Error::new(ironferry::Kind::NotFound, "there is no such company").code("COMPANY_NOT_FOUND")
        }
        _ => error,
    })?;
    claims
        .into_iter()
        .next()
        .ok_or_else(|| Error::conflict("the company is being collected by another run").code("COLLECTING"))
}

/// Of the listed captures, those that are not stored yet.
pub async fn unseen(cx: &Context, company_id: &str, dex_ids: &[i64]) -> Result<Vec<i64>> {
    #[derive(Serialize)]
    struct Arguments<'a> {
        p_company_id: &'a str,
        p_dex_ids: &'a [i64],
    }
    let arguments = Arguments { p_company_id: company_id, p_dex_ids: dex_ids };
    cx.db().rpc("collect_dex_unseen", &arguments).fetch().await
}

/// What became of a capture.
#[derive(Clone, Debug, Deserialize)]
pub struct Stored {
    /// The site's number.
    pub dex_id: i64,
    /// `stored`, `duplicate` or `rejected`.
    pub outcome: String,
    /// Why it was rejected.
    #[serde(default)]
    pub error: Option<String>,
}

/// What is stored around these captures: what their sales depend on. Nothing is asked when none of
/// them has counters.
pub async fn around(cx: &Context, company_id: &str, captures: &[Capture]) -> Result<Around> {
    #[derive(Serialize)]
    struct Place<'a> {
        dex_id: i64,
        case_serial: &'a str,
        captured_at: &'a str,
    }
    #[derive(Serialize)]
    struct Arguments<'a> {
        p_company_id: &'a str,
        p_captures: Vec<Place<'a>>,
    }
    let sound = captures.iter().filter(|capture| capture.snapshot.is_some());
    let p_captures: Vec<Place<'_>> = sound
        .map(|capture| Place {
            dex_id: capture.dex_id,
            case_serial: &capture.case_serial,
            captured_at: &capture.captured_at,
        })
        .collect();
    if p_captures.is_empty() {
        return Ok(Around::default());
    }
    let arguments = Arguments { p_company_id: company_id, p_captures };
    cx.db().rpc("collect_dex_around", &arguments).fetch().await
}

/// Stores captures, each in a transaction of its own.
pub async fn record(cx: &Context, company_id: &str, captures: &[Capture]) -> Result<Vec<Stored>> {
    // A struct and not `json!`, which would compile a second serializer for each of these types.
    #[derive(Serialize)]
    struct Arguments<'a> {
        p_company_id: &'a str,
        p_captures: &'a [Capture],
    }
    let arguments = Arguments { p_company_id: company_id, p_captures: captures };
    cx.db().rpc("collect_dex_store", &arguments).fetch().await
}

/// Ends a company's collection: the next due time, or the backoff, and the lease given back.
/// False when the lease had gone to another run; then nothing was changed.
pub async fn finish(
    cx: &Context,
    run_id: &str,
    company_id: &str,
    records: usize,
    failure: Option<&Error>,
) -> Result<bool> {
    let mut arguments = json!({
        "p_run_id": run_id,
        "p_company_id": company_id,
        "p_success": failure.is_none(),
        "p_records": records,
    });
    if let Some(error) = failure {
        arguments["p_error"] = format!("{}: {error}", error.as_code()).into();
    }
    cx.db().rpc("collect_dex_finish", &arguments).fetch().await
}

/// Gives leases back untouched: the companies stay due.
pub async fn release(cx: &Context, run_id: &str, company_ids: &[&str]) -> Result<()> {
    #[derive(Serialize)]
    struct Arguments<'a> {
        p_run_id: &'a str,
        p_company_ids: &'a [&'a str],
    }
    let arguments = Arguments { p_run_id: run_id, p_company_ids: company_ids };
    cx.db().rpc("collect_dex_release", &arguments).execute().await
}

/// Ends a run in the ledger with what it has to report.
pub async fn end(
    cx: &Context,
    run_id: &str,
    summary: &impl Serialize,
    failure: Option<&Error>,
) -> Result<()> {
    #[derive(Serialize)]
    #[allow(clippy::struct_field_names)] // they are the parameters' names
    struct Arguments<'a, S> {
        p_run_id: &'a str,
        p_status: &'a str,
        p_summary: &'a S,
        #[serde(skip_serializing_if = "Option::is_none")]
        p_error: Option<String>,
    }
    let arguments = Arguments {
        p_run_id: run_id,
        p_status: if failure.is_none() { "succeeded" } else { "failed" },
        p_summary: summary,
        p_error: failure.map(ToString::to_string),
    };
    cx.db().rpc("collect_dex_end", &arguments).execute().await
}

/// Saves a sealed login.
pub async fn save_login(
    cx: &Context,
    company_id: &str,
    user_id: Option<&str>,
    login: &Sealed,
    site_url: &str,
    status: &str,
) -> Result<String> {
    let mut arguments = json!({
        "p_company_id": company_id,
        "p_username_encrypted": login.username,
        "p_password_encrypted": login.password,
        "p_site_url": site_url,
        "p_validation_status": status,
    });
    if let Some(user_id) = user_id {
        arguments["p_user_id"] = user_id.into();
    }
    cx.db().rpc("collect_credentials_save", &arguments).fetch().await
}

/// Notes whether the site took the login: `valid` or `invalid`.
pub async fn mark_login(cx: &Context, company_id: &str, status: &str) -> Result<()> {
    let arguments = json!({ "p_company_id": company_id, "p_status": status });
    cx.db().rpc("collect_credentials_checked", &arguments).execute().await
}

/// The company of the user who calls; 403 when there is none.
pub async fn company_of_caller(cx: &Context) -> Result<String> {
    let company: Option<String> = cx.db_as_user().rpc("my_company_id", &json!({})).fetch().await?;
    company.ok_or_else(|| Error::forbidden("you belong to no company").code("NO_COMPANY"))
}
