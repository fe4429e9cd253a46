//! `ferry probe` with the real Supabase CLI and a simulated Management API. A second stack stands for the platform: it
//! runs what is uploaded.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ferry::stack::{Options, Stack};
use ironferry_tests::lab::{ferry, project};
use ironferry_tests::management::{ACCESS_TOKEN, Management, PROJECT};
use serde_json::Value;
use tokio_postgres::NoTls;

const NAME: &str = "ferry-probe";
const INDEX: &str = "supabase/functions/ferry-probe/index.ts";

/// A hosted project, and a folder of the user's own, from which it is probed.
struct Hosted {
    stack: Stack,
    management: Management,
    folder: PathBuf,
}

impl Hosted {
    /// Starts it. Each line of an upload that begins with the first of a pair is replaced by the second.
    async fn start(story: &str, changes: &'static [(&'static str, &'static str)]) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("ironferry-{story}-{}", std::process::id()));
        // A run that was killed may have had our process's number.
        let _ = std::fs::remove_dir_all(&folder);
        let (hosted, own) = (folder.join("hosted"), folder.join("own"));
        for made in [&hosted.join(INDEX).with_file_name(""), &own.join("supabase")] {
            std::fs::create_dir_all(made)?;
        }
        std::fs::write(hosted.join(INDEX), "Deno.serve(() => new Response(\"no\", { status: 404 }));")?;
        let config = format!("[functions.{NAME}]\nverify_jwt = false\n");
        std::fs::write(hosted.join("supabase/config.toml"), config)?;
        std::os::unix::fs::symlink(project().join("node_modules"), own.join("node_modules"))?;
        let options =
            Options { reload: true, jobs: false, ..Options::for_tests(&hosted, folder.join("state")) };
        let stack = Stack::start(options).await?;
        let management = Management::start(&[("A_SECRET_OF_THEIRS", "topsecret")]).await?;
        std::fs::write(folder.join("profile.yaml"), management.profile())?;
        let mut uploads = management.uploads();
        tokio::spawn(async move {
            while let Some((_, upload)) = uploads.recv().await {
                let source = String::from_utf8_lossy(&upload.files[INDEX]).into_owned();
                let lines = source.lines().map(|line| {
                    let change = changes.iter().find(|(begin, _)| line.trim_start().starts_with(begin));
                    change.map_or(line, |(_, with)| with)
                });
                let source = lines.collect::<Vec<_>>().join("\n");
                std::fs::write(hosted.join(INDEX), source).expect("the stack takes it");
            }
        });
        Ok(Self { stack, management, folder })
    }

    fn probe(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(ferry());
        command.arg("probe").args(["--project-ref", PROJECT]).args(arguments);
        command.current_dir(self.folder.join("own")).env("NO_COLOR", "1");
        command.env("TMPDIR", &self.folder).env("COLUMNS", "400");
        command.env("SUPABASE_PROFILE", self.folder.join("profile.yaml"));
        command.env("SUPABASE_ACCESS_TOKEN", ACCESS_TOKEN).env("SUPABASE_URL", self.stack.api_url());
        command.env("SUPABASE_DB_URL", self.stack.db_url()).stdin(Stdio::null());
        command
    }

    async fn probed(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.probe(arguments);
        Ok(tokio::task::spawn_blocking(move || command.output()).await??)
    }

    /// What the Management API was asked to change, without the queries.
    fn writes(&self) -> Vec<String> {
        let path = |write: String| write.split('?').next().unwrap_or_default().to_owned();
        self.management.writes().into_iter().map(path).collect()
    }

    async fn end(self) -> Result<()> {
        self.stack.stop().await;
        let left = left_in(&self.folder)?;
        assert_eq!(left, [""; 0], "temporary folders of the command");
        std::fs::remove_dir_all(&self.folder).context("removing the folder")
    }
}

