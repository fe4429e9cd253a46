//! The layered cache that keeps answering.
//!
//! `read` is the way down (`memory`, `file`, `database`, then `sources`), `save` the way of new data,
//! `pending` and `tokens` what the database has not taken yet, `refresh` how data is fetched once. The
//! layers have the same verbs: get, put, evict. `gate` says who may ask, `audit` what happened, `admin`
//! is for the operator, `warm` the start of an instance.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

mod admin;
mod audit;
mod database;
mod entry;
mod file;
mod flight;
mod gate;
mod instance;
mod memory;
mod news;
mod pending;
mod read;
mod refresh;
mod reply;
mod rows;
mod save;
mod settings;
mod sources;
mod tokens;
mod validate;
mod warm;

use ironferry::{Context, Error, Request, Response, Result, seal};
use serde_json::json;

use audit::Record;
use entry::Key;
use gate::Caller;
pub use pending::Flushed;
use refresh::Why;
use save::Draft;
pub use save::Saved;
use settings::Settings;

ironferry::export!(handle);

/// `GET`, `PUT`, `DELETE /cache/{project}/{type}`, `POST …/refresh`, and for operators `PUT …/source`,
/// `POST /cache/{project}/keys`, `GET /cache/metrics`, `GET /cache[/{project}]`, `POST /cache/tick`, `POST /cache/rotate-key`.
pub async fn handle(request: Request, cx: Context) -> Result<Response> {
    let settings = instance::settings(&cx)?;
    let is_first = warm::begin(&cx, &settings).await;
    let mut record = Record::of(&request, &cx);
    let outcome = admitted(&request, &cx, &settings, &mut record).await;
    let outcome = reply::secured(outcome, &record, &cx);
    let arrived = record.started;
    record.end(&cx, &outcome);
    audit::write_behind(&cx, &settings, arrived);
    pending::nudge(&cx, &settings);
    if is_first {
        warm::go_on(&cx, &settings);
    }
    outcome
}

/// Forgets what the instance holds but the files, as a restart does. For tests.
pub fn forget() {
    instance::forget();
}

async fn admitted(
    request: &Request,
    cx: &Context,
    settings: &Settings,
    record: &mut Record,
) -> Result<Response> {
    reply::require_https(request)?;
    let path: Vec<&str> = request.route().split('/').skip(1).filter(|part| !part.is_empty()).collect();
    let project = match path.as_slice() {
        [] | ["metrics" | "rotate-key" | "tick"] => "",
        [project, ..] => project,
    };
    project.clone_into(&mut record.project);
    if let [_, cache_type, ..] = path.as_slice() {
        (*cache_type).clone_into(&mut record.cache_type);
    }
    let caller = gate::admit(request, cx, settings, project).await?;
    record.role.clone_from(&caller.role);
    let rate = caller.rate;
    route(request, cx, settings, record, &caller, &path)
        .await
        .map(|reply| rate.headers().into_iter().fold(reply, |reply, (name, value)| reply.header(name, value)))
        .map_err(|error| {
            rate.headers().into_iter().fold(error, |error, (name, value)| error.header(name, value))
        })
}

