//! A throw-away project with two functions and one migration, and a stack that runs it.
#![allow(dead_code, reason = "each test program uses its part")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use ferry::stack::state::Folder;
use ferry::stack::{Options, Stack};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio_postgres::{Client, NoTls};

const ECHO: &str = r#"Deno.serve(async (request) => {
  const url = new URL(request.url);
  if (url.searchParams.has("exit")) reportError(new Error("told to end"));
  if (url.searchParams.has("wait")) console.log(`waits ${url.searchParams.get("wait")} ms`);
  await new Promise((done) => setTimeout(done, Number(url.searchParams.get("wait"))));
  return Response.json({
    path: url.pathname, search: url.search, body: await request.text(),
    env: Deno.env.toObject(), headers: Object.fromEntries(request.headers),
  });
});"#;
const LOCKED: &str = "Deno.serve(() => Response.json({}));";
const MIGRATION: &str = "create table public.things (
    id uuid primary key default gen_random_uuid(), name text not null, user_id uuid references auth.users
);
alter table public.things enable row level security;
grant all on public.things to service_role;
grant select on public.things to authenticated;
create policy \"users read their things\" on public.things for select to authenticated
    using (user_id = (select auth.uid()));";

pub(crate) struct Project {
    pub(crate) stack: Stack,
    options: Options,
}

/// A new project, or none where something to run it with is missing.
pub(crate) fn options() -> Result<Option<Options>> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let project = std::env::temp_dir().join(format!("ferry-test-{}-{number}", std::process::id()));
    // A run that was killed may have had our process's number.
    let _ = std::fs::remove_dir_all(&project);
    let write = |path: &str, text: &str| -> Result<()> {
        let path = project.join(path);
        std::fs::create_dir_all(path.parent().context("it has a parent")?)?;
        Ok(std::fs::write(path, text)?)
    };
    write("supabase/config.toml", "[functions.echo]\nverify_jwt = false\n")?;
    write("supabase/functions/echo/index.ts", ECHO)?;
    write("supabase/functions/locked/index.ts", LOCKED)?;
    write("supabase/migrations/20260101000000_things.sql", MIGRATION)?;
    let state = project.join("state");
    let options = Options {
        function_env: vec![("TEST_SETTING".to_owned(), "from the options".to_owned())],
        // The projects have the same migration.
        templates: Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("databases")),
        ..Options::for_tests(&project, state)
    };
    Ok(missing().map_or(Some(options), |what| {
        println!("skipped: {what} is not installed");
        None
    }))
}

pub(crate) fn missing() -> Option<&'static str> {
    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let on_path = |name: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(name).exists())
    };
    let in_cache = std::env::var_os("IRONFERRY_CACHE")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/ironferry")));
    let has_postrust = in_cache.is_some_and(|cache| cache.join("tools/postrust-server-3.1.0").exists());
    let npm = |name: &str| repository.join("node_modules/.bin").join(name).exists() || on_path(name);
    [
        ("PostgreSQL", std::path::Path::new("/usr/lib/postgresql").exists()),
        ("Redis", on_path("redis-server")),
        ("postrust", has_postrust || on_path("postrust")),
        ("Deno", npm("deno")),
        ("the Supabase CLI", npm("supabase")),
    ]
    .into_iter()
    .find_map(|(name, found)| (!found).then_some(name))
}

pub(crate) async fn start(options: Options) -> Result<Stack> {
    Stack::start(options).await
}

impl Project {
    pub(crate) async fn start() -> Result<Option<Self>> {
        let Some(options) = options()? else { return Ok(None) };
        Ok(Some(Self { stack: start(options.clone()).await?, options }))
    }

    /// The folder with `supabase/` in it.
    pub(crate) fn folder(&self) -> &std::path::Path {
        &self.options.project
    }

    /// Where its stack keeps its state.
    pub(crate) fn state_folder(&self) -> Result<Folder> {
        self.options.state_folder()
    }

    /// Stops and starts it.
    pub(crate) async fn restart(self) -> Result<Self> {
        self.stack.stop().await;
        Ok(Self { stack: start(self.options.clone()).await?, options: self.options })
    }

    pub(crate) async fn end(self) -> Result<()> {
        self.stack.stop().await;
        Ok(std::fs::remove_dir_all(&self.options.project)?)
    }

    /// Runs statements as role `postgres`.
    pub(crate) async fn sql(&self, statements: &str) -> Result<()> {
        run(&self.stack, statements).await
    }

    /// Asks until the answer, one JSON value, is the wanted one.
    pub(crate) async fn until(&self, query: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let client = connect(&self.stack.db_url()).await?;
        let start = Instant::now();
        loop {
            let answer: Value = client.query_one(query, &[]).await?.get(0);
            if wanted(&answer) {
                return Ok(answer);
            }
            if start.elapsed() > Duration::from_mins(1) {
                bail!("still {answer}");
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
}

/// Connects; the connection ends with the client.
pub(crate) async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Waits until a query that gives one boolean gives true. Its connection is its
/// own: inside a transaction `pg_stat_activity` stays as it was first seen.
pub(crate) async fn comes_true(stack: &Stack, query: &str) -> Result<()> {
    let client = connect(&stack.db_url()).await?;
    let start = Instant::now();
    while !client.query_one(query, &[]).await?.get::<_, bool>(0) {
        ensure!(start.elapsed() < Duration::from_mins(1), "not within a minute: {query}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Runs statements as role `postgres`.
pub(crate) async fn run(stack: &Stack, statements: &str) -> Result<()> {
    let (client, connection) = tokio_postgres::connect(&stack.db_url(), NoTls).await?;
    let driver = tokio::spawn(connection);
    let done = client.batch_execute(statements).await;
    drop(client);
    let _ = driver.await;
    Ok(done?)
}

/// The answer to a query, one JSON value, as the database's superuser.
pub(crate) async fn ask(stack: &Stack, query: &str) -> Result<Value> {
    Ok(connect(&stack.admin_db_url()).await?.query_one(query, &[]).await?.get(0))
}

pub(crate) async fn get(url: &str, headers: &[(&str, &str)]) -> Result<(u16, Value)> {
    send("GET", url, headers, "").await
}

pub(crate) async fn post(url: &str, headers: &[(&str, &str)], body: &str) -> Result<(u16, Value)> {
    send("POST", url, headers, body).await
}

async fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Result<(u16, Value)> {
    let response = call(method, url, headers, body).await?;
    Ok((response.status().as_u16(), serde_json::from_slice(response.body()).unwrap_or(Value::Null)))
}

/// Sends a request and reads the whole response.
pub(crate) async fn call(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Response<Bytes>> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let client = legacy::Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request.body(Full::new(Bytes::from(body.to_owned())))?).await?;
    let (head, body) = response.into_parts();
    Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
}
