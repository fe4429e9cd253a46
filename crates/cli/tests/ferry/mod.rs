//! Runs the command itself, as a user would, away from any project and without a terminal.
#![allow(dead_code, reason = "each test program uses its part")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

/// What it printed, and its exit code.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let code = output.status.code().expect("no signal ended it");
        Self { code, out: text(output.stdout), err: text(output.stderr) }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The line that begins with this word, blanks squeezed.
    pub(crate) fn line(&self, begin: &str) -> String {
        let mut lines = self.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines
            .find(|line| line.starts_with(begin))
            .unwrap_or_else(|| panic!("no line {begin:?} in\n{}", self.out))
    }
}

pub(crate) fn ferry(arguments: &[&str]) -> Ran {
    ferry_with(arguments, b"", &[])
}

pub(crate) fn ferry_with(arguments: &[&str], input: &[u8], environment: &[(&str, &str)]) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ferry"))
        .args(arguments)
        .current_dir(std::env::temp_dir())
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // One that does not read its input may be done before all is written.
    let _ = child.stdin.take().expect("piped").write_all(input);
    Ran::of(child.wait_with_output().expect("it ends"))
}

/// A synthetic capture of the repository.
pub(crate) fn capture(name: &str) -> String {
    captures().join(name).display().to_string()
}

pub(crate) fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/captures")
}

/// A folder that is removed in the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ferry-files-{}-{number}", std::process::id()));
        // A run that was killed may have had our process's number.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    /// Writes a file and gives its path.
    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A whole capture of these lines, with its envelope and a checksum that matches.
pub(crate) fn sealed(lines: &[&str]) -> String {
    let mut covered = "ST*001*0001\r\n".to_owned();
    for line in lines {
        covered += line;
        covered += "\r\n";
    }
    let crc = eva_dts::crc16(covered.as_bytes());
    let count = lines.len() + 3;
    format!("DXS*SIM0000001*VA*V0/6*1\r\n{covered}G85*{crc:04X}\r\nSE*{count}*0001\r\nDXE*1*1\r\n")
}
