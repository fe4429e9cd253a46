//! What happened: an entry an operation, refused ones too, written behind the reply in batches. From
//! the same entries the database counts the figures and raises the alerts. While it is away they wait
//! in memory and in a file.

use std::time::Duration;

use http::StatusCode;
use ironferry::{Context, Error, Level, Raw, Request, Response, Result};
use serde::Serialize;
use serde_json::json;

use crate::entry::{Key, now_ms, timestamp};
use crate::gate::client_ip;
use crate::read::{Found, Layer};
use crate::rows::cache_record;
use crate::settings::Settings;
use crate::{database, file, instance};

#[derive(Default)]
pub(crate) struct Journal {
    /// As JSON: they are only passed on.
    entries: Vec<Raw>,
    /// So many of the first were sent together, and who knows whether they arrived. Together they are
    /// sent again: the database knows a batch by what is in it.
    sent: usize,
    writing_since: Option<f64>,
    /// Whether the file has some of them.
    on_disk: bool,
}

/// What is written waits so long for company: one call for all of it instead of one a request.
const GATHER: Duration = Duration::from_millis(100);
/// Entries in one call.
const BATCH: usize = 500;
/// What waits while the database is away; beyond that the oldest goes, and the log has it.
const MOST: usize = 10_000;
/// A writer that ended without a word is not waited for any longer.
const WRITER_MS: f64 = 60_000.0;

/// What is known of the operation under way.
pub(crate) struct Record {
    pub(crate) operation: &'static str,
    pub(crate) project: String,
    pub(crate) cache_type: String,
    pub(crate) role: String,
    pub(crate) layer: Option<Layer>,
    pub(crate) size: usize,
    ip: String,
    user_agent: String,
    /// When the request came in, on the clock of [`Context::elapsed_ms`].
    pub(crate) started: f64,
}

impl Record {
    pub(crate) fn of(request: &Request, cx: &Context) -> Self {
        let operation = match request.method().as_str() {
            "GET" => "READ",
            "PUT" => "WRITE",
            "DELETE" => "DELETE",
            _ => "ADMIN",
        };
        Self {
            operation,
            project: String::new(),
            cache_type: String::new(),
            role: "nobody".to_owned(),
            layer: None,
            size: 0,
            ip: client_ip(request, cx),
            user_agent: request.header("user-agent").unwrap_or("").to_owned(),
            started: cx.elapsed_ms(),
        }
    }

    pub(crate) fn about(&mut self, key: &Key) {
        self.project.clone_from(&key.project);
        self.cache_type.clone_from(&key.cache_type);
    }

    /// Milliseconds since the request came in.
    pub(crate) fn ms(&self, cx: &Context) -> f64 {
        ((cx.elapsed_ms() - self.started) * 1_000.0).round() / 1_000.0
    }

    /// Puts the operation into the journal.
    pub(crate) fn end(self, cx: &Context, outcome: &Result<Response>) {
        let (status, code) = match outcome {
            Ok(reply) => (reply.status(), None),
            Err(error) => (error.status(), Some(error.as_code())),
        };
        let is_read = self.operation == "READ" && !self.cache_type.is_empty();
        let missed =
            is_read && self.layer.is_none() && (status.is_server_error() || code == Some("CACHE_MISS"));
        let ms = self.ms(cx);
        push(&Entry {
            ip: Some(&self.ip),
            user_agent: Some(&self.user_agent),
            project: Some(self.project.as_str()).filter(|project| !project.is_empty()),
            cache_type: Some(self.cache_type.as_str()).filter(|cache_type| !cache_type.is_empty()),
            size: Some(self.size).filter(|size| *size > 0),
            code,
            layer: self.layer.map(Layer::name).or(missed.then_some("miss")),
            ..Entry::new(cx, self.operation, &self.role, status, ms)
        });
    }
}

/// An operation as `cache_record` takes it.
#[derive(Default, Serialize)]
struct Entry<'a> {
    operation: &'a str,
    role: &'a str,
    status: u16,
    ms: f64,
    at: String,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    cache_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired: Option<&'a str>,
}

impl<'a> Entry<'a> {
    fn new(cx: &'a Context, operation: &'a str, role: &'a str, status: StatusCode, ms: f64) -> Self {
        let (at, request_id, status) = (timestamp(now_ms(cx)), cx.request_id(), status.as_u16());
        Self { operation, role, status, ms, at, request_id, ..Self::default() }
    }
}

/// A refresh of a source, whoever wanted it.
pub(crate) fn refreshed(cx: &Context, key: &Key, outcome: &Result<Found>, started: f64) {
    let (status, code, size) = match outcome {
        Ok(found) => (StatusCode::OK, None, found.entry.body.len()),
        Err(error) => (error.status(), Some(error.as_code().to_owned()), 0),
    };
    let ms = ((cx.elapsed_ms() - started) * 1_000.0).round() / 1_000.0;
    push(&Entry {
        project: Some(&key.project),
        cache_type: Some(&key.cache_type),
        layer: Some("refresh"),
        code: code.as_deref(),
        size: Some(size),
        ..Entry::new(cx, "REFRESH", "source", status, ms)
    });
}

