//! The migrations under the real Supabase CLI, as the role that hosted projects have.

use std::process::Command;

use anyhow::{Result, ensure};
use ironferry_tests::lab::{Lab, project};

#[tokio::test(flavor = "multi_thread")]
async fn the_migrations_apply_to_an_empty_database_again_and_after_a_reset() -> Result<()> {
    // The stack has pushed them to an empty database once.
    let lab = Lab::start("migrations", &[]).await?;
    let remote = format!("--remote={}", lab.stack.db_url());
    let before = fingerprint(&lab).await?;
    ensure!(before.contains("companies") && before.contains("collect-dex"), "{before}");

    let again = supabase(&["db", "push", "--yes", &remote])?;
    ensure!(again.contains("up to date"), "{again}");
    assert_eq!(fingerprint(&lab).await?, before);

    lab.db().await?.run("insert into public.companies (company_name) values ('Gone')").await?;
    supabase(&["db", "reset", "--yes", &remote])?;
    assert_eq!(fingerprint(&lab).await?, before);
    assert_eq!(lab.db().await?.count("select count(*) from public.companies", &[]).await?, 0);
    lab.stop().await
}

/// The tables, functions, policies and jobs that there are.
async fn fingerprint(lab: &Lab) -> Result<String> {
    lab.db()
        .await?
        .text(
            "select string_agg(thing, E'\\n' order by thing) from (
                 select 'table ' || table_name as thing from information_schema.tables where table_schema in ('public', 'private')
                 union all
                 select 'function ' || oid::regprocedure || ' ' || coalesce(proacl::text, '') from pg_proc
                 where pronamespace in ('public'::regnamespace, 'private'::regnamespace)
                 union all select 'policy ' || policyname from pg_policies where schemaname = 'public'
                 union all select 'job ' || jobname || ' ' || schedule from cron.job
             ) as things",
            &[],
        )
        .await
}

/// Runs the CLI and gives what it said.
fn supabase(arguments: &[&str]) -> Result<String> {
    let run = Command::new(project().join("node_modules/.bin/supabase"))
        .args(arguments)
        .arg("--workdir")
        .arg(project())
        .env("DO_NOT_TRACK", "1")
        .env("PGSSLMODE", "disable")
        .output()?;
    let said = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    ensure!(run.status.success(), "supabase {arguments:?} failed: {said}");
    Ok(said)
}
