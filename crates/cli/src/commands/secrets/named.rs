//! Every name that the shims ask for. Lists are computed there (`REDIS_…`, all that begins with `CACHE_`), so the shims
//! are run, with a handler that does nothing but tell.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::commands::paint;
use crate::commands::shims::Shim;
use crate::stack::tools;

/// What a shim may use, without what it imports: nothing is served, and no module is loaded.
const BEFORE: &str = r#"{
const SERVICE = ["SERVICE_API_KEY"], USERS = ["JWT_SECRET"], module = {};
const handler = (_: unknown, options: { secrets?: string[] }) => console.log(JSON.stringify(options.secrets ?? []));
const env = { toObject: () => KNOWN, get: (name: string) => KNOWN[name], has: (name: string) => name in KNOWN };
const Deno = { env, serve: (_: unknown) => {} };
{
"#;
const AFTER: &str = "\n}\n}\n";

/// The names, with those of `SUPABASE_` that a shim lists itself. `known` are those that have a value; no value is needed.
pub(super) fn by_shims(project: &Path, shims: &[Shim], known: &BTreeSet<String>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for shim in shims {
        names.extend(shim.secrets.iter().cloned());
        match told_by(project, shim, known) {
            Ok(told) => names.extend(told),
            Err(error) => anstream::eprintln!(
                "{} {}: only the names that stand in its index.ts are known: {error:#}",
                paint::warn("warning:"),
                shim.name
            ),
        }
    }
    names
}

fn told_by(project: &Path, shim: &Shim, known: &BTreeSet<String>) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(shim.index())?;
    if !text.contains("handler(") {
        return Ok(Vec::new());
    }
    let mut command = Command::new(tools::deno(project)?);
    command.args([
        "run",
        "--quiet",
        "--no-prompt",
        "--no-config",
        "--no-lock",
        "--no-remote",
        "--ext=ts",
        "-",
    ]);
    let mut child = command
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting Deno")?;
    let known: BTreeMap<&String, &str> = known.iter().map(|name| (name, "1")).collect();
    let known = serde_json::to_string(&known)?;
    let program =
        format!("const KNOWN: Record<string, string> = {known};\n{BEFORE}{}{AFTER}", without_imports(&text));
    // One that cannot be read has ended by then, and says why.
    let _ = child.stdin.take().context("Deno listens")?.write_all(program.as_bytes());
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", said.lines().next().unwrap_or("Deno failed"));
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut names = Vec::new();
    for line in lines.lines() {
        names.extend(serde_json::from_str::<Vec<String>>(line).context("what the shim told")?);
    }
    Ok(names)
}

fn without_imports(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut is_import = false;
    for line in text.lines() {
        is_import |= line.starts_with("import ");
        if !is_import {
            kept.push_str(line);
        }
        kept.push('\n');
        is_import &= !line.trim_end().ends_with(';');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::shims;

    #[test]
    fn the_shims_of_this_project_name_their_settings_too() {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        if tools::deno(&project).is_err() {
            println!("skipped: Deno is not installed");
            return;
        }
        let known = BTreeSet::from(["CACHE_SECRET_WEATHER".to_owned(), "HOME_GROWN".to_owned()]);
        let all = shims::read(&project).expect("shims");
        let names = by_shims(&project, &all, &known);
        for name in [
            "REDIS_URL",
            "UPSTASH_REDIS_REST_TOKEN",
            "COLLECT_PAUSE_MS",
            "HEALTH_SIZE_MB_DEGRADED",
            "HEALTH_TOKEN_SECONDS",
            "CACHE_SECRET_WEATHER",
            "SERVICE_API_KEY",
            "ALPACA_API_KEY",
            "JWT_SECRET",
            "SUPABASE_ENABLED",
        ] {
            assert!(names.contains(name), "{name} is not in {names:?}");
        }
        assert!(!names.iter().any(|name| name == "SUPABASE_URL" || name == "HOME_GROWN"), "{names:?}");
    }
}
