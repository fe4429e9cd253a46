//! The site's pages.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::header::COOKIE;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::answer::{Reply, html, json, redirect, reply, spoilt, with_cookies};
use super::faults::Faults;
use super::{Shared, lock};
use crate::captures::Capture;

const TEXT: &str = "text/plain; charset=UTF-8";

/// Who asks, as far as the cookie tells.
struct Visitor {
    cookie: String,
    csrf: String,
    account: Option<String>,
}

pub(super) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Reply, Infallible> {
    let (parts, incoming) = request.into_parts();
    let bytes = incoming.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let form = read_form(&String::from_utf8_lossy(&bytes));
    let visitor = visitor(&shared, &parts.headers);
    let counted = Counted::new(&shared);

    let faults = faults_of(&shared, visitor.account.as_deref().or(form.get("email").map(String::as_str)));
    tokio::time::sleep(Duration::from_millis(faults.latency_ms)).await;
    let header = parts.headers.get("x-csrf-token").and_then(|value| value.to_str().ok());
    let path = parts.uri.path();
    let reply = match (&parts.method, path) {
        (&Method::GET, "/__control/stats") => json(200, &json!(*lock(&shared.stats))),
        (&Method::POST, "/__control/faults") => control(&shared, &bytes),
        (&Method::GET, "/login") => {
            with_cookies(html(200, page(&visitor.csrf)), &visitor.cookie, &visitor.csrf)
        }
        (&Method::POST, "/login") => log_in(&shared, &visitor, &form),
        (&Method::GET, "/dex" | "/dashboard") => match visitor.account {
            Some(_) => html(200, page(&visitor.csrf)),
            None => redirect("/login"),
        },
        (&Method::POST, _) if header != Some(visitor.csrf.as_str()) => {
            json(419, &json!({ "message": "CSRF token mismatch." }))
        }
        (&Method::POST, _) if visitor.account.is_none() => {
            json(401, &json!({ "message": "Unauthenticated." }))
        }
        (&Method::POST, "/dex") => list(&shared, &visitor, &form, &faults).await,
        (&Method::POST, path) if path.starts_with("/dex/getRawDex/") => {
            download(&shared, &visitor, path, &form, &faults).await
        }
        _ => html(404, "<html><title>Not Found</title></html>"),
    };
    drop(counted);
    Ok(reply)
}

/// Counts a request while it is under way.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: &Arc<Shared>) -> Self {
        let mut stats = lock(&shared.stats);
        stats.requests += 1;
        stats.under_way += 1;
        stats.most_at_once = stats.most_at_once.max(stats.under_way);
        Self(shared.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        lock(&self.0.stats).under_way -= 1;
    }
}

fn control(shared: &Shared, body: &[u8]) -> Reply {
    match serde_json::from_slice::<HashMap<String, Faults>>(body) {
        Ok(faults) => {
            lock(&shared.faults).extend(faults);
            json(200, &json!({ "ok": true }))
        }
        Err(error) => json(400, &json!({ "message": error.to_string() })),
    }
}

fn faults_of(shared: &Shared, account: Option<&str>) -> Faults {
    let faults = lock(&shared.faults);
    account.and_then(|account| faults.get(account)).or_else(|| faults.get("*")).cloned().unwrap_or_default()
}

