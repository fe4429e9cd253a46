//! The rule of the hosted REST server: an UPDATE or DELETE without a WHERE clause fails with SQLSTATE 21000.
//!
//! The platform enforces it with the module `safeupdate`, which no distribution packages. So `ferry`
//! compiles a module of its own (`safeupdate.c`) against the headers of the installed server and keeps
//! it in the cache.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::stack::files::make_folder;
use crate::stack::keys::hex;
use crate::stack::tools::{self, PostgresInstallation};

/// The module's name on the platform, under which the server loads ours too.
pub(super) const NAME: &str = "safeupdate";
const SOURCE: &str = include_str!("safeupdate.c");

/// Loads the module for the REST server's role. As on the platform, role `postgres` loads it switched off.
pub(super) const LOAD: &str = "
    alter role authenticator set session_preload_libraries = 'safeupdate';
    alter role postgres set session_preload_libraries = 'safeupdate';
    alter role postgres set safeupdate.enabled = 'off';";
/// Undoes `LOAD`. A role that is to load a missing module cannot log in.
pub(super) const UNLOAD: &str = "
    alter role authenticator reset session_preload_libraries;
    alter role postgres reset session_preload_libraries;
    alter role postgres reset safeupdate.enabled;";

/// Returns the module for this server, compiling it unless the cache has it.
///
/// # Errors
/// When the compiler or the server's headers are missing.
pub(super) fn module(installation: &PostgresInstallation) -> Result<PathBuf> {
    let cache = tools::cache().context("there is no cache folder: set HOME or IRONFERRY_CACHE")?;
    let headers = Path::new("/usr/include/postgresql").join(&installation.version).join("server");
    let hash = hex(&Sha256::digest(SOURCE)[..6]);
    let module = cache.join(format!("{NAME}-{}-{hash}.so", installation.version));
    if !module.exists() {
        if !headers.join("postgres.h").exists() {
            let version = &installation.version;
            let install = tools::install_postgres(&format!("postgresql-server-dev-{version}"));
            bail!("the headers of PostgreSQL {version} are missing. Run scripts/setup, or: {install}");
        }
        make_folder(&cache)?;
        compile(&tools::compiler()?, &headers, &module)?;
    }
    Ok(module)
}

/// Compiles the source into a draft and renames it, because several stacks may start at once.
fn compile(compiler: &Path, headers: &Path, module: &Path) -> Result<()> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let draft = module.with_extension(format!("{}-{number}", std::process::id()));
    let source = draft.with_extension("c");
    let build = || -> Result<()> {
        std::fs::write(&source, SOURCE)?;
        let output = Command::new(compiler)
            .args(["-shared", "-fPIC", "-O2", "-D_GNU_SOURCE", "-I"])
            .arg(headers)
            .arg("-o")
            .arg(&draft)
            .arg(&source)
            .output()?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        Ok(std::fs::rename(&draft, module)?)
    };
    let outcome = build().with_context(|| format!("compiling {}", module.display()));
    for left in [&source, &draft] {
        let _ = std::fs::remove_file(left);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_headers_are_named_with_what_to_install() {
        let installation = PostgresInstallation {
            version: "99".to_owned(),
            programs: PathBuf::from("/nowhere"),
            share: PathBuf::from("/nowhere"),
        };
        let error = module(&installation).expect_err("no server has this version");
        assert!(error.to_string().ends_with("apt-get install postgresql-server-dev-99"), "{error}");
    }

    #[test]
    fn what_the_compiler_says_is_told_and_leaves_nothing() {
        let folder = std::env::temp_dir().join(format!("ferry-safeupdate-{}", std::process::id()));
        make_folder(&folder).expect("a folder");
        let Ok(compiler) = tools::compiler() else { return };
        let error = compile(&compiler, &folder, &folder.join("safeupdate.so")).expect_err("no headers");
        assert!(format!("{error:#}").contains("postgres.h"), "{error:#}");
        assert_eq!(std::fs::read_dir(&folder).expect("read").count(), 0);
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
