//! An athlete's activities on Strava.
//!
//! `settings.after` (epoch seconds or RFC 3339) and `settings.types` say which. Photos and comments,
//! the rich fields, cost a request each and are fetched once in `rich_seconds`, photos of activities
//! of the last day and comments of those of the last week. Refresh tokens rotate: the database allows one
//! worker at a time to renew them, and the new pair is sealed and kept before it is used.

use http::{HeaderMap, Method, StatusCode};
use ironferry::seal::KeyRing;
use ironferry::{Context, Error, Result, Secret};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    Call, Fetched, MAX_BODY, Source, call, check, encode, failed, limited, needs_login, protocol, read, send,
    stamp,
};
use crate::database;
use crate::entry::{Entry, Key, now_ms, parse_time};
use crate::refresh::{self, body_of};
use crate::settings::Settings;
use crate::tokens::{self, Token};

const PER_PAGE: usize = 200;
/// 10,000 activities.
const MOST_PAGES: usize = 50;
/// An access token that ends sooner is renewed first.
const MARGIN_SECONDS: i64 = 300;
const DAY_MS: i64 = 86_400_000;

/// The secret that holds the key ring.
pub(crate) const KEYS: &str = "CREDENTIALS_ENCRYPTION_KEYS";

/// What is sealed.
#[derive(serde::Serialize, Deserialize)]
struct Pair {
    refresh_token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    expires_at: i64,
}

/// What the token endpoint answers.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    refresh_token: String,
    expires_at: i64,
}

pub(crate) async fn fetch(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    source: &Source,
    previous: Option<&Entry>,
    lease: Option<&str>,
) -> Result<Fetched> {
    let token = token(cx, settings, key, source, lease).await?;
    let api = Api { cx, source, bearer: ["Bearer ", token.expose()].concat() };
    let mut activities = api.activities().await?;
    keep_rich(&mut activities, &body_of(previous)["activities"]);

    let rich_after = f64::from(source.rich_seconds.unwrap_or(86_400)) * 1_000.0;
    let rich_at = previous.and_then(|entry| entry.rich_at);
    let is_due = rich_at.is_none_or(|at| cx.elapsed_ms() - at >= rich_after);
    let mut enriched = rich_at;
    if is_due {
        match api.enrich(&mut activities).await {
            Ok(()) => enriched = Some(cx.elapsed_ms()),
            // The list is good without; the rest comes when the limit allows.
            Err(error) => cx.warn("cache.strava_rich", json!({ "error": error.chain() })),
        }
    }
    let total = activities.len();
    let body = json!({ "timestamp": stamp(cx), "total_activities": total, "activities": activities });
    Ok(Fetched { body: encode(&body), rich_at: enriched })
}

struct Api<'a> {
    cx: &'a Context,
    source: &'a Source,
    bearer: String,
}

impl Api<'_> {
    /// All pages: Strava may send a page that is not full though more follow, so an empty one is the end.
    async fn activities(&self) -> Result<Vec<Value>> {
        let types: Vec<&str> = self.source.settings["types"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let after = match &self.source.settings["after"] {
            Value::Number(number) => number.as_i64().unwrap_or(0),
            Value::String(text) => parse_time(text).unwrap_or(0) / 1_000,
            _ => 0,
        };
        let mut all = Vec::new();
        for page in 1..=MOST_PAGES {
            let path = format!("/athlete/activities?per_page={PER_PAGE}&page={page}&after={after}");
            let Value::Array(found) = self.get(&path).await? else {
                return Err(protocol(self.source, "a page of activities is no list"));
            };
            if found.is_empty() {
                break;
            }
            all.extend(found.into_iter().filter(|one| {
                types.is_empty() || one["type"].as_str().is_some_and(|kind| types.contains(&kind))
            }));
        }
        Ok(all)
    }

    /// Photos of the last day and comments of the last week.
    async fn enrich(&self, activities: &mut [Value]) -> Result<()> {
        let now = now_ms(self.cx);
        for activity in activities {
            let begun = activity["start_date"].as_str().and_then(parse_time).unwrap_or(0);
            let id = ironferry::to_json(&activity["id"]).unwrap_or_default();
            if now - begun <= 7 * DAY_MS {
                activity["comments"] = self.get(&["/activities/", &id, "/comments"].concat()).await?;
            }
            if now - begun <= DAY_MS && activity["total_photo_count"].as_u64() != Some(0) {
                activity["photos"] = self.get(&["/activities/", &id, "/photos?size=600"].concat()).await?;
            }
        }
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let url = [self.source.url.trim_end_matches('/'), "/api/v3", path].concat();
        let headers = [("authorization", self.bearer.as_str())];
        let reply = call(
            self.cx,
            Call {
                source: self.source,
                method: Method::GET,
                url: &url,
                headers: &headers,
                body: bytes::Bytes::new(),
                max_body: MAX_BODY,
            },
        )
        .await
        .map_err(|error| self.until_reset(error))?;
        if let Some(seconds) = spent(self.cx, reply.headers()) {
            return Err(limited(self.source, seconds));
        }
        read(self.source, reply.body())
    }

    /// A 429 of Strava's lasts until the quarter of an hour is over.
    fn until_reset(&self, error: Error) -> Error {
        if error.as_code() == "SOURCE_LIMITED" {
            return limited(self.source, quarter(self.cx));
        }
        error
    }
}

