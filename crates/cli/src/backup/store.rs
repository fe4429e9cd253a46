//! Where backups are: a folder, or a bucket of any S3-compatible store.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::StreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as Key;
use object_store::{ClientOptions, ObjectStore as _, WriteMultipart};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::manifest::{FILE, Manifest};
use super::progress::Progress;
use crate::remote::{Place, RemoteError, Variables};

/// The file that marks a backup as failed. It holds the reason.
const FAILED: &str = "failed.txt";
/// Larger files go up in parts of this size; S3 wants 5 MiB at the least.
const PART: usize = 8 << 20;
/// Parts on their way at once: no more than that is held in memory.
const AT_ONCE: usize = 4;
/// For one part over a slow line.
const PART_WITHIN: Duration = Duration::from_mins(5);

/// A place that keeps backups, each below its name.
#[derive(Debug)]
pub enum Store {
    /// A folder of this machine.
    Folder(PathBuf),
    /// `s3://bucket/prefix`
    S3 {
        /// The bucket.
        bucket: Box<AmazonS3>,
        /// Where in it.
        prefix: Key,
        /// As the user wrote it.
        url: String,
    },
}

impl Store {
    /// A folder's path, or `s3://bucket/prefix` with keys and region of the environment or `.env`:
    /// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, and AWS_ENDPOINT_URL for stores other
    /// than Amazon's.
    ///
    /// # Errors
    /// When a setting is missing or wrong: wrong usage.
    pub fn open(place_name: &str, endpoint: Option<&str>, place: &Place) -> Result<Self> {
        let Some(rest) = place_name.strip_prefix("s3://") else {
            return Ok(Self::Folder(PathBuf::from(place_name)));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(
                RemoteError::Setting(format!("{place_name} names no bucket: s3://bucket/prefix")).into()
            );
        }
        let mut set = Variables::of(place);
        let mut builder = AmazonS3Builder::new().with_bucket_name(bucket);
        let mut has_key = false;
        for name in [
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_DEFAULT_REGION",
            "AWS_REGION",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_ROLE_ARN",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        ] {
            let Some((value, _)) = set.get(name)? else { continue };
            has_key |= matches!(
                name,
                "AWS_ACCESS_KEY_ID"
                    | "AWS_WEB_IDENTITY_TOKEN_FILE"
                    | "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
            );
            let key: AmazonS3ConfigKey =
                name.to_ascii_lowercase().parse().with_context(|| format!("reading {name}"))?;
            builder = builder.with_config(key, value);
        }
        if !has_key {
            let reason = "no key for the store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment or in .env";
            return Err(RemoteError::Setting(reason.to_owned()).into());
        }
        let endpoint = match endpoint {
            Some(endpoint) => Some(endpoint.to_owned()),
            None => match set.get("AWS_ENDPOINT_URL_S3")? {
                Some((url, _)) => Some(url),
                None => set.get("AWS_ENDPOINT_URL")?.map(|(url, _)| url),
            },
        };
        let mut options = ClientOptions::new().with_timeout(PART_WITHIN);
        if let Some(endpoint) = endpoint {
            // Without TLS the signature still guards the keys; the rows are read by whoever listens.
            options = options.with_allow_http(endpoint.starts_with("http://"));
            builder = builder.with_endpoint(endpoint);
        }
        let bucket = builder.with_client_options(options).build().context("the settings of the S3 store")?;
        let url = place_name.trim_end_matches('/').to_owned();
        Ok(Self::S3 { bucket: Box::new(bucket), prefix: Key::parse(prefix)?, url })
    }

    /// Where a backup of this name is, for people.
    pub fn address(&self, name: &str) -> String {
        match self {
            Self::Folder(folder) => folder.join(name).display().to_string(),
            Self::S3 { url, .. } => format!("{url}/{name}"),
        }
    }

