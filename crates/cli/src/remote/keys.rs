//! Keys: which of those that are set is shown to whom. The names are those of the functions' own
//! settings, so that one `.env` serves both.

use std::fmt;

use reqwest::header::HeaderMap;
use serde_json::Value;

use super::variables::Source;
use super::{RemoteError, bearer, header};

/// A key, its name and where it was found. Displays and debugs without its value.
#[derive(Clone)]
pub struct Key {
    name: &'static str,
    source: Source,
    value: String,
}

pub(super) const SERVICE: &str = "SERVICE_API_KEY";
/// In the order in which they are preferred: new keys before the legacy one.
const SECRETS: [&str; 3] = ["SUPABASE_SECRET_KEYS", "SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY"];

impl Key {
    pub(super) fn new(name: &'static str, source: Source, value: String) -> Self {
        Self { name, source, value }
    }

    /// The variable that it comes from.
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn value(&self) -> &str {
        &self.value
    }

    /// Functions take a service key in a header of its own, and else the project's secret key.
    pub(super) fn put_for_functions(&self, headers: &mut HeaderMap) -> Result<(), RemoteError> {
        if self.name == SERVICE {
            headers.insert("x-service-key", header(&self.value, self.name)?);
            return Ok(());
        }
        self.put_for_database(headers)
    }

    /// New keys travel in `apikey` alone; a legacy key is a JWT and goes into both headers.
    pub(super) fn put_for_database(&self, headers: &mut HeaderMap) -> Result<(), RemoteError> {
        headers.insert("apikey", header(&self.value, self.name)?);
        if !self.value.starts_with("sb_") {
            let (name, value) = bearer(self)?;
            headers.insert(name, value);
        }
        Ok(())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.source)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// The first of the service keys: several overlap, comma-separated, while one replaces another.
pub(super) fn service(found: Option<(String, Source)>) -> Option<Key> {
    let (value, source) = found?;
    let value = value.split(',').map(str::trim).find(|key| !key.is_empty())?.to_owned();
    Some(Key::new(SERVICE, source, value))
}

/// The key of the service role.
pub(super) fn secret(
    mut get: impl FnMut(&str) -> Result<Option<(String, Source)>, RemoteError>,
) -> Result<Option<Key>, RemoteError> {
    for name in SECRETS {
        let Some((value, source)) = get(name)? else { continue };
        let value = if name == SECRETS[0] { from_dictionary(&value, source)? } else { value };
        return Ok(Some(Key::new(name, source, value)));
    }
    Ok(None)
}

/// The platform's own form: `{"default": "sb_secret_…", "other": "…"}`.
fn from_dictionary(text: &str, source: Source) -> Result<String, RemoteError> {
    let named: Option<Value> = serde_json::from_str(text).ok();
    let first = named.as_ref().and_then(Value::as_object).and_then(|named| {
        named.get("default").or_else(|| named.values().next())?.as_str().map(str::to_owned)
    });
    first.ok_or_else(|| {
        RemoteError::Setting(format!(
            "{} ({source}) is not of the form {{\"default\": \"sb_secret_…\"}}",
            SECRETS[0]
        ))
    })
}

pub(super) fn none() -> RemoteError {
    RemoteError::Setting(
        "no key: set SUPABASE_SECRET_KEY (or SUPABASE_SERVICE_ROLE_KEY; for functions SERVICE_API_KEY will do) \
         in the environment or in .env of the project"
            .to_owned(),
    )
}
