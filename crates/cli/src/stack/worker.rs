//! A worker's own folder: the `/tmp` that its function sees, which begins empty and ends with the worker.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::files::make_folder;
use super::keys::random;

/// Below the state of a stack.
const FOLDERS: &str = "workers";

/// The folder of one worker.
#[derive(Clone, Debug)]
pub(crate) struct WorkerFolder(PathBuf);

impl WorkerFolder {
    /// Names the folder of the worker that serves `function` on `port`.
    pub(crate) fn new(state: &Path, function: &str, port: u16) -> Self {
        Self(state.join(FOLDERS).join(format!("{function}-{port}")))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where the function's `/tmp` is.
    pub(crate) fn tmp(&self) -> PathBuf {
        self.0.join("tmp")
    }

    /// Makes it anew, without anything that an earlier worker has left.
    pub(crate) fn renew(&self) -> Result<()> {
        self.remove()?;
        make_folder(&self.tmp())
    }

    pub(crate) fn remove(&self) -> Result<()> {
        remove(&self.0)
    }
}

/// Removes the folders of workers that ended together with their supervisor.
pub(crate) fn remove_leftovers(state: &Path) -> Result<()> {
    remove(&state.join(FOLDERS))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// The id that the platform gives each worker in `SB_EXECUTION_ID`.
pub(crate) fn execution_id() -> String {
    let number = u128::from_be_bytes(random());
    // Version 4, variant 1 of RFC 9562.
    let number = number & !(0xF << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let digits = format!("{number:032x}");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_finds_nothing_of_the_one_before() {
        let state = std::env::temp_dir().join(format!("ferry-worker-{}", std::process::id()));
        let folder = WorkerFolder::new(&state, "echo", 1234);
        folder.renew().expect("made");
        fs::write(folder.tmp().join("note"), "left").expect("written");
        folder.renew().expect("made again");
        assert_eq!(fs::read_dir(folder.tmp()).expect("a folder").count(), 0);
        remove_leftovers(&state).expect("removed");
        assert!(!folder.path().exists());
        folder.remove().expect("nothing to do");
        fs::remove_dir_all(state).expect("removed");
    }

    #[test]
    fn an_execution_id_is_a_random_uuid() {
        let id = execution_id();
        let lengths: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert!(id[14..].starts_with('4') && "89ab".contains(&id[19..20]), "{id}");
        assert_ne!(id, execution_id());
    }
}
