//! End to end: stories on the whole stack, with real Postgres, pg_cron, REST, Deno and the
//! simulated DEX site. Each story starts a stack of its own; one program tells all of them, so that
//! one waits for pg_cron while others run.

mod backups;
mod cache;
mod cache_guard;
mod cache_outages;
mod cache_sources;
mod calls;
mod collects;
mod corpus;
mod crash;
mod delegates;
mod deploy;
mod edges;
mod health;
mod limits;
mod migrations;
mod platform;
mod probe;
mod rotate;
mod sales;
mod secrets;
mod sites;
mod systems;
mod tokens;
mod tutorial;
mod webhooks;
mod webhooks_broker;
mod webhooks_crash;
