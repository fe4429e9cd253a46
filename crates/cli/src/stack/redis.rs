//! A private Redis.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use super::files::make_folder;
use super::process::Spec;
use super::tools;

/// How to run Redis with its data below `state`.
pub(crate) fn spec(state: &Path, port: u16) -> Result<Spec> {
    let folder = state.join("redis");
    make_folder(&folder)?;
    let port = port.to_string();
    // A snapshot a minute after a change, and one at shutdown.
    let args = [
        "--bind",
        "127.0.0.1",
        "--port",
        &port,
        "--save",
        "60 1",
        "--daemonize",
        "no",
        "--loglevel",
        "notice",
    ];
    Ok(Spec {
        program: tools::redis()?,
        args: args.map(str::to_owned).to_vec(),
        env: Vec::new(),
        folder,
        worker: None,
        user: None,
        stop_signal: Signal::TERM,
        patience: Duration::from_secs(5),
    })
}
