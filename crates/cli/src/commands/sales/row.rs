//! What the database tells of a day, a machine or a product.

use eva_dts::Money;
use serde::Deserialize;

/// A row of any of the three reports.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Row {
    pub(super) company_id: String,
    pub(super) currency: Option<String>,
    pub(super) decimals: u8,
    pub(super) vends: u64,
    pub(super) value_minor: u64,
    /// None where files do not say.
    pub(super) cash_minor: Option<u64>,
    pub(super) cashless_minor: Option<u64>,
    /// By day.
    pub(super) day: Option<String>,
    pub(super) machines: Option<u64>,
    /// By machine or product.
    pub(super) case_serial: Option<String>,
    pub(super) location: Option<String>,
    pub(super) last_sale_at: Option<String>,
    pub(super) selection: Option<String>,
    pub(super) product_name: Option<String>,
    /// Put in here.
    #[serde(skip)]
    pub(super) company: String,
}

impl Row {
    /// `12.50`
    pub(super) fn money(&self, minor: u64) -> String {
        Money { minor, decimals: self.decimals }.to_string()
    }

    /// What can be summed up: amounts of one company in one currency.
    pub(super) fn group(&self) -> (&str, &str, Option<&str>, u8) {
        (&self.company, &self.company_id, self.currency.as_deref(), self.decimals)
    }
}
