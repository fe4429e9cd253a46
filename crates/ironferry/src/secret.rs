//! Values that cannot be printed.

use std::fmt;

use serde_json::Value;
use subtle::ConstantTimeEq as _;

use crate::log::Level;

/// A secret. `Debug` and `Display` hide it; [`Secret::expose`] is the only way in.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the value over.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself. Every use of this is a place to look at in a review.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares in a time that tells nothing but the length.
    pub fn matches(&self, shown: &str) -> bool {
        !self.0.is_empty() && bool::from(self.0.as_bytes().ct_eq(shown.as_bytes()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A secret read from JSON, so that a reply with tokens never lands in a plain `String`.
impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// The secrets and settings that the shim handed over, by name. Unset and empty are the same.
#[derive(Debug, Default)]
pub struct Secrets {
    // A dozen entries: looking through them is smaller and no slower than hashing.
    by_name: Vec<(String, Secret)>,
    sensitive: Vec<Secret>,
    /// `LOG_LEVEL`.
    pub(crate) level: Level,
    /// What PostgREST and this module take for the service role.
    pub(crate) service_keys: Vec<Secret>,
    /// What says which project is called, and no more.
    pub(crate) publishable_keys: Vec<Secret>,
}

/// Shorter values are too likely to be a part of something harmless.
const SHORTEST_SCRUBBED: usize = 8;

impl Secrets {
    /// Takes the values over.
    pub fn new(values: impl IntoIterator<Item = (String, String)>) -> Self {
        let by_name: Vec<_> = values
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name, Secret(value)))
            .collect();
        let sensitive = by_name
            .iter()
            .filter(|(name, _)| is_sensitive(name))
            // Key rings and dictionaries hold several values.
            .flat_map(|(_, secret)| secret.0.split(['{', '}', '"', ',', ':', ' ', '\n']))
            .filter(|part| part.len() >= SHORTEST_SCRUBBED)
            .map(Secret::new)
            .collect();
        let mut secrets = Self { by_name, sensitive, ..Self::default() };
        secrets.level = Level::from_setting(secrets.get("LOG_LEVEL").map(Secret::expose));
        secrets.service_keys = secrets.keys("SUPABASE_SECRET_KEYS", "SUPABASE_SERVICE_ROLE_KEY");
        secrets.publishable_keys = secrets.keys("SUPABASE_PUBLISHABLE_KEYS", "SUPABASE_ANON_KEY");
        secrets
    }

    /// The new keys, the one named `default` first, then the legacy one.
    fn keys(&self, dictionary: &str, legacy: &str) -> Vec<Secret> {
        let mut keys = Vec::new();
        if let Some(text) = self.get(dictionary)
            && let Ok(Value::Object(named)) = crate::from_json(text.expose().as_bytes())
        {
            for (name, key) in &named {
                if let Value::String(key) = key {
                    let place = if name == "default" { 0 } else { keys.len() };
                    keys.insert(place, Secret::new(key.as_str()));
                }
            }
        }
        keys.extend(self.get(legacy).cloned());
        keys
    }

    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.by_name.iter().find(|(known, _)| known == name).map(|(_, secret)| secret)
    }

    /// The key rings among them, by their form: below a first line, a line each of the name and
    /// the ids of the keys.
    pub(crate) fn rings(&self) -> String {
        let mut lines = String::from("ironferry keys\n");
        for (name, ring) in &self.by_name {
            if !name.ends_with("_KEYS") || name.starts_with("SUPABASE_") {
                continue;
            }
            lines.push_str(name);
            for entry in ring.0.split(',') {
                // Without a colon it would be a key itself.
                if let Some((id, _)) = entry.split_once(':') {
                    lines.push(' ');
                    lines.push_str(id.trim());
                }
            }
            lines.push('\n');
        }
        lines
    }

    /// Replaces each known secret value in a text that is about to leave.
    pub fn scrub(&self, mut text: String) -> String {
        for secret in &self.sensitive {
            if text.contains(secret.expose()) {
                text = text.replace(secret.expose(), "[redacted]");
            }
        }
        text
    }
}

/// By its name: URLs and numbers are settings, keys are secrets.
fn is_sensitive(name: &str) -> bool {
    !name.contains("PUBLISHABLE")
        && !name.contains("ANON")
        && ["KEY", "SECRET", "TOKEN", "PASS", "DB_URL", "REDIS"].iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_secrets_do_not_leave() {
        let secrets = Secrets::new([
            ("SUPABASE_URL".into(), "http://127.0.0.1:54321".into()),
            ("SUPABASE_SECRET_KEYS".into(), r#"{"default":"sb_secret_abcdef"}"#.into()),
            ("EMPTY_KEY".into(), String::new()),
        ]);
        assert_eq!(
            secrets.scrub("GET http://127.0.0.1:54321 with sb_secret_abcdef".into()),
            "GET http://127.0.0.1:54321 with [redacted]"
        );
        assert!(secrets.get("EMPTY_KEY").is_none());
    }

    #[test]
    fn a_ring_tells_the_ids_of_its_keys_and_nothing_else() {
        let secrets = Secrets::new([
            ("SEALING_KEYS".into(), "k2:bmV3, k1:b2xk".into()),
            ("SUPABASE_SECRET_KEYS".into(), r#"{"default":"sb_secret_abcdef"}"#.into()),
            ("SITE_URL".into(), "http://a.test".into()),
            ("BARE_KEYS".into(), "topsecret,topsecret".into()),
        ]);
        assert_eq!(secrets.rings(), "ironferry keys\nSEALING_KEYS k2 k1\nBARE_KEYS\n");
    }

    #[test]
    fn a_secret_does_not_print_itself() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {secret}"), "Secret(…) [redacted]");
    }

    #[test]
    fn an_empty_secret_matches_nothing() {
        assert!(!Secret::new("").matches(""));
        assert!(Secret::new("key").matches("key"));
        assert!(!Secret::new("key").matches("kex"));
        assert!(!Secret::new("key").matches("key2"));
    }
}
