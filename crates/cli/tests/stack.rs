//! The stack as its users meet it: over HTTP, in SQL, and when parts of it die.
//!
//! Needs Postgres with `pg_cron`, Redis, postrust and Deno; says so and passes where they are not.

mod project;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ferry::stack::{Options, Stack};
use serde_json::{Value, json};

use project::{Project, get, post};

#[tokio::test(flavor = "multi_thread")]
async fn keys_open_what_they_open_on_a_hosted_project() -> Result<()> {
    let Some(project) = Project::start().await? else { return Ok(()) };
    let (stack, keys) = (&project.stack, project.stack.keys());
    let things = format!("{}/rest/v1/things?select=name", stack.api_url());
    let user = "7b0e6a3e-5a39-4c0d-8f6e-0c0a2b5a0001";
    project.sql(&format!("insert into auth.users (id) values ('{user}')")).await?;
    project
        .sql(&format!(
            "insert into public.things (name, user_id) values ('hers', '{user}'), ('nobody''s', null)"
        ))
        .await?;

    assert_eq!(get(&things, &[]).await?.0, 401);
    assert_eq!(
        get(&things, &[("apikey", &keys.publishable)]).await?.0,
        401,
        "new tables have no grants for anon"
    );
    let all = get(&things, &[("apikey", &keys.secret)]).await?.1;
    assert_eq!(all.as_array().map(Vec::len), Some(2));
    let token = format!("Bearer {}", keys.user_jwt(user, &json!({})));
    let own = get(&things, &[("apikey", &keys.publishable), ("authorization", &token)]).await?;
    assert_eq!(own, (200, json!([{"name": "hers"}])), "row-level security sees the ES256 token");
    project.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_get_the_hosted_path_and_environment_and_come_back_when_killed() -> Result<()> {
    let Some(project) = Project::start().await? else { return Ok(()) };
    let (stack, keys) = (&project.stack, project.stack.keys());
    let echo = format!("{}/functions/v1/echo", stack.api_url());

    let (status, seen) = post(&format!("{echo}/a/b?c=d"), &[], "body").await?;
    assert_eq!(
        (status, &seen["path"], &seen["search"], &seen["body"]),
        (200, &json!("/echo/a/b"), &json!("?c=d"), &json!("body"))
    );
    assert_eq!(seen["env"]["SUPABASE_SECRET_KEYS"], json!(json!({"default": keys.secret}).to_string()));
    assert_eq!(seen["env"]["TEST_SETTING"], "from the options");
    assert_eq!(seen["env"].get("CARGO_MANIFEST_DIR"), None, "our own environment is not theirs");

    let locked = format!("{}/functions/v1/locked", stack.api_url());
    assert_eq!(
        get(&locked, &[]).await?,
        (401, json!({"code": "UNAUTHORIZED_NO_AUTH_HEADER", "message": "Missing authorization header"}))
    );
    assert_eq!(get(&locked, &[("apikey", &keys.publishable)]).await?.0, 200);
    assert_eq!(get(&format!("{}/functions/v1/nothing", stack.api_url()), &[]).await?.0, 404);

    let before = stack.function_pid("echo").context("it runs")?;
    assert_eq!(get(&format!("{echo}?exit"), &[]).await?.0, 500);
    // The gateway waits for the next one.
    assert_eq!(get(&echo, &[]).await?.0, 200);
    assert_ne!(stack.function_pid("echo"), Some(before));

    stack.stop_part("echo").await?;
    let (status, body) = get(&echo, &[]).await?;
    assert_eq!((status, &body["code"]), (503, &json!("BOOT_ERROR")));
    stack.start_part("echo").await?;
    assert_eq!(get(&echo, &[]).await?.0, 200);
    project.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_secrets_are_taken_over_without_a_gap() -> Result<()> {
    let Some(options) = project::options()? else { return Ok(()) };
    let folder = options.project.clone();
    let stack = project::start(Options { reload: true, ..options }).await?;
    let echo = format!("{}/functions/v1/echo", stack.api_url());
    let before = stack.function_pid("echo").context("it runs")?;

    // A file that changes, and one request after the other until what it says has arrived.
    std::fs::write(folder.join("supabase/functions/.env"), "SERVICE_API_KEY=second\nMORE=1\n")?;
    let start = Instant::now();
    loop {
        let (status, seen) = get(&format!("{echo}?wait=100"), &[]).await?;
        assert_eq!(status, 200, "{seen}");
        if seen["env"]["SERVICE_API_KEY"] == "second" && seen["env"]["MORE"] == "1" {
            break;
        }
        assert!(start.elapsed() < Duration::from_mins(1), "it has not arrived");
    }
    assert_ne!(stack.function_pid("echo"), Some(before));

    // Secrets that are set while a request is under way: that one ends where it began.
    let slow = format!("{echo}?wait=900");
    let set = [("MORE".to_owned(), "2".to_owned())];
    let late = async {
        while !std::fs::read_to_string(stack.log("echo"))?.contains("waits 900 ms") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stack.set_secrets(&set).await
    };
    let (slow, set) = tokio::join!(get(&slow, &[]), late);
    set?;
    let (status, seen) = slow?;
    assert_eq!((status, &seen["env"]["MORE"]), (200, &json!("1")));
    let (status, seen) = get(&echo, &[]).await?;
    assert_eq!(
        (status, &seen["env"]["MORE"], &seen["env"]["TEST_SETTING"]),
        (200, &json!("2"), &json!("from the options"))
    );
    stack.stop().await;
    Ok(std::fs::remove_dir_all(folder)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_the_stack_starts_is_taken_over_too() -> Result<()> {
    let Some(options) = project::options()? else { return Ok(()) };
    let folder = options.project.clone();
    let functions = folder.join("supabase/functions");
    let progress = move |text: &str| {
        // The workers run, with what they read; the rest of the stack does not yet.
        if text.starts_with("locked ") {
            std::fs::write(functions.join(".env"), "MORE=1\n").expect("written");
            let locked = "Deno.serve(() => Response.json({ changed: true }));";
            std::fs::write(functions.join("locked/index.ts"), locked).expect("written");
        }
    };
    let stack =
        project::start(Options { reload: true, progress: Some(Arc::new(progress)), ..options }).await?;
    let echo = format!("{}/functions/v1/echo", stack.api_url());
    let locked = format!("{}/functions/v1/locked", stack.api_url());
    let key = [("apikey", stack.keys().publishable.as_str())];
    let start = Instant::now();
    while get(&echo, &[]).await?.1["env"]["MORE"] != "1"
        || get(&locked, &key).await?.1 != json!({"changed": true})
    {
        assert!(start.elapsed() < Duration::from_mins(1), "it has not arrived");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stack.stop().await;
    Ok(std::fs::remove_dir_all(folder)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_begins_as_a_copy_of_one_with_the_same_migrations() -> Result<()> {
    let Some(options) = project::options()? else { return Ok(()) };
    let folder = options.project.clone();
    let templates = folder.join("templates");
    let begin = async |state: &str| {
        let templates = Some(templates.clone());
        let state = Some(folder.join(state));
        project::start(Options { functions: false, templates, state, ..options.clone() }).await
    };
    let facts = async |stack: &Stack| {
        let query = "select jsonb_build_object(
                'made', (select system_identifier::text from pg_control_system()),
                'columns', (select count(*) from pg_attribute where attrelid = 'public.things'::regclass and attnum > 0),
                'things', (select count(*) from public.things),
                'url', (select decrypted_secret from vault.decrypted_secrets where name = 'project_url'))";
        project::ask(stack, query).await
    };
    let first = begin("first").await?;
    let known = facts(&first).await?;
    assert_eq!((&known["things"], &known["url"]), (&json!(0), &json!(first.api_url())));
    project::run(&first, "insert into public.things (name) values ('the first one''s')").await?;

    // Beside each other, each with its own rows, keys and address.
    let second = begin("second").await?;
    let copied = facts(&second).await?;
    assert_eq!((&copied["made"], &copied["columns"]), (&known["made"], &known["columns"]));
    assert_eq!((&copied["things"], &copied["url"]), (&json!(0), &json!(second.api_url())));
    assert_ne!(first.keys().secret, second.keys().secret);
    second.stop().await;

    let more = folder.join("supabase/migrations/20260102000000_more.sql");
    std::fs::write(more, "alter table public.things add column more text")?;
    let third = begin("third").await?;
    let changed = facts(&third).await?;
    assert_ne!(changed["made"], known["made"]);
    assert_eq!(changed["columns"].as_u64(), known["columns"].as_u64().map(|columns| columns + 1));
    third.stop().await;
    let kept = std::fs::read_dir(&templates)?.count();
    assert_eq!(kept, 2, "one database, and the lock");

    // One of before goes on as it is, and gets the migration.
    first.stop().await;
    let first = begin("first").await?;
    let later = facts(&first).await?;
    assert_eq!((&later["made"], &later["things"]), (&known["made"], &json!(1)));
    assert_eq!(later["columns"], changed["columns"]);
    first.stop().await;
    Ok(std::fs::remove_dir_all(folder)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_requests_leave_after_the_commit_and_only_then() -> Result<()> {
    let Some(project) = Project::start().await? else { return Ok(()) };
    let echo = format!("{}/functions/v1/echo", project.stack.api_url());
    project.sql("create extension pg_net with schema extensions").await?;
    let post =
        format!("select net.http_post('{echo}', '{{\"n\": 1}}', headers => '{{\"X-Service-Key\": null}}')");
    project.sql(&format!("begin; {post}; rollback")).await?;
    project.sql(&post).await?;
    let slow = format!("select net.http_get('{echo}', '{{\"wait\": 600000}}', timeout_milliseconds => 200)");
    project.sql(&slow).await?;

    let responses = "select coalesce(jsonb_agg(to_jsonb(r) order by id), '[]') from net._http_response as r";
    let rows = project.until(responses, |rows| rows.as_array().is_some_and(|rows| rows.len() == 2)).await?;
    assert_eq!(rows[0]["status_code"], 200);
    let echoed: Value = serde_json::from_str(rows[0]["content"].as_str().context("text")?)?;
    assert_eq!((&echoed["body"], echoed["headers"].get("x-service-key")), (&json!("{\"n\": 1}"), None));
    assert_eq!(echoed["headers"]["content-type"], "application/json");
    assert_eq!((&rows[1]["status_code"], &rows[1]["timed_out"]), (&Value::Null, &json!(true)));

    let wrong = format!("select net.http_post('{echo}', headers => '{{\"content-type\": \"text/plain\"}}')");
    assert!(project.sql(&wrong).await.is_err());
    project.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_postgres_is_what_it_is_on_a_hosted_project() -> Result<()> {
    let Some(project) = Project::start().await? else { return Ok(()) };
    for allowed in [
        "create extension if not exists pg_cron with schema pg_catalog",
        "create extension if not exists pg_net with schema extensions",
        "create extension if not exists pgtap with schema extensions",
        "create extension if not exists pg_stat_statements with schema extensions",
        "select cron.schedule('tick', '* * * * *', 'select 1')",
        "select cron.schedule('tick', '*/5 * * * *', 'select 2')",
        "delete from cron.job_run_details",
        "create table public.profiles (id uuid references auth.users on delete cascade)",
        "select vault.create_secret('s', 'mine'); select decrypted_secret from vault.decrypted_secrets",
        "select cron.unschedule('tick'); drop extension pg_cron",
    ] {
        project.sql(allowed).await.with_context(|| allowed.to_owned())?;
    }
    for refused in [
        "create table auth.mine (id int)",
        "alter database postgres set app.setting = 'x'",
        "create role another superuser",
        "set role anon; select * from vault.decrypted_secrets",
        "create extension pg_cron; insert into cron.job (schedule, command) values ('* * * * *', 'select 1')",
    ] {
        assert!(project.sql(refused).await.is_err(), "{refused}");
    }
    project.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_rpc_that_changes_rows_without_where_is_refused() -> Result<()> {
    let Some(project) = Project::start().await? else { return Ok(()) };
    project
        .sql(
            "insert into public.things (name) values ('kept');
            create function public.rename_all() returns void language plpgsql security definer as
                $$ begin update public.things set name = 'renamed'; end $$;
            create function public.rename_all_in_sql() returns void language sql security definer as
                $$ update public.things set name = 'renamed' $$;
            create function public.delete_all() returns bigint language sql security definer as
                $$ with gone as (delete from public.things returning 1) select count(*) from gone $$;
            create function public.rename_dynamically() returns void language plpgsql as
                $$ begin execute 'update public.things set name = ''renamed'''; end $$;
            create function public.rename_each() returns void language sql security definer as
                $$ update public.things set name = 'renamed' where true $$;
            create function public.unguard() returns text language sql security definer as
                $$ select set_config('safeupdate.enabled', 'off', false) $$",
        )
        .await?;
    let secret = [("apikey", project.stack.keys().secret.as_str()), ("content-type", "application/json")];
    for (function, command) in [
        ("rename_all", "UPDATE"),
        ("rename_all_in_sql", "UPDATE"),
        ("delete_all", "DELETE"),
        ("rename_dynamically", "UPDATE"),
    ] {
        let (status, error) = call_new(&project, function, &secret).await?;
        assert!(status >= 400, "{function}: {status}");
        assert_eq!(
            (&error["code"], &error["message"]),
            (&json!("21000"), &json!(format!("{command} requires a WHERE clause"))),
            "{function}: {error}"
        );
    }
    let things = format!("{}/rest/v1/things", project.stack.api_url());
    for (method, command) in [("PATCH", "UPDATE"), ("DELETE", "DELETE")] {
        let response = project::call(method, &things, &secret, r#"{"name": "renamed"}"#).await?;
        let text = String::from_utf8_lossy(response.body());
        assert!(text.contains("21000") && text.contains(&format!("{command} requires")), "{method}: {text}");
    }
    let names = "select json_agg(name) from public.things";
    assert_eq!(project::ask(&project.stack, names).await?, json!(["kept"]));
    let (status, reply) = call_new(&project, "rename_each", &secret).await?;
    assert!(status < 300, "{status} {reply}");
    assert_eq!(project::ask(&project.stack, names).await?, json!(["renamed"]));

    // Neither a caller nor the owner of a function may switch the rule off.
    let (_, error) = call_new(&project, "unguard", &secret).await?;
    assert_eq!(error["code"], "42501", "{error}");
    project.sql("update public.things set name = 'by hand'").await.context("migrations are not guarded")?;
    project.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_that_cannot_compile_the_check_says_so_and_goes_on() -> Result<()> {
    let Some(Options { project: folder, .. }) = project::options()? else { return Ok(()) };
    let state = folder.join("state");
    let ferry = |arguments: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_ferry"))
            .args(["--state".as_ref(), state.as_os_str(), "--project".as_ref(), folder.as_os_str()])
            .args(arguments)
            // No module can be kept there.
            .env("IRONFERRY_CACHE", "/proc/nowhere")
            .output()
    };
    let up = ferry(&["up", "--detach", "--any-ports", "--no-functions", "--no-migrate"])?;
    let said = String::from_utf8_lossy(&up.stderr);
    let status: Value = serde_json::from_slice(&ferry(&["status", "--json"])?.stdout)?;
    let settings = project::connect(status["db_url"].as_str().context("an address")?)
        .await?
        .query_one("select setconfig from pg_db_role_setting where setrole = 'authenticator'::regrole", &[])
        .await?
        .get::<_, Vec<String>>(0);
    ferry(&["down"])?;
    assert!(up.status.success(), "{said}");
    assert!(said.contains("check missing: UPDATE and DELETE without WHERE"), "{said}");
    assert_eq!(settings, ["statement_timeout=8s", "lock_timeout=8s"]);
    Ok(std::fs::remove_dir_all(folder)?)
}

/// Calls a function that was just made: the REST server finds it a moment later.
async fn call_new(project: &Project, function: &str, headers: &[(&str, &str)]) -> Result<(u16, Value)> {
    let url = format!("{}/rest/v1/rpc/{function}", project.stack.api_url());
    let start = Instant::now();
    loop {
        let reply = post(&url, headers, "{}").await?;
        if reply.0 != 404 || start.elapsed() > Duration::from_secs(30) {
            return Ok(reply);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_have_the_attributes_and_settings_of_a_hosted_project() -> Result<()> {
    let Some(project) = Project::start().await? else { return Ok(()) };
    let attributes = "select json_object_agg(rolname, array_to_string(array[
            case when rolsuper then 'superuser' end, case when rolinherit then 'inherit' end,
            case when rolcreaterole then 'createrole' end, case when rolcreatedb then 'createdb' end,
            case when rolcanlogin then 'login' end, case when rolreplication then 'replication' end,
            case when rolbypassrls then 'bypassrls' end], ' '))
        from pg_roles where rolname in ('postgres', 'anon', 'authenticated', 'service_role', 'authenticator')";
    assert_eq!(
        project::ask(&project.stack, attributes).await?,
        json!({
            "postgres": "inherit createrole createdb login replication bypassrls",
            "anon": "inherit",
            "authenticated": "inherit",
            "service_role": "inherit bypassrls",
            "authenticator": "login",
        })
    );
    let settings = "select json_object_agg(rolname, setconfig) from pg_db_role_setting
        join pg_roles on pg_roles.oid = setrole
        where rolname in ('postgres', 'anon', 'authenticated', 'service_role', 'authenticator')";
    assert_eq!(
        project::ask(&project.stack, settings).await?,
        json!({
            "postgres": ["session_preload_libraries=safeupdate", "safeupdate.enabled=off"],
            "anon": ["statement_timeout=3s"],
            "authenticated": ["statement_timeout=8s"],
            "authenticator": [
                "statement_timeout=8s", "lock_timeout=8s", "session_preload_libraries=safeupdate",
            ],
        })
    );
    project.end().await
}

const NEW_OBJECTS: &str = "create table public.fresh (id bigint generated always as identity);
    create function public.fresh_one() returns integer language sql as 'select 1'";
/// What role `anon` gets on the new objects of role `postgres`.
const PRIVILEGES_ON_NEW_OBJECTS: &str = "select json_object_agg(name, privileges) from (
    select relname as name, string_agg(privilege_type, ' ' order by privilege_type) as privileges
    from pg_class cross join aclexplode(relacl) where relname ~ '^fresh' and grantee = 'anon'::regrole
        and privilege_type <> 'MAINTAIN'
    group by relname
    union all
    select proname, string_agg(case grantee when 0 then 'PUBLIC' else 'anon' end, ' ' order by grantee)
    from pg_proc cross join aclexplode(coalesce(proacl, acldefault('f', proowner)))
    where proname = 'fresh_one' and grantee in (0, 'anon'::regrole)
    group by proname) as each";

#[tokio::test(flavor = "multi_thread")]
async fn new_objects_keep_the_privileges_that_the_platform_leaves() -> Result<()> {
    let Some(project) = Project::start().await? else { return Ok(()) };
    project.sql(NEW_OBJECTS).await?;
    assert_eq!(
        project::ask(&project.stack, PRIVILEGES_ON_NEW_OBJECTS).await?,
        json!({ "fresh": "REFERENCES TRIGGER TRUNCATE", "fresh_id_seq": "UPDATE", "fresh_one": "PUBLIC" })
    );
    let of_the_superuser = "select json_object_agg(defaclobjtype, privileges) from (
        select defaclobjtype, string_agg(privilege_type, ' ' order by privilege_type) as privileges
        from pg_default_acl cross join aclexplode(defaclacl)
        where defaclrole = 'supabase_admin'::regrole and defaclnamespace = 'public'::regnamespace
            and grantee = 'anon'::regrole and privilege_type <> 'MAINTAIN'
        group by defaclobjtype) as each";
    assert_eq!(
        project::ask(&project.stack, of_the_superuser).await?,
        json!({
            "r": "DELETE INSERT REFERENCES SELECT TRIGGER TRUNCATE UPDATE",
            "S": "SELECT UPDATE USAGE",
            "f": "EXECUTE",
        })
    );
    project.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn permissive_default_privileges_open_new_objects() -> Result<()> {
    let Some(options) = project::options()? else { return Ok(()) };
    let folder = options.project.clone();
    let options = Options {
        permissive_default_privileges: true,
        functions: false,
        templates: Some(folder.join("databases")),
        ..options
    };
    let stack = project::start(options.clone()).await?;
    project::run(&stack, NEW_OBJECTS).await?;
    assert_eq!(
        project::ask(&stack, PRIVILEGES_ON_NEW_OBJECTS).await?,
        json!({
            "fresh": "DELETE INSERT REFERENCES SELECT TRIGGER TRUNCATE UPDATE",
            "fresh_id_seq": "SELECT UPDATE USAGE",
            "fresh_one": "PUBLIC anon",
        })
    );
    stack.stop().await;

    // A database that was kept as a template is not copied for one with other default privileges.
    let options = Options {
        permissive_default_privileges: false,
        state: Some(folder.join("another state")),
        ..options
    };
    let stack = project::start(options).await?;
    project::run(&stack, NEW_OBJECTS).await?;
    let privileges = project::ask(&stack, PRIVILEGES_ON_NEW_OBJECTS).await?;
    assert_eq!(privileges["fresh_id_seq"], "UPDATE");
    stack.stop().await;
    Ok(std::fs::remove_dir_all(folder)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_may_go_away_and_come_back() -> Result<()> {
    let Some(project) = Project::start().await? else { return Ok(()) };
    let things = format!("{}/rest/v1/things", project.stack.api_url());
    let key = [("apikey", project.stack.keys().secret.as_str())];
    assert_eq!(get(&things, &key).await?.0, 200);
    project.stack.stop_part("postgres").await?;
    assert!(get(&things, &key).await?.0 >= 500);
    project.stack.start_part("postgres").await?;
    let start = Instant::now();
    while get(&things, &key).await?.0 != 200 {
        anyhow::ensure!(start.elapsed() < Duration::from_mins(1), "the REST server stays away");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    project
        .sql("create extension pg_net with schema extensions; select net.http_get('http://127.0.0.1:1')")
        .await?;
    project.until("select to_jsonb(count(*)) from net._http_response", |count| *count == 1).await?;
    project.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_running_and_the_second_start_has_the_data_and_the_keys() -> Result<()> {
    let Some(project) = Project::start().await? else { return Ok(()) };
    project.sql("insert into public.things (name) values ('kept')").await?;
    let secret = project.stack.keys().secret.clone();
    let processes: Vec<_> = project.stack.state().parts.into_iter().filter_map(|part| part.process).collect();
    assert!(processes.len() >= 5 && processes.iter().all(|process| process.is_alive()));
    let again = project.restart().await?;
    assert!(processes.iter().all(|process| !process.is_alive()));
    assert_eq!(again.stack.keys().secret, secret);
    let url = format!("{}/rest/v1/things?select=name", again.stack.api_url());
    assert_eq!(get(&url, &[("apikey", &secret)]).await?, (200, json!([{"name": "kept"}])));
    again.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_half_way_says_why_and_leaves_nothing() -> Result<()> {
    let Some(options) = project::options()? else { return Ok(()) };
    let migration = options.project.join("supabase/migrations/20260102000000_broken.sql");
    std::fs::write(&migration, "create table public.broken (id nonsense);")?;
    let started = project::start(options.clone()).await;
    let error = format!("{:#}", started.err().context("the migration cannot be applied")?);
    assert!(error.contains("nonsense"), "{error}");
    assert!(options.state_folder()?.running().is_none());
    std::fs::remove_file(migration)?;
    let stack = project::start(options.clone()).await?;
    stack.stop().await;
    std::fs::remove_dir_all(&options.project)?;
    Ok(())
}