fn left_in(folder: &Path) -> Result<Vec<String>> {
    let names = std::fs::read_dir(folder)?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| name.starts_with(NAME)).collect())
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const DEPLOY: &str = "POST /v1/projects/abcdefghijklmnopqrst/functions/deploy";
const DELETE: &str = "DELETE /v1/projects/abcdefghijklmnopqrst/functions/ferry-probe";

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_tells_what_the_platform_does_otherwise_and_takes_its_function_away() -> Result<()> {
    let changes = &[
        (
            "versions: ",
            r#"versions: { ...Deno.version, deno: "9.9.9", userAgent: navigator.userAgent, threads: navigator.hardwareConcurrency },"#,
        ),
        (
            "rename: ",
            r#"rename: () => { throw new Deno.errors.PermissionDenied("Deno.rename is denied"); },"#,
        ),
        ("await burn()", "await burn; return new Response(null, { status: 546 });"),
    ];
    let hosted = Hosted::start("probe", changes).await?;
    let (client, connection) = tokio_postgres::connect(&hosted.stack.db_url(), NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute("alter default privileges in schema public grant select on tables to anon").await?;
    client.batch_execute("alter role anon set lock_timeout = '7s'").await?;

    let asked = hosted.probed(&["--json"]).await?;
    assert_eq!(asked.status.code(), Some(2), "nobody agreed: {}", told(&asked));
    assert_eq!(hosted.writes(), [""; 0]);

    let probed = hosted.probed(&["--yes", "--json"]).await?;
    assert_eq!(probed.status.code(), Some(1), "{}", told(&probed));
    assert_eq!(hosted.writes(), [DEPLOY, DELETE]);
    let report: Value = serde_json::from_slice(&probed.stdout).with_context(|| told(&probed))?;
    let differences = report["differences"].as_array().context("a list")?;
    let difference = |what: &str| {
        let found = differences.iter().find(|one| one["what"] == what);
        found
            .map(|one| (one["platform"].clone(), one["local"].clone()))
            .with_context(|| format!("{what}: {report:#}"))
    };
    assert_eq!(difference("versions / deno")?.0, "9.9.9");
    let (platform, local) = difference("Deno later / rename")?;
    assert_eq!(platform, "PermissionDenied: Deno.rename is denied");
    assert_eq!(local, report["local"]["Deno later"]["rename"]);
    assert_eq!(difference("endings / 5 s of CPU time")?.0, "546");
    assert_eq!(difference("database / role settings / anon: lock_timeout")?.0, "7s");
    let granted = "database / default privileges / tables of postgres in public: anon";
    let (platform, _) = difference(granted)?;
    assert!(platform.as_str().is_some_and(|privileges| privileges.contains("SELECT")), "{platform}");
    assert_eq!(differences.len(), 5, "both sides are the same but for this: {:#}", report["differences"]);

    assert_eq!(report["platform"]["methods"]["POST"], "200 reached the function");
    assert!(
        report["platform"]["environment"]
            .as_array()
            .is_some_and(|names| names.contains(&"SUPABASE_URL".into()))
    );
    for secret in [hosted.stack.keys().secret.as_str(), hosted.stack.service_api_key(), "topsecret"] {
        assert!(!told(&probed).contains(secret), "a value was printed");
    }
    hosted.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_fails_or_is_interrupted_takes_its_function_away_too() -> Result<()> {
    let hosted = Hosted::start("probe-fails", &[("return Response.json(await tell());", "throw 1;")]).await?;
    let failed = hosted.probed(&["--yes"]).await?;
    assert_eq!(failed.status.code(), Some(1));
    assert!(told(&failed).contains("the platform: ferry-probe does not tell"), "{}", told(&failed));
    assert_eq!(hosted.writes(), [DEPLOY, DELETE]);

    hosted.management.set_outage(true);
    let refused = hosted.probed(&["--yes"]).await?;
    assert!(!refused.status.success() && told(&refused).contains("reason: simulated"), "{}", told(&refused));
    hosted.management.set_outage(false);

    hosted.management.deployed(&[NAME]);
    let taken = hosted.probed(&["--yes"]).await?;
    assert!(
        !taken.status.success() && told(&taken).contains("has a function ferry-probe already"),
        "{}",
        told(&taken)
    );
    assert!(hosted.management.function(NAME).is_some(), "it is not the command's own");
    hosted.management.remove(NAME);

    // A platform that never answers: the stack has no such function any more.
    hosted.stack.stop_part(NAME).await?;
    let mut probing = hosted.probe(&["--yes"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let started = Instant::now();
    while hosted.management.function(NAME).is_none() {
        ensure!(
            started.elapsed() < Duration::from_mins(2) && probing.try_wait()?.is_none(),
            "it was not deployed"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ended = Command::new("kill").args(["-INT", &probing.id().to_string()]).status()?;
    ensure!(ended.success(), "it is gone already");
    let status = tokio::task::spawn_blocking(move || probing.wait()).await??;
    assert_eq!(status.code(), Some(1));
    assert!(hosted.management.function(NAME).is_none(), "{:?}", hosted.writes());
    hosted.end().await
}
