//! Starts a function again when its files change, as `supabase functions serve` does, and gives all of them what
//! changes in their environment file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::parts::Parts;

/// A change is seen after one to two of these: it must have settled.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// Every file below some folders, with time and size.
type Files = BTreeMap<PathBuf, (SystemTime, u64)>;

/// What the files were when their functions read them, so that no change is missed that comes while they start.
pub(crate) struct Seen {
    functions: BTreeMap<String, Files>,
    environment: Option<(SystemTime, u64)>,
}

impl Seen {
    pub(crate) fn now(parts: &Parts) -> Self {
        let shared = parts.functions_folder().join("_shared");
        let functions = parts.functions().map(|function| {
            let own = function.entrypoint.parent().unwrap_or(&shared);
            (function.name.clone(), files(&[own, &shared]))
        });
        Self { functions: functions.collect(), environment: file(&parts.functions_folder().join(".env")) }
    }
}

/// Looks at the files of each function, and at what all share, for what has become of those that were `loaded`.
pub(crate) async fn watch(parts: Arc<Parts>, mut loaded: Seen) {
    let mut before = Seen::now(&parts);
    let mut noted = String::new();
    let mut behind = Behind::default();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = Seen::now(&parts);
        for (name, files) in &now.functions {
            let settled = before.functions.get(name) == Some(files);
            if settled && loaded.functions.get(name) != Some(files) {
                loaded.functions.insert(name.clone(), files.clone());
                parts.restart(name);
            }
        }
        if now.environment == before.environment && now.environment != loaded.environment {
            match parts.read_environment_again().await {
                Ok(failed) => {
                    loaded.environment = now.environment;
                    behind = Behind::of(&parts, failed, FIRST_PAUSE);
                }
                // Half a file: it is tried again.
                Err(error) => {
                    let error = format!("supabase/functions/.env: {error:#}; trying again");
                    if error != noted {
                        parts.note(&error);
                        noted = error;
                    }
                }
            }
        }
        if !behind.names.is_empty() && behind.since.elapsed() >= behind.pause {
            let failed = parts.renew_workers(|name| behind.names.iter().any(|known| known == name)).await;
            behind = Behind::of(&parts, failed, (behind.pause * 2).min(LONGEST_PAUSE));
        }
        before = now;
    }
}

/// The first and the longest pause before a function that did not start with changed settings is tried again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Functions whose workers still have the settings of before.
struct Behind {
    names: Vec<String>,
    since: Instant,
    pause: Duration,
}

impl Default for Behind {
    fn default() -> Self {
        Self { names: Vec::new(), since: Instant::now(), pause: FIRST_PAUSE }
    }
}

impl Behind {
    fn of(parts: &Parts, failed: Vec<(String, anyhow::Error)>, pause: Duration) -> Self {
        let told = failed.into_iter().map(|(name, error)| {
            if pause == FIRST_PAUSE {
                parts.note(&format!(
                    "{name} does not start with the changed settings: {error:#}; trying again"
                ));
            }
            name
        });
        Self { names: told.collect(), since: Instant::now(), pause }
    }
}

/// Time and size of one file; none when it is not there.
fn file(path: &Path) -> Option<(SystemTime, u64)> {
    let data = std::fs::metadata(path).ok()?;
    Some((data.modified().unwrap_or(SystemTime::UNIX_EPOCH), data.len()))
}

fn files(folders: &[&Path]) -> Files {
    let mut found = Files::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| (*folder).to_owned()).collect();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(data) if data.is_dir() => open.push(entry.path()),
                Ok(data) => {
                    found.insert(
                        entry.path(),
                        (data.modified().unwrap_or(SystemTime::UNIX_EPOCH), data.len()),
                    );
                }
                Err(_) => {}
            }
        }
    }
    found
}
