//! What a run reports, to its caller and to `collection_runs`.

use dex_collector::company::CaptureError;
use dex_collector::{Claim, Collected};
use ironferry::Error;
use serde::{Deserialize, Serialize};

/// The outcome of a run.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Whether the run itself went through; companies may have failed.
    pub success: bool,
    /// The run's id in `collection_runs`.
    #[serde(rename = "run_id")]
    pub run_id: String,
    /// Companies that were collected or tried; those skipped are not among them.
    pub companies_processed: usize,
    /// Of those, the ones that succeeded.
    pub successful_collections: usize,
    /// New captures stored.
    pub total_records: usize,
    /// Whether companies stay due because the worker's CPU budget is spent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub budget_spent: bool,
    /// One entry a company, the skipped ones too.
    pub results: Vec<CompanyResult>,
}

/// The outcome of one company.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompanyResult {
    /// `companies.id`
    #[serde(rename = "company_id")]
    pub company_id: String,
    /// `companies.company_name`
    #[serde(rename = "company_name")]
    pub company_name: String,
    /// Whether it succeeded; false for a company that was skipped.
    pub success: bool,
    /// New captures stored.
    pub records_collected: usize,
    /// Machines they came from.
    pub machines_updated: usize,
    /// Captures that failed while others succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<CaptureError>,
    /// Why the company failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why it was not tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

impl CompanyResult {
    fn of(claim: &Claim) -> Self {
        Self {
            company_id: claim.company_id.clone(),
            company_name: claim.company_name.clone(),
            ..Self::default()
        }
    }

    pub(crate) fn skipped(claim: &Claim, reason: &str) -> Self {
        Self { skipped: Some(reason.to_owned()), ..Self::of(claim) }
    }

    pub(crate) fn collected(claim: &Claim, collected: Collected) -> Self {
        Self {
            success: true,
            records_collected: collected.records,
            machines_updated: collected.machines,
            errors: collected.errors,
            ..Self::of(claim)
        }
    }

    pub(crate) fn failed(claim: &Claim, error: &Error) -> Self {
        Self { error: Some(error.to_string()), code: Some(error.as_code().to_owned()), ..Self::of(claim) }
    }
}

impl Summary {
    pub(crate) fn add(&mut self, result: CompanyResult) {
        if result.skipped.is_none() {
            self.companies_processed += 1;
            self.successful_collections += usize::from(result.success);
            self.total_records += result.records_collected;
        }
        self.results.push(result);
    }
}