/// Seconds to wait when the read limits are used up, by `X-ReadRateLimit-Limit` and `-Usage`, or those
/// of all requests: `15 minutes,day`. One below the limit is kept for the token.
fn spent(cx: &Context, headers: &HeaderMap) -> Option<u64> {
    let pair = |name: &str| -> Option<(u64, u64)> {
        let (quarter, day) = headers.get(name)?.to_str().ok()?.split_once(',')?;
        Some((quarter.trim().parse().ok()?, day.trim().parse().ok()?))
    };
    for (limit, usage) in
        [("x-readratelimit-limit", "x-readratelimit-usage"), ("x-ratelimit-limit", "x-ratelimit-usage")]
    {
        let (Some(limit), Some(usage)) = (pair(limit), pair(usage)) else {
            continue;
        };
        if usage.1 >= limit.1 {
            return Some(until(cx, 86_400));
        }
        if usage.0 >= limit.0 {
            return Some(quarter(cx));
        }
    }
    None
}

/// Windows end at :00, :15, :30 and :45.
fn quarter(cx: &Context) -> u64 {
    until(cx, 900)
}

/// Seconds until the next multiple of so many, and one more.
fn until(cx: &Context, period: i64) -> u64 {
    let into = (now_ms(cx) / 1_000).rem_euclid(period);
    u64::try_from(period - into + 1).unwrap_or(0)
}

/// The rich fields that were fetched before stay.
fn keep_rich(activities: &mut [Value], before: &Value) {
    let known: Vec<&Map<String, Value>> =
        before.as_array().into_iter().flatten().filter_map(Value::as_object).collect();
    for activity in activities {
        let Some(old) = known.iter().find(|old| old.get("id") == activity.get("id")) else {
            continue;
        };
        for field in ["comments", "photos"] {
            if let Some(value) = old.get(field) {
                activity[field] = value.clone();
            }
        }
    }
}

/// Returns the access token. One that is about to expire is renewed first, and the new pair kept.
async fn token(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    source: &Source,
    lease: Option<&str>,
) -> Result<Secret> {
    let sealed = source.credentials.as_deref().ok_or_else(|| {
        Error::bad_request("the strava source has no refresh token: save it with one")
            .code("SOURCE_CREDENTIALS")
    })?;
    if let Some(token) = Pair::open(cx, key, sealed)?.good_token(cx) {
        return Ok(token);
    }
    // Without the database nothing could keep the new refresh token, and the source takes no other.
    let lease = lease.ok_or_else(|| {
        Error::unavailable("the access token has expired; it is renewed when the database is back")
            .code("DATABASE_UNAVAILABLE")
    })?;
    let current = database::begin_rotation(cx, settings, lease).await?.ok_or_else(|| {
        Error::unavailable("another instance is renewing the access token")
            .code("REFRESHING")
            .details(json!({ "retry_after": 60 }))
    })?;
    let is_held = tokens::held(key).is_some();
    let current = tokens::held(key).unwrap_or(current);
    let pair = Pair::open(cx, key, &current)?;
    if let Some(token) = pair.good_token(cx) {
        end_rotation(cx, settings, key, lease).await;
        return Ok(token);
    }
    match renew(cx, source, &pair).await {
        Ok(granted) => keep(cx, settings, key, source, granted).await,
        Err(error) => {
            if error.as_code() == "SOURCE_NEEDS_LOGIN" {
                let refused = (!is_held).then_some(current.as_str());
                tokens::lost(cx, settings, key, &error, refused).await;
            } else {
                end_rotation(cx, settings, key, lease).await;
            }
            Err(error)
        }
    }
}

