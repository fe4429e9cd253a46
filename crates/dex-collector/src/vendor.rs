//! Speaks to a DEX site: the Cantaloupe dashboard, a Laravel application.
//!
//! A form login gives cookies; the page behind it carries a CSRF token; a DataTables endpoint lists
//! captures, newest first, and another one gives the raw text of one.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, COOKIE, HeaderName, LOCATION};
use http::{Method, StatusCode};
use ironferry::{Context, Error, FetchOptions, Result, from_json, outbound, status_error};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::Budget;
use crate::cookies::Cookies;
use crate::cpu;
use crate::credentials::Login;

const X_CSRF_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");
const X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// The site answers in well under a second; a page that takes longer is hanging.
const TIMEOUT: Duration = Duration::from_secs(20);
/// A page of 100 rows is 60 kB, a capture 4 kB.
const MAX_BODY: usize = 4_000_000;
const PAGE_ROWS: usize = 100;
/// 50,000 captures in a window of days: no site lists more, so a list without end is a fault.
const MAX_PAGES: usize = 500;

/// A capture as the site lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The site's number of the capture, unique within an account.
    pub dex_id: i64,
    /// The machine's serial, as text: it may have leading zeros.
    pub case_serial: String,
    /// When the device made it, by the site's clock.
    pub captured_at: OffsetDateTime,
    /// The device's firmware.
    pub firmware: Option<String>,
}

/// Which captures are listed.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The oldest.
    pub from: OffsetDateTime,
    /// The newest.
    pub to: OffsetDateTime,
}

/// A session on a site.
pub struct Session<'a> {
    cx: &'a Context,
    budget: &'a Budget,
    site: String,
    login: &'a Login,
    cookies: Cookies,
    csrf: String,
}

impl<'a> Session<'a> {
    /// Logs in. 502 `LOGIN_REFUSED` when the site does not take the login.
    pub async fn login(
        cx: &'a Context,
        budget: &'a Budget,
        site_url: &str,
        login: &'a Login,
    ) -> Result<Self> {
        outbound::guard(cx, site_url)?;
        let site = site_url.trim_end_matches('/').to_owned();
        let mut session = Self { cx, budget, site, login, cookies: Cookies::default(), csrf: String::new() };
        session.renew().await?;
        Ok(session)
    }

    /// Logs in with fresh cookies.
    async fn renew(&mut self) -> Result<()> {
        self.cookies = Cookies::default();
        let page = self.send(Method::GET, "/login", Body::None).await?;
        self.csrf = csrf_token(&page).ok_or_else(|| protocol("its login page has no CSRF token"))?;
        let form = form(&[
            ("_token", &self.csrf),
            ("email", self.login.username.expose()),
            ("password", self.login.password.expose()),
        ]);
        let reply = self.send(Method::POST, "/login", Body::Form(form)).await?;
        if !leads_elsewhere(&reply) {
            return Err(Error::bad_gateway("the DEX site refuses the login").code("LOGIN_REFUSED"));
        }
        // The token changes with the session.
        let page = self.send(Method::GET, "/dex", Body::None).await?;
        self.csrf = csrf_token(&page).ok_or_else(|| protocol("its pages have no CSRF token"))?;
        Ok(())
    }

    /// Lists every capture of the window, oldest first. Rows that arrive while it pages move the
    /// others to later pages, so that some are seen twice and none is missed.
    pub async fn list(&mut self, window: Window) -> Result<Vec<Listed>> {
        let mut rows = BTreeMap::new();
        // Counted by what came: a site may send fewer rows than it is asked for.
        let mut start = 0;
        for _ in 0..MAX_PAGES {
            let body = self.authenticated("/dex", &list_form(start, window)?).await?;
            let listing: Listing = from_json(&body)
                .map_err(|problem| protocol("its list is not the one expected").source(problem))?;
            let (count, total) = (listing.data.len(), listing.total);
            for row in listing.data {
                let row = row.into_listed()?;
                rows.insert((row.captured_at, row.dex_id), row);
            }
            start += count;
            if count == 0 || start >= total {
                return Ok(rows.into_values().collect());
            }
            if !self.budget.may_go_on(self.cx) {
                // Other companies have spent the worker's CPU too: not a failure of this one.
                self.budget.require_cpu()?;
                // As a failure it has its backoff: the next tick would come no further.
                return Err(Error::timeout("the DEX site lists more than the time of a run allows")
                    .code("LIST_TOO_LONG"));
            }
        }
        Err(protocol("its list has no end"))
    }

