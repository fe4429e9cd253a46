//! What must hold before anything is sent: the Supabase CLI itself looks at next to nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::commands::doctor::{Finding, Severity, files};
use crate::commands::platform::Platform;
use crate::commands::secrets::digest_of;
use crate::commands::shims::Shim;
use crate::stack::tools;

const SERVICE_KEY: &str = "SERVICE_API_KEY";

/// Builds the modules with the project's own script.
pub(super) fn build(project: &Path, shims: &[Shim]) -> Result<()> {
    let names = shims.iter().map(|shim| &shim.name);
    let status = Command::new("scripts/build").args(names).current_dir(project).status();
    ensure!(
        status.context("starting scripts/build")?.success(),
        "scripts/build failed: nothing was deployed"
    );
    Ok(())
}

/// Modules and `verify_jwt`, types, sizes, secrets. Only errors are in the way.
pub(super) fn all(
    project: &Path,
    shims: &[Shim],
    platform: &Platform,
    service_keys: Option<&str>,
) -> Result<Vec<Finding>> {
    let mut findings = files::look(project, shims)?;
    findings.retain(|finding| finding.severity == Severity::Error);
    if findings.is_empty() {
        findings.extend(deno(project, "TYPES", &["check", "--quiet", "--no-lock"], shims, |shim| {
            format!("supabase/functions/{}/index.ts", shim.name)
        })?);
        let sizes = ["run", "--quiet", "--allow-read", "scripts/bundle.ts", "sizes"];
        findings.extend(deno(project, "WASM_SIZE", &sizes, shims, |shim| shim.name.clone())?);
    }
    let set = platform.secrets()?;
    findings.extend(secrets(shims, &set));
    findings.extend(service_key(service_keys, &set));
    Ok(findings)
}

fn deno(
    project: &Path,
    code: &'static str,
    arguments: &[&str],
    shims: &[Shim],
    each: impl Fn(&Shim) -> String,
) -> Result<Option<Finding>> {
    let mut command = Command::new(tools::deno(project)?);
    command.args(arguments).args(shims.iter().map(each)).current_dir(project).env("NO_COLOR", "1");
    let output = command.output().context("starting Deno")?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Ok((!output.status.success()).then(|| Finding::error(code, "functions", said, "mend what it says")))
}

/// The Vault's key is what pg_cron shows: one that the functions do not take would stop every job.
fn service_key(here: Option<&str>, set: &BTreeMap<String, String>) -> Option<Finding> {
    let there = set.get(SERVICE_KEY)?;
    if digest_of(here?) == *there {
        return None;
    }
    let what = format!("{SERVICE_KEY} is another one here than the project's functions have");
    let mend = "take over the one that is in use, or finish `ferry secrets rotate`; `ferry secrets push` sets this one";
    Some(Finding::error("SECRET_DIFFERS", SERVICE_KEY, what, mend))
}

fn secrets(shims: &[Shim], set: &BTreeMap<String, String>) -> Vec<Finding> {
    let missing = |shim: &Shim| {
        let missing = shim.secrets.iter().filter(|name| shim.needs(name) && !set.contains_key(*name));
        missing.map(|name| (shim.name.clone(), name.clone())).collect::<Vec<_>>()
    };
    let missing = shims.iter().flat_map(missing);
    missing
        .map(|(function, name)| {
            let what = format!("the project has no secret {name}, which the function's shim names");
            Finding::error(
                "SECRET_UNSET",
                &function,
                what,
                format!("set {name} in .env, then: ferry secrets push"),
            )
        })
        .collect()
}
