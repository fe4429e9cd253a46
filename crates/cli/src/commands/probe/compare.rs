//! What differs between the two sides.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

/// One observation that the sides do not share. `None`: a side has nothing of the kind.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    /// Where it stands: `Deno later / rename`.
    pub(super) what: String,
    pub(super) platform: Option<String>,
    pub(super) local: Option<String>,
}

/// Compares two reports of the same shape.
pub(super) fn differences(platform: &Value, local: &Value) -> Vec<Difference> {
    let (platform, local) = (flat(platform), flat(local));
    let names: BTreeSet<&String> = platform.keys().chain(local.keys()).collect();
    names
        .into_iter()
        .filter(|name| platform.get(*name) != local.get(*name))
        .map(|name| Difference {
            what: name.clone(),
            platform: platform.get(name).cloned(),
            local: local.get(name).cloned(),
        })
        .collect()
}

/// The observations by their paths. A list is a set of names.
fn flat(value: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    collect(value, String::new(), &mut found);
    found
}

fn collect(value: &Value, path: String, found: &mut BTreeMap<String, String>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path} / {name}") };
    match value {
        Value::Object(entries) => {
            for (name, entry) in entries {
                collect(entry, below(name), found);
            }
        }
        Value::Array(names) => {
            found.extend(names.iter().filter_map(Value::as_str).map(|name| (below(name), "yes".to_owned())));
        }
        Value::String(text) => {
            found.insert(path, text.clone());
        }
        Value::Null => {}
        other => {
            found.insert(path, other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_one_side_lacks_or_tells_otherwise_is_a_difference() {
        let platform = json!({
            "Deno later": { "rename": "PermissionDenied: no", "stat": "allowed" }, "environment": ["SB_REGION", "HOME"],
            "threads": 1, "database": { "settings": null },
        });
        let local = json!({
            "Deno later": { "rename": "allowed", "stat": "allowed" }, "environment": ["HOME", "PATH"], "threads": 1,
        });
        let told = differences(&platform, &local);
        let told: Vec<_> =
            told.iter().map(|one| (&*one.what, one.platform.as_deref(), one.local.as_deref())).collect();
        assert_eq!(
            told,
            [
                ("Deno later / rename", Some("PermissionDenied: no"), Some("allowed")),
                ("environment / PATH", None, Some("yes")),
                ("environment / SB_REGION", Some("yes"), None),
            ]
        );
        assert_eq!(differences(&local, &local), []);
    }
}