async fn route(
    request: &Request,
    cx: &Context,
    settings: &Settings,
    record: &mut Record,
    caller: &Caller,
    path: &[&str],
) -> Result<Response> {
    let operator = |record: &mut Record| {
        record.operation = "ADMIN";
        record.cache_type.clear();
        admin::require_service(caller)
    };
    match (request.method().as_str(), path) {
        ("GET", []) => {
            operator(record)?;
            admin::status(cx, settings, "").await
        }
        ("GET", ["metrics"]) => {
            operator(record)?;
            admin::metrics(request, cx, settings).await
        }
        ("POST", ["tick"]) => {
            operator(record)?;
            admin::tick(request, cx, settings).await
        }
        ("POST", ["rotate-key"]) => {
            operator(record)?;
            seal::reseal(cx, sources::strava::KEYS, "cache").await
        }
        ("POST", [project, "keys"]) => {
            operator(record)?;
            admin::issue_key(request, cx, settings, project).await
        }
        ("DELETE", [project, "keys", name]) => {
            operator(record)?;
            admin::revoke_key(cx, settings, project, name).await
        }
        ("GET", [project]) => {
            record.operation = "ADMIN";
            admin::status(cx, settings, project).await
        }
        (method, [project, cache_type, verb @ ..]) => {
            let key = Key::new(project, cache_type)?;
            record.about(&key);
            match (method, verb) {
                ("GET", []) => get(request, cx, settings, record, &key).await,
                ("PUT", []) => {
                    require_write(caller)?;
                    put(request, cx, settings, record, &key).await
                }
                ("DELETE", []) => {
                    require_write(caller)?;
                    delete(cx, settings, &key).await
                }
                ("POST", ["refresh"]) => {
                    record.operation = "REFRESH";
                    require_write(caller)?;
                    let found = refresh::run(cx, settings, &key, Why::Asked).await?;
                    record.size = found.entry.body.len();
                    reply::data(request, cx, record, &found)
                }
                ("PUT", ["source"]) => {
                    record.operation = "ADMIN";
                    admin::require_service(caller)?;
                    admin::save_source(request, cx, settings, &key).await
                }
                (_, []) => Err(Error::method_not_allowed("GET, PUT, DELETE")),
                (_, ["refresh"]) => Err(Error::method_not_allowed("POST")),
                (_, ["source"]) => Err(Error::method_not_allowed("PUT")),
                _ => Err(Error::not_found()),
            }
        }
        (_, [] | [_]) => Err(Error::method_not_allowed("GET")),
    }
}

fn require_write(caller: &Caller) -> Result<()> {
    if caller.can_write {
        Ok(())
    } else {
        Err(Error::forbidden("this key is for reading").code("READ_ONLY_KEY"))
    }
}

async fn get(
    request: &Request,
    cx: &Context,
    settings: &Settings,
    record: &mut Record,
    key: &Key,
) -> Result<Response> {
    let found = read::read(cx, settings, key).await?;
    record.layer = Some(found.layer);
    record.size = found.entry.body.len();
    reply::data(request, cx, record, &found)
}

async fn put(
    request: &Request,
    cx: &Context,
    settings: &Settings,
    record: &mut Record,
    key: &Key,
) -> Result<Response> {
    request.require_json()?;
    record.size = request.body().len();
    let time = |name: &str| match request.query(name) {
        None => Ok(None),
        Some(text) => entry::parse_time(&text).map(Some).ok_or_else(|| {
            Error::bad_request(format!("query parameter `{name}` is not an RFC 3339 time"))
                .code("INVALID_QUERY")
        }),
    };
    let number = |name: &str, most: u32| match request.query_or(name, 0_u32)? {
        0 => Ok(None),
        value if value <= most => Ok(Some(value)),
        _ => Err(Error::bad_request(format!("query parameter `{name}` is {most} at the most"))
            .code("INVALID_QUERY")),
    };
    let metadata = match request.query("metadata") {
        None => None,
        Some(text) => Some(ironferry::from_json(text.as_bytes()).map_err(|problem| {
            Error::bad_request(format!("query parameter `metadata` is not JSON: {problem}"))
                .code("INVALID_QUERY")
        })?),
    };
    let draft = Draft {
        body: request.body().clone(),
        fetched_ms: time("last_fetch")?,
        rich_at: time("last_rich_fetch")?.map(|ms| entry::elapsed_at(cx, ms)),
        fresh_seconds: number("fresh_seconds", 31_536_000)?,
        retention_days: number("retention_days", 3_650)?,
        metadata,
        lease: None,
    };
    let (saved, _) = save::save(cx, settings, key, draft).await?;
    if saved.outcome == "replaced" {
        record.operation = "UPDATE";
    }
    Response::json(if saved.pending { 202 } else { 200 }, &saved)
}

async fn delete(cx: &Context, settings: &Settings, key: &Key) -> Result<Response> {
    let deleted = if settings.database {
        database::evict(cx, settings, key).await.map_err(save::refused)?
    } else {
        memory::peek(key).is_some()
    };
    pending::forget(key, cx.elapsed_ms());
    memory::evict(key);
    file::evict(cx, settings, key).await?;
    Response::json(200, &json!({ "success": true, "deleted": deleted }))
}
