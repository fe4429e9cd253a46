//! Edge Functions: one Deno process each, with the environment of the hosted platform.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use serde_json::json;

use super::config::{Function, parse_env};
use super::files::{make_folder, write_if_changed};
use super::keys::Keys;
use super::limits::Supervision;
use super::process::Spec;
use super::secrets;

/// What makes Deno behave as the hosted runtime; `prelude.ts` is loaded before each function.
const RUNTIME: [(&str, &str); 12] = [
    ("prelude.ts", include_str!("runtime/prelude.ts")),
    ("calls.ts", include_str!("runtime/calls.ts")),
    ("ending.ts", include_str!("runtime/ending.ts")),
    ("env.ts", include_str!("runtime/env.ts")),
    ("files.ts", include_str!("runtime/files.ts")),
    ("globals.ts", include_str!("runtime/globals.ts")),
    ("host.ts", include_str!("runtime/host.ts")),
    ("limits.ts", include_str!("runtime/limits.ts")),
    ("node.ts", include_str!("runtime/node.ts")),
    ("serve.ts", include_str!("runtime/serve.ts")),
    ("start.ts", include_str!("runtime/start.ts")),
    ("system.ts", include_str!("runtime/system.ts")),
];

/// How many calls from function to function the hosted platform allows each trace.
pub(crate) const CALLS_PER_MINUTE: u32 = 5_000;

/// What Deno needs of our own environment. The function does not see it.
const DENOS_OWN: [&str; 10] = [
    "HOME",
    "PATH",
    "DENO_DIR",
    "DENO_TLS_CA_STORE",
    "DENO_CERT",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "NPM_CONFIG_REGISTRY",
    "JSR_URL",
];

/// How long a worker that is told to end may be busy with something that it cannot interrupt.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// What the token manager seals with.
const TOKEN_KEYS: &str = "TOKEN_ENCRYPTION_KEYS";

/// Where a project's services are, as its functions see them.
pub(crate) struct Surroundings {
    pub(crate) api: String,
    pub(crate) database: String,
    pub(crate) redis: String,
}

/// The environment of every function: the platform's names, what `ferry` makes up for a local
/// project, `supabase/functions/.env`, then `extra`; a later one wins.
pub(crate) fn environment(
    project: &Path,
    keys: &Keys,
    around: &Surroundings,
    extra: &[(String, String)],
) -> Result<Vec<(String, String)>> {
    let made_up = [
        ("SERVICE_API_KEY", keys.service_api_key.clone()),
        ("CREDENTIALS_ENCRYPTION_KEYS", keys.credentials_encryption_keys.clone()),
        (TOKEN_KEYS, keys.ring(TOKEN_KEYS)),
        ("REDIS_URL", around.redis.clone()),
    ];
    let platform = [
        ("SUPABASE_URL", around.api.clone()),
        ("SUPABASE_DB_URL", around.database.clone()),
        ("SUPABASE_PUBLISHABLE_KEYS", json!({"default": keys.publishable}).to_string()),
        ("SUPABASE_SECRET_KEYS", json!({"default": keys.secret}).to_string()),
        ("SUPABASE_JWKS", keys.jwks().to_string()),
        ("SUPABASE_ANON_KEY", keys.anon.clone()),
        ("SUPABASE_SERVICE_ROLE_KEY", keys.service_role.clone()),
    ];
    let owned = |(name, value): (&str, String)| (name.to_owned(), value);
    let file = project.join("supabase/functions/.env");
    let from_file = match std::fs::read_to_string(&file) {
        Ok(text) => parse_env(&text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
    };
    secrets::check(&file, &from_file)?;
    let mut environment: Vec<(String, String)> = Vec::new();
    let layers =
        made_up.map(owned).into_iter().chain(from_file).chain(platform.map(owned)).chain(extra.to_vec());
    for (name, value) in layers {
        environment.retain(|(known, _)| *known != name);
        environment.push((name, value));
    }
    Ok(environment)
}

/// Writes the scripts that every function loads first, and names the one to load.
pub(crate) fn write_prelude(state: &Path) -> Result<PathBuf> {
    let folder = state.join("runtime");
    make_folder(&folder)?;
    for (name, text) in RUNTIME {
        write_if_changed(&folder.join(name), text)?;
    }
    Ok(folder.join(RUNTIME[0].0))
}

/// A worker to start.
pub(crate) struct Worker<'a> {
    pub(crate) function: &'a Function,
    pub(crate) port: u16,
    pub(crate) supervision: Supervision,
    /// The address below which the functions of the stack are called.
    pub(crate) functions_url: String,
    pub(crate) calls_per_minute: u32,
}

