//! Collects the DEX captures of one company; the functions `collect-dex` (all that are due) and
//! `collect-bulk` (one) share it.
//!
//! `company` is the flow. `vendor` speaks to the DEX site, `capture` reads what was downloaded,
//! `sales` what it adds to the machine's sales, `store` speaks to Postgres, `credentials` seals and opens logins,
//! `budget` says when to stop, `cpu` counts what the worker has spent.
#![forbid(unsafe_code)]

pub mod budget;
pub mod capture;
pub mod company;
mod cookies;
mod cpu;
pub mod credentials;
mod rows;
pub mod sales;
pub mod store;
pub mod vendor;

pub use budget::Budget;
pub use company::{Batch, Collected};
pub use cpu::CPU_BUDGET_SPENT;
pub use store::{Claim, Trigger};
