//! `ferry deploy` with the real Supabase CLI, a simulated Management API, and a stack that has no migration yet.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use ferry::stack::{Options, Stack};
use ironferry_tests::lab::{ferry, project, target};
use ironferry_tests::management::{ACCESS_TOKEN, Management, PROJECT};
use serde_json::json;
use tokio_postgres::NoTls;

const KEY: &str = "a-service-key-that-is-long-enough";

/// A hosted project, as far as a deployment meets it.
struct Hosted {
    stack: Stack,
    management: Management,
    folder: PathBuf,
}

impl Hosted {
    async fn start(story: &str, secrets: &[(&str, &str)]) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("ironferry-{story}-{}", std::process::id()));
        // A run that was killed may have had our process's number.
        let _ = std::fs::remove_dir_all(&folder);
        let mut options = Options::for_tests(project(), &folder);
        options.migrate = false;
        options.function_env = vec![("SERVICE_API_KEY".to_owned(), KEY.to_owned())];
        let stack = Stack::start(options).await?;
        let management = Management::start(secrets).await?;
        std::fs::write(folder.join("profile.yaml"), management.profile())?;
        Ok(Self { stack, management, folder })
    }

    /// Deploys `collect-dex` as it was built.
    async fn deploy(&self, more: &[&str]) -> Result<Output> {
        self.deploy_from(project(), &[&["--no-build", "--only", "collect-dex"], more].concat()).await
    }

    async fn deploy_from(&self, project: &Path, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(ferry());
        command.arg("--state").arg(&self.folder).args(["deploy", "--project-ref", PROJECT]).args(arguments);
        command
            .current_dir(project)
            .env("NO_COLOR", "1")
            // What both checkouts depend on is compiled once.
            .env("CARGO_TARGET_DIR", target())
            .env("SUPABASE_PROFILE", self.folder.join("profile.yaml"));
        command.env("SUPABASE_ACCESS_TOKEN", ACCESS_TOKEN).env("SERVICE_API_KEY", KEY);
        command.env("SUPABASE_URL", self.stack.api_url()).env("SUPABASE_DB_URL", self.stack.db_url());
        Ok(tokio::task::spawn_blocking(move || command.output()).await??)
    }

    /// One text of the database.
    async fn ask(&self, query: &str) -> Result<String> {
        let (client, connection) = tokio_postgres::connect(&self.stack.db_url(), NoTls).await?;
        tokio::spawn(connection);
        Ok(client.query_one(query, &[]).await.with_context(|| query.to_owned())?.try_get(0)?)
    }

    async fn end(self) -> Result<()> {
        self.stack.stop().await;
        std::fs::remove_dir_all(&self.folder).context("removing the state")
    }
}

/// Another checkout of this project, in which nothing was built: what is read is linked, what is written is not.
fn unbuilt(folder: &Path) -> Result<()> {
    let functions = folder.join("supabase/functions");
    for part in ["health", "_shared"] {
        std::fs::create_dir_all(functions.join(part))?;
        for file in std::fs::read_dir(project().join("supabase/functions").join(part))?.flatten() {
            if file.file_type()?.is_file() {
                std::fs::copy(file.path(), functions.join(part).join(file.file_name()))?;
            }
        }
    }
    link_sources(folder)
}

fn link_sources(folder: &Path) -> Result<()> {
    let linked = [
        "Cargo.lock",
        "Cargo.toml",
        "benches",
        ".cargo",
        "crates",
        "deno.json",
        "examples",
        "node_modules",
        "package.json",
        "rust-toolchain.toml",
        "scripts",
        "supabase/config.toml",
        "supabase/migrations",
        "tests",
        "wasm-budget.json",
    ];
    for part in linked {
        std::os::unix::fs::symlink(project().join(part), folder.join(part))
            .with_context(|| part.to_owned())?;
    }
    Ok(())
}

