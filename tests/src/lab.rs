//! A running stack of this project, with companies to collect.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use ferry::stack::{Options, Stack};
use serde_json::{Value, json};
use tokio_postgres::{Client as Postgres, NoTls, Row};

use crate::dex_site::{Account, Site};
use crate::http::{Client, Reply};

/// A stack and a connection to its database.
pub struct Lab {
    /// The stack.
    pub stack: Stack,
    /// Its gateway.
    pub api: Client,
    // Goes last: fields are dropped in this order.
    folder: Folder,
}

/// A folder that is gone when this is, so that a test that fails leaves nothing behind either.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The project's folder.
#[must_use]
pub fn project() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// Where cargo builds.
#[must_use]
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| project().join("target"), PathBuf::from)
}

/// The command, which whoever runs these tests has built.
#[must_use]
pub fn ferry() -> PathBuf {
    target().join("debug/ferry")
}

impl Lab {
    /// Starts a stack of its own for one story, with settings for the functions. The sites of
    /// tests are on 127.0.0.1, which the functions would refuse otherwise.
    pub async fn start(story: &str, settings: &[(&str, &str)]) -> Result<Self> {
        Self::start_with(story, settings, |_| ()).await
    }

    /// Starts a stack of its own for one story, with other options than usual.
    pub async fn start_with(
        story: &str,
        settings: &[(&str, &str)],
        change: impl FnOnce(&mut Options),
    ) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("ironferry-{story}-{}", std::process::id()));
        let mut options = Options::for_tests(project(), &folder);
        options.function_env = vec![("ALLOWED_HOSTS".into(), "127.0.0.1".into())];
        options.function_env.extend(settings.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        change(&mut options);
        Self::with(options, folder).await
    }

    /// Starts a stack with these options, its state in the folder. Those for tests have its scheduled jobs at rest.
    pub async fn with(options: Options, folder: PathBuf) -> Result<Self> {
        // A run that was killed may have had our process's number.
        let _ = std::fs::remove_dir_all(&folder);
        let folder = Folder(folder);
        let stack = Stack::start(options).await?;
        let api = Client::new(stack.api_url());
        Ok(Self { stack, api, folder })
    }

    /// Connects as the role `postgres`. A connection belongs to the test that opened it.
    pub async fn db(&self) -> Result<Db> {
        let (client, connection) = tokio_postgres::connect(&self.stack.db_url(), NoTls).await?;
        // It ends with the database or with the client; either is the test's own doing.
        tokio::spawn(connection);
        Ok(Db(client))
    }

    /// Where a function itself listens on 127.0.0.1, for a load that is not to be slowed by the gateway.
    pub fn port(&self, function: &str) -> Result<u16> {
        let parts = self.stack.state().parts;
        let part = parts.iter().find(|part| part.function && part.name == function);
        part.and_then(|part| part.port).with_context(|| format!("{function} does not run"))
    }

    /// The process of a function.
    pub fn pid(&self, function: &str) -> Result<u32> {
        self.stack.function_pid(function).with_context(|| format!("{function} does not run"))
    }

    /// Sets a scheduled job going.
    pub async fn schedule(&self, db: &Db, job: &str, schedule: &str) -> Result<()> {
        let set =
            "select cron.alter_job(jobid, schedule := $2, active := true) from cron.job where jobname = $1";
        let jobs = db.rows(set, &[&job, &schedule]).await?;
        ensure!(jobs.len() == 1, "there is no job {job}");
        Ok(())
    }

    /// Calls a function as a service.
    pub async fn as_service(
        &self,
        method: &str,
        path: &str,
        company: Option<&str>,
        body: Value,
    ) -> Result<Reply> {
        let mut headers =
            vec![("content-type", "application/json"), ("x-service-key", self.stack.service_api_key())];
        headers.extend(company.map(|company| ("x-company-id", company)));
        self.api.send(method, &format!("/functions/v1{path}"), &headers, body.to_string()).await
    }

    /// Makes a company with one known machine and the login of an account of the site.
    pub async fn company(&self, db: &Db, name: &str, site: &Site, account: &Account) -> Result<String> {
        let company = db
            .text("insert into public.companies (company_name) values ($1) returning id::text", &[&name])
            .await?;
        let serial = account.captures.first().map_or("none", |capture| capture.serial.as_str());
        let machine = "insert into public.machines (company_id, case_serial) values ($1::text::uuid, $2)";
        db.0.execute(machine, &[&company, &serial]).await?;
        let login =
            json!({ "username": account.email, "password": account.password, "site_url": site.url() });
        let reply = self.as_service("PUT", "/collect-bulk/credentials", Some(&company), login).await?;
        ensure!(reply.status == 200, "the login was not saved: {}", reply.json()?);
        Ok(company)
    }

    /// Stops the stack and removes its folder.
    pub async fn stop(self) -> Result<()> {
        self.stack.stop().await;
        std::fs::remove_dir_all(&self.folder.0)
            .with_context(|| format!("removing {}", self.folder.0.display()))
    }
}

/// The database.
pub struct Db(pub Postgres);

/// Anything that a query takes.
pub type Parameters<'a> = &'a [&'a (dyn tokio_postgres::types::ToSql + Sync)];

impl Db {
    /// All rows.
    pub async fn rows(&self, query: &str, parameters: Parameters<'_>) -> Result<Vec<Row>> {
        self.0.query(query, parameters).await.with_context(|| query.to_owned())
    }

    /// One text.
    pub async fn text(&self, query: &str, parameters: Parameters<'_>) -> Result<String> {
        Ok(self.0.query_one(query, parameters).await.with_context(|| query.to_owned())?.try_get(0)?)
    }

    /// One count.
    pub async fn count(&self, query: &str, parameters: Parameters<'_>) -> Result<i64> {
        Ok(self.0.query_one(query, parameters).await.with_context(|| query.to_owned())?.try_get(0)?)
    }

    /// Several statements without parameters.
    pub async fn run(&self, statements: &str) -> Result<()> {
        self.0.batch_execute(statements).await.with_context(|| statements.to_owned())
    }

    /// Waits until a query that gives one boolean gives true.
    pub async fn wait_for(&self, what: &str, limit: Duration, query: &str) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < limit {
            if self.0.query_one(query, &[]).await?.try_get(0)? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("{what}: not within {limit:?}")
    }
}
