//! Stand-in for `pg_net`'s worker: sends the requests that the database queued.
//!
//! Like the real one: one worker, batches of at most 200 that wait for their slowest request,
//! no retries, responses kept for six hours, a batch sent twice when the worker dies in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Map, Value};
use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, NoTls};

use super::logs::Log;

/// The real worker's default, `pg_net.batch_size`.
const BATCH: i64 = 200;
/// `pg_net.ttl`, in SQL.
const KEEP_FOR: &str = "6 hours";
/// How often the queue is looked at when nobody notified us.
const SWEEP: Duration = Duration::from_secs(1);
const RECONNECT_AFTER: Duration = Duration::from_millis(500);

type HttpClient = Client<HttpConnector, Full<Bytes>>;

/// Works until it is dropped, through losses of the database.
pub(crate) async fn work(admin_url: String, log: Arc<Log>) {
    let http = Client::builder(TokioExecutor::new()).build_http();
    let mut said = String::new();
    loop {
        if let Err(error) = session(&admin_url, &http, &log).await {
            let message = format!("{error:#}");
            // A database that stays away is worth one line, not two a second.
            if message != said {
                log.note(&message);
                said = message;
            }
        }
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

/// Serves the queue over one connection.
async fn session(admin_url: &str, http: &HttpClient, log: &Log) -> Result<()> {
    let mut config: tokio_postgres::Config = admin_url.parse()?;
    config.application_name("pg_net stand-in").connect_timeout(Duration::from_secs(30));
    let (mut database, mut connection) = config.connect(NoTls).await.context("connecting to Postgres")?;
    let wake = Arc::new(Notify::new());
    let bell = Arc::clone(&wake);
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            if matches!(message, AsyncMessage::Notification(_)) {
                bell.notify_one();
            }
        }
        // The connection is lost: the next query says so.
        bell.notify_one();
    });
    database.batch_execute("listen pg_net").await?;
    log.note("waiting for requests");
    loop {
        while batch(&mut database, http, log).await? {}
        let _ = tokio::time::timeout(SWEEP, wake.notified()).await;
    }
}

/// Sends one batch; false when the queue was empty or does not exist yet.
async fn batch(database: &mut tokio_postgres::Client, http: &HttpClient, log: &Log) -> Result<bool> {
    let exists = database.query_one("select to_regclass('net.http_request_queue') is not null", &[]).await?;
    if !exists.get::<_, bool>(0) {
        return Ok(false);
    }
    let forget = format!("delete from net._http_response where created < now() - interval '{KEEP_FOR}'");
    database.batch_execute(&forget).await?;
    // The requests leave the queue with the transaction that stores their responses.
    let transaction = database.transaction().await?;
    let rows = transaction
        .query(
            "delete from net.http_request_queue where id in \
               (select id from net.http_request_queue order by id limit $1) \
             returning id, method::text, url, headers, body, timeout_milliseconds",
            &[&BATCH],
        )
        .await?;
    if rows.is_empty() {
        transaction.rollback().await?;
        return Ok(false);
    }
    let calls = rows.iter().map(|row| async {
        let call = Call {
            id: row.get(0),
            method: row.get(1),
            url: row.get(2),
            headers: row.get(3),
            body: row.get(4),
            patience: Duration::from_millis(u64::try_from(row.get::<_, i32>(5)).unwrap_or(0)),
        };
        let reply = call.send(http).await;
        log.line(&call.describe(&reply));
        (call.id, reply)
    });
    for (id, reply) in futures_util::future::join_all(calls).await {
        transaction
            .execute(
                "insert into net._http_response \
                   (id, status_code, content_type, headers, content, timed_out, error_msg) \
                 values ($1, $2, $3, $4, $5, $6, $7)",
                &[
                    &id,
                    &reply.status,
                    &reply.content_type,
                    &reply.headers,
                    &reply.content,
                    &reply.timed_out,
                    &reply.error,
                ],
            )
            .await?;
    }
    transaction.commit().await?;
    Ok(true)
}

