//! The project's folder: `config.toml`, shims, modules.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::Finding;
use crate::commands::shims::Shim;
use crate::remote::{Settings, read_file, unquoted_ampersands};
use crate::stack::tools;

pub(in crate::commands) fn look(project: &Path, shims: &[Shim]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for shim in shims {
        findings.extend(verify_jwt(shim));
        findings.extend(module(project, shim)?);
    }
    Ok(findings)
}

/// Secrets that shims name and that are set nowhere. Those of `supabase/functions/.env` are the local stack's.
pub(super) fn secrets(project: &Path, shims: &[Shim], set: &mut Settings<'_>) -> Result<Vec<Finding>> {
    let local = read_file(&project.join("supabase/functions/.env"))?;
    // Without it nothing is hosted, and `ferry up` makes up what it needs.
    let hosted = set.get("SUPABASE_URL")?.is_some();
    let mut findings = Vec::new();
    for shim in shims {
        for name in &shim.secrets {
            if set.get(name)?.is_some() || local.contains_key(name) {
                continue;
            }
            let mend = format!("set {name} in .env and run `ferry secrets push`");
            findings.push(if shim.needs(name) && hosted {
                let what =
                    format!("{name} is named by its shim and set nowhere: calls that need it answer 500");
                Finding::error("SECRET_UNSET", &shim.name, what, mend)
            } else {
                let what = format!("{name} is named by its shim and not set: fine where it has a default");
                Finding::notice("SECRET_UNSET", &shim.name, what, mend)
            });
        }
    }
    Ok(findings)
}

/// URLs that a shell which sources `.env` would not set.
pub(super) fn environment(project: &Path) -> Vec<Finding> {
    let unquoted = unquoted_ampersands(&project.join(".env"));
    let findings = unquoted.into_iter().map(|(line, name)| {
        let what = format!(
            "line {line} of .env has an & outside quotes: a shell that sources the file (`. ./.env`) takes what is \
             before it for a command to run in the background, and does not set {name}"
        );
        Finding::warning("ENV_UNQUOTED", &name, what, format!("put the value in single quotes: {name}='…'"))
    });
    findings.collect()
}

fn verify_jwt(shim: &Shim) -> Option<Finding> {
    let mend =
        format!("write `[functions.{}]` and `verify_jwt = false` into supabase/config.toml", shim.name);
    match shim.verify_jwt {
        Some(false) => None,
        None => Some(Finding::error(
            "VERIFY_JWT_IMPLICIT",
            &shim.name,
            "verify_jwt is not written out: the platform's default is true, and another command may deploy it otherwise",
            mend,
        )),
        Some(true) => Some(Finding::warning(
            "VERIFY_JWT_ON",
            &shim.name,
            "verify_jwt = true accepts a bare publishable key, which authenticates nobody, and refuses sb_secret_ keys",
            mend,
        )),
    }
}

fn module(project: &Path, shim: &Shim) -> Result<Option<Finding>> {
    let mend = format!("run scripts/build {}", shim.name);
    if !shim.module().iter().all(|file| file.exists()) {
        let what = "its wasm module is not built: it would be deployed without it and fail when it is called";
        return Ok(Some(Finding::error("WASM_MISSING", &shim.name, what, mend)));
    }
    if !project.join("scripts/bundle.ts").exists() {
        return Ok(None);
    }
    let mut check = Command::new(tools::deno(project)?);
    check.args(["run", "--quiet", "--allow-read", "scripts/bundle.ts", "check", &shim.name]);
    let output = check.current_dir(project).env("NO_COLOR", "1").output().context("running Deno")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let what = said.trim().trim_start_matches("error: ");
    Ok((!output.status.success()).then(|| Finding::error("WASM_STALE", &shim.name, what, mend)))
}
