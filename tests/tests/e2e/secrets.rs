//! `ferry secrets` with the real Supabase CLI, between `.env` or a simulated HashiCorp Vault and a simulated
//! Management API.

use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context as _, Result};
use ironferry_tests::lab::{Lab, ferry, project};
use ironferry_tests::management::{ACCESS_TOKEN, Management, PROJECT};
use ironferry_tests::vault_kv::{TOKEN, VaultKv};
use serde_json::json;

const KEY: &str = "a-topsecret-service-key, an-older-topsecret-one";
/// Characters that environment files treat in their own ways.
const SEALS: &str = "k1:topsecret$HOME#x\"y'z\\n=";

/// A project with one function that names these secrets.
struct Project(PathBuf);

impl Project {
    fn new(management: &Management) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("ironferry-secrets-project-{}", std::process::id()));
        let function = folder.join("supabase/functions/one");
        std::fs::create_dir_all(&function)?;
        std::fs::write(
            function.join("index.ts"),
            "handler({ secrets: [...SERVICE, \"SEALING_KEYS\", \"SITE_URL\"] });",
        )?;
        std::fs::write(folder.join("supabase/config.toml"), "[functions.one]\nverify_jwt = false\n")?;
        std::fs::write(folder.join("profile.yaml"), management.profile())?;
        std::os::unix::fs::symlink(project().join("node_modules"), folder.join("node_modules"))?;
        Ok(Self(folder))
    }

    async fn secrets(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Output> {
        let mut command = Command::new(ferry());
        command.arg("secrets").args(arguments).args(["--project-ref", PROJECT]).current_dir(&self.0);
        command
            .env("TMPDIR", self.0.join("supabase"))
            .env("NO_COLOR", "1")
            .env("SUPABASE_PROFILE", self.0.join("profile.yaml"));
        command.env("SUPABASE_ACCESS_TOKEN", ACCESS_TOKEN).envs(environment.iter().copied());
        Ok(tokio::task::spawn_blocking(move || command.output()).await??)
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn told(output: &Output) -> String {
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("topsecret"), "a value was printed: {text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_go_from_where_they_are_kept_to_functions_and_vault_and_no_value_is_printed() -> Result<()> {
    let lab = Lab::start("secrets", &[]).await?;
    let management = Management::start(&[("SERVICE_API_KEY", "a-topsecret-old-key")]).await?;
    let project = Project::new(&management)?;
    let url = lab.stack.db_url();
    let kept =
        [("SERVICE_API_KEY", KEY), ("SUPABASE_DB_URL", &*url), ("SUPABASE_URL", "https://moved.test/")];

    let incomplete = project.secrets(&["push"], &kept).await?;
    assert_eq!(incomplete.status.code(), Some(2));
    assert!(told(&incomplete).contains("SEALING_KEYS is neither kept nor set"), "{}", told(&incomplete));
    assert_eq!(management.writes(), [""; 0]);

    let kept = [&kept[..], &[("SEALING_KEYS", SEALS)]].concat();
    let checked = project.secrets(&["check"], &kept).await?;
    assert_eq!(checked.status.code(), Some(1));
    for line in
        ["differs SERVICE_API_KEY", "unset   SEALING_KEYS", "default SITE_URL", "differs Vault project_url"]
    {
        assert!(told(&checked).contains(line), "{line} is not in {}", told(&checked));
    }
    assert_eq!(management.writes(), [""; 0], "a check changes nothing");

    let pushed = project.secrets(&["push"], &kept).await?;
    assert!(pushed.status.success(), "{}", told(&pushed));
    assert_eq!(management.secret("SERVICE_API_KEY").as_deref(), Some(KEY));
    assert_eq!(management.secret("SEALING_KEYS").as_deref(), Some(SEALS), "to the letter");
    let vault = "select string_agg(decrypted_secret, ' ' order by name) from vault.decrypted_secrets
                 where name in ('project_url', 'service_api_key')";
    assert_eq!(lab.db().await?.text(vault, &[]).await?, "https://moved.test a-topsecret-service-key");
    let checked = project.secrets(&["check"], &kept).await?;
    assert!(checked.status.success(), "{}", told(&checked));
    let writes = management.writes().len();
    project.secrets(&["push"], &kept).await?;
    assert_eq!(management.writes().len(), writes, "nothing is set twice");

    let large = format!("LARGE={}\n", "x".repeat(48 * 1_024 + 1));
    std::fs::write(project.0.join(".env"), format!("MISSPELT=1\nSITE_URL=\nSUPABASE_FLAG=1\n{large}"))?;
    let index = "handler(module, { secrets: [...SERVICE, \"SEALING_KEYS\", \"SITE_URL\", \"LARGE\", \"SUPABASE_FLAG\"] });";
    std::fs::write(project.0.join("supabase/functions/one/index.ts"), index)?;
    let pushed = project.secrets(&["push"], &kept).await?;
    assert_eq!(pushed.status.code(), Some(1), "a function asks for what cannot be set");
    for line in [
        "skipped LARGE: it has 49153 bytes, and the platform takes at most 49152",
        "skipped MISSPELT: no function asks for it",
        "skipped SITE_URL: it is empty",
        "skipped SUPABASE_FLAG: the platform refuses names that begin with SUPABASE_",
    ] {
        assert!(told(&pushed).contains(line), "{line} is not in {}", told(&pushed));
    }
    assert_eq!(management.writes().len(), writes, "and nothing is set twice");
    std::fs::remove_file(project.0.join(".env"))?;

    let store =
        VaultKv::start("secret/ironferry/production", json!({"service_api_key": "from-hashicorp-topsecret"}))
            .await?;
    let address = store.url();
    let place = [("VAULT_ADDR", &*address), ("VAULT_TOKEN", TOKEN)];
    let from = ["push", "--from-vault", "secret/ironferry/production"];
    let pushed = project.secrets(&from, &place).await?;
    assert!(pushed.status.success(), "{}", told(&pushed));
    assert_eq!(management.secret("SERVICE_API_KEY").as_deref(), Some("from-hashicorp-topsecret"));
    let wrong = project.secrets(&from, &[place[0], ("VAULT_TOKEN", "another")]).await?;
    assert!(!wrong.status.success() && told(&wrong).contains("403"), "{}", told(&wrong));
    let kept = std::fs::read_dir(project.0.join("supabase"))?.flatten().map(|entry| entry.file_name());
    let left =
        kept.filter(|name| name.to_str().is_some_and(|name| name.starts_with("ferry-secrets-"))).count();
    assert_eq!(left, 0, "no file with secrets is left");
    lab.stop().await.context("stopping")
}