/// One row of the queue.
struct Call {
    id: i64,
    method: String,
    url: String,
    headers: Option<Value>,
    body: Option<Vec<u8>>,
    patience: Duration,
}

/// One row of the responses, less its id.
#[derive(Debug, Default)]
struct Reply {
    status: Option<i32>,
    content_type: Option<String>,
    headers: Option<Value>,
    content: Option<String>,
    timed_out: Option<bool>,
    error: Option<String>,
}

impl Call {
    async fn send(&self, http: &HttpClient) -> Reply {
        let start = Instant::now();
        match tokio::time::timeout(self.patience, self.exchange(http)).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => {
                Reply { error: Some(format!("{error:#}")), timed_out: Some(false), ..Reply::default() }
            }
            Err(_) => Reply {
                error: Some(format!(
                    "Timeout of {} ms reached. Total time: {:.3} ms",
                    self.patience.as_millis(),
                    start.elapsed().as_secs_f64() * 1000.0
                )),
                timed_out: Some(true),
                ..Reply::default()
            },
        }
    }

    async fn exchange(&self, http: &HttpClient) -> Result<Reply> {
        let response = http.request(self.request()?).await.map_err(|error| {
            if error.is_connect() { anyhow::anyhow!("Couldn't connect to server") } else { error.into() }
        })?;
        let (head, body) = response.into_parts();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), Value::String(text(value))));
        let body = body.collect().await.context("reading the response")?.to_bytes();
        Ok(Reply {
            status: Some(i32::from(head.status.as_u16())),
            content_type: head.headers.get(http::header::CONTENT_TYPE).map(text),
            headers: Some(Value::Object(headers.collect::<Map<_, _>>())),
            // Postgres has no text with a zero byte.
            content: Some(String::from_utf8_lossy(&body).replace('\0', "\u{fffd}")),
            timed_out: Some(false),
            error: None,
        })
    }

    fn request(&self) -> Result<Request<Full<Bytes>>> {
        if self.url.starts_with("https:") {
            anyhow::bail!("the local stand-in for pg_net sends to http:// addresses only");
        }
        let body = self.body.clone().unwrap_or_default();
        let mut request = Request::builder()
            .method(Method::from_bytes(self.method.to_uppercase().as_bytes())?)
            .uri(&self.url)
            .body(Full::new(Bytes::from(body)))
            .context("the URL is malformed")?;
        let headers = request.headers_mut();
        headers.insert(http::header::USER_AGENT, HeaderValue::from_static("pg_net/0.19.5"));
        for (name, value) in self.headers.iter().filter_map(Value::as_object).flatten() {
            let value = match value {
                // Silently, as the real one: this is how a missing secret turns into a 401.
                Value::Null => continue,
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            headers.insert(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(&value)?);
        }
        Ok(request)
    }

    fn describe(&self, reply: &Reply) -> String {
        let outcome = match (&reply.status, &reply.error) {
            (Some(status), _) => status.to_string(),
            (None, error) => error.clone().unwrap_or_default(),
        };
        format!("{} {} {} -> {outcome}", self.id, self.method, self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn call(headers: Value) -> Call {
        Call {
            id: 1,
            method: "post".into(),
            url: "http://127.0.0.1:1/x".into(),
            headers: Some(headers),
            body: Some(b"{}".to_vec()),
            patience: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_header_without_a_value_is_left_out() {
        let request = call(json!({"X-Service-Key": null, "Content-Type": "application/json"}))
            .request()
            .expect("a request");
        assert!(!request.headers().contains_key("x-service-key"));
        assert_eq!(request.headers()["content-type"], "application/json");
        assert_eq!(request.method(), Method::POST);
    }

    #[tokio::test]
    async fn a_refused_connection_is_an_error_row_and_no_timeout() {
        let http = Client::builder(TokioExecutor::new()).build_http();
        let reply = call(json!({})).send(&http).await;
        assert_eq!(reply.error.as_deref(), Some("Couldn't connect to server"));
        assert_eq!((reply.status, reply.timed_out), (None, Some(false)));
    }
}
