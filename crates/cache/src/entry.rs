//! What is cached, and under which name.

use bytes::Bytes;
use ironferry::{Context, Error, Result};
use sha2::{Digest as _, Sha256};

/// A project and a type. Both are safe in a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) project: String,
    pub(crate) cache_type: String,
}

impl Key {
    /// 400 for names that are not in the allowed letters.
    pub(crate) fn new(project: &str, cache_type: &str) -> Result<Self> {
        check_project(project)?;
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        if cache_type.is_empty() || cache_type.len() > 50 || !cache_type.bytes().all(fits) {
            let said = "a type has 1 to 50 small letters, digits, _ and -";
            return Err(Error::bad_request(said).code("INVALID_TYPE"));
        }
        Ok(Self { project: project.to_owned(), cache_type: cache_type.to_owned() })
    }

    /// `project.type`; neither holds a dot.
    pub(crate) fn id(&self) -> String {
        [self.project.as_str(), ".", self.cache_type.as_str()].concat()
    }
}

pub(crate) fn check_project(project: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if project.is_empty() || project.len() > 100 || !project.bytes().all(fits) {
        let said = "a project's name has 1 to 100 letters, digits, _ and -";
        return Err(Error::bad_request(said).code("INVALID_PROJECT"));
    }
    Ok(())
}

/// One version of some data.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// A JSON object.
    pub(crate) body: Bytes,
    /// Names the version in every layer, even where the database wrote the same data otherwise.
    pub(crate) etag: String,
    /// When the data was true at its source, on the clock of [`Context::elapsed_ms`]: setting the
    /// wall clock makes nothing older or younger.
    pub(crate) fetched_at: f64,
    /// The same for the fields that are fetched less often.
    pub(crate) rich_at: Option<f64>,
    /// From then on it is fresh for so long.
    pub(crate) fresh_seconds: Option<u32>,
    /// Its time stamp cannot be: somebody set the clock. It is served, and not taken for fresh.
    pub(crate) doubtful: bool,
}

impl Entry {
    /// Milliseconds since it was fetched, on the clock of [`Context::elapsed_ms`] as what follows.
    pub(crate) fn age_ms(&self, now: f64) -> f64 {
        (now - self.fetched_at).max(0.0)
    }

    /// Whether it was fetched later than the other: a second apart, since the wall clock and its copies do not
    /// agree to the millisecond.
    pub(crate) fn is_later_than(&self, other: &Self) -> bool {
        self.fetched_at > other.fetched_at + 1_000.0
    }

    pub(crate) fn is_fresh(&self, now: f64) -> bool {
        !self.doubtful
            && self.fresh_seconds.is_none_or(|seconds| self.age_ms(now) < f64::from(seconds) * 1_000.0)
    }

    /// The moment on the wall clock, milliseconds since 1970.
    pub(crate) fn fetched_ms(&self, cx: &Context) -> i64 {
        wall_ms(cx, self.fetched_at)
    }
}

/// From the measuring clock to the wall clock, as that stands now.
#[allow(clippy::cast_possible_truncation)] // milliseconds of this era fit
pub(crate) fn wall_ms(cx: &Context, at: f64) -> i64 {
    now_ms(cx) + (at - cx.elapsed_ms()) as i64
}

/// And back.
#[allow(clippy::cast_precision_loss)] // milliseconds of this era fit
pub(crate) fn elapsed_at(cx: &Context, wall_ms: i64) -> f64 {
    cx.elapsed_ms() + (wall_ms - now_ms(cx)) as f64
}

pub(crate) fn now_ms(cx: &Context) -> i64 {
    i64::try_from(cx.now().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// SHA-256 in hex.
pub(crate) fn hash(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        text.extend([byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])));
    }
    text
}

/// A time as the database reads it.
pub(crate) fn timestamp(ms: i64) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    time.ok()
        .and_then(|time| time.format(&time::format_description::well_known::Rfc3339).ok())
        .unwrap_or_default()
}

/// An RFC 3339 time in milliseconds since 1970.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let time = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}
