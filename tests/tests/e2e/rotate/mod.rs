//! `ferry secrets rotate` with the real Supabase CLI, a simulated Management API, and a stack whose workers of before
//! go on answering for a while, as on the hosted platform.

mod kept;
mod running;
mod traffic;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ferry::stack::Options;
use ironferry_tests::lab::{Lab, ferry, project};
use ironferry_tests::management::{ACCESS_TOKEN, Management, PROJECT};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;
use tokio::task::JoinHandle;

const FUNCTIONS: [&str; 6] =
    ["cache", "collect-bulk", "collect-dex", "health", "receive-webhook", "token-manager"];
/// Workers of before answer for that long, and are waited for longer.
const LINGER: Duration = Duration::from_secs(2);
const SETTLE: &str = "8";
const SERVICE_KEY: &str = "a-topsecret-service-key";
const CREDENTIALS: &str = "k1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const TOKENS: &str = "k7:MTEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// A hosted project as its operator meets it: a folder with `.env`, a platform, and functions that take over what
/// is set there.
struct Hosted {
    lab: Arc<Lab>,
    management: Management,
    folder: PathBuf,
    platform: JoinHandle<()>,
    /// Everything that the command printed.
    printed: String,
}

impl Hosted {
    async fn start(story: &str) -> Result<Self> {
        let state = std::env::temp_dir().join(format!("ironferry-{story}-{}", std::process::id()));
        let secrets = [
            ("SERVICE_API_KEY", SERVICE_KEY),
            ("CREDENTIALS_ENCRYPTION_KEYS", CREDENTIALS),
            ("TOKEN_ENCRYPTION_KEYS", TOKENS),
        ];
        let mut options = Options::for_tests(project(), &state);
        options.function_env = vec![("ALLOWED_HOSTS".into(), "127.0.0.1".into())];
        options.function_env.extend(secrets.map(|(name, value)| (name.into(), value.into())));
        options.old_workers_serve = LINGER;
        let lab = Arc::new(Lab::with(options, state).await?);
        let management = Management::start(&secrets).await?;
        management.deployed(&FUNCTIONS);
        let (mut changes, running) = (management.changes(), Arc::clone(&lab));
        let platform = tokio::spawn(async move {
            while let Some(set) = changes.recv().await {
                // It takes some seconds until a change has arrived everywhere.
                tokio::time::sleep(Duration::from_millis(300)).await;
                running.stack.set_secrets(&set).await.expect("the functions start with what was set");
            }
        });

        let folder = std::env::temp_dir().join(format!("ironferry-{story}-folder-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("supabase"))?;
        for part in ["supabase/functions", "supabase/config.toml", "node_modules"] {
            std::os::unix::fs::symlink(project().join(part), folder.join(part))?;
        }
        std::fs::write(folder.join("profile.yaml"), management.profile())?;
        let env = format!(
            "# Of the operator.\nSUPABASE_URL={}\nSUPABASE_DB_URL={}\nexport SERVICE_API_KEY='{SERVICE_KEY}' # callers read it\n\
             CREDENTIALS_ENCRYPTION_KEYS={CREDENTIALS}\nTOKEN_ENCRYPTION_KEYS=\"{TOKENS}\"\n",
            lab.stack.api_url(),
            lab.stack.db_url()
        );
        std::fs::write(folder.join(".env"), env)?;
        std::fs::set_permissions(folder.join(".env"), std::fs::Permissions::from_mode(0o640))?;
        Ok(Self { lab, management, folder, platform, printed: String::new() })
    }

    /// Runs `ferry secrets rotate`; with a text, only until a line with it is printed: then it is killed.
    async fn rotate(&mut self, arguments: &[&str], kill_at: Option<&str>) -> Result<(Option<i32>, String)> {
        self.rotate_with(arguments, &[], kill_at).await
    }

    async fn rotate_with(
        &mut self,
        arguments: &[&str],
        environment: &[(&str, &str)],
        kill_at: Option<&str>,
    ) -> Result<(Option<i32>, String)> {
        let mut command = Command::new(ferry());
        command
            .args(["secrets", "rotate", "--project-ref", PROJECT])
            .args(arguments)
            .current_dir(&self.folder);
        command.env("NO_COLOR", "1").env("SUPABASE_PROFILE", self.folder.join("profile.yaml"));
        command.env("SUPABASE_ACCESS_TOKEN", ACCESS_TOKEN).envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        let mut errors = child.stderr.take().context("its errors")?;
        let errors = tokio::spawn(async move {
            let mut text = String::new();
            errors.read_to_string(&mut text).await.map(|_| text)
        });
        let mut said = String::new();
        while let Some(line) = lines.next_line().await? {
            said += &line;
            said.push('\n');
            if kill_at.is_some_and(|text| line.contains(text)) {
                child.kill().await?;
                break;
            }
        }
        let status = child.wait().await?;
        said += &errors.await??;
        println!("{said}");
        self.printed += &said;
        Ok((status.code(), said))
    }

    /// The lines of `.env`, by name, without quotes and comments.
    fn env(&self) -> Result<BTreeMap<String, String>> {
        read_env(&self.folder)
    }

    /// The ids of the keys that everything sealed of a ring is under.
    async fn key_ids(&self, ring: &str) -> Result<String> {
        let ids = "select coalesce(string_agg(distinct key_id, ' '), 'none') from private.sealed_counts($1) where texts > 0";
        self.lab.db().await?.text(ids, &[&ring]).await
    }

    async fn end(self, values: &[&str]) -> Result<()> {
        for value in values.iter().flat_map(|value| value.split([',', ':'])).filter(|part| part.len() > 10) {
            assert!(!self.printed.contains(value), "a value was printed");
            for part in FUNCTIONS.iter().chain(&["gateway", "pg_net"]) {
                let log = std::fs::read_to_string(self.lab.stack.log(part)).unwrap_or_default();
                assert!(!log.contains(value), "a value is in the log of {part}");
            }
        }
        self.platform.abort();
        let _ = self.platform.await;
        std::fs::remove_dir_all(&self.folder)?;
        let lab = Arc::try_unwrap(self.lab).ok().context("somebody still has the stack")?;
        lab.stop().await
    }
}

fn read_env(folder: &std::path::Path) -> Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(folder.join(".env"))?;
    let line = |line: &str| {
        let (name, value) = line.trim_start_matches("export ").split_once('=')?;
        let value = value.split(" #").next().unwrap_or_default().trim_matches(['\'', '"']);
        Some((name.to_owned(), value.to_owned()))
    };
    let found: BTreeMap<_, _> = text.lines().filter(|line| !line.starts_with('#')).filter_map(line).collect();
    ensure!(found.len() == 5, "{} lines", found.len());
    Ok(found)
}