    /// Downloads one capture.
    pub async fn fetch(&mut self, dex_id: i64) -> Result<Bytes> {
        let id = dex_id.to_string();
        self.authenticated(&format!("/dex/getRawDex/{id}"), &form(&[("dexId", &id)])).await
    }

    /// A POST as the page's own scripts make it. A session that has expired is renewed once.
    async fn authenticated(&mut self, path: &str, body: &str) -> Result<Bytes> {
        for renewed in [false, true] {
            let reply = self.send(Method::POST, path, Body::Script(body.to_owned())).await?;
            if is_expired(reply.status()) {
                if renewed {
                    // A new session that is led past its login is none that ended: it is this request.
                    if leads_elsewhere(&reply) {
                        return Err(protocol("it leads elsewhere"));
                    }
                    break;
                }
                self.renew().await?;
                continue;
            }
            if let Some(error) = status_error(reply.status(), "the DEX site") {
                return Err(error);
            }
            // Laravel answers an error page with 200 in some set-ups; a capture never is HTML.
            let html = reply
                .headers()
                .get(CONTENT_TYPE)
                .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
            return if html { Err(protocol("it sent a page of HTML")) } else { Ok(reply.into_body()) };
        }
        Err(Error::bad_gateway("the DEX site ends each session at once").code("SESSION_REFUSED"))
    }

    async fn send(&mut self, method: Method, path: &str, body: Body) -> Result<http::Response<Bytes>> {
        self.budget.spend();
        let mut request = http::Request::builder().method(method).uri(format!("{}{path}", self.site));
        let cookies = self.cookies.header();
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies);
        }
        let bytes = match body {
            Body::None => Bytes::new(),
            Body::Form(text) => {
                request = request.header(CONTENT_TYPE, FORM);
                text.into()
            }
            Body::Script(text) => {
                request = request
                    .header(CONTENT_TYPE, FORM)
                    .header(ACCEPT, "application/json, text/plain, */*")
                    .header(X_CSRF_TOKEN, self.csrf.as_str())
                    .header(X_REQUESTED_WITH, "XMLHttpRequest");
                text.into()
            }
        };
        let options = FetchOptions {
            timeout: TIMEOUT,
            max_body: MAX_BODY,
            follow_redirects: false,
            ..FetchOptions::default()
        };
        let reply =
            self.cx.fetch_with(request.body(bytes)?, options).await.map_err(|error| {
                match Error::from(error) {
                    error if error.status() == StatusCode::GATEWAY_TIMEOUT => {
                        Error::timeout("the DEX site does not answer").code("SITE_TIMEOUT").source(error)
                    }
                    error => Error::bad_gateway("the DEX site cannot be reached")
                        .code("SITE_UNREACHABLE")
                        .source(error),
                }
            })?;
        if reply.status().is_server_error() || reply.status() == StatusCode::TOO_MANY_REQUESTS {
            return Err(
                status_error(reply.status(), "the DEX site").unwrap_or_else(|| protocol("its status"))
            );
        }
        cpu::spend_reply(reply.body().len());
        self.cookies.store(reply.headers());
        Ok(reply)
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

enum Body {
    None,
    /// A form that a browser submits.
    Form(String),
    /// A form that the page's script sends.
    Script(String),
}

