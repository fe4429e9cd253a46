//! Files that are named, the files of folders that are named, and standard input.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::commands::Misuse;

/// A capture has some kilobytes, a collection of a year some megabytes.
const LARGEST: u64 = 64 * 1024 * 1024;
/// What captures are called, in folders. A file that is named itself may be called anything.
const ENDINGS: [&str; 3] = ["dex", "daa", "txt"];

/// What is shown for a file: `-` is standard input.
pub(super) fn name(path: &Path) -> String {
    if is_input(path) { "standard input".to_owned() } else { path.display().to_string() }
}

fn is_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Reads a file or standard input.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Misuse> {
    let from = if is_input(path) { whole(std::io::stdin().lock()) } else { open(path).and_then(whole) };
    from.map_err(|reason| Misuse(format!("{}: {reason}", name(path))))
}

fn open(path: &Path) -> Result<File, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let is_folder = file.metadata().is_ok_and(|metadata| metadata.is_dir());
    if is_folder { Err("it is a folder".to_owned()) } else { Ok(file) }
}

fn whole(from: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = from.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if read as u64 > LARGEST {
        return Err(format!("it is larger than {} MB, which no capture is", LARGEST / 1024 / 1024));
    }
    Ok(bytes)
}

/// The files that are named and those of the folders that are named, by name. A link to a folder is
/// followed when it is named, and not inside of one: it may lead round in a circle.
pub(super) fn walk(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Misuse> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = files.len();
            walk_folder(path, &mut files)?;
            files[before..].sort();
        } else {
            files.push(path.clone());
        }
    }
    if files.is_empty() {
        return Err(Misuse("there are no *.dex, *.daa or *.txt in there".to_owned()));
    }
    Ok(files)
}

fn walk_folder(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Misuse> {
    let failure = |error: std::io::Error| Misuse(format!("{}: {error}", folder.display()));
    for entry in std::fs::read_dir(folder).map_err(failure)? {
        let entry = entry.map_err(failure)?;
        let path = entry.path();
        if entry.file_type().map_err(failure)?.is_dir() {
            walk_folder(&path, files)?;
        } else if is_capture(&path) && !path.is_dir() {
            files.push(path);
        }
    }
    Ok(())
}

fn is_capture(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known))
}
