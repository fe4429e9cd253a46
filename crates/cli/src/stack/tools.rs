//! Finds the programs that the stack runs, and says how to get the ones that are missing.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};

/// The version that `scripts/setup` installs.
const POSTRUST_FOLDER: &str = "postrust-server-3.1.0";

/// Debian's folders of one `PostgreSQL` version.
#[derive(Clone, Debug)]
pub(crate) struct PostgresInstallation {
    /// Such as `15`.
    pub(crate) version: String,
    /// Programs in `bin`, modules in `lib`.
    pub(crate) programs: PathBuf,
    /// Templates, time zones, extensions.
    pub(crate) share: PathBuf,
}

impl PostgresInstallation {
    /// `IRONFERRY_PG_VERSION` when set, else 15 as on the hosted platform, else the newest.
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new("/usr/lib/postgresql");
        let installed = |version: &str| root.join(version).join("bin/initdb").exists();
        let version = match std::env::var("IRONFERRY_PG_VERSION") {
            Ok(wanted) if !wanted.is_empty() => wanted,
            _ if installed("15") => "15".to_owned(),
            _ => newest(root).unwrap_or_else(|| "15".to_owned()),
        };
        if !installed(&version) {
            bail!(
                "PostgreSQL {version} is not installed. Run scripts/setup, or: apt-get install postgresql-{version}"
            );
        }
        Ok(Self {
            programs: root.join(&version),
            share: Path::new("/usr/share/postgresql").join(&version),
            version,
        })
    }

    /// Whether the server can load this module.
    pub(crate) fn has_module(&self, name: &str) -> bool {
        self.programs.join("lib").join(format!("{name}.so")).exists()
    }
}

fn newest(root: &Path) -> Option<String> {
    std::fs::read_dir(root)
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|version| root.join(version).join("bin/initdb").exists())
        .max_by_key(|version| version.parse::<u32>().unwrap_or(0))
}

/// Folders with `pg_dump`: that of the PATH, then Debian's, the newest first.
pub(crate) fn postgres_clients() -> Vec<PathBuf> {
    let root = Path::new("/usr/lib/postgresql");
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let mut versions: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    let own = versions.iter().map(|version| root.join(version.to_string()).join("bin"));
    let path = on_path("pg_dump").and_then(|program| Some(program.parent()?.to_owned()));
    path.into_iter().chain(own).filter(|folder| folder.join("pg_dump").exists()).collect()
}

/// `redis-server`, where it is installed.
pub(crate) fn redis() -> Result<PathBuf> {
    on_path("redis-server")
        .context("redis-server is not installed. Run scripts/setup, or: apt-get install redis-server")
}

/// `postrust`, the REST server.
pub(crate) fn postrust() -> Result<PathBuf> {
    on_path("postrust")
        .or_else(|| {
            let cache = match std::env::var_os("IRONFERRY_CACHE") {
                Some(cache) => PathBuf::from(cache),
                None => Path::new(&std::env::var_os("HOME")?).join(".cache/ironferry"),
            };
            Some(cache.join("tools").join(POSTRUST_FOLDER).join("bin/postrust")).filter(|path| path.exists())
        })
        .context("postrust is not installed. Run scripts/setup")
}

/// Deno itself, not npm's wrapper, which costs a start of Node.
pub(crate) fn deno(project: &Path) -> Result<PathBuf> {
    let machine = std::env::consts::ARCH.replace("x86_64", "x64").replace("aarch64", "arm64");
    npm(project, &[format!("@deno/linux-{machine}-glibc/deno"), ".bin/deno".to_owned()])
        .or_else(|| on_path("deno"))
        .context("Deno is not installed. Run scripts/setup, or: npm install")
}

/// The Supabase CLI itself, not npm's wrapper.
pub(crate) fn supabase(project: &Path) -> Result<PathBuf> {
    let machine = std::env::consts::ARCH.replace("x86_64", "x64").replace("aarch64", "arm64");
    let names = ["", "-musl"].map(|libc| format!("@supabase/cli-linux-{machine}{libc}/bin/supabase"));
    npm(project, &[names[0].clone(), names[1].clone(), ".bin/supabase".to_owned()])
        .or_else(|| on_path("supabase"))
        .context("the Supabase CLI is not installed. Run scripts/setup, or: npm install")
}

/// Looks below the `node_modules` of the project, of its parents, and of where we were called.
fn npm(project: &Path, names: &[String]) -> Option<PathBuf> {
    let here = std::env::current_dir().ok();
    let folders = || project.ancestors().chain(here.as_deref().into_iter().flat_map(Path::ancestors));
    names
        .iter()
        .flat_map(|name| folders().map(move |folder| folder.join("node_modules").join(name)))
        .find(|path| path.exists())
}

/// `setpriv` of util-linux, which can ask the kernel to end a child when its parent dies.
pub(crate) fn setpriv() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND.get_or_init(|| on_path("setpriv")).as_deref()
}

fn on_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}
