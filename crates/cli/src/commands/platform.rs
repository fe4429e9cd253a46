//! The hosted project, by the Supabase CLI: it has the access token, and speaks the Management API.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::commands::Misuse;
use crate::database::Address;
use crate::remote::{DatabaseTarget, Place, Settings};
use crate::stack::tools;

/// A project of the platform.
pub(super) struct Platform {
    supabase: PathBuf,
    project: PathBuf,
    /// Twenty small letters.
    pub(super) reference: String,
    /// Whether Ctrl-C, which a terminal sends to all programs of a command, stays away from the Supabase CLI.
    is_shielded: bool,
}

#[derive(Deserialize)]
struct Deployed {
    slug: String,
    version: u64,
}

#[derive(Deserialize)]
struct Secret {
    name: String,
    /// Its SHA-256, in hexadecimal digits.
    value: String,
}

impl Platform {
    /// The project of `--project-ref`, of `SUPABASE_PROJECT_REF`, of `SUPABASE_URL`, or the linked one.
    pub(super) fn find(given: Option<&str>, set: &mut Settings<'_>, project: &Path) -> Result<Self> {
        let of_url = |url: String| {
            let host = url.split_once("://")?.1.split(['/', ':']).next()?.to_owned();
            Some(host.strip_suffix(".supabase.co")?.to_owned())
        };
        let linked = || std::fs::read_to_string(project.join("supabase/.temp/project-ref")).ok();
        let reference = match given {
            Some(given) => Some(given.to_owned()),
            None => match set.get("SUPABASE_PROJECT_REF")? {
                Some(set) => Some(set),
                None => set.get("SUPABASE_URL")?.and_then(of_url).or_else(linked),
            },
        };
        let reference = reference.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let reference = reference.ok_or_else(|| {
            Misuse(
                "which project? Give --project-ref, or set SUPABASE_URL or SUPABASE_PROJECT_REF".to_owned(),
            )
        })?;
        let supabase = tools::supabase(project)?;
        Ok(Self { supabase, project: project.to_owned(), reference, is_shielded: false })
    }

    /// The same, with functions of another folder; what is under way is not ended by Ctrl-C.
    pub(super) fn deploying_from(&self, project: &Path) -> Self {
        Self {
            supabase: self.supabase.clone(),
            project: project.to_owned(),
            reference: self.reference.clone(),
            is_shielded: true,
        }
    }

    /// The deployed functions and their versions.
    pub(super) fn functions(&self) -> Result<BTreeMap<String, u64>> {
        let listed: Vec<Deployed> = self.list("functions")?;
        Ok(listed.into_iter().map(|one| (one.slug, one.version)).collect())
    }

    /// The functions' secrets: name and digest.
    pub(super) fn secrets(&self) -> Result<BTreeMap<String, String>> {
        let listed: Vec<Secret> = self.list("secrets")?;
        Ok(listed.into_iter().map(|one| (one.name, one.value)).collect())
    }

    /// Sets those of an environment file.
    pub(super) fn set_secrets(&self, file: &Path) -> Result<()> {
        let file = file.display().to_string();
        self.run(&["secrets", "set", "--env-file", &file, "--yes", &self.remote()])?;
        Ok(())
    }

    fn list<T: serde::de::DeserializeOwned>(&self, what: &str) -> Result<T> {
        let output = self.run(&[what, "list", "--output", "json", &self.remote()])?;
        serde_json::from_slice(&output.stdout).with_context(|| format!("reading supabase {what} list"))
    }

    /// Bundled by the platform, so that no Docker is needed and its absence changes nothing.
    pub(super) fn deploy(&self, function: &str) -> Result<()> {
        self.run(&["functions", "deploy", function, "--use-api", "--yes", &self.remote()])?;
        Ok(())
    }

    /// Takes a function away.
    pub(super) fn delete(&self, function: &str) -> Result<()> {
        self.run(&["functions", "delete", function, "--yes", &self.remote()])?;
        Ok(())
    }

    /// Applies the migrations that are new, or, dry, asks the CLI whether it would.
    pub(super) fn push(&self, database: &str, dry: bool) -> Result<()> {
        let (target, environment) = reached(database)?;
        let mut arguments = vec!["db", "push", "--yes", "--include-all", &target];
        if dry {
            arguments.push("--dry-run");
        }
        self.run_with(&arguments, environment)?;
        Ok(())
    }