async fn end_rotation(cx: &Context, settings: &Settings, key: &Key, lease: &str) {
    if let Err(error) = database::fail_rotation(cx, settings, lease).await {
        // It ends by itself after some minutes.
        cx.warn("cache.rotation_kept", json!({ "key": key.id(), "error": error.chain() }));
    }
}

async fn keep(
    cx: &Context,
    settings: &Settings,
    key: &Key,
    source: &Source,
    granted: Granted,
) -> Result<Secret> {
    let pair = Pair {
        refresh_token: granted.refresh_token,
        access_token: granted.access_token,
        expires_at: granted.expires_at,
    };
    let sealed = pair.seal(cx, key)?;
    tokens::keep(cx, settings, key, Token { sealed: sealed.clone(), got_ms: now_ms(cx) }).await?;
    refresh::remember(cx, settings, key, &Source { credentials: Some(sealed), ..source.clone() }).await;
    Ok(Secret::new(pair.access_token))
}

impl Pair {
    fn open(cx: &Context, key: &Key, sealed: &str) -> Result<Self> {
        let opened = KeyRing::from_secret(cx, KEYS)?.open(&place(key), sealed)?;
        ironferry::from_json(opened.expose().as_bytes())
            .map_err(|_| Error::internal("a sealed value cannot be read").code("SEAL_BROKEN"))
    }

    fn seal(&self, cx: &Context, key: &Key) -> Result<String> {
        KeyRing::from_secret(cx, KEYS)?.seal(cx, &place(key), &Secret::new(written(self)?))
    }

    /// Returns the access token unless it is about to expire.
    fn good_token(&self, cx: &Context) -> Option<Secret> {
        let is_good = !self.access_token.is_empty() && self.expires_at > now_ms(cx) / 1_000 + MARGIN_SECONDS;
        is_good.then(|| Secret::new(self.access_token.as_str()))
    }
}

async fn renew(cx: &Context, source: &Source, pair: &Pair) -> Result<Granted> {
    let mut form = String::new();
    for (name, value) in [
        ("client_id", cx.require_secret("STRAVA_CLIENT_ID")?.expose()),
        ("client_secret", cx.require_secret("STRAVA_CLIENT_SECRET")?.expose()),
        ("grant_type", "refresh_token"),
        ("refresh_token", &pair.refresh_token),
    ] {
        form.push_str(if form.is_empty() { "" } else { "&" });
        form.push_str(name);
        form.push('=');
        encode_form(&mut form, value);
    }
    let call = Call {
        source,
        method: Method::POST,
        url: &[source.url.trim_end_matches('/'), "/oauth/token"].concat(),
        headers: &[("content-type", "application/x-www-form-urlencoded")],
        body: form.into(),
        max_body: 100_000,
    };
    let unrenewed = |error: Error| match error.as_code() {
        "SOURCE_LIMITED" => limited(source, quarter(cx)),
        _ => failed(source, "it does not renew the access token", 502).source(error),
    };
    let reply = send(cx, call).await.map_err(unrenewed)?;
    if is_refused(&reply) {
        return Err(needs_login());
    }
    check(cx, source, &reply).map_err(unrenewed)?;
    read(source, reply.body())
}

/// Whether it is the refresh token that is wrong, and not the client's own id or secret.
fn is_refused(reply: &http::Response<bytes::Bytes>) -> bool {
    let body = String::from_utf8_lossy(reply.body());
    matches!(reply.status(), StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED)
        && ["refresh_token", "RefreshToken", "invalid_grant"].iter().any(|word| body.contains(word))
}

fn encode_form(form: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            form.push(char::from(byte));
        } else {
            form.push('%');
            form.extend(
                [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789ABCDEF"[usize::from(digit)])),
            );
        }
    }
}

/// Where the sealed pair belongs: moved to another source it does not open.
fn written(pair: &impl Serialize) -> Result<String> {
    ironferry::to_json(pair)
        .map_err(|problem| Error::internal("the token could not be written").source(problem))
}

fn place(key: &Key) -> String {
    ["cache_sources/", &key.project, "/", &key.cache_type, "/credentials"].concat()
}

/// Seals a refresh token that an operator gives.
pub(crate) fn seal(cx: &Context, key: &Key, refresh_token: &Secret) -> Result<String> {
    let pair = written(&json!({ "refresh_token": refresh_token.expose() }))?;
    KeyRing::from_secret(cx, KEYS)?.seal(cx, &place(key), &Secret::new(pair))
}
