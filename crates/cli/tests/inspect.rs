//! `ferry inspect` on a database with planted gaps.

mod ferry;
mod project;

use std::collections::BTreeSet;

use ::ferry::stack::{Options, Stack};
use anyhow::Result;
use serde_json::Value;
use tokio_postgres::Client;

use ferry::{Folder, Ran, ferry_with};
use project::{comes_true, connect};

/// A stack without functions, and with no migrations but these statements.
async fn database(statements: &str) -> Result<Option<(Stack, Client, Folder)>> {
    let Some(options) = project::options()? else { return Ok(None) };
    let folder = Folder(options.project.clone());
    let stack = Stack::start(Options { functions: false, migrate: false, ..options }).await?;
    let client = connect(&stack.db_url()).await?;
    client.batch_execute(statements).await?;
    Ok(Some((stack, client, folder)))
}

async fn inspect(stack: &Stack, arguments: &[&str]) -> Ran {
    let arguments: Vec<String> = [&["inspect"], arguments].concat().into_iter().map(str::to_owned).collect();
    let url = stack.db_url();
    let run = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        ferry_with(&arguments, b"", &[("DATABASE_URL", &url)])
    };
    tokio::task::spawn_blocking(run).await.expect("it ran")
}

const GAPS: &str = r#"
create table public.bare (id bigint primary key, body text);
grant select, insert on public.bare to anon;
create table public.notes (id bigint primary key, owner_id uuid, team_id uuid, body text);
create index on public.notes (team_id);
alter table public.notes enable row level security;
grant select on public.notes to authenticated;
create policy "per row" on public.notes for select to authenticated using (owner_id = auth.uid());
create policy "own claims" on public.notes for insert to authenticated
    with check (((select auth.jwt()) -> 'user_metadata' ->> 'role') = 'admin');
create policy "anything" on public.notes for delete to authenticated using (true);
create policy "well made" on public.notes for update to authenticated using (team_id = (select auth.uid()));
create view public.leak as select * from public.notes;
grant select on public.leak to authenticated;
create view public.sound with (security_invoker = true) as select * from public.notes;
grant select on public.sound to authenticated;
create materialized view public.stale as select 1 as one;
grant select on public.stale to anon;
create function public.elevated() returns int language sql security definer as 'select 1';
create function public.careful() returns int language sql security definer set search_path = '' as 'select 1';
revoke execute on function public.careful() from public;
create table public.silent (id bigint primary key);
alter table public.silent enable row level security;
create table public.closed (id bigint primary key);
alter table public.closed enable row level security;
grant select on public.silent to authenticated;
create schema hidden;
create table hidden.unexposed (id bigint primary key);
"#;

