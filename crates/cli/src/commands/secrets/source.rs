//! Where secrets are kept: the environment and `.env`, or HashiCorp Vault.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::envfile;
use crate::commands::Misuse;
use crate::remote::{Place, Settings};

const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Those of the environment and `.env`.
pub(super) fn from_settings(
    names: &BTreeSet<String>,
    set: &mut Settings<'_>,
) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for name in names {
        if let Some(value) = set.get(name)? {
            found.insert(name.clone(), value);
        }
    }
    Ok(found)
}

/// All of one path of HashiCorp Vault. Names may be in small letters, as they often are there.
pub(super) async fn from_vault(path: &str, set: &mut Settings<'_>) -> Result<BTreeMap<String, String>> {
    let (stored, _) = HashiCorp::find(path, set)?.read().await?;
    let names = stored.keys().map(|name| name.to_uppercase());
    Ok(names.filter_map(|name| Some((name.clone(), value_of(&stored, &name)?.1.to_owned()))).collect())
}

/// The name that it has there, and the value.
fn value_of<'s>(stored: &'s Map<String, Value>, name: &str) -> Option<(String, &'s str)> {
    let small = name.to_lowercase();
    let name = if stored.contains_key(name) { name } else { &small };
    Some((name.to_owned(), stored.get(name)?.as_str()?))
}

/// A place of which one secret can be read and replaced.
pub(super) enum Kept {
    /// `.env`, at this path.
    File(PathBuf),
    /// A path of HashiCorp Vault.
    HashiCorp(HashiCorp),
}

impl Kept {
    /// HashiCorp Vault where a path is given, else `.env`.
    pub(super) fn find(from_vault: Option<&str>, place: &Place) -> Result<Self> {
        if let Some(path) = from_vault {
            return Ok(Self::HashiCorp(HashiCorp::find(path, &mut Settings::of(place))?));
        }
        let project = place.project.as_ref().context("there is no project here")?;
        Ok(Self::File(project.join(".env")))
    }

    /// For messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::File(_) => ".env".to_owned(),
            Self::HashiCorp(store) => format!("HashiCorp Vault, {}", store.path),
        }
    }

    /// The value as it is now.
    pub(super) async fn read(&self, name: &str, place: &Place) -> Result<Option<String>> {
        match self {
            Self::File(_) if place.environment.get(name).is_some_and(|value| !value.trim().is_empty()) => {
                Err(Misuse(format!(
                    "{name} is set in the environment, where it cannot be replaced: keep it in .env alone, or in \
                     HashiCorp Vault (--from-vault)"
                ))
                .into())
            }
            Self::File(_) => Ok(Settings::of(place).get(name)?),
            Self::HashiCorp(store) => {
                let (stored, _) = store.read().await?;
                Ok(value_of(&stored, name).map(|(_, value)| value.to_owned()))
            }
        }
    }

    /// Puts another value in its place.
    pub(super) async fn write(&self, name: &str, value: &str) -> Result<()> {
        match self {
            Self::File(path) => envfile::replace(path, name, value),
            Self::HashiCorp(store) => store.replace(name, value).await,
        }
    }
}

/// One path of a key-value store of version 2.
pub(super) struct HashiCorp {
    path: String,
    url: String,
    token: String,
    namespace: Option<String>,
    client: reqwest::Client,
}

#[derive(Deserialize)]
struct Stored {
    data: Versioned,
}

#[derive(Deserialize)]
struct Versioned {
    /// None where the newest version was deleted.
    data: Option<Map<String, Value>>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
}

impl HashiCorp {
    /// `secret/ironferry/production`: the first part is the mount.
    fn find(path: &str, set: &mut Settings<'_>) -> Result<Self> {
        let address = set.get("VAULT_ADDR")?.ok_or_else(|| Misuse("VAULT_ADDR is not set".to_owned()))?;
        let token = set.get("VAULT_TOKEN")?.ok_or_else(|| Misuse("VAULT_TOKEN is not set".to_owned()))?;
        let Some((mount, below)) = path.trim_matches('/').split_once('/') else {
            bail!(Misuse(format!("{path} is no path in Vault; one is like secret/ironferry/production")));
        };
        let url = format!("{}/v1/{mount}/data/{below}", address.trim_end_matches('/'));
        // A redirect would take the token along.
        let client =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(ANSWER_WITHIN);
        let namespace = set.get("VAULT_NAMESPACE")?;
        Ok(Self { path: path.to_owned(), url, token, namespace, client: client.build()? })
    }

    fn asked(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        let request = request.header("x-vault-token", &self.token);
        match &self.namespace {
            Some(namespace) => request.header("x-vault-namespace", namespace),
            None => request,
        }
    }

    /// All pairs, and the version that they are of.
    async fn read(&self) -> Result<(Map<String, Value>, u64)> {
        let reply = self.asked(self.client.get(&self.url)).send().await.context("asking HashiCorp Vault")?;
        let (status, path) = (reply.status(), &self.path);
        ensure!(
            status.is_success(),
            "Vault answers {status} for {path}: is it KV version 2, and may the token read it?"
        );
        let stored: Stored = reply.json().await.context("Vault's answer is not that of KV version 2")?;
        let version = stored.data.metadata.version;
        Ok((stored.data.data.with_context(|| format!("{path} was deleted"))?, version))
    }

    /// A new version with one value replaced, unless somebody else made one meanwhile.
    async fn replace(&self, name: &str, value: &str) -> Result<()> {
        let (mut stored, version) = self.read().await?;
        let (name, _) =
            value_of(&stored, name).with_context(|| format!("there is no {name} in {}", self.path))?;
        stored.insert(name, value.into());
        let body = json!({ "options": { "cas": version }, "data": stored });
        let reply = self.asked(self.client.post(&self.url).json(&body)).send().await;
        let status = reply.context("asking HashiCorp Vault")?.status();
        ensure!(
            status.is_success(),
            "Vault answers {status} to a new version of {}: may the token write it, or did somebody else just now?",
            self.path
        );
        Ok(())
    }
}
