//! Stand-ins for outside services, and what the end-to-end tests, the demo and the benches share.
//!
//! `dex_site` is a simulated Cantaloupe dashboard. `captures` makes synthetic audit files for it.
//! `lab` is a running stack with companies to collect. `redis` is a Redis of one's own, with TLS and a
//! password if wanted, with faults on the way to it, or behind Upstash's REST. `tradovate` is a simulated
//! broker for tokens, which `tokens` makes. `alpaca` is a simulated broker for orders, `origins` are
//! simulated sources of cached data, `s3` is a simulated S3 store, `management` a simulated Management
//! API of the platform, `vault_kv` a simulated HashiCorp Vault.
#![forbid(unsafe_code)]

pub mod alpaca;
pub mod budget;
pub mod calls;
pub mod captures;
pub mod dex_site;
pub mod http;
pub mod instance;
pub mod lab;
pub mod load;
pub mod management;
pub mod origins;
pub mod process;
pub mod redis;
pub mod report;
pub mod s3;
pub mod server;
pub mod tokens;
pub mod tradovate;
pub mod vault_kv;
