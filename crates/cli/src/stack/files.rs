//! Small file operations that must not go half way.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

/// Writes a file that only its owner reads: whole or not at all.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    // Its own: two writers of a file would take the draft from each other.
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let draft = path.with_extension(format!("{}-{number}.draft", std::process::id()));
    let write = || -> std::io::Result<()> {
        let _ = fs::remove_file(&draft);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(content)?;
        fs::rename(&draft, path)
    };
    write().with_context(|| format!("writing {}", path.display()))
}

/// Writes a file unless it has that content already.
pub(crate) fn write_if_changed(path: &Path, content: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    // A link would be followed, into a file that belongs to the system.
    let _ = fs::remove_file(path);
    fs::write(path, content).with_context(|| format!("writing {}", path.display()))
}

/// Makes a folder with all its parents. Others may pass through it and not look into it: Postgres,
/// another user when we are root, has its folder below.
pub(crate) fn make_closed_folder(path: &Path, mode: u32) -> Result<()> {
    make_folder(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| format!("closing the folder {}", path.display()))
}

/// Makes a folder with all its parents.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("making the folder {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_may_write_a_file_at_once() {
        let folder = std::env::temp_dir().join(format!("ferry-write-{}", std::process::id()));
        make_folder(&folder).expect("a folder");
        let path = folder.join("state.json");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..200).for_each(|_| write_private(&path, b"whole").expect("written")));
            }
        });
        assert_eq!(fs::read(&path).expect("read"), b"whole");
        assert_eq!(fs::read_dir(&folder).expect("read").count(), 1, "no draft is left");
        fs::remove_dir_all(folder).expect("removed");
    }
}
