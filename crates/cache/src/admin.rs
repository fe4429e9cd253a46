//! What an operator does, with the service key: sources, API keys, figures, ticks.

use ironferry::{Context, Error, Request, Response, Result, Secret, outbound, outbox};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::entry::{Key, check_project, hash};
use crate::gate::{self, Caller};
use crate::rows::{cache_key_issue, cache_key_revoke, cache_report, cache_source_save, cache_status};
use crate::settings::Settings;
use crate::sources::strava;
use crate::{database, instance, pending, refresh, warm};

/// This function's name in the outbox.
const SENDER: &str = "cache";

pub(crate) fn require_service(caller: &Caller) -> Result<()> {
    if caller.is_service { Ok(()) } else { Err(Error::forbidden("this is for the service key")) }
}

/// `PUT /cache/{project}/{type}/source`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSource {
    kind: String,
    /// The endpoint; justgiving and strava have one of their own.
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    refresh_seconds: Option<u32>,
    #[serde(default)]
    rich_seconds: Option<u32>,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    settings: Map<String, Value>,
    #[serde(default)]
    refresh_token: Option<Secret>,
    #[serde(default = "yes")]
    is_active: bool,
}

fn yes() -> bool {
    true
}

pub(crate) async fn save_source(
    request: &Request,
    cx: &Context,
    settings: &Settings,
    key: &Key,
) -> Result<Response> {
    let new: NewSource = request.json()?;
    let url = match (new.kind.as_str(), new.url) {
        (_, Some(url)) => url,
        ("justgiving", None) => "https://api.justgiving.com".to_owned(),
        ("strava", None) => "https://www.strava.com".to_owned(),
        ("json", None) => return Err(invalid("a json source has a url")),
        _ => return Err(invalid("kind is json, justgiving or strava")),
    };
    outbound::guard(cx, &url)?;
    let credentials = match &new.refresh_token {
        Some(token) => Some(strava::seal(cx, key, token)?),
        None => None,
    };
    let arguments = cache_source_save::Args {
        p_project: &key.project,
        p_type: &key.cache_type,
        p_kind: &new.kind,
        p_url: &url,
        p_headers: &new.headers,
        p_settings: &new.settings,
        p_is_active: new.is_active,
        p_refresh_seconds: new.refresh_seconds.map(database::integer),
        p_rich_seconds: new.rich_seconds.map(database::integer),
        p_credentials: credentials.as_deref(),
    };
    let saved = database::call(cx, settings, cache_source_save::NAME, &arguments).await;
    saved.map_err(|error| match error.database() {
        Some(problem) if problem.code.starts_with("23") || problem.code.starts_with("22") => {
            invalid("a value is out of its range").source(error)
        }
        _ => error,
    })?;
    instance::with(|instance| instance.resting.retain(|(known, _)| known != key));
    Response::json(200, &json!({ "success": true }))
}

fn invalid(why: &'static str) -> Error {
    Error::bad_request(why).code("INVALID_SOURCE")
}

/// `POST /cache/{project}/keys`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    name: String,
    #[serde(default)]
    can_write: bool,
    /// The older keys of this name are good for so long.
    #[serde(default = "a_day")]
    overlap_seconds: u32,
}

fn a_day() -> u32 {
    86_400
}

/// A new key, as it is shown once.
#[derive(Serialize)]
struct Issued {
    success: bool,
    key: String,
    name: String,
    can_write: bool,
    replaced: Value,
    overlap_until: Value,
}

pub(crate) async fn issue_key(
    request: &Request,
    cx: &Context,
    settings: &Settings,
    project: &str,
) -> Result<Response> {
    check_project(project)?;
    let new: NewKey = request.json()?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if new.name.is_empty() || new.name.len() > 50 || !new.name.bytes().all(fits) {
        let said = "a key's name has 1 to 50 letters, digits, _ and -";
        return Err(Error::bad_request(said).code("INVALID_KEY_NAME"));
    }
    let key = gate::new_key(cx);
    let arguments = cache_key_issue::Args {
        p_project: project,
        p_name: &new.name,
        p_key_hash: &hash(key.as_bytes()),
        p_can_write: new.can_write,
        p_overlap_seconds: database::integer(new.overlap_seconds.min(31_536_000)),
    };
    let reply = database::call(cx, settings, cache_key_issue::NAME, &arguments).await?;
    let mut said: Value = database::read(&reply)?;
    let (replaced, overlap_until) = (said["replaced"].take(), said["overlap_until"].take());
    let issued =
        Issued { success: true, key, name: new.name, can_write: new.can_write, replaced, overlap_until };
    Response::json(201, &issued)
}

/// `DELETE /cache/{project}/keys/{name}`
pub(crate) async fn revoke_key(
    cx: &Context,
    settings: &Settings,
    project: &str,
    name: &str,
) -> Result<Response> {
    let arguments = cache_key_revoke::Args { p_project: project, p_name: name };
    let reply = database::call(cx, settings, cache_key_revoke::NAME, &arguments).await;
    let reply = reply
        .map_err(|error| if database::is_unknown(&error) { database::unknown_project() } else { error })?;
    let revoked: u32 = database::read(&reply)?;
    // What was granted to it is not used up.
    instance::with(|instance| instance.callers.retain(|known| !known.is_of(project)));
    Response::json(200, &json!({ "success": true, "revoked": revoked }))
}

/// `GET /cache/metrics?hours=&project=`
pub(crate) async fn metrics(request: &Request, cx: &Context, settings: &Settings) -> Result<Response> {
    let hours: i32 = request.query_or("hours", 24)?;
    let project = request.query("project").unwrap_or_default();
    let arguments = cache_report::Args { p_project: Some(&project), p_hours: Some(hours.clamp(1, 720)) };
    Ok(passed_on(database::call(cx, settings, cache_report::NAME, &arguments).await?))
}

/// `GET /cache` and `GET /cache/{project}`
pub(crate) async fn status(cx: &Context, settings: &Settings, project: &str) -> Result<Response> {
    let arguments = cache_status::Args { p_project: Some(project) };
    Ok(passed_on(database::call(cx, settings, cache_status::NAME, &arguments).await?))
}

fn passed_on(body: bytes::Bytes) -> Response {
    Response::new(200, http::HeaderValue::from_static("application/json"), body)
}

/// `POST /cache/tick`: pending saves, then the sources that are due, then the messages of the outbox, behind
/// the reply: pg_net waits for nobody. With `?wait=true` the reply tells what was done.
pub(crate) async fn tick(request: &Request, cx: &Context, settings: &Settings) -> Result<Response> {
    if request.query_or("wait", false)? {
        return Response::json(200, &work(cx, settings).await);
    }
    let (inside, settings) = (cx.clone(), settings.clone());
    cx.wait_until(async move {
        let done = work(&inside, &settings).await;
        inside.info("cache.tick", done);
    });
    Response::json(202, &json!({ "success": true, "accepted": true }))
}

async fn work(cx: &Context, settings: &Settings) -> Value {
    let flushed = pending::flush(cx, settings).await;
    match refresh::due(cx, settings, warm::SOURCES).await {
        Ok(done) => {
            outbox::deliver(cx, SENDER, None).await;
            json!({ "success": true, "pending": flushed, "sources": done })
        }
        // Without a database there is no outbox either.
        Err(error) => json!({ "success": false, "pending": flushed, "error": error.to_string() }),
    }
}
