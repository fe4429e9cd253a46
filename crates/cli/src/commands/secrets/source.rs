//! Where secrets come from: the environment and `.env`, or HashiCorp Vault.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::commands::Misuse;
use crate::remote::Settings;

const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// The answer of a key-value store of version 2.
#[derive(Deserialize)]
struct Stored {
    data: Versioned,
}

#[derive(Deserialize)]
struct Versioned {
    /// None where the newest version was deleted.
    data: Option<BTreeMap<String, Value>>,
}

/// Those of the environment and `.env`.
pub(super) fn from_settings(names: &[String], set: &mut Settings<'_>) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for name in names {
        if let Some(value) = set.get(name)? {
            found.insert(name.clone(), value);
        }
    }
    Ok(found)
}

/// Those of one path, `secret/ironferry/production`: the first part is the mount. Names may be in small letters,
/// as they often are there.
pub(super) async fn from_vault(
    path: &str,
    names: &[String],
    set: &mut Settings<'_>,
) -> Result<BTreeMap<String, String>> {
    let address = set.get("VAULT_ADDR")?.ok_or_else(|| Misuse("VAULT_ADDR is not set".to_owned()))?;
    let token = set.get("VAULT_TOKEN")?.ok_or_else(|| Misuse("VAULT_TOKEN is not set".to_owned()))?;
    let Some((mount, below)) = path.trim_matches('/').split_once('/') else {
        bail!(Misuse(format!("{path} is no path in Vault; one is like secret/ironferry/production")));
    };
    let url = format!("{}/v1/{mount}/data/{below}", address.trim_end_matches('/'));
    // A redirect would take the token along.
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(ANSWER_WITHIN);
    let mut request = client.build()?.get(&url).header("x-vault-token", token);
    if let Some(namespace) = set.get("VAULT_NAMESPACE")? {
        request = request.header("x-vault-namespace", namespace);
    }
    let reply = request.send().await.with_context(|| format!("asking Vault at {address}"))?;
    let status = reply.status();
    ensure!(
        status.is_success(),
        "Vault answers {status} for {path}: is it KV version 2, and may the token read it?"
    );
    let stored: Stored = reply.json().await.context("Vault's answer is not that of KV version 2")?;
    let stored = stored.data.data.with_context(|| format!("{path} was deleted"))?;
    let wanted = |name: &String| {
        let value = stored.get(name).or_else(|| stored.get(&name.to_lowercase()))?;
        Some((name.clone(), value.as_str()?.to_owned()))
    };
    Ok(names.iter().filter_map(wanted).collect())
}
