//! Edge Functions: one Deno process each, with the environment of the hosted platform.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use serde_json::json;

use super::config::{Function, parse_env};
use super::files::write_if_changed;
use super::keys::Keys;
use super::process::Spec;

/// What the hosted runtime has and Deno has not. Work that is handed over goes on after the reply
/// by itself here; the hosted runtime would have to be told. Before a worker ends it hears of it
/// (`beforeunload`), and what it hands over then is waited for. A worker that a newer one has replaced
/// (SIGUSR2) finishes its work first.
const PRELUDE: &str = r#"const left = new Set();
globalThis.EdgeRuntime ??= {
  waitUntil(work) {
    const kept = Promise.resolve(work).catch((error) => console.error(error)).then(() => left.delete(kept));
    left.add(kept);
  },
};
const end = async () => {
  dispatchEvent(new CustomEvent("beforeunload", { detail: { reason: "termination" } }));
  await Promise.all(left);
  Deno.exit(0);
};
Deno.addSignalListener("SIGTERM", () => {
  left.clear();
  end();
});
Deno.addSignalListener("SIGUSR2", async () => {
  while (left.size > 0) await Promise.all(left);
  await end();
});
"#;

/// What a worker hands over when it ends may have to wait for a busy database.
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
    let mut environment: Vec<(String, String)> = Vec::new();
    let layers =
        made_up.map(owned).into_iter().chain(from_file).chain(platform.map(owned)).chain(extra.to_vec());
    for (name, value) in layers {
        environment.retain(|(known, _)| *known != name);
        environment.push((name, value));
    }
    Ok(environment)
}

/// Writes the script that every function loads first.
pub(crate) fn write_prelude(state: &Path) -> Result<PathBuf> {
    let path = state.join("edge-runtime.js");
    write_if_changed(&path, PRELUDE)?;
    Ok(path)
}

/// How to run one function on its port.
pub(crate) fn spec(
    deno: &Path,
    project: &Path,
    prelude: &Path,
    function: &Function,
    port: u16,
    environment: &[(String, String)],
) -> Spec {
    let readable =
        [project.join("supabase/functions"), folder(function), PathBuf::from("/tmp"), prelude.to_owned()];
    let readable: Vec<String> = readable.iter().map(|path| path.display().to_string()).collect();
    let mut args: Vec<String> = ["run", "--quiet", "--no-prompt", "--no-lock", "--allow-net", "--allow-env"]
        .map(str::to_owned)
        .into();
    args.push(format!("--allow-read={}", readable.join(",")));
    args.push("--allow-write=/tmp".to_owned());
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
    env.push(("DENO_SERVE_ADDRESS".to_owned(), format!("tcp:127.0.0.1:{port}")));
    // Deno's own: where its cache is, and that it is not to look for a newer self.
    env.push(("DENO_NO_UPDATE_CHECK".to_owned(), "1".to_owned()));
    env.push(("NO_COLOR".to_owned(), "1".to_owned()));
    for name in [
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
    ] {
        if let Ok(value) = std::env::var(name) {
            env.push((name.to_owned(), value));
        }
    }
    Spec {
        program: deno.to_owned(),
        args,
        env,
        folder: folder(function),
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
    fn the_environment_file_overrides_what_is_made_up_but_not_the_platform() {
        let project = std::env::temp_dir().join(format!("ferry-env-{}", std::process::id()));
        let folder = project.join("supabase/functions");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(".env"), "SERVICE_API_KEY=mine\nSUPABASE_URL=elsewhere\nSITE_URL=s\n")
            .expect("written");
        let keys = Keys::generate();
        let extra = [("SITE_URL".to_owned(), "test".to_owned())];
        let environment = environment(&project, &keys, &around(), &extra).expect("readable");
        let value = |name: &str| {
            let found: Vec<_> = environment.iter().filter(|(known, _)| known == name).collect();
            assert_eq!(found.len(), 1, "{name}");
            found[0].1.clone()
        };
        assert_eq!(value("SERVICE_API_KEY"), "mine");
        assert_eq!(value("SUPABASE_URL"), "http://a");
        assert_eq!(value("SITE_URL"), "test");
        assert_eq!(value("SUPABASE_SECRET_KEYS"), json!({"default": keys.secret}).to_string());
        std::fs::remove_dir_all(project).expect("removed");
    }
}
