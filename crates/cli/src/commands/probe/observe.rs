//! Calls the temporary function, on the platform or on the local stack, and writes down what it tells and what becomes
//! of the calls.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Map, Value};

use super::temporary::NAME;
use crate::database::ask_one;
use crate::remote::{Method, Remote, Reply, connect};

/// A deployment is not everywhere at once, and a worker that was ended is started again.
const READY_WITHIN: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Using up CPU time and memory takes seconds, and minutes on a machine that others share.
const ANSWER_WITHIN: Duration = Duration::from_mins(3);
/// As much of a refusal as tells it from others.
const QUOTED: usize = 120;

const METHODS: [&str; 9] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "QUERY", "PROPFIND"];
/// What `ferry up` sets for a local project, besides the platform's names.
const MADE_UP: [&str; 4] =
    ["SERVICE_API_KEY", "CREDENTIALS_ENCRYPTION_KEYS", "TOKEN_ENCRYPTION_KEYS", "REDIS_URL"];

/// One of the two that are compared.
pub(super) struct Side<'a> {
    pub(super) remote: Remote,
    pub(super) token: &'a str,
    pub(super) database: Option<&'a str>,
    /// Names of the project's own secrets, which are no business of a comparison.
    pub(super) own: &'a [String],
}

impl Side<'_> {
    /// Observes everything.
    pub(super) async fn observe(&self) -> Result<Value> {
        self.wait_until_ready().await?;
        let mut report = self.told("tell").await?;
        self.leave_out_own(&mut report);
        report.insert("methods".to_owned(), self.methods().await?);
        report.insert("request".to_owned(), self.request().await?);
        let mut endings = Map::new();
        // Each of the later ones ends its worker.
        for (part, what) in [
            ("throw", "handler throws"),
            ("nothing", "handler returns nothing"),
            ("reject", "unhandled rejection"),
            ("cpu", "5 s of CPU time"),
            ("memory", "320 MB of memory"),
        ] {
            let outcome = match self.call(Method::POST, part, HeaderMap::new()).await {
                Ok(reply) => outcome(&reply),
                Err(_) => "no reply".to_owned(),
            };
            endings.insert(what.to_owned(), outcome.into());
            self.wait_until_ready().await?;
        }
        report.insert("endings".to_owned(), Value::Object(endings));
        if let Some(database) = self.database {
            let client = connect(database).await?;
            let row = ask_one(&client, include_str!("database.sql"), &[]).await.context("the database")?;
            report.insert("database".to_owned(), row.try_get(0)?);
        }
        Ok(Value::Object(report))
    }

    async fn wait_until_ready(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            let last = match self.call(Method::GET, "ready", HeaderMap::new()).await {
                Ok(reply) if reply.status == 200 && reply.json == "ready" => return Ok(()),
                Ok(reply) => outcome(&reply),
                Err(error) => format!("{error:#}"),
            };
            if started.elapsed() > READY_WITHIN {
                bail!("{NAME} does not answer: {last}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn methods(&self) -> Result<Value> {
        let mut methods = Map::new();
        for name in METHODS {
            let method = Method::from_bytes(name.as_bytes())?;
            let reply = self.call(method, "request", HeaderMap::new()).await;
            let told = match reply {
                Ok(reply) if reply.json["method"] == name => format!("{} reached the function", reply.status),
                Ok(reply) => outcome(&reply),
                Err(_) => "no reply".to_owned(),
            };
            methods.insert(name.to_owned(), told.into());
        }
        Ok(Value::Object(methods))
    }

    /// The request as it arrives: names of headers, and no values but of the one that is sent for this.
    async fn request(&self) -> Result<Value> {
        let mut headers = HeaderMap::new();
        headers.insert("x-probe-text", HeaderValue::from_bytes("é".as_bytes())?);
        headers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
        let reply = self.call(Method::POST, "request", headers).await?;
        ensure!(reply.status == 200, "{NAME} does not tell how requests arrive: {}", outcome(&reply));
        Ok(reply.json)
    }

    async fn told(&self, part: &str) -> Result<Map<String, Value>> {
        let reply = self.call(Method::POST, part, HeaderMap::new()).await?;
        match reply.json {
            Value::Object(told) if reply.status == 200 => Ok(told),
            _ => bail!("{NAME} does not tell what it may do: {}", outcome(&reply)),
        }
    }

    fn leave_out_own(&self, report: &mut Map<String, Value>) {
        let is_own = |name: &str| {
            MADE_UP.contains(&name)
                || !name.starts_with("SUPABASE_") && self.own.iter().any(|own| own == name)
        };
        if let Some(Value::Array(names)) = report.get_mut("environment") {
            names.retain(|name| name.as_str().is_some_and(|name| !is_own(name)));
        }
    }

    async fn call(&self, method: Method, part: &str, mut headers: HeaderMap) -> Result<Reply> {
        headers.insert("x-probe-token", HeaderValue::from_str(self.token)?);
        let body = if matches!(method, Method::GET | Method::HEAD) { "" } else { "a body" };
        let remote = self.remote.clone().patient_for(ANSWER_WITHIN);
        let mut reply = remote.open_function(method, &format!("{NAME}?part={part}"), headers, body).await?;
        // Paths and texts are the same on both sides but for this.
        let text = reply.json.to_string().replace(self.token, "TOKEN");
        reply.json = serde_json::from_str(&text)?;
        Ok(reply)
    }
}

/// Status and code, or the beginning of the text.
fn outcome(reply: &Reply) -> String {
    let code = ["code", "msg", "message"].into_iter().find_map(|name| reply.json[name].as_str());
    let text = code.or(reply.json.as_str()).unwrap_or_default();
    let text: String = text.chars().take(QUOTED).collect();
    format!("{} {text}", reply.status).trim_end().to_owned()
}