    /// The database that is named, when it is not known to be another project's.
    pub(super) fn database(&self, target: &DatabaseTarget, place: &Place) -> Result<Option<String>> {
        let Some(url) = target.named(place)? else { return Ok(None) };
        let address = Address::parse(&url).map_err(|why| Misuse(format!("the database's address: {why}")))?;
        match address.project() {
            Some(other) if other != self.reference => Err(Misuse(format!(
                "the database {address} is of the project {other}, and the functions are of {}",
                self.reference
            ))
            .into()),
            _ => Ok(Some(url)),
        }
    }

    /// As [`Platform::database`], where nothing can be done without.
    pub(super) fn needed_database(&self, target: &DatabaseTarget, place: &Place) -> Result<String> {
        let why = "which database? Set SUPABASE_DB_URL in the environment or in .env, or give --db-url; \
                   a local stack's is not taken for a hosted project's";
        self.database(target, place)?.ok_or_else(|| Misuse(why.to_owned()).into())
    }

    fn remote(&self) -> String {
        format!("--remote={}", self.reference)
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        self.run_with(arguments, Vec::new())
    }

    fn run_with(&self, arguments: &[&str], environment: Vec<(&str, String)>) -> Result<Output> {
        let mut command = Command::new(&self.supabase);
        command.args(arguments).arg("--workdir").arg(&self.project).current_dir(&self.project);
        command.env("DO_NOT_TRACK", "1").env("SUPABASE_TELEMETRY_DISABLED", "1").env("NO_COLOR", "1");
        command.envs(environment);
        if self.is_shielded {
            command.process_group(0);
        }
        let output = command.stdin(Stdio::null()).output().context("starting the Supabase CLI")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let asked = arguments.iter().take(2).copied().collect::<Vec<_>>().join(" ");
        ensure!(output.status.success(), "supabase {asked} failed:\n{}", said.trim());
        Ok(output)
    }
}

/// A database as an argument and an environment: the password is in the latter, and whether to encrypt.
fn reached(database: &str) -> Result<(String, Vec<(&'static str, String)>)> {
    let address = Address::parse(database).map_err(anyhow::Error::msg)?;
    let mut environment = address.environment();
    environment.retain(|(name, _)| ["PGPASSWORD", "PGSSLMODE", "PGSSLROOTCERT"].contains(name));
    let bare = Address::without_password(database).map_err(anyhow::Error::msg)?;
    Ok((format!("--remote={bare}"), environment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_databases_password_is_no_argument() {
        let (argument, environment) =
            reached("postgresql://postgres:p%40ss@db.abc.supabase.co:5432/postgres?sslmode=require")
                .expect("a URL");
        assert_eq!(
            argument,
            "--remote=postgresql://postgres@db.abc.supabase.co:5432/postgres?sslmode=require"
        );
        let wanted = [("PGSSLMODE", "require".to_owned()), ("PGPASSWORD", "p@ss".to_owned())];
        assert_eq!(environment, wanted);
    }

    #[test]
    fn neither_a_local_stack_nor_another_project_stands_in_for_the_database() {
        let platform = Platform {
            supabase: PathBuf::new(),
            project: PathBuf::new(),
            reference: "abc".to_owned(),
            is_shielded: false,
        };
        let place = |url: Option<&str>| Place {
            environment: url.map(|url| ("SUPABASE_DB_URL".to_owned(), url.to_owned())).into_iter().collect(),
            ..Place::default()
        };
        let found = |url| platform.needed_database(&DatabaseTarget::default(), &place(url));
        let own = "postgresql://postgres:x@db.abc.supabase.co/postgres";
        assert_eq!(found(Some(own)).expect("its own"), own);
        for url in [None, Some("postgresql://postgres:x@db.other.supabase.co/postgres")] {
            let told = found(url).expect_err("refused").to_string();
            assert!(told.contains("other") || told.contains("which database"), "{told}");
        }
        let mut alone = place(Some("postgresql://postgres@db.abc.supabase.co/postgres"));
        alone.environment.insert("PGPASSWORD".to_owned(), "p@ss".to_owned());
        let whole = platform.needed_database(&DatabaseTarget::default(), &alone).expect("its own");
        assert!(whole.contains("p%40ss"), "its password is taken from where other commands take it");
    }
}
