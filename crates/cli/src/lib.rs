//! `ferry`, the command of Ironferry: the local stack today, build, deploy and operation with it.
//!
//! [`stack`] runs what a hosted project is made of, on one machine and without Docker. The command
//! is one user of it; end-to-end tests are the other:
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use ferry::stack::{Options, Ports, Stack};
//!
//! let stack = Stack::start(Options { ports: Ports::Any, ..Options::new(".") }).await?;
//! println!("{}/functions/v1/collect-dex", stack.api_url());
//! stack.stop().await;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod backup;
pub mod commands;
pub mod database;
pub mod import;
mod interrupt;
pub mod remote;
pub mod stack;
