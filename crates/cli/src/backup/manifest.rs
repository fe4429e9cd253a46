//! What a backup says of itself. It is written last: a folder without one is no backup.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use super::DefaultPrivilege;

/// The name of its file.
pub(super) const FILE: &str = "manifest.json";
/// Raised with each change that older or newer backups cannot follow.
const FORMAT: u32 = 2;

/// `manifest.json` of a backup. Holds no secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Of this file.
    pub format: u32,
    /// `ferry-20261121T143000Z`, also the folder's name.
    pub name: String,
    /// RFC 3339, UTC: the moment that the dump shows.
    pub made_at: String,
    /// Of `ferry`.
    pub ferry: String,
    /// Of the server: `15.20`.
    pub server: String,
    /// Of pg_dump.
    pub pg_dump: String,
    /// The database's address, without a password.
    pub database: String,
    /// The schemas of the dump.
    pub schemas: Vec<String>,
    /// Extensions, each with its schema, which are made before the dump is restored.
    pub extensions: BTreeMap<String, String>,
    /// Rows by table, counted in the snapshot of the dump.
    pub rows: BTreeMap<String, i64>,
    /// Names of the Vault's secrets. Their values are in no backup.
    pub vault_secrets: Vec<String>,
    /// What else the database has and the backup has not, in words.
    pub not_in_it: Vec<String>,
    /// The default privileges of the project's roles.
    pub default_privileges: Vec<DefaultPrivilege>,
    /// What cannot be made without an extension, by extension.
    pub needs: BTreeMap<String, Needed>,
    /// How many jobs of pg_cron there are.
    pub jobs: u64,
    /// The newest migration, where there is a list of them.
    pub migration: Option<String>,
    /// The files of the backup, but this one.
    pub files: BTreeMap<String, FileSum>,
}

/// Objects that cannot be made without an extension.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Needed {
    /// Catalog and object, as the list of the dump numbers them.
    pub objects: Vec<(u32, u32)>,
    /// The tables among them.
    pub tables: Vec<String>,
}

/// A file, so that a change to it is noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSum {
    /// Its size.
    pub bytes: u64,
    /// Hexadecimal.
    pub sha256: String,
}

impl Manifest {
    pub(super) fn format() -> u32 {
        FORMAT
    }

    /// Rows of all tables.
    pub fn row_count(&self) -> i64 {
        self.rows.values().sum()
    }

    /// The major version of the server that it was made on.
    pub(super) fn server_major(&self) -> u32 {
        self.server.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.bytes).sum()
    }

    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let text = std::fs::read(&path)
            .with_context(|| format!("{} is no backup: it has no {FILE}", folder.display()))?;
        Self::parse(&text).with_context(|| format!("reading {}", path.display()))
    }

    pub(super) fn parse(text: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let format = serde_json::from_slice::<Head>(text)?.format;
        if format != FORMAT {
            let age = if format > FORMAT { "a newer" } else { "an older" };
            bail!(
                "{age} ferry made the backup: its format is {format}, and this ferry reads format {FORMAT}"
            );
        }
        Ok(serde_json::from_slice(text)?)
    }

    /// Compares each file with its checksum.
    pub(super) async fn check_files(&self, folder: &Path) -> Result<()> {
        for (name, wanted) in &self.files {
            ensure!(!name.contains(['/', '\\']) && name != "..", "the manifest names the file {name:?}");
            let found = FileSum::of(&folder.join(name)).await?;
            ensure!(
                found == *wanted,
                "{name} is damaged: {} bytes with checksum {}, and it was made with {} bytes and {}",
                found.bytes,
                found.sha256,
                wanted.bytes,
                wanted.sha256
            );
        }
        Ok(())
    }
}

impl FileSum {
    pub(super) async fn of(path: &Path) -> Result<Self> {
        let reading = || format!("reading {}", path.display());
        let mut file = tokio::fs::File::open(path).await.with_context(reading)?;
        let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
        loop {
            let read = file.read(&mut buffer).await.with_context(reading)?;
            if read == 0 {
                return Ok(Self { bytes, sha256: crate::stack::keys::hex(&hash.finalize()) });
            }
            hash.update(&buffer[..read]);
            bytes += read as u64;
        }
    }
}
