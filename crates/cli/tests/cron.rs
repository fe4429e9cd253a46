//! `ferry cron` on a real stack: a chain that holds, and one broken at each link.

mod ferry;
mod project;

use std::path::Path;
use std::time::Duration;

use ::ferry::stack::Stack;
use anyhow::Result;
use serde_json::Value;
use tokio_postgres::Client;

use ferry::{Folder, ferry_with};

/// Answers as its query asks.
const PROBE: &str = r#"Deno.serve((request) => {
  const query = new URL(request.url).searchParams;
  const run = query.get("run") ?? undefined;
  return Response.json({ success: true, run_id: run, code: query.get("code") ?? undefined }, { status: Number(query.get("status") ?? 202) });
});"#;

/// This repository's migrations, and a function that answers as it is told.
async fn stack() -> Result<Option<(Stack, Client, Folder)>> {
    let Some(options) = project::options()? else { return Ok(None) };
    let folder = Folder(options.project.clone());
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../supabase/migrations");
    let own = options.project.join("supabase/migrations");
    std::fs::remove_dir_all(&own)?;
    std::fs::create_dir_all(&own)?;
    for file in std::fs::read_dir(migrations)? {
        let file = file?;
        std::fs::copy(file.path(), own.join(file.file_name()))?;
    }
    let probe = options.project.join("supabase/functions/probe");
    std::fs::create_dir_all(&probe)?;
    std::fs::write(probe.join("index.ts"), PROBE)?;
    let config = options.project.join("supabase/config.toml");
    std::fs::write(config, "[functions.probe]\nverify_jwt = false\n")?;
    let stack = Stack::start(options).await?;
    let client = project::connect(&stack.db_url()).await?;
    let active = client.query_one("select count(*) from cron.job where active", &[]).await?;
    assert_eq!(active.get::<_, i64>(0), 0, "jobs are at rest");
    Ok(Some((stack, client, folder)))
}

/// A job and a tick of it, as pg_cron would have recorded it: the SQL runs here, in this session.
async fn tick(client: &Client, job: &str, call: &str) -> Result<()> {
    let command = format!("select private.call_function('{call}')");
    client.execute("select cron.schedule($1, '0 0 1 1 *', $2)", &[&job, &command]).await?;
    client.batch_execute(&command).await?;
    let record = "insert into cron.job_run_details (jobid, runid, job_pid, database, username, command, status, start_time, end_time)
        select jobid, (select coalesce(max(runid), 0) + 1 from cron.job_run_details), pg_backend_pid(), 'postgres', 'postgres', command, 'succeeded',
               called_at - interval '10 milliseconds', called_at from cron.job, lateral (select max(called_at) as called_at from private.function_calls) as call
        where jobname = $1";
    client.execute(record, &[&job]).await?;
    // The ticks of this session are told apart by their times.
    tokio::time::sleep(Duration::from_secs(11)).await;
    Ok(())
}

async fn cron(stack: &Stack, job: &str) -> (i32, Value) {
    let (url, job) = (stack.db_url(), job.to_owned());
    let ran = tokio::task::spawn_blocking(move || {
        ferry_with(&["cron", &job, "--json"], b"", &[("DATABASE_URL", &url)])
    });
    let ran = ran.await.expect("it ran");
    (ran.code, ran.json()["jobs"][0].clone())
}