/// A layer that was found corrupt and is filled from the next one.
pub(crate) fn repaired(cx: &Context, key: &Key, layer: &'static str) {
    cx.log(Level::Error, "cache.corrupt", json!({ "key": key.id(), "layer": layer }));
    push(&Entry {
        project: Some(&key.project),
        cache_type: Some(&key.cache_type),
        repaired: Some(layer),
        ..Entry::new(cx, "UPDATE", "cache", StatusCode::OK, 0.0)
    });
}

fn push(entry: &Entry<'_>) {
    // Texts and numbers: writing them cannot fail.
    let Ok(entry) = Raw::of(entry) else { return };
    instance::with(|instance| {
        let journal = &mut instance.journal;
        if journal.entries.len() >= MOST {
            journal.entries.remove(journal.sent);
        }
        journal.entries.push(entry);
    });
}

/// Writes what there is, behind the reply, and what comes in the next moment with it. One writer at a
/// time: what comes while it writes is its next batch.
pub(crate) fn write_behind(cx: &Context, settings: &Settings, now: f64) {
    let begins = instance::with(|instance| {
        let journal = &mut instance.journal;
        let idle = journal.writing_since.is_none_or(|since| now - since > WRITER_MS);
        let begins = idle && !journal.entries.is_empty();
        if begins {
            journal.writing_since = Some(now);
        }
        begins
    });
    if begins {
        let (cx, settings) = (cx.clone(), settings.clone());
        cx.clone().wait_until(async move {
            loop {
                cx.sleep(GATHER).await;
                let wrote = write(&cx, &settings).await;
                let more = instance::with(|instance| {
                    let journal = &mut instance.journal;
                    let more = wrote && !journal.entries.is_empty();
                    journal.writing_since = more.then(|| cx.elapsed_ms());
                    more
                });
                if !more {
                    return;
                }
            }
        });
    }
}

/// Writes the entries that there are. False when the database is away.
pub(crate) async fn write(cx: &Context, settings: &Settings) -> bool {
    let mut left = instance::with(|instance| instance.journal.entries.len());
    while left > 0 {
        let batch: Vec<Raw> = instance::with(|instance| {
            let Journal { entries, sent, .. } = &mut instance.journal;
            let count = if *sent > 0 { *sent } else { BATCH.min(left) }.min(entries.len());
            *sent = 0;
            entries.drain(..count).collect()
        });
        if batch.is_empty() {
            break;
        }
        left = left.saturating_sub(batch.len());
        let arguments = Raw::of(&cache_record::Args { p_entries: batch.as_slice() });
        // Nobody waits for this: that it is slow does not mean that readers have to do without the database.
        let written = match database::is_there(cx, settings) {
            Ok(()) => database::say(cx, settings, cache_record::NAME, arguments).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => {}
            Err(error) if !database::is_final(&error) => {
                put_back(cx, settings, batch).await;
                return false;
            }
            Err(error) => {
                cx.log(
                    Level::Error,
                    "cache.audit_refused",
                    json!({ "error": error.chain(), "entries": batch.len() }),
                );
            }
        }
    }
    if instance::with(|instance| std::mem::take(&mut instance.journal.on_disk)) {
        // Written now. Should it stay, its first batch is known.
        let _ = file::remove(cx, settings, file::AUDIT).await;
    }
    true
}

async fn put_back(cx: &Context, settings: &Settings, batch: Vec<Raw>) {
    let content = instance::with(|instance| {
        let journal = &mut instance.journal;
        journal.sent = batch.len();
        journal.entries.splice(0..0, batch);
        journal.on_disk = true;
        ironferry::to_json(&(journal.sent, &journal.entries)).unwrap_or_default()
    });
    if let Err(error) = file::write(cx, settings, file::AUDIT, &[content.as_bytes()]).await {
        cx.warn("cache.file_broken", json!({ "error": error.to_string() }));
    }
}

/// Takes over what an earlier instance could not write.
pub(crate) async fn recall(cx: &Context, settings: &Settings) {
    let Ok(content) = file::read(cx, settings, file::AUDIT).await else {
        return;
    };
    let (sent, entries): (usize, Vec<Raw>) = ironferry::from_json(&content).unwrap_or_default();
    instance::with(|instance| {
        let journal = &mut instance.journal;
        (journal.on_disk, journal.sent) = (true, sent.min(entries.len()));
        journal.entries.splice(0..0, entries);
    });
}

/// The error's details with the time to wait become the header that says so.
pub(crate) fn with_retry_after(error: Error) -> Error {
    let seconds = error.as_details().and_then(|details| details["retry_after"].as_u64());
    match seconds {
        Some(seconds) => error.header(http::header::RETRY_AFTER, http::HeaderValue::from(seconds)),
        None => error,
    }
}