/// How to run a worker.
pub(crate) fn spec(
    deno: &Path,
    project: &Path,
    prelude: &Path,
    worker: Worker<'_>,
    environment: &[(String, String)],
) -> Spec {
    let Worker { function, .. } = worker;
    let sources = [project.join("supabase/functions"), folder(function)];
    let readable: Vec<String> = sources
        .iter()
        .map(PathBuf::as_path)
        .chain([worker.supervision.folder.path()])
        .map(|path| path.display().to_string())
        .collect();
    let mut args: Vec<String> = ["run", "--quiet", "--no-prompt", "--no-lock", "--allow-net", "--allow-env"]
        .map(str::to_owned)
        .into();
    args.push(format!("--allow-read={}", readable.join(",")));
    args.push(format!("--allow-write={}", worker.supervision.folder.tmp().display()));
    if let Some(limits) = worker.supervision.limits {
        // V8 collects in time to stay below it, and gives up above.
        args.push(format!("--v8-flags=--max-old-space-size={}", limits.memory / (1024 * 1024)));
    }
    args.push(format!("--preload={}", prelude.display()));
    args.push(
        function
            .deno_config
            .as_ref()
            .map_or_else(|| "--no-config".to_owned(), |path| format!("--config={}", path.display())),
    );
    if let Some(map) = &function.import_map {
        args.push(format!("--import-map={}", map.display()));
    }
    args.push(function.entrypoint.display().to_string());

    let mut env = environment.to_vec();
    env.push(("SB_REGION".to_owned(), "local".to_owned()));
    env.push(("DENO_DEPLOYMENT_ID".to_owned(), format!("local_{}_1", function.name)));
    let mut hidden = vec![
        ("DENO_SERVE_ADDRESS", format!("tcp:127.0.0.1:{}", worker.port)),
        // Deno is not to look for a newer self.
        ("DENO_NO_UPDATE_CHECK", "1".to_owned()),
        ("NO_COLOR", "1".to_owned()),
    ];
    hidden.extend(DENOS_OWN.iter().filter_map(|name| Some((*name, std::env::var(name).ok()?))));
    // `runtime/host.ts` reads it.
    let host = json!({
        "tmp": worker.supervision.folder.tmp(),
        "sources": sources,
        "staticFiles": function.static_files,
        "hidden": hidden.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        "memory": worker.supervision.limits.map(|limits| limits.memory),
        "functions": worker.functions_url,
        "callsPerMinute": worker.calls_per_minute,
    });
    hidden.push(("FERRY_WORKER", host.to_string()));
    env.extend(hidden.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Spec {
        program: deno.to_owned(),
        args,
        env,
        folder: folder(function),
        worker: Some(worker.supervision),
        user: None,
        stop_signal: Signal::TERM,
        patience: ENDS_WITHIN,
    }
}

fn folder(function: &Function) -> PathBuf {
    function.entrypoint.parent().map_or_else(PathBuf::new, Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around() -> Surroundings {
        Surroundings { api: "http://a".into(), database: "postgresql://b".into(), redis: "redis://c".into() }
    }

    #[test]
    fn the_environment_file_overrides_what_is_made_up_and_may_not_name_what_is_the_platforms() {
        let project = std::env::temp_dir().join(format!("ferry-env-{}", std::process::id()));
        let folder = project.join("supabase/functions");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(".env"), "SERVICE_API_KEY=mine\nSITE_URL=s\n").expect("written");
        let keys = Keys::generate();
        let extra = [("SITE_URL".to_owned(), "test".to_owned())];
        let read = || environment(&project, &keys, &around(), &extra);
        let environment = read().expect("readable");
        let value = |name: &str| {
            let found: Vec<_> = environment.iter().filter(|(known, _)| known == name).collect();
            assert_eq!(found.len(), 1, "{name}");
            found[0].1.clone()
        };
        assert_eq!(value("SERVICE_API_KEY"), "mine");
        assert_eq!(value("SUPABASE_URL"), "http://a");
        assert_eq!(value("SITE_URL"), "test");
        assert_eq!(value("SUPABASE_SECRET_KEYS"), json!({"default": keys.secret}).to_string());
        std::fs::write(folder.join(".env"), "SUPABASE_URL=elsewhere\n").expect("written");
        let refusal = read().expect_err("refused").to_string();
        assert!(refusal.contains("SUPABASE_URL"), "{refusal}");
        std::fs::remove_dir_all(&project).expect("removed");
    }
}