/// Where it broke, and whether the reason has these words.
async fn breaks(stack: &Stack, job: &str, link: &str, words: &str) {
    let (code, told) = cron(stack, job).await;
    assert_eq!((code, told["broken"]["link"].as_str()), (1, Some(link)), "{job}: {told:#}");
    let reason = told["broken"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(words), "{job}: {reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_followed_from_the_schedule_to_the_run() -> Result<()> {
    let Some((stack, client, _folder)) = stack().await? else { return Ok(()) };
    let run = "00000000-0000-4000-8000-000000000001";
    client
        .batch_execute(&format!(
            "select cron.schedule('real', '* * * * *', $$ select private.call_function('probe?run={run}') $$)"
        ))
        .await?;
    let started = std::time::Instant::now();
    loop {
        let (_, told) = cron(&stack, "real").await;
        if told["ticks"][0]["calls"][0]["status"] == 202 {
            assert_eq!(told["ticks"][0]["fired"], "succeeded", "{told:#}");
            assert_eq!(told["ticks"][0]["calls"][0]["run_id"], run);
            assert_eq!(told["broken"], Value::Null, "the run's row has a minute's time");
            break;
        }
        assert!(started.elapsed() < Duration::from_mins(4), "{told:#}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    client.batch_execute("select cron.unschedule('real')").await?;
    stack.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_broken_at_each_link_says_where() -> Result<()> {
    let Some((stack, client, _folder)) = stack().await? else { return Ok(()) };
    let run = |number: u8| format!("00000000-0000-4000-8000-0000000000{number:02}");
    client.batch_execute("select cron.schedule('off', '* * * * *', 'select 1'); select cron.alter_job(jobid, active := false) from cron.job where jobname = 'off'").await?;
    breaks(&stack, "off", "scheduled", "switched off").await;

    client.batch_execute("select cron.schedule('new', '0 0 * * *', 'select 1')").await?;
    let (code, told) = cron(&stack, "new").await;
    assert_eq!((code, &told["broken"]), (0, &Value::Null), "it was not there at midnight: {told:#}");

    tick(&client, "good", &format!("probe?run={}", run(1))).await?;
    tick(&client, "refused", "probe?status=401&code=UNAUTHORIZED").await?;
    tick(&client, "absent", "no-such-function").await?;
    tick(&client, "failing", "probe?status=503&code=BOOT_ERROR").await?;
    tick(&client, "vanished", &format!("probe?run={}", run(2))).await?;
    tick(&client, "failed-run", &format!("probe?run={}", run(3))).await?;
    client
        .batch_execute(&format!(
            "insert into public.collection_runs (id, function, triggered_by, status, error) values
           ('{}', 'probe', 'cron', 'succeeded', null), ('{}', 'probe', 'cron', 'failed', 'the site is down')",
            run(1),
            run(3)
        ))
        .await?;
    project::comes_true(&stack, "select count(*) >= 6 from net._http_response").await?;
    // pg_net's worker is away from here on.
    stack.stop_part("pg_net").await?;
    tick(&client, "stuck", "probe").await?;
    tick(&client, "lost", "probe?lost=1").await?;
    client.batch_execute("delete from net.http_request_queue where url like '%lost%'").await?;
    // Five minutes later.
    client.batch_execute(
        "update private.function_calls set called_at = called_at - interval '5 minutes';
         update net._http_response set created = created - interval '5 minutes';
         update cron.job_run_details set start_time = start_time - interval '5 minutes', end_time = end_time - interval '5 minutes'",
    ).await?;

    let (code, good) = cron(&stack, "good").await;
    assert_eq!((code, &good["broken"]), (0, &Value::Null), "{good:#}");
    assert_eq!(good["ticks"][0]["runs"][0]["table"], "public.collection_runs");
    breaks(
        &stack,
        "refused",
        "answered",
        "answered 401 (UNAUTHORIZED): does the Vault's service_api_key fit",
    )
    .await;
    breaks(&stack, "absent", "answered", "answered 404").await;
    breaks(&stack, "failing", "answered", "answered 503 (BOOT_ERROR)").await;
    breaks(&stack, "vanished", "run", "left no row of run").await;
    breaks(&stack, "failed-run", "run", "is failed: the site is down").await;
    breaks(&stack, "stuck", "answered", "in pg_net's queue for 5 min").await;
    breaks(&stack, "lost", "answered", "neither queued nor answered").await;

    // The next tick repeats what failed; what it repeats is answered once the worker is back.
    client.batch_execute("select private.call_function('probe?status=503&code=BOOT_ERROR')").await?;
    let (_, failing) = cron(&stack, "failing").await;
    let reason = failing["broken"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("called again") && reason.ends_with("no answer yet"), "{reason}");

    let broken = "insert into cron.job_run_details (jobid, runid, database, username, command, status, return_message, start_time, end_time)
        select jobid, (select max(runid) + 1 from cron.job_run_details), 'postgres', 'postgres', command, 'failed',
               'ERROR: the Vault secret \"project_url\" is missing or empty', now(), now() from cron.job where jobname = 'good'";
    client.batch_execute(broken).await?;
    breaks(&stack, "good", "fired", "its SQL failed: ERROR: the Vault secret").await;
    stack.stop().await;
    Ok(())
}