/// The session behind the cookie, or a new one. A session that has been used up is gone.
fn visitor(shared: &Shared, headers: &http::HeaderMap) -> Visitor {
    let mut sessions = lock(&shared.sessions);
    let cookies = headers.get(COOKIE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let cookie = cookies.split("; ").find_map(|pair| pair.strip_prefix("laravel_session="));
    if let Some(cookie) = cookie
        && let Some(session) = sessions.find(cookie)
    {
        session.uses += 1;
        let limit = faults_of(shared, session.account.as_deref()).session_requests;
        if limit.is_none_or(|limit| session.uses <= limit) {
            return Visitor {
                cookie: cookie.to_owned(),
                csrf: session.csrf.clone(),
                account: session.account.clone(),
            };
        }
        sessions.end(cookie);
    }
    let (cookie, session) = sessions.begin(None);
    Visitor { cookie, csrf: session.csrf, account: None }
}

fn page(csrf: &str) -> String {
    format!(
        "<!DOCTYPE html><html><head><meta charset=\"utf-8\">\n<meta name=\"csrf-token\" content=\"{csrf}\">\n\
         <title>Seed</title></head><body><form method=\"POST\" action=\"/login\">\
         <input type=\"hidden\" name=\"_token\" value=\"{csrf}\"></form></body></html>"
    )
}

fn log_in(shared: &Shared, visitor: &Visitor, form: &HashMap<String, String>) -> Reply {
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    if field("_token") != visitor.csrf {
        return html(419, "<html><title>Page Expired</title></html>");
    }
    let known =
        lock(&shared.accounts).get(field("email")).is_some_and(|one| one.password == field("password"));
    if !known {
        return with_cookies(redirect("/login"), &visitor.cookie, &visitor.csrf);
    }
    // A fresh session, so that one fixed before the login is worth nothing.
    let mut sessions = lock(&shared.sessions);
    sessions.end(&visitor.cookie);
    let (cookie, session) = sessions.begin(Some(field("email").to_owned()));
    *lock(&shared.stats).logins.entry(field("email").to_owned()).or_default() += 1;
    with_cookies(redirect("/dashboard"), &cookie, &session.csrf)
}

async fn list(shared: &Shared, visitor: &Visitor, form: &HashMap<String, String>, faults: &Faults) -> Reply {
    let account = visitor.account.clone().unwrap_or_default();
    *lock(&shared.stats).lists.entry(account.clone()).or_default() += 1;
    grow(shared, &account, faults.grows_by);
    let body = listing(shared, &account, form).to_string();
    match faults.list {
        Some(fault) => spoilt(fault, "application/json", body.into_bytes()).await,
        None => reply(200, "application/json", body),
    }
}

/// A device reports while somebody pages: its capture goes to the top.
fn grow(shared: &Shared, account: &str, by: u32) {
    let mut accounts = lock(&shared.accounts);
    let Some(account) = accounts.get_mut(account) else {
        return;
    };
    for _ in 0..by {
        let Some(newest) = account.captures.iter().max_by_key(|capture| (capture.created, capture.dex_id))
        else {
            return;
        };
        let next = Capture {
            dex_id: newest.dex_id + 1,
            created: newest.created + time::Duration::seconds(1),
            ..newest.clone()
        };
        account.captures.push(next);
    }
}

fn listing(shared: &Shared, account: &str, form: &HashMap<String, String>) -> Value {
    let accounts = lock(&shared.accounts);
    let all = accounts.get(account).map(|account| account.captures.as_slice()).unwrap_or_default();
    let number = |name: &str| form.get(name).and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
    let bound = |name: &str| form.get(name).map(|text| text.replace('T', " ")).unwrap_or_default();
    let (from, to) = (bound("startDateVal"), bound("endDateVal"));
    let mut shown: Vec<&Capture> = all
        .iter()
        .filter(|capture| {
            let created = created(capture);
            created.as_str() >= from.get(..19).unwrap_or("")
                && (to.is_empty() || created.as_str() <= to.get(..19).unwrap_or("~"))
        })
        .collect();
    shown.sort_by_key(|capture| std::cmp::Reverse((capture.created, capture.dex_id)));
    let page: Vec<Value> =
        shown.iter().skip(number("start")).take(number("length").clamp(1, 100)).map(|one| row(one)).collect();
    json!({ "draw": number("draw"), "recordsTotal": all.len(), "recordsFiltered": shown.len(), "data": page })
}

fn created(capture: &Capture) -> String {
    let at = capture.created;
    let (date, time) = (at.date(), at.time());
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

fn row(capture: &Capture) -> Value {
    json!({
        "dexRaw": {
            "id": capture.dex_id,
            "created": created(capture),
            "uploadReason": 0,
            "parsed": 1,
            "preprocessed": 1,
            "firmware": "1.8.18.1",
            "VDIUploaded": 1,
            "vdiProviderID": null,
            "dexSource": "Device",
        },
        "devices": { "caseSerial": capture.serial },
        "customers": { "name": "Simulated operator", "is_inventory": 0 },
        "DT_RowId": format!("row_{}", capture.dex_id),
        "vdiToDEX": [],
    })
}

async fn download(
    shared: &Shared,
    visitor: &Visitor,
    path: &str,
    form: &HashMap<String, String>,
    faults: &Faults,
) -> Reply {
    let id = path.rsplit('/').next().unwrap_or_default();
    if form.get("dexId").map(String::as_str) != Some(id) {
        return json(422, &json!({ "message": "The dexId field is required." }));
    }
    let account = visitor.account.clone().unwrap_or_default();
    let body = {
        let accounts = lock(&shared.accounts);
        let captures = accounts.get(&account).map(|account| account.captures.as_slice()).unwrap_or_default();
        captures
            .iter()
            .find(|capture| capture.dex_id.to_string() == id)
            .map(|capture| (capture.dex_id, capture.body.clone()))
    };
    let Some((dex_id, body)) = body else {
        return html(404, "<html><title>Not Found</title></html>");
    };
    *lock(&shared.stats).downloads.entry(dex_id).or_default() += 1;
    match faults.download {
        Some(fault) => spoilt(fault, TEXT, body).await,
        None => reply(200, TEXT, body),
    }
}

fn read_form(body: &str) -> HashMap<String, String> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    body.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}
