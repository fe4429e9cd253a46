//! `ferry cache get`, `put` and `refresh`.

use std::io::Read as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::super::Misuse;
use super::super::paint::{self, Tone};
use super::{Get, Put, ask, encoded};
use crate::remote::{Method, Remote};

pub(super) async fn get(remote: &Remote, get: &Get, method: Method, verb: &str) -> Result<ExitCode> {
    let path = format!("/{}/{}{verb}", encoded(&get.name), encoded(&get.kind));
    let data = ask(remote, method, &path, None).await?;
    match &get.out {
        Some(file) => {
            std::fs::write(file, format!("{data:#}\n"))
                .with_context(|| format!("writing {}", file.display()))?;
        }
        None => paint::line(format!("{data:#}")),
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn put(remote: &Remote, put: &Put) -> Result<ExitCode> {
    let name = put.file.display();
    let mut text = String::new();
    if put.file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).context("reading the standard input")?;
    } else {
        text = std::fs::read_to_string(&put.file).map_err(|error| Misuse(format!("{name}: {error}")))?;
    }
    let data: Value =
        serde_json::from_str(&text).map_err(|error| Misuse(format!("{name} is no JSON: {error}")))?;
    let set = |name: &str, value: Option<String>| value.map(|value| format!("{name}={}", encoded(&value)));
    let query: Vec<String> = [
        set("last_fetch", put.last_fetch.clone()),
        set("fresh_seconds", put.fresh_seconds.map(|seconds| seconds.to_string())),
        set("retention_days", put.retention_days.map(|days| days.to_string())),
    ]
    .into_iter()
    .flatten()
    .collect();
    let path = format!("/{}/{}?{}", encoded(&put.name), encoded(&put.kind), query.join("&"));
    let saved = ask(remote, Method::PUT, &path, Some(&data)).await?;
    let (said, tone) = outcome(&saved);
    paint::line(tone.paint(said));
    Ok(ExitCode::SUCCESS)
}

/// What became of a save, in words.
pub(super) fn outcome(saved: &Value) -> (&'static str, Tone) {
    match saved["outcome"].as_str().unwrap_or("") {
        "new" => ("saved", Tone::Good),
        "replaced" => ("saved, in place of what was there", Tone::Good),
        "older" => ("not saved: what is cached is newer", Tone::Warn),
        "pending" => ("kept; the database takes it when it is back", Tone::Warn),
        _ => ("saved, in a way that this ferry does not know", Tone::Warn),
    }
}
