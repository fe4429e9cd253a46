//! Speaks to Postgres: one RPC a verb, each atomic. The SQL is in
//! `supabase/migrations/*_dex_functions.sql`, `rows` has their names, arguments and rows. What is absent is
//! left out of the arguments and has a default there.

use ironferry::{Context, Error, Result};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::capture::Capture;
use crate::company::Collected;
use crate::credentials::Sealed;
use crate::rows::{
    claim, collect_credentials_save, collect_dex_around, collect_dex_claim, collect_dex_claim_one,
    collect_dex_end, collect_dex_finish, collect_dex_release, collect_dex_store, collect_dex_unseen,
    my_company_id, my_managed_company_id, stored,
};
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

/// A company that this run has leased, or that it must skip: then `skip_reason` says why, and there is no
/// lease.
pub type Claim = claim::Row;

impl Claim {
    /// Captures made from then on are listed; those before are stored or given up.
    pub fn collect_from(&self) -> Result<OffsetDateTime> {
        let from = self.collect_from.as_deref().unwrap_or_default();
        OffsetDateTime::parse(from, &Rfc3339)
            .map_err(|error| Error::internal("the claim does not say where to begin").source(error))
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
    let arguments = collect_dex_claim::Args {
        p_run_id: run_id,
        p_triggered_by: trigger.name(),
        p_limit: integer(limit),
        p_lease_seconds: integer(lease_seconds(cx)?),
    };
    cx.db().rpc(collect_dex_claim::NAME, &arguments).fetch().await
}

/// Leases one company, due or not. 409 when another run has it, 404 when there is none.
pub async fn claim_one(cx: &Context, run_id: &str, trigger: Trigger, company_id: &str) -> Result<Claim> {
    let arguments = collect_dex_claim_one::Args {
        p_run_id: run_id,
        p_triggered_by: trigger.name(),
        p_company_id: company_id,
        p_lease_seconds: integer(lease_seconds(cx)?),
    };
    let claims: Result<Vec<Claim>> = cx.db().rpc(collect_dex_claim_one::NAME, &arguments).fetch().await;
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
pub async fn unseen(cx: &Context, company_id: &str, dex_ids: &[i64]) -> Result<collect_dex_unseen::Output> {
    let arguments = collect_dex_unseen::Args { p_company_id: company_id, p_dex_ids: dex_ids };
    cx.db().rpc(collect_dex_unseen::NAME, &arguments).fetch().await
}

/// What became of a capture: `outcome` is `stored`, `duplicate` or `rejected`, `error` why.
pub type Stored = stored::Row;

/// What is stored around these captures: what their sales depend on. Nothing is asked when none of
/// them has counters.
pub async fn around(cx: &Context, company_id: &str, captures: &[Capture]) -> Result<Around> {
    #[derive(Serialize)]
    struct Place<'a> {
        dex_id: i64,
        case_serial: &'a str,
        captured_at: &'a str,
    }
    let sound = captures.iter().filter(|capture| capture.snapshot.is_some());
    let places: Vec<Place<'_>> = sound
        .map(|capture| Place {
            dex_id: capture.dex_id,
            case_serial: &capture.case_serial,
            captured_at: &capture.captured_at,
        })
        .collect();
    if places.is_empty() {
        return Ok(Around::default());
    }
    let arguments = collect_dex_around::Args { p_company_id: company_id, p_captures: &places };
    cx.db().rpc(collect_dex_around::NAME, &arguments).fetch().await
}

/// Stores captures, each in a transaction of its own.
pub async fn record(cx: &Context, company_id: &str, captures: &[Capture]) -> Result<Vec<Stored>> {
    let arguments = collect_dex_store::Args { p_company_id: company_id, p_captures: captures };
    cx.db().rpc(collect_dex_store::NAME, &arguments).fetch().await
}

/// Ends a company's collection by its outcome, and gives the lease back: the next due time and where the next
/// one begins, or the backoff, and what the site said of the login. One that did not see the whole list changes
/// nothing: the company stays due. False when the lease had gone to another run; then nothing was changed.
pub async fn finish(cx: &Context, run_id: &str, claim: &Claim, outcome: &Result<Collected>) -> Result<bool> {
    let company_id = claim.company_id.as_str();
    let (collected, failure) = match outcome {
        Ok(collected) if !collected.is_whole => {
            let arguments = collect_dex_release::Args { p_run_id: run_id, p_company_ids: &[company_id] };
            return cx.db().rpc(collect_dex_release::NAME, &arguments).execute().await.map(|()| true);
        }
        Ok(collected) => (Some(collected), None),
        Err(error) => (None, Some(format!("{}: {error}", error.as_code()))),
    };
    let failed_from = collected.and_then(|collected| collected.failed_from?.format(&Rfc3339).ok());
    let arguments = collect_dex_finish::Args {
        p_run_id: run_id,
        p_company_id: company_id,
        p_success: failure.is_none(),
        p_records: integer(collected.map_or(0, |collected| collected.records)),
        p_error: failure.as_deref(),
        p_failed_from: failed_from.as_deref(),
        p_login: claim.username_encrypted.as_deref(),
    };
    cx.db().rpc(collect_dex_finish::NAME, &arguments).fetch().await
}

/// The ledger's note on a run that left companies due because the CPU budget was spent.
const LEFT_DUE: &str = "CPU_BUDGET_SPENT: the worker has spent its CPU budget; the companies that are left stay due for the next tick";

/// Ends a run in the ledger with its report, and the reason why it failed or left companies due.
pub async fn end(
    cx: &Context,
    run_id: &str,
    summary: &impl Serialize,
    failure: Option<&Error>,
    is_cpu_spent: bool,
) -> Result<()> {
    let error = failure.map(ToString::to_string).or_else(|| is_cpu_spent.then(|| LEFT_DUE.to_owned()));
    let arguments = collect_dex_end::Args {
        p_run_id: run_id,
        p_status: if failure.is_none() { "succeeded" } else { "failed" },
        p_summary: summary,
        p_error: error.as_deref(),
    };
    cx.db().rpc(collect_dex_end::NAME, &arguments).execute().await
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
    let arguments = collect_credentials_save::Args {
        p_company_id: company_id,
        p_username_encrypted: &login.username,
        p_password_encrypted: &login.password,
        p_site_url: site_url,
        p_validation_status: status,
        p_user_id: user_id,
    };
    cx.db().rpc(collect_credentials_save::NAME, &arguments).fetch().await
}

/// What a user wants with the company.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// What each member may.
    Use,
    /// What owners and admins may.
    Change,
}

/// The company of the user who calls; 403 when there is none, or when it is not theirs to change.
pub async fn company_of_caller(cx: &Context, wish: Wish) -> Result<String> {
    let (name, refusal) = match wish {
        Wish::Use => (my_company_id::NAME, Error::forbidden("you belong to no company").code("NO_COMPANY")),
        Wish::Change => (
            my_managed_company_id::NAME,
            Error::forbidden("only owners and admins of the company may do this").code("ADMINS_ONLY"),
        ),
    };
    let asked = cx.db_as_user().rpc(name, &my_company_id::Args {});
    let company: Option<my_company_id::Output> = asked.fetch().await?;
    company.ok_or(refusal)
}

/// What the database's `integer` cannot hold is as good as its greatest.
fn integer(value: impl TryInto<i32>) -> i32 {
    value.try_into().unwrap_or(i32::MAX)
}
