//! Finds the programs that the stack runs, and says how to get the ones that are missing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};

/// The major version of new hosted projects.
const HOSTED_POSTGRES: u32 = 17;

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
    /// Finds `IRONFERRY_PG_VERSION` when set, else the version that fits best (see [`best_version`]).
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new("/usr/lib/postgresql");
        let version = match std::env::var("IRONFERRY_PG_VERSION") {
            Ok(wanted) if !wanted.is_empty() => wanted,
            _ => best_version(&servers(root))
                .context("PostgreSQL is not installed. Run scripts/setup, or: apt-get install postgresql")?
                .to_string(),
        };
        if !root.join(&version).join("bin/initdb").exists() {
            let install = install_postgres(&format!("postgresql-{version}"));
            bail!("PostgreSQL {version} is not installed. Run scripts/setup, or: {install}");
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

/// An installed server.
#[derive(Clone, Copy)]
struct Server {
    version: u32,
    has_cron: bool,
}

/// The servers in Debian's folder.
fn servers(root: &Path) -> Vec<Server> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().join("bin/initdb").exists())
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some(Server { version, has_cron: entry.path().join("lib/pg_cron.so").exists() })
        })
        .collect()
}

/// Prefers a server that has `pg_cron`, then the hosted platform's version, then the newest.
fn best_version(servers: &[Server]) -> Option<u32> {
    let rank = |server: &&Server| (server.has_cron, server.version == HOSTED_POSTGRES, server.version);
    servers.iter().max_by_key(rank).map(|server| server.version)
}

/// Returns the commands that install a package of PostgreSQL on Debian or Ubuntu.
pub(crate) fn install_postgres(package: &str) -> String {
    let found = Command::new("apt-cache").args(["show", package]).output();
    install_commands(package, found.is_ok_and(|output| output.status.success()))
}

/// A release of a distribution has one major version. PostgreSQL's own repository has all, and a script
/// of `postgresql-common` adds that repository.
fn install_commands(package: &str, is_available: bool) -> String {
    let install = format!("apt-get install {package}");
    if is_available {
        return install;
    }
    format!(
        "apt-get install postgresql-common && \
         /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y && {install}"
    )
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
        .or_else(|| Some(cache()?.join(POSTRUST_FOLDER).join("bin/postrust")).filter(|path| path.exists()))
        .context("postrust is not installed. Run scripts/setup")
}

/// The C compiler.
pub(crate) fn compiler() -> Result<PathBuf> {
    on_path("cc").context("there is no C compiler: apt-get install build-essential")
}

/// Where `scripts/setup` keeps its tools, and `ferry` what it compiles: `~/.cache/ironferry/tools`
/// unless `IRONFERRY_CACHE` names another cache.
pub(crate) fn cache() -> Option<PathBuf> {
    let cache = match std::env::var_os("IRONFERRY_CACHE") {
        Some(cache) => PathBuf::from(cache),
        None => Path::new(&std::env::var_os("HOME")?).join(".cache/ironferry"),
    };
    Some(cache.join("tools"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_the_distribution_lacks_comes_from_the_repository_of_postgresql() {
        assert_eq!(install_commands("postgresql-client-17", true), "apt-get install postgresql-client-17");
        assert_eq!(
            install_commands("postgresql-client-17", false),
            "apt-get install postgresql-common && /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y \
             && apt-get install postgresql-client-17"
        );
        assert!(install_postgres("postgresql-client-99").contains("apt.postgresql.org.sh"));
    }

    #[test]
    fn the_hosted_version_wins_over_older_and_newer_ones_unless_it_lacks_pg_cron() {
        let best = |servers: &[(u32, bool)]| {
            let servers: Vec<Server> =
                servers.iter().map(|&(version, has_cron)| Server { version, has_cron }).collect();
            best_version(&servers)
        };
        assert_eq!(best(&[(15, true), (17, true)]), Some(17));
        assert_eq!(best(&[(18, true), (17, true), (15, true)]), Some(17));
        assert_eq!(best(&[(15, true), (17, false)]), Some(15));
        assert_eq!(best(&[(15, true), (16, true)]), Some(16));
        assert_eq!(best(&[(16, false)]), Some(16));
        assert_eq!(best(&[]), None);
    }
}
