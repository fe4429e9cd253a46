//! Stand-ins for outside services, and what the end-to-end tests, the demo and the benches share.
//!
//! `dex_site` is a simulated Cantaloupe dashboard. `captures` makes synthetic audit files for it.
//! `lab` is a running stack with companies to collect.
#![forbid(unsafe_code)]

pub mod captures;
pub mod dex_site;
pub mod http;
pub mod lab;
pub mod load;