/// 419 is Laravel's word for a CSRF token of another session; a page redirects to the login.
fn is_expired(status: StatusCode) -> bool {
    matches!(status.as_u16(), 302 | 401 | 419)
}

/// Whether a reply leads to another page, and not back to the login.
fn leads_elsewhere(reply: &http::Response<Bytes>) -> bool {
    let location = reply.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("");
    reply.status().is_redirection() && !location.contains("/login")
}

fn protocol(what: &'static str) -> Error {
    Error::bad_gateway(format!("the DEX site answers in a way that is not understood: {what}"))
        .code("SITE_PROTOCOL")
}

/// `<meta name="csrf-token" content="…">`, wherever the attributes stand.
fn csrf_token(page: &http::Response<Bytes>) -> Option<String> {
    let page = std::str::from_utf8(page.body()).ok()?;
    let tag = page.split('<').find(|tag| tag.starts_with("meta") && tag.contains("csrf-token"))?;
    let (_, rest) = tag.split_once("content=")?;
    let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    rest[1..].split(quote).next().filter(|token| !token.is_empty()).map(str::to_owned)
}

fn form(fields: &[(&str, &str)]) -> String {
    let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    fields
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect::<Vec<_>>()
        .join("&")
}

/// The columns of the site's table; it refuses a form without them.
const COLUMNS: [&str; 10] = [
    "",
    "",
    "dexRaw.created",
    "dexRaw.parsed",
    "dexRaw.uploadReason",
    "dexRaw.dexSource",
    "dexRaw.firmware",
    "devices.caseSerial",
    "customers.name",
    "vdiToDEX",
];

fn list_form(start: usize, window: Window) -> Result<String> {
    let (start, length) = (start.to_string(), PAGE_ROWS.to_string());
    let (from, to) = (bound(window.from)?, bound(window.to)?);
    let columns: Vec<(String, &str)> =
        COLUMNS.iter().enumerate().map(|(index, name)| (format!("columns[{index}][data]"), *name)).collect();
    let mut fields = vec![("draw", "1"), ("start", start.as_str()), ("length", length.as_str())];
    fields.extend(columns.iter().map(|(name, value)| (name.as_str(), *value)));
    fields.extend([
        ("order[0][column]", "2"),
        ("order[0][dir]", "desc"),
        ("startDateVal", from.as_str()),
        ("endDateVal", to.as_str()),
        ("offset", "0"),
    ]);
    Ok(form(&fields))
}

/// `YYYY-MM-DDTHH:MM:SS+00:00`, the form that the page's date picker sends.
fn bound(time: OffsetDateTime) -> Result<String> {
    let whole = time.to_offset(time::UtcOffset::UTC).truncate_to_second();
    let text =
        whole.format(&Rfc3339).map_err(|error| Error::internal("a time cannot be written").source(error))?;
    Ok(text.replace('Z', "+00:00"))
}

#[derive(Deserialize)]
struct Listing {
    #[serde(rename = "recordsFiltered")]
    total: usize,
    data: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "dexRaw")]
    raw: Raw,
    devices: Device,
}

#[derive(Deserialize)]
struct Raw {
    id: i64,
    created: String,
    #[serde(default)]
    firmware: Option<String>,
}

#[derive(Deserialize)]
struct Device {
    #[serde(rename = "caseSerial")]
    case_serial: String,
}

impl Row {
    fn into_listed(self) -> Result<Listed> {
        // The site writes `2026-11-21 08:30:00` and means UTC, though it does not say so (docs/dex.md).
        let created = format!("{}Z", self.raw.created.replace(' ', "T"));
        let captured_at = OffsetDateTime::parse(&created, &Rfc3339)
            .map_err(|error| protocol("a row's time is not a time").source(error))?;
        Ok(Listed {
            dex_id: self.raw.id,
            case_serial: self.devices.case_serial,
            captured_at,
            firmware: self.raw.firmware,
        })
    }
}