    /// The names of the whole backups that did not fail their verification, the newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self) -> Result<Vec<String>> {
        let failed = self.names_with(FAILED).await?;
        let mut names = self.names_with(FILE).await?;
        names.retain(|name| !failed.contains(name));
        Ok(names)
    }

    /// The names of the backups that failed their verification, the newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_failed(&self) -> Result<Vec<String>> {
        self.names_with(FAILED).await
    }

    /// The names of the backups that have a file of this name, the newest first.
    async fn names_with(&self, wanted: &str) -> Result<Vec<String>> {
        let mut names = BTreeSet::new();
        match self {
            Self::Folder(folder) => {
                let entries = match std::fs::read_dir(folder) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
                    other => other.with_context(|| format!("reading {}", folder.display()))?,
                };
                let whole = entries.flatten().filter(|entry| entry.path().join(wanted).is_file());
                names.extend(whole.filter_map(|entry| entry.file_name().into_string().ok()));
            }
            Self::S3 { bucket, prefix, url } => {
                let mut objects = bucket.list(Some(prefix));
                while let Some(object) = objects.next().await {
                    let object = object.with_context(|| format!("listing {url}"))?;
                    let parts: Vec<_> = object.location.prefix_match(prefix).into_iter().flatten().collect();
                    if let [name, file] = &parts[..]
                        && file.as_ref() == wanted
                    {
                        names.insert(name.as_ref().to_owned());
                    }
                }
            }
        }
        names.retain(|name| super::keep::moment(name).is_some());
        Ok(names.into_iter().rev().collect())
    }

    /// Where the files of a new backup are written first.
    pub(super) fn draft(&self, name: &str) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.join(format!("{name}.partial")),
            Self::S3 { .. } => std::env::temp_dir().join(format!("{name}-{}.partial", std::process::id())),
        }
    }

    /// Takes a finished draft in. The manifest comes last, so that what was cut off is no backup.
    pub(super) async fn put(&self, manifest: &Manifest, draft: &Path, progress: &Progress) -> Result<()> {
        match self {
            Self::Folder(folder) => {
                let target = folder.join(&manifest.name);
                std::fs::rename(draft, &target).with_context(|| format!("making {}", target.display()))
            }
            Self::S3 { bucket, prefix, url } => {
                let base = prefix.child(manifest.name.as_str());
                let mut sent = 0;
                for file in manifest.files.keys().map(String::as_str).chain([FILE]) {
                    let sending = || format!("sending {file} to {url}");
                    let report = |bytes: u64| {
                        progress.show(
                            (sent + bytes) >> 10,
                            manifest.bytes() >> 10,
                            &format!("kB {}", sending()),
                        );
                    };
                    sent += upload(bucket, &base.child(file), &draft.join(file), report)
                        .await
                        .with_context(sending)?;
                }
                for (file, wanted) in &manifest.files {
                    let found = bucket
                        .head(&base.child(file.as_str()))
                        .await
                        .with_context(|| format!("looking after {file}"))?;
                    ensure!(
                        found.size == wanted.bytes,
                        "{file} arrived with {} of {} bytes",
                        found.size,
                        wanted.bytes
                    );
                }
                Ok(std::fs::remove_dir_all(draft)?)
            }
        }
    }

    /// The folder of a backup; of one in a bucket, a copy in `scratch`.
    pub(super) async fn fetch(&self, name: &str, scratch: &Path, progress: &Progress) -> Result<PathBuf> {
        match self {
            Self::Folder(folder) => Ok(folder.join(name)),
            Self::S3 { bucket, prefix, .. } => {
                let base = prefix.child(name);
                let target = scratch.join(name);
                std::fs::create_dir_all(&target)?;
                let text = bucket.get(&base.child(FILE)).await;
                let text =
                    text.with_context(|| format!("{} is no backup", self.address(name)))?.bytes().await?;
                std::fs::write(target.join(FILE), &text)?;
                let manifest = Manifest::parse(&text).context("reading its manifest")?;
                let mut got = 0;
                for file in manifest.files.keys() {
                    ensure!(
                        !file.contains(['/', '\\']) && file != "..",
                        "the manifest names the file {file:?}"
                    );
                    let mut chunks = bucket.get(&base.child(file.as_str())).await?.into_stream();
                    let mut to = tokio::fs::File::create(target.join(file)).await?;
                    while let Some(chunk) = chunks.next().await {
                        let chunk = chunk.with_context(|| format!("fetching {file}"))?;
                        to.write_all(&chunk).await?;
                        got += chunk.len() as u64;
                        progress.show(got >> 10, manifest.bytes() >> 10, &format!("kB {file}"));
                    }
                    to.flush().await?;
                }
                progress.clear();
                Ok(target)
            }
        }
    }

    /// Notes that a backup failed its verification, with the reason. From then on it stands in for no other backup.
    pub(super) async fn mark_failed(&self, name: &str, reason: &str) -> Result<()> {
        let marking = || format!("marking {} as failed: {}", self.address(name), reason.trim_end());
        match self {
            Self::Folder(folder) => {
                std::fs::write(folder.join(name).join(FAILED), reason).with_context(marking)
            }
            Self::S3 { bucket, prefix, .. } => {
                let key = prefix.child(name).child(FAILED);
                bucket.put(&key, reason.to_owned().into()).await.map(drop).with_context(marking)
            }
        }
    }

    /// Deletes a backup: its manifest first, so that half of one is none.
    pub(super) async fn delete(&self, name: &str) -> Result<()> {
        if super::keep::moment(name).is_none() {
            bail!("{name} is no backup of ferry's");
        }
        match self {
            Self::Folder(folder) => {
                let target = folder.join(name);
                std::fs::remove_file(target.join(FILE))?;
                std::fs::remove_dir_all(&target).with_context(|| format!("deleting {}", target.display()))
            }
            Self::S3 { bucket, prefix, .. } => {
                let base = prefix.child(name);
                bucket.delete(&base.child(FILE)).await?;
                let objects: Vec<_> = bucket.list(Some(&base)).collect().await;
                for object in objects {
                    bucket.delete(&object?.location).await?;
                }
                Ok(())
            }
        }
    }
}

/// Sends a file, in parts where it is large. Gives its size.
async fn upload(bucket: &AmazonS3, key: &Key, path: &Path, report: impl Fn(u64)) -> Result<u64> {
    let size = tokio::fs::metadata(path).await?.len();
    if size <= PART as u64 {
        bucket.put(key, tokio::fs::read(path).await?.into()).await?;
        return Ok(size);
    }
    let mut file = tokio::fs::File::open(path).await?;
    let mut parts = WriteMultipart::new_with_chunk_size(bucket.put_multipart(key).await?, PART);
    let (mut buffer, mut sent) = (vec![0; 1 << 20], 0);
    loop {
        let read = file.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        if let Err(error) = parts.wait_for_capacity(AT_ONCE).await {
            // What went up of it costs money until it is given up.
            let _ = parts.abort().await;
            return Err(error.into());
        }
        parts.write(&buffer[..read]);
        sent += read as u64;
        report(sent);
    }
    parts.finish().await?;
    Ok(size)
}