/// Another checkout of this project with its modules built, as the only commit of a repository.
fn committed(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder.join("supabase"))?;
    link_sources(folder)?;
    let run = |program: &str, arguments: &[&str]| -> Result<()> {
        let output = Command::new(program).args(arguments).current_dir(folder).output()?;
        ensure!(output.status.success(), "{program} {arguments:?}: {}", told(&output));
        Ok(())
    };
    let functions = project().join("supabase/functions").display().to_string();
    run("cp", &["-r", &functions, "supabase/functions"])?;
    // Git does not read a linked one.
    std::fs::copy(project().join(".gitignore"), folder.join(".gitignore"))?;
    run("git", &["init", "--quiet"])?;
    run("git", &["add", "--all"])?;
    let author = ["-c", "user.name=a", "-c", "user.email=a@b.test", "-c", "commit.gpgsign=false"];
    run("git", &[&author[..], &["commit", "--quiet", "--message", "one"]].concat())
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const ALL_SET: [(&str, &str); 2] = [("SERVICE_API_KEY", KEY), ("CREDENTIALS_ENCRYPTION_KEYS", "k1:x")];
const MIGRATED: &str = "select (to_regclass('public.companies') is not null)::text";
const VAULT_KEY: &str = "select coalesce(max(decrypted_secret), 'none') from vault.decrypted_secrets where name = 'service_api_key'";

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing_and_a_deployment_carries_the_module_and_is_tried() -> Result<()> {
    let hosted = Hosted::start("deploy", &ALL_SET).await?;
    hosted
        .ask("with gone as (delete from vault.secrets returning 1) select count(*)::text from gone")
        .await?;
    let dry = hosted.deploy(&["--dry-run"]).await?;
    ensure!(dry.status.success(), "{}", told(&dry));
    let said = told(&dry);
    for part in ["20261129090000", "project_url, service_api_key", "collect-dex (new)", "Nothing was changed"]
    {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert_eq!(hosted.management.writes(), [""; 0]);
    assert_eq!(
        (hosted.ask(MIGRATED).await?, hosted.ask(VAULT_KEY).await?),
        ("false".to_owned(), "none".to_owned())
    );

    let deployed = hosted.deploy(&[]).await?;
    ensure!(deployed.status.success(), "{}", told(&deployed));
    assert!(
        told(&deployed).contains("collect-dex deployed and answering, version - → 1"),
        "{}",
        told(&deployed)
    );
    assert!(!told(&deployed).contains(KEY), "no key is printed");
    assert_eq!(
        (hosted.ask(MIGRATED).await?, hosted.ask(VAULT_KEY).await?),
        ("true".to_owned(), KEY.to_owned())
    );

    let upload = hosted.management.function("collect-dex").context("it is there")?.upload;
    assert_eq!(upload.metadata["verify_jwt"], json!(false));
    let index = &upload.files["supabase/functions/collect-dex/index.ts"];
    assert!(String::from_utf8_lossy(index).contains("./wasm/collect_dex.ts"));
    for file in [
        "collect-dex/wasm/collect_dex.ts",
        "collect-dex/wasm/collect_dex.json",
        "_shared/wasm.ts",
        "_shared/module.ts",
    ] {
        let file = format!("supabase/functions/{file}");
        assert!(upload.files[&file] == std::fs::read(project().join(&file))?, "{file} is what was built");
    }
    let module = &upload.files["supabase/functions/collect-dex/wasm/collect_dex.json"];
    // Base64 of \0asm and version 1.
    assert!(module.starts_with(b"\"AGFzbQEAAAA") && module.len() > 100_000);

    let again = hosted.deploy(&[]).await?;
    let said = told(&again);
    assert!(
        said.contains("none are new") && said.contains("version 1 → 2") && !said.contains("Vault secret"),
        "{said}"
    );
    hosted.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_not_work_is_not_deployed_and_what_does_not_work_says_how_to_go_back() -> Result<()> {
    let hosted = Hosted::start("deploy-fails", &ALL_SET[..1]).await?;
    let refused = hosted.deploy(&[]).await?;
    assert_eq!(refused.status.code(), Some(1));
    assert!(told(&refused).contains("no secret CREDENTIALS_ENCRYPTION_KEYS"), "{}", told(&refused));
    assert_eq!(hosted.management.writes(), [""; 0]);
    assert_eq!(hosted.ask(MIGRATED).await?, "false", "not even the migrations");
    hosted.end().await?;

    // Rotated meanwhile, on another machine.
    let others = [("SERVICE_API_KEY", "another"), ALL_SET[1]];
    let hosted = Hosted::start("deploy-outdated", &others).await?;
    let before = hosted.ask(VAULT_KEY).await?;
    let refused = hosted.deploy(&[]).await?;
    assert_eq!(refused.status.code(), Some(1));
    assert!(told(&refused).contains("SECRET_DIFFERS"), "{}", told(&refused));
    assert_eq!(hosted.management.writes(), [""; 0]);
    assert_eq!(hosted.ask(VAULT_KEY).await?, before, "pg_cron shows what the functions take");
    hosted.end().await?;

    let hosted = Hosted::start("deploy-back", &ALL_SET).await?;
    hosted.management.set_outage(true);
    let failed = hosted.deploy(&[]).await?;
    assert_eq!(failed.status.code(), Some(1));
    assert!(
        told(&failed).contains("reason: simulated") && told(&failed).contains("To go back"),
        "{}",
        told(&failed)
    );
    hosted.management.set_outage(false);
    hosted.stack.stop_part("collect-dex").await?;
    let failed = hosted.deploy(&[]).await?;
    let said = told(&failed);
    assert_eq!(failed.status.code(), Some(1), "{said}");
    for part in ["collect-dex does not work", "503", "To go back", "supabase functions delete collect-dex"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    hosted.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_builds_what_it_deploys() -> Result<()> {
    let hosted = Hosted::start("deploy-builds", &ALL_SET).await?;
    let folder = hosted.folder.join("checkout");
    unbuilt(&folder)?;
    let module = folder.join("supabase/functions/health/wasm/health.json");
    let only = ["--only", "health"];
    let unbuilt = hosted.deploy_from(&folder, &[&only[..], &["--no-build"]].concat()).await?;
    assert!(!unbuilt.status.success() && told(&unbuilt).contains("WASM_MISSING"), "{}", told(&unbuilt));
    assert_eq!(hosted.management.writes(), [""; 0]);
    assert!(!module.exists(), "nobody built it by the way");

    let deployed = hosted.deploy_from(&folder, &only).await?;
    let said = told(&deployed);
    ensure!(deployed.status.success(), "{said}");
    assert!(said.contains("building health") && said.contains("health deployed and answering"), "{said}");
    let upload = hosted.management.function("health").context("it is there")?.upload;
    let uploaded = &upload.files["supabase/functions/health/wasm/health.json"];
    assert!(*uploaded == std::fs::read(&module)?, "what was built is what was uploaded");
    assert!(uploaded.len() > 100_000);
    hosted.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_function_is_deployed_and_proves_which_module_it_runs() -> Result<()> {
    let all_set = [ALL_SET[0], ALL_SET[1], ("TOKEN_ENCRYPTION_KEYS", "k1:x")];
    let hosted = Hosted::start("deploy-all", &all_set).await?;
    let folder = hosted.folder.join("checkout");
    committed(&folder)?;
    let deployed = hosted.deploy_from(&folder, &["--no-build"]).await?;
    let said = told(&deployed);
    ensure!(deployed.status.success(), "{said}");
    for name in ["cache", "collect-bulk", "collect-dex", "health", "receive-webhook", "token-manager"] {
        assert!(said.contains(&format!("{name} deployed and answering, version - → 1")), "{name}: {said}");
    }
    let noted = std::fs::read_to_string(hosted.folder.join("deployed")).context("the way back is noted")?;
    let commit = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(&folder).output()?;
    assert_eq!(noted, String::from_utf8(commit.stdout)?);

    // The stack runs the modules of this project: what was uploaded is another one, and does not answer.
    let glue = folder.join("supabase/functions/cache/wasm/cache.ts");
    let module = std::fs::read_to_string(&glue)?;
    let (before, rest) = module.split_once("export const source = \"").context("it names its source")?;
    std::fs::write(&glue, format!("{before}export const source = \"0{}", &rest[1..]))?;
    let outdated = hosted.deploy_from(&folder, &["--no-build", "--only", "cache"]).await?;
    assert_eq!(outdated.status.code(), Some(1));
    assert!(told(&outdated).contains("cache"), "{}", told(&outdated));
    hosted.end().await
}
