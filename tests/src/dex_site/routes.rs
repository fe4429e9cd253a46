//! Which page, and who may see it. The order of the questions is Laravel's: session, CSRF token,
//! login.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderName;
use http::{Method, Request};
use hyper::body::Incoming;
use serde_json::json;

use super::answer::{Reply, html, json, redirect, with_cookies};
use super::asked::Asked;
use super::failing::failing;
use super::faults::Part;
use super::sessions::Session;
use super::stats::UnderWay;
use super::{Shared, control, download, list, lock, login};

pub(super) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Reply, Infallible> {
    let Some(asked) = Asked::read(request).await else {
        return Ok(html(400, "<html><title>Bad Request</title></html>"));
    };
    if asked.path.starts_with("/__control/") {
        return Ok(control::answer(&shared, &asked));
    }
    let _under_way = UnderWay::begin(&shared);
    let mut session = session(&shared, &asked);
    let account = session.account.clone().or_else(|| by_email(&asked));
    let account = account.as_deref();

    let latency = shared.with_faults(account, |faults| faults.latency_ms);
    tokio::time::sleep(Duration::from_millis(latency)).await;
    let (part, reply) = page(&shared, &asked, &mut session);
    let reply = with_cookies(reply, &session);
    let fault = part.and_then(|part| shared.take_fault(account, part));
    Ok(match fault {
        Some(fault) => failing(fault, reply).await,
        None => reply,
    })
}

/// Who logs in is known by the form.
fn by_email(asked: &Asked) -> Option<String> {
    let email = asked.field("email");
    (!email.is_empty()).then(|| email.to_owned())
}

/// The session behind the cookie, else a new one: of a guest, as after its end.
fn session(shared: &Shared, asked: &Asked) -> Session {
    let mut sessions = lock(&shared.sessions);
    let limit = |account: Option<&str>| shared.with_faults(account, |faults| faults.session_requests);
    let known = asked.cookie("laravel_session").and_then(|cookie| sessions.use_one(cookie, limit));
    known.unwrap_or_else(|| sessions.begin(None))
}

/// The reply when all is well, and the part of the site that it is, when it can fail.
fn page(shared: &Shared, asked: &Asked, session: &mut Session) -> (Option<Part>, Reply) {
    let path = asked.path.as_str();
    let raw = path.strip_prefix("/dex/getRawDex/");
    match (&asked.method, path) {
        (&Method::GET, "/login") if session.account.is_some() => (None, redirect("/dashboard")),
        (&Method::GET, "/login") => (Some(Part::Page), login::form(session)),
        (&Method::GET, "/" | "/dashboard" | "/dex") => match session.account {
            Some(_) => (Some(Part::Page), login::page(session)),
            None => (None, redirect("/login")),
        },
        (&Method::POST, _) if !has_token(asked, session) => {
            lock(&shared.stats).expired += 1;
            (None, mismatch(asked))
        }
        (&Method::POST, "/login") => (Some(Part::Login), login::log_in(shared, asked, session)),
        (&Method::POST, _) if session.account.is_none() => (None, unauthenticated(asked)),
        (&Method::POST, "/dex") => (Some(Part::List), list::page(shared, asked, session)),
        (&Method::POST, _) if raw.is_some() => {
            let id = raw.unwrap_or_default();
            let part = id.parse().ok().map(Part::Download);
            (part, download::raw(shared, asked, session, id))
        }
        (_, "/login" | "/dex" | "/dashboard") => {
            (None, html(405, "<html><title>Method Not Allowed</title></html>"))
        }
        _ => (None, html(404, "<html><title>Not Found</title></html>")),
    }
}

/// From the form or from the header that the page's script sends.
fn has_token(asked: &Asked, session: &Session) -> bool {
    let token = match asked.field("_token") {
        "" => asked.header(&HeaderName::from_static("x-csrf-token")),
        token => token,
    };
    token == session.csrf
}

fn mismatch(asked: &Asked) -> Reply {
    if asked.expects_json() {
        json(419, &json!({ "message": "CSRF token mismatch." }))
    } else {
        html(419, "<html><title>Page Expired</title></html>")
    }
}

fn unauthenticated(asked: &Asked) -> Reply {
    if asked.expects_json() {
        json(401, &json!({ "message": "Unauthenticated." }))
    } else {
        redirect("/login")
    }
}
