//! What a function meets on the local stack where plain Deno is kinder than the hosted runtime. Single refusals are
//! tested in `tests/runtime`, without a stack.
//!
//! Needs what `stack.rs` needs; says so and passes where it is missing.

mod project;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ferry::stack::Options;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use project::{call, get};

/// Keeps notes in files.
const NOTES: &str = r#"
Deno.serve(async (request) => {
  const url = new URL(request.url);
  const note = "/tmp/notes/" + url.searchParams.get("note");
  switch (url.pathname) {
    case "/notes/write":
      await Deno.mkdir("/tmp/notes", { recursive: true });
      await Deno.writeTextFile(note, "kept");
      return Response.json(null);
    case "/notes/read":
      return Response.json(await Deno.readTextFile(note).catch(({ name }) => name));
    case "/notes/rename":
      try {
        await Deno.rename(note, note + ".old");
        return Response.json(null);
      } catch ({ name, message }) {
        return Response.json({ name, message });
      }
    default:
      return Response.json({ header: request.headers.get("x-name"), execution: Deno.env.get("SB_EXECUTION_ID"),
        others: ["SB_REGION", "DENO_DEPLOYMENT_ID", "HOME", "PATH"].map((name) => Deno.env.get(name) ?? null) });
  }
});"#;

fn options() -> Result<Option<Options>> {
    let Some(options) = project::options()? else { return Ok(None) };
    let write = |path: &str, text: &str| -> Result<()> {
        let path = options.project.join("supabase").join(path);
        std::fs::create_dir_all(path.parent().context("it has a parent")?)?;
        Ok(std::fs::write(path, text)?)
    };
    write("config.toml", "[functions.notes]\nverify_jwt = false\n[functions.others]\nverify_jwt = false\n")?;
    write("functions/notes/index.ts", NOTES)?;
    write("functions/others/index.ts", &NOTES.replace("\"/notes/", "\"/others/"))?;
    Ok(Some(options))
}

fn files_of(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_worker_has_a_folder_tmp_that_ends_with_it() -> Result<()> {
    let Some(options) = options()? else { return Ok(()) };
    let project = options.project.clone();
    let stack = project::start(options.clone()).await?;
    let functions = format!("{}/functions/v1", stack.api_url());
    let read = async |function: &str| get(&format!("{functions}/{function}/read?note=one"), &[]).await;

    assert_eq!(get(&format!("{functions}/notes/write?note=one"), &[]).await?.0, 200);
    assert_eq!(read("notes").await?, (200, json!("kept")));
    assert_eq!(read("others").await?, (200, json!("NotFound")), "no two workers share files");
    let tmp = stack.function_tmp("notes").context("it runs")?;
    assert_eq!(files_of(&tmp.join("notes")), 1);

    let renamed = get(&format!("{functions}/notes/rename?note=one"), &[]).await?;
    let refused = json!({"name": "PermissionDenied", "message": "Deno.rename is blocklisted"});
    assert_eq!(renamed, (200, refused));

    let pid = stack.function_pid("notes").context("it runs")?;
    kill_process(Pid::from_raw(i32::try_from(pid)?).context("a process")?, Signal::KILL)?;
    let start = Instant::now();
    while stack.function_pid("notes").is_none_or(|now| now == pid) {
        ensure!(start.elapsed() < Duration::from_mins(1), "it does not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(read("notes").await?, (200, json!("NotFound")), "the files went with the worker");

    stack.stop_part("notes").await?;
    assert!(!tmp.exists());
    stack.stop().await;

    // What a supervisor that was killed has left.
    std::fs::create_dir_all(&tmp)?;
    std::fs::write(tmp.join("left"), "")?;
    let stack = project::start(Options { functions: false, ..options }).await?;
    assert!(!tmp.exists());
    stack.stop().await;
    Ok(std::fs::remove_dir_all(project)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_sees_the_headers_and_the_environment_of_the_hosted_runtime() -> Result<()> {
    let Some(options) = options()? else { return Ok(()) };
    let project = options.project.clone();
    let stack = project::start(options).await?;
    let url = format!("{}/functions/v1/notes", stack.api_url());

    let reply = call("GET", &url, &[("x-name", "Zoë")], "").await?;
    assert_eq!(reply.headers()["x-served-by"], "supabase-edge-runtime");
    let seen: Value = serde_json::from_slice(reply.body())?;
    assert_eq!(
        (&seen["header"], &seen["others"]),
        (&json!(""), &json!(["local", "local_notes_1", null, null]))
    );
    assert_eq!(seen["execution"].as_str().map(str::len), Some(36));
    let other = get(&url.replace("notes", "others"), &[("x-name", "plain")]).await?.1;
    assert_eq!(other["header"], "plain");
    assert_ne!(other["execution"], seen["execution"]);
    stack.stop().await;
    Ok(std::fs::remove_dir_all(project)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_does_not_start_with_secrets_that_a_hosted_project_refuses() -> Result<()> {
    let Some(options) = options()? else { return Ok(()) };
    let project = options.project.clone();
    std::fs::write(project.join("supabase/functions/.env"), "SUPABASE_URL=mine\n")?;
    let Err(refusal) = project::start(options).await else { anyhow::bail!("it starts") };
    assert!(format!("{refusal:#}").contains("SUPABASE_URL: names that begin with SUPABASE_"), "{refusal:#}");
    Ok(std::fs::remove_dir_all(project)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_does_not_start_leaves_the_others_alone_when_settings_change() -> Result<()> {
    let Some(options) = options()? else { return Ok(()) };
    let project = options.project.clone();
    let stack = project::start(Options { reload: true, ..options }).await?;
    let url = format!("{}/functions/v1/notes", stack.api_url());
    let broken = project.join("supabase/functions/others/index.ts");
    std::fs::write(&broken, "throw new Error('top level');")?;
    let start = Instant::now();
    while call("GET", &url.replace("notes", "others"), &[], "").await?.status() == 200 {
        ensure!(start.elapsed() < Duration::from_mins(1), "the broken function still runs");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let first = stack.function_pid("notes").context("it runs")?;
    std::fs::write(project.join("supabase/functions/.env"), "ANOTHER=1\n")?;
    let start = Instant::now();
    while stack.function_pid("notes").is_none_or(|pid| pid == first) {
        ensure!(start.elapsed() < Duration::from_mins(1), "the settings are not taken over");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Long enough for the broken one to be tried again several times.
    let second = stack.function_pid("notes").context("it runs")?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(stack.function_pid("notes"), Some(second));
    assert_eq!(get(&url, &[]).await?.0, 200);
    stack.stop().await;
    Ok(std::fs::remove_dir_all(project)?)
}
