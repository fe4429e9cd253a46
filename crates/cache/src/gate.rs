//! Who may ask: a service key or a project's API key, from an allowed network, so many times a minute.
//!
//! The database decides and counts. It grants a tenth of what is left of a caller's minute at once, so
//! that most requests are admitted without asking it and no instance exceeds the limit. What it said of
//! a caller is kept in a file too, as hashes: a restart while it is away locks nobody out.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ironferry::{Context, Error, Request, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::entry::hash;
use crate::rows::cache_admit;
use crate::settings::Settings;
use crate::{database, file, flight, instance};

pub(crate) type Callers = Vec<Known>;

/// What the database said of a caller.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Known {
    /// The hash of the key, or nothing for a service.
    key_hash: String,
    ip: String,
    project: String,
    caller: String,
    can_write: bool,
    #[serde(skip)]
    granted: u32,
    #[serde(skip)]
    remaining: u32,
    /// When the minute ends, on the measuring clock.
    #[serde(skip)]
    resets_at: f64,
}

/// Kept in the file and in memory; the one that was admitted longest ago goes first.
const MOST: usize = 500;

/// The caller of a request that was admitted.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// `service`, or `key:` and its id.
    pub(crate) role: String,
    pub(crate) is_service: bool,
    pub(crate) can_write: bool,
    pub(crate) rate: Rate,
}

/// For the `RateLimit-*` headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    pub(crate) reset_seconds: u64,
}

#[derive(Deserialize)]
struct Answer {
    verdict: String,
    caller: String,
    can_write: bool,
    granted: u32,
    remaining: u32,
    reset_ms: u32,
}

/// Who asked for a project, as far as the request shows it.
struct Asking {
    key_hash: String,
    ip: String,
    project: String,
}

/// 401 for a caller who shows no good key, 403 from elsewhere, 429 for too many requests.
pub(crate) async fn admit(
    request: &Request,
    cx: &Context,
    settings: &Settings,
    project: &str,
) -> Result<Caller> {
    let mut refusal = None;
    let key_hash = match request.header("x-cache-key") {
        Some(key) => hash(key.trim().as_bytes()),
        // A wrong service key is told to the database as a key that nobody has: it counts.
        None => match cx.require_service() {
            Ok(()) => String::new(),
            Err(error) => {
                refusal = Some(error);
                "0".to_owned()
            }
        },
    };
    let asking = Asking { key_hash, ip: client_ip(request, cx), project: project.to_owned() };
    let admitted = loop {
        if refusal.is_none()
            && let Some(caller) = take(cx, settings, &asking)
        {
            break Ok(caller);
        }
        match ask(cx, settings, &asking).await {
            Ok(Some(refused)) => break Err(refused),
            Ok(None) => {}
            Err(error) if !database::is_final(&error) => break stand_in(cx, settings, &asking, error),
            Err(error) => break Err(error),
        }
    };
    match (admitted, refusal) {
        (Err(error), Some(refusal))
            if error.as_code() != "RATE_LIMITED" && error.as_code() != "NETWORK_REFUSED" =>
        {
            Err(refusal)
        }
        (admitted, _) => admitted,
    }
}

/// From what was granted.
fn take(cx: &Context, settings: &Settings, asking: &Asking) -> Option<Caller> {
    let now = cx.elapsed_ms();
    instance::with(|instance| {
        let known = find(&mut instance.callers, asking)?;
        if known.granted == 0 || now >= known.resets_at {
            return None;
        }
        known.granted -= 1;
        Some(known.admitted(settings, now))
    })
}

fn find<'a>(callers: &'a mut Callers, asking: &Asking) -> Option<&'a mut Known> {
    callers.iter_mut().find(|known| {
        known.key_hash == asking.key_hash && known.ip == asking.ip && known.project == asking.project
    })
}

impl Known {
    fn admitted(&self, settings: &Settings, now: f64) -> Caller {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // at most a minute
        let reset_seconds = ((self.resets_at - now).max(0.0) / 1_000.0).ceil() as u64;
        Caller {
            role: self.caller.clone(),
            is_service: self.caller == "service",
            can_write: self.can_write,
            rate: Rate {
                limit: settings.rate_limit,
                remaining: self.granted + self.remaining,
                reset_seconds,
            },
        }
    }
}

