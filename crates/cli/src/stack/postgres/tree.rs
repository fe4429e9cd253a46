//! The folder of a private server: programs, time zones, extensions, and where it is.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use super::safeupdate;
use crate::stack::files::{make_folder, write_if_changed};
use crate::stack::keys::hex;
use crate::stack::tools::PostgresInstallation;

/// What the hosted platform lets `postgres` create although it is not a superuser.
const TRUSTED: &str = "
    amcheck autoinc bloom dblink hypopg index_advisor insert_username moddatetime pg_buffercache pg_cron
    pg_hashids pg_jsonschema pg_prewarm pg_stat_statements pg_walinspect pgaudit pgjwt pgmq pgroonga
    pgrouting pgrowlocks pgstattuple pgtap plpgsql_check postgis postgis_raster postgis_topology
    postgres_fdw refint rum sslinfo vector
";
/// Name, control file, script.
pub(super) const STAND_INS: [(&str, &str, &str); 2] = [
    ("pg_net", include_str!("../sql/pg_net.control"), include_str!("../sql/pg_net.sql")),
    (
        "supabase_vault",
        include_str!("../sql/supabase_vault.control"),
        include_str!("../sql/supabase_vault.sql"),
    ),
];

/// Lays the tree below `root`; returns the folder of its programs. `module` is added to the modules
/// that the server can load.
pub(super) fn lay(
    root: &Path,
    installation: &PostgresInstallation,
    module: Option<&Path>,
) -> Result<PathBuf> {
    let programs = root.join("lib/postgresql").join(&installation.version).join("bin");
    make_folder(&programs)?;
    for program in ["postgres", "initdb"] {
        copy_if_newer(&installation.programs.join("bin").join(program), &programs.join(program))?;
    }
    lay_modules(&installation.programs.join("lib"), &programs.with_file_name("lib"), module)?;

    let share = root.join("share/postgresql").join(&installation.version);
    make_folder(&share)?;
    for entry in std::fs::read_dir(&installation.share)?.flatten() {
        if entry.file_name() != "extension" {
            link(&entry.path(), &share.join(entry.file_name()))?;
        }
    }
    lay_extensions(&installation.share.join("extension"), &share.join("extension"))?;
    Ok(programs)
}

/// Lays a folder of links to the system's modules and a copy of `module`. It is no link, because user
/// `postgres` may not be able to reach the original.
fn lay_modules(system: &Path, own: &Path, module: Option<&Path>) -> Result<()> {
    // Earlier versions of `ferry` linked the whole folder.
    if own.is_symlink() {
        std::fs::remove_file(own).with_context(|| format!("removing {}", own.display()))?;
    }
    make_folder(own)?;
    for entry in std::fs::read_dir(system)?.flatten() {
        link(&entry.path(), &own.join(entry.file_name()))?;
    }
    if let Some(module) = module {
        copy_if_newer(module, &own.join(format!("{}.so", safeupdate::NAME)))?;
    }
    Ok(())
}

fn lay_extensions(system: &Path, own: &Path) -> Result<()> {
    make_folder(own)?;
    for entry in std::fs::read_dir(system)?.flatten() {
        let copy = own.join(entry.file_name());
        match entry.file_name().to_str().and_then(|name| name.strip_suffix(".control")) {
            Some(name) if TRUSTED.split_whitespace().any(|trusted| trusted == name) => {
                let control = std::fs::read_to_string(entry.path())?;
                write_if_changed(&copy, &format!("{}\ntrusted = true\n", control.trim_end()))?;
            }
            _ => link(&entry.path(), &copy)?,
        }
    }
    for (name, control, script) in STAND_INS {
        let version = control
            .lines()
            .find_map(|line| line.strip_prefix("default_version = '")?.strip_suffix('\''))
            .context("a control file names its version")?;
        write_if_changed(&own.join(format!("{name}.control")), control)?;
        write_if_changed(&own.join(format!("{name}--{version}.sql")), script)?;
    }
    Ok(())
}

/// A folder that user `postgres` reaches: `<state>/postgres`, or one below /var/tmp where the way to
/// the project is closed to it (a project in /root, say). Then `<state>/postgres` is a link to it.
pub(crate) fn root_for(state: &Path) -> Result<PathBuf> {
    let here = state.join("postgres");
    let open = |folder: &Path| folder.metadata().is_ok_and(|folder| folder.permissions().mode() & 0o001 != 0);
    if !rustix::process::geteuid().is_root() || state.ancestors().all(open) {
        return Ok(here);
    }
    let hash = Sha256::digest(state.as_os_str().as_encoded_bytes());
    let root = Path::new("/var/tmp").join(format!("ironferry-{}", hex(&hash[..6])));
    if let Ok(found) = root.symlink_metadata() {
        // Anybody may write to /var/tmp: a folder there that is not ours is not used.
        let owners = [0, find_user("postgres")?.0];
        if !found.is_dir() || !owners.contains(&found.uid()) {
            bail!("{} belongs to somebody else", root.display());
        }
        // Without the link it is left from a state folder that was deleted, to begin anew.
        if here.symlink_metadata().is_err() {
            std::fs::remove_dir_all(&root).with_context(|| format!("removing {}", root.display()))?;
        }
    }
    link(&root, &here)?;
    Ok(root)
}

/// User and group, by name.
pub(super) fn find_user(name: &str) -> Result<(u32, u32)> {
    let accounts = std::fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
    accounts
        .lines()
        .find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            (fields.first() == Some(&name))
                .then(|| Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)))?
        })
        .with_context(|| format!("there is no user {name}, which Postgres runs as when ferry runs as root"))
}

fn link(target: &Path, link: &Path) -> Result<()> {
    if std::fs::read_link(link).is_ok_and(|old| old == target) {
        return Ok(());
    }
    let _ = std::fs::remove_file(link);
    symlink(target, link).with_context(|| format!("linking {}", link.display()))
}

fn copy_if_newer(from: &Path, to: &Path) -> Result<()> {
    let (source, copy) = (from.metadata()?, to.metadata());
    let current = copy.is_ok_and(|copy| copy.len() == source.len() && copy.mtime() >= source.mtime());
    if !current {
        let _ = std::fs::remove_file(to);
        std::fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    }
    Ok(())
}
