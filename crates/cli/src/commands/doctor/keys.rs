//! Keys of the environment and `.env`: each of the kind that belongs there.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::Finding;
use crate::remote::Settings;

/// Shorter ones can be guessed.
const SERVICE_KEY_BYTES: usize = 24;

/// What some guides call the secret key.
const MISNAMED: &str = "SUPABASE_SERVICE_KEY";

/// What a key is, by its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Publishable,
    Secret,
    /// A legacy token of role `anon`.
    Anon,
    /// A legacy token of role `service_role`.
    Service,
    Other,
}

fn kind(key: &str) -> Kind {
    if key.starts_with("sb_publishable_") {
        return Kind::Publishable;
    }
    if key.starts_with("sb_secret_") {
        return Kind::Secret;
    }
    let claims = key.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Option<Value> = claims.and_then(|json| serde_json::from_slice(&json).ok());
    match claims.as_ref().and_then(|claims| claims["role"].as_str()) {
        Some("anon") => Kind::Anon,
        Some("service_role") => Kind::Service,
        _ => Kind::Other,
    }
}

pub(super) fn look(set: &mut Settings<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for name in ["SUPABASE_SECRET_KEY", "SUPABASE_SECRET_KEYS", "SUPABASE_SERVICE_ROLE_KEY", MISNAMED] {
        for key in values(name, set)? {
            if matches!(kind(&key), Kind::Publishable | Kind::Anon) {
                findings.push(Finding::error(
                    "WRONG_KEY_KIND",
                    name,
                    "holds a publishable key: row-level security would hide every row from the service",
                    "put the project's secret key there (Settings → API keys, sb_secret_…)",
                ));
            }
        }
    }
    for name in ["SUPABASE_ANON_KEY", "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_PUBLISHABLE_KEYS"] {
        for key in values(name, set)? {
            if matches!(kind(&key), Kind::Secret | Kind::Service) {
                findings.push(Finding::error(
                    "SECRET_KEY_PUBLISHED",
                    name,
                    "holds a secret key: whoever reads a page or an app with it may do anything to the database",
                    "put the publishable key there (sb_publishable_…), and replace the secret key in the dashboard",
                ));
            }
        }
    }
    for key in values("SERVICE_API_KEY", set)? {
        findings.extend(service_key(&key));
    }
    if let Some(keys) = set.get("CREDENTIALS_ENCRYPTION_KEYS")? {
        findings.extend(encryption_keys(&keys));
    }
    if set.get(MISNAMED)?.is_some() {
        findings.push(Finding::notice(
            "UNKNOWN_NAME",
            MISNAMED,
            "is read by nobody here, nor set by the platform",
            "name it SUPABASE_SECRET_KEY",
        ));
    }
    if set.get("SUPABASE_SERVICE_ROLE_KEY")?.is_some() && set.get("SUPABASE_SECRET_KEY")?.is_none() {
        findings.push(Finding::notice(
            "LEGACY_KEY",
            "SUPABASE_SERVICE_ROLE_KEY",
            "is a legacy key, which the platform will take away",
            "make a secret key in the dashboard and set SUPABASE_SECRET_KEY",
        ));
    }
    Ok(findings)
}

/// One key, several by commas, or a dictionary of them.
fn values(name: &str, set: &mut Settings<'_>) -> Result<Vec<String>> {
    let Some(text) = set.get(name)? else { return Ok(Vec::new()) };
    if let Ok(Value::Object(named)) = serde_json::from_str(&text) {
        return Ok(named.values().filter_map(Value::as_str).map(str::to_owned).collect());
    }
    Ok(text.split(',').map(str::trim).filter(|key| !key.is_empty()).map(str::to_owned).collect())
}

fn service_key(key: &str) -> Option<Finding> {
    let mend = "set a random one: openssl rand -base64 32";
    if kind(key) != Kind::Other {
        let what =
            "holds a key of the project's API; the functions' own key is another one, known to no client";
        return Some(Finding::error("WRONG_KEY_KIND", "SERVICE_API_KEY", what, mend));
    }
    (key.len() < SERVICE_KEY_BYTES).then(|| {
        Finding::warning("WEAK_SERVICE_KEY", "SERVICE_API_KEY", "is short enough to be guessed", mend)
    })
}

/// `k2:<32 bytes in base64>,k1:…`
fn encryption_keys(text: &str) -> Option<Finding> {
    let is_one = |key: &str| {
        key.trim().split_once(':').is_some_and(|(id, bytes)| {
            !id.is_empty() && STANDARD.decode(bytes).is_ok_and(|bytes| bytes.len() == 32)
        })
    };
    (!text.split(',').all(is_one)).then(|| {
        Finding::error(
            "MALFORMED_ENCRYPTION_KEYS",
            "CREDENTIALS_ENCRYPTION_KEYS",
            "is not of the form id:<32 bytes in base64>, several by commas",
            "set k1:$(openssl rand -base64 32)",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::keys::Keys;

    #[test]
    fn a_keys_kind_is_told_by_its_form() {
        let keys = Keys::generate();
        assert_eq!(
            [&keys.publishable, &keys.secret, &keys.anon, &keys.service_role, &keys.service_api_key]
                .map(|key| kind(key)),
            [Kind::Publishable, Kind::Secret, Kind::Anon, Kind::Service, Kind::Other]
        );
        assert_eq!(encryption_keys(&keys.credentials_encryption_keys), None);
        assert!(encryption_keys("k1:short").is_some() && encryption_keys("").is_some());
    }
}