#[tokio::test(flavor = "multi_thread")]
async fn each_planted_gap_is_found_and_what_is_sound_is_not() -> Result<()> {
    let Some((stack, _client, _folder)) = database(GAPS).await? else { return Ok(()) };
    let ran = inspect(&stack, &["rls", "--json"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let findings = ran.json()["findings"].as_array().cloned().unwrap_or_default();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let found: BTreeSet<String> = findings
        .iter()
        .map(|finding| {
            format!("{} {} {}", text(finding, "level"), text(finding, "kind"), text(finding, "object"))
        })
        .collect();
    let wanted = [
        "open anon-grant public.bare",
        "open anon-grant public.stale",
        "open definer-search-path public.elevated()",
        "open materialized-view public.stale",
        "open rls-off public.bare",
        "open user-metadata public.notes",
        "open view-as-owner public.leak",
        "open write-true public.notes",
        "slow call-per-row public.notes",
        "slow policy-index public.notes",
        "warn anon-definer public.elevated()",
        "warn no-policy public.silent",
    ];
    assert_eq!(found, wanted.map(str::to_owned).into());
    let told = |kind: &str| -> Vec<String> {
        findings
            .iter()
            .filter(|finding| finding["kind"] == kind)
            .map(|finding| text(finding, "detail"))
            .collect()
    };
    assert_eq!(told("call-per-row"), ["policy \"per row\" calls auth.uid() for each row"]);
    assert_eq!(told("policy-index"), ["policy \"per row\" asks for owner_id, which no index begins with"]);

    let hidden = inspect(&stack, &["rls", "--json", "--schema", "hidden"]).await.json();
    assert_eq!(hidden["findings"][0]["object"], "hidden.unexposed");
    stack.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_blocks_another_is_seen_and_ended() -> Result<()> {
    let Some((stack, blocker, _folder)) = database("create table public.locked (id int primary key)").await?
    else {
        return Ok(());
    };
    blocker.batch_execute("begin; lock table public.locked").await?;
    let pid: i32 = blocker.query_one("select pg_backend_pid()", &[]).await?.get(0);
    let waiting = connect(&stack.db_url()).await?;
    let waits = tokio::spawn(async move { waiting.batch_execute("select * from public.locked").await });
    let is_waiting = "select exists (select from pg_stat_activity
        where wait_event_type = 'Lock' and query = 'select * from public.locked')";
    comes_true(&stack, is_waiting).await?;

    let seen = inspect(&stack, &["long-queries", "--longer", "0", "--json"]).await.json();
    let seen = seen["queries"].as_array().cloned().unwrap_or_default();
    let victim =
        seen.iter().find(|query| query["statement"] == "select * from public.locked").expect("it waits");
    assert_eq!(victim["blocked_by"], serde_json::json!([pid]));
    assert_eq!(victim["waits_for"], "relation");

    let ended = inspect(&stack, &["long-queries", "--kill", &pid.to_string()]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    waits.await?.expect("nothing blocks it any more");
    let again = inspect(&stack, &["long-queries", "--kill", &pid.to_string()]).await;
    assert_eq!((again.code, again.err.contains("no connection has the number")), (1, true), "{again:?}");
    stack.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_is_said_and_the_rest_is_told() -> Result<()> {
    let statements = "create table public.things (id int primary key, name text);
        create index things_a on public.things (name); create index things_b on public.things (name);
        insert into public.things select n, 'thing' from generate_series(1, 1000) n; analyze public.things;
        create extension pg_cron with schema pg_catalog; select cron.schedule('nightly', '0 3 * * *', 'select 1')";
    let Some((stack, client, _folder)) = database(statements).await? else { return Ok(()) };
    let slow = inspect(&stack, &["slow"]).await;
    assert_eq!((slow.code, slow.out.contains("create extension pg_stat_statements")), (1, true), "{slow:?}");
    client.batch_execute("create extension pg_stat_statements with schema extensions").await?;
    client.batch_execute("select count(*) from public.things where name = 'thing'").await?;
    let slow = inspect(&stack, &["slow", "--limit", "500", "--json"]).await.json();
    let counted =
        |one: &Value| one["query"].as_str().is_some_and(|query| query.contains("public.things where name"));
    assert!(slow["statements"].as_array().is_some_and(|all| all.iter().any(counted)), "it was counted");

    let indexes = inspect(&stack, &["indexes", "--json"]).await.json();
    let notes: Vec<&Value> =
        indexes["indexes"].as_array().into_iter().flatten().map(|index| &index["note"]).collect();
    assert!(notes.iter().any(|note| **note == "same as things_a"), "{notes:?}");

    let tables = inspect(&stack, &["tables", "--json"]).await.json();
    let things = tables["tables"]
        .as_array()
        .and_then(|all| all.iter().find(|one| one["table_name"] == "public.things"));
    assert_eq!(things.expect("listed")["rows_estimate"], 1000);

    let connections = inspect(&stack, &["connections"]).await;
    assert!(connections.out.contains("of 97 connections"), "{connections:?}");
    assert!(inspect(&stack, &["cron"]).await.line("nightly").ends_with("never ran 0 0"));
    stack.stop().await;
    Ok(())
}

#[test]
fn a_password_on_the_command_line_is_refused_and_never_repeated() {
    let url = "postgresql://postgres:topsecret@127.0.0.1:1/postgres";
    let ran = ferry_with(&["inspect", "tables", "--db-url", url], b"", &[]);
    assert_eq!((ran.code, ran.err.contains("PGPASSWORD")), (2, true), "{ran:?}");
    let insisted = ferry_with(&["inspect", "tables", "--db-url", url, "--password-in-url"], b"", &[]);
    assert_eq!((insisted.code, insisted.err.contains("127.0.0.1:1/postgres")), (1, true), "{insisted:?}");
    assert!(!format!("{ran:?}{insisted:?}").contains("topsecret"));
    let none = ferry_with(&["inspect", "tables"], b"", &[]);
    assert_eq!((none.code, none.err.contains("--db-url")), (2, true), "{none:?}");
}
