//! Starts a function again when its files change, as `supabase functions serve` does, and gives all of them what
//! changes in their environment file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::parts::Parts;

/// A change is seen after one to two of these: it must have settled.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// Every file below some folders, with time and size.
type Files = BTreeMap<PathBuf, (SystemTime, u64)>;

/// Looks at the files of each function, and at what all share.
pub(crate) async fn watch(parts: Arc<Parts>) {
    let look = || -> BTreeMap<String, Files> {
        let shared = parts.functions_folder().join("_shared");
        parts
            .functions()
            .map(|function| {
                let own = function.entrypoint.parent().unwrap_or(&shared);
                (function.name.clone(), files(&[own, &shared]))
            })
            .collect()
    };
    let environment = || file(&parts.functions_folder().join(".env"));
    let mut loaded = look();
    let mut before = loaded.clone();
    let (mut taken, mut seen) = (environment(), environment());
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = look();
        for (name, files) in &now {
            let settled = before.get(name) == Some(files);
            if settled && loaded.get(name) != Some(files) {
                loaded.insert(name.clone(), files.clone());
                parts.restart(name);
            }
        }
        before = now;
        let now = environment();
        if now == seen && now != taken {
            taken.clone_from(&now);
            // Half a file, say: the next change comes.
            if let Err(error) = parts.read_environment_again().await {
                parts.note(&format!("supabase/functions/.env: {error:#}"));
            }
        }
        seen = now;
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