/// Asks the database, one at a time for each caller: those who wait use what that one was granted.
async fn ask(cx: &Context, settings: &Settings, asking: &Asking) -> Result<Option<Error>> {
    let arguments = cache_admit::Args {
        p_ip: &asking.ip,
        p_limit: database::integer(settings.rate_limit),
        p_project: Some(&asking.project),
        p_key_hash: Some(&asking.key_hash),
        p_at_once: None,
    };
    let reply = flight::lock(
        ["admit/", &asking.key_hash, "/", &asking.ip, "/", &asking.project].concat(),
        // Whoever waited looks again first.
        database::call(cx, settings, cache_admit::NAME, &arguments),
    )
    .await;
    let Some(reply) = reply else {
        return Ok(None);
    };
    let reply = reply?;
    let verdict: Answer = database::read(&reply)?;
    let now = cx.elapsed_ms();
    let known = Known {
        key_hash: asking.key_hash.clone(),
        ip: asking.ip.clone(),
        project: asking.project.clone(),
        caller: verdict.caller,
        can_write: verdict.can_write,
        granted: verdict.granted,
        remaining: verdict.remaining,
        resets_at: now + f64::from(verdict.reset_ms),
    };
    let rate = known.admitted(settings, now).rate;
    let is_new = instance::with(|instance| {
        let is_new = find(&mut instance.callers, asking).is_none();
        instance.callers.retain(|other| {
            other.key_hash != asking.key_hash || other.ip != asking.ip || other.project != asking.project
        });
        if verdict.verdict == "admitted" {
            if instance.callers.len() >= MOST {
                instance.callers.remove(0);
            }
            instance.callers.push(known);
        }
        is_new && verdict.verdict == "admitted"
    });
    if is_new {
        keep(cx, settings).await;
    }
    Ok(match verdict.verdict.as_str() {
        "admitted" => None,
        "limited" => Some(limited(rate)),
        "network" => {
            let said = "the cache may not be asked from this address";
            Some(Error::forbidden(said).code("NETWORK_REFUSED"))
        }
        "elsewhere" => Some(Error::forbidden("this key opens another project").code("WRONG_PROJECT")),
        _ => Some(Error::unauthorized("the API key is not good").code("INVALID_API_KEY")),
    })
}

/// The database is away: what it last said of this caller holds on, and the instance counts alone.
fn stand_in(cx: &Context, settings: &Settings, asking: &Asking, error: Error) -> Result<Caller> {
    let now = cx.elapsed_ms();
    instance::with(|instance| {
        if find(&mut instance.callers, asking).is_none() && asking.key_hash.is_empty() {
            // A service key is checked here; only its network is not known.
            instance.callers.push(Known {
                key_hash: String::new(),
                ip: asking.ip.clone(),
                project: asking.project.clone(),
                caller: "service".to_owned(),
                can_write: true,
                granted: 0,
                remaining: 0,
                resets_at: 0.0,
            });
        }
        let Some(known) = find(&mut instance.callers, asking) else {
            return Err(error);
        };
        if now >= known.resets_at {
            known.remaining = settings.rate_limit;
            known.resets_at = now + 60_000.0;
        }
        // Nobody else grants it now.
        known.granted += std::mem::take(&mut known.remaining);
        if known.granted == 0 {
            return Err(limited(known.admitted(settings, now).rate));
        }
        known.granted -= 1;
        Ok(known.admitted(settings, now))
    })
}

fn limited(rate: Rate) -> Error {
    let error = Error::too_many_requests("too many requests in this minute").code("RATE_LIMITED");
    let error = error.details(json!({ "retry_after": rate.reset_seconds.max(1) }));
    rate.headers().into_iter().fold(error, |error, (name, value)| error.header(name, value))
}

impl Rate {
    /// `RateLimit-Limit`, `-Remaining` and `-Reset`, in requests and seconds.
    pub(crate) fn headers(self) -> [(http::HeaderName, http::HeaderValue); 3] {
        let name = http::HeaderName::from_static;
        [
            (name("ratelimit-limit"), self.limit.into()),
            (name("ratelimit-remaining"), self.remaining.into()),
            (name("ratelimit-reset"), self.reset_seconds.into()),
        ]
    }
}

/// The address of a caller, as the database counts it.
pub(crate) fn client_ip(request: &Request, cx: &Context) -> String {
    request.client_address(cx).map_or_else(|| "0.0.0.0".to_owned(), |address| address.to_string())
}

/// A new API key: 256 random bits.
pub(crate) fn new_key(cx: &Context) -> String {
    ["ifc_", &URL_SAFE_NO_PAD.encode(cx.random::<32>())].concat()
}

async fn keep(cx: &Context, settings: &Settings) {
    let content = instance::with(|instance| ironferry::to_json(&instance.callers).unwrap_or_default());
    if let Err(error) = file::write(cx, settings, file::CALLERS, &[content.as_bytes()]).await {
        cx.warn("cache.file_broken", json!({ "error": error.to_string() }));
    }
}

/// Takes over what an earlier instance knew.
pub(crate) async fn recall(cx: &Context, settings: &Settings) {
    if let Ok(content) = file::read(cx, settings, file::CALLERS).await {
        let known: Callers = ironferry::from_json(&content).unwrap_or_default();
        instance::with(|instance| instance.callers.extend(known));
    }
}

impl Known {
    /// Whether this is somebody with an API key of the project.
    pub(crate) fn is_of(&self, project: &str) -> bool {
        self.project == project && !self.key_hash.is_empty()
    }
}
