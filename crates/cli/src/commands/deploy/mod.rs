//! `ferry deploy`: from the source to functions that answer. `check` comes before anything is sent, `platform`
//! sends, `smoke` tries what was sent, and a failure says how to go back.

mod check;
mod smoke;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Result;

use super::platform::Platform;
use super::shims::Shim;
use super::{Misuse, doctor, paint, shims};
use crate::remote::{DatabaseTarget, Place, Remote, Settings, Target, block_on, connect};
use crate::stack::{migrations, vault};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  ferry deploy --dry-run                 build and check everything, say what would change, change nothing
  ferry deploy                           all functions of the project of SUPABASE_URL
  ferry deploy --only collect-dex        one function; migrations and Vault as ever

Needs, in the environment or .env: SUPABASE_URL, a database address, SERVICE_API_KEY or a secret key; and an
access token of the platform in SUPABASE_ACCESS_TOKEN or by `supabase login`. docs/deploy.md tells where to
get them.

A smoke test asks each function which module it runs: the uploaded one must answer, and it must take the
service key.

Exit code 1: a check, a step or a smoke test failed; the message says what was done and how to go back.")]
pub(super) struct Arguments {
    /// Build and check, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Only this function; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// The project, twenty letters [default: SUPABASE_PROJECT_REF, that of SUPABASE_URL, or the linked one]
    #[arg(long, value_name = "REF")]
    project_ref: Option<String>,
    /// Take the modules as they are; stale ones are refused
    #[arg(long)]
    no_build: bool,
    #[command(flatten)]
    database: DatabaseTarget,
}

/// All that is known before anything is sent.
struct Plan<'a> {
    project: &'a Path,
    /// Where the commit is noted whose deployment passed its smoke tests.
    good: PathBuf,
    shims: Vec<Shim>,
    platform: Platform,
    remote: Remote,
    database: String,
    /// `SERVICE_API_KEY` as it is set here: one key, or several separated by commas.
    service_keys: Option<String>,
    /// What the Vault shall hold.
    vault: Vec<(&'static str, String)>,
    deployed: BTreeMap<String, u64>,
    migrations: Vec<String>,
}

pub(super) fn run(arguments: &Arguments, place: &Place, project: &Path) -> Result<ExitCode> {
    let plan = Plan::make(arguments, place, project)?;
    if !arguments.no_build {
        check::build(project, &plan.shims)?;
    }
    let findings = check::all(project, &plan.shims, &plan.platform, plan.service_keys.as_deref())?;
    if !findings.is_empty() {
        doctor::print(&findings);
        anstream::eprintln!("{} nothing was deployed", paint::bad("error:"));
        return Ok(ExitCode::FAILURE);
    }
    if !plan.migrations.is_empty() {
        plan.platform.push(&plan.database, true)?;
    }
    plan.print();
    if arguments.dry_run {
        paint::line("\nNothing was changed: this was a dry run.");
        return Ok(ExitCode::SUCCESS);
    }
    plan.carry_out()
}

impl<'a> Plan<'a> {
    fn make(arguments: &Arguments, place: &Place, project: &'a Path) -> Result<Self> {
        let mut set = Settings::of(place);
        let mut shims = shims::read(project)?;
        if let Some(unknown) =
            arguments.only.iter().find(|name| !shims.iter().any(|shim| shim.name == **name))
        {
            return Err(Misuse(format!("there is no function {unknown}")).into());
        }
        shims.retain(|shim| arguments.only.is_empty() || arguments.only.contains(&shim.name));
        let Some(url) = set.get("SUPABASE_URL")? else {
            return Err(Misuse("SUPABASE_URL is not set: where shall it go?".to_owned()).into());
        };
        let remote = Remote::find(&Target { url: Some(url.clone()), local: false }, place)?;
        let platform = Platform::find(arguments.project_ref.as_deref(), &mut set, project)?;
        let mut vault = vec![("project_url", url.trim_end_matches('/').to_owned())];
        let service_keys = set.get("SERVICE_API_KEY")?;
        let key = service_keys
            .as_deref()
            .and_then(|keys| keys.split(',').map(str::trim).find(|key| !key.is_empty()));
        vault.extend(key.map(|key| ("service_api_key", key.to_owned())));
        let database = platform.needed_database(&arguments.database, place)?;
        let migrations = block_on(async {
            let client = connect(&database).await?;
            migrations::pending_in(&client, project).await
        })?;
        let deployed = platform.functions()?;
        let good =
            place.stack.as_ref().map_or_else(|| project.join(".ferry"), |folder| folder.path().to_owned());
        let good = good.join("deployed");
        Ok(Self {
            project,
            good,
            shims,
            platform,
            remote,
            database,
            service_keys,
            vault,
            deployed,
            migrations,
        })
    }

    fn print(&self) {
        paint::line(format!("Project    {}", self.platform.reference));
        let migrations =
            if self.migrations.is_empty() { "none are new".to_owned() } else { self.migrations.join(", ") };
        paint::line(format!("Migrations {migrations}"));
        let names: Vec<&str> = self.vault.iter().map(|(name, _)| *name).collect();
        paint::line(format!("Vault      {}", names.join(", ")));
        for shim in &self.shims {
            let before = self
                .deployed
                .get(&shim.name)
                .map_or("new".to_owned(), |version| format!("now version {version}"));
            paint::line(format!("Function   {} ({before})", shim.name));
        }
    }

    /// Migrations first: a function may need them, and must bear the newer schema when it does not.
    fn carry_out(&self) -> Result<ExitCode> {
        paint::line("");
        if !self.migrations.is_empty() {
            self.platform.push(&self.database, false)?;
            done(&format!("{} migrations applied", self.migrations.len()));
        }
        for name in self.fill_vault()? {
            done(&format!("Vault secret {name} set"));
        }
        for (place, shim) in self.shims.iter().enumerate() {
            if let Err(error) = self.platform.deploy(&shim.name) {
                let before: Vec<&str> = self.shims[..place].iter().map(|shim| &*shim.name).collect();
                if !before.is_empty() {
                    done(&format!("{} deployed, and not tried", before.join(", ")));
                }
                let problem = format!("it was not deployed: {error:#}");
                return Ok(self.go_back(&[(&shim.name, problem)], &[&before[..], &[&shim.name]].concat()));
            }
        }
        let now = self.platform.functions()?;
        let mut failed = Vec::new();
        for shim in &self.shims {
            let before = self.deployed.get(&shim.name).map_or_else(|| "-".to_owned(), u64::to_string);
            let after = now.get(&shim.name).map_or_else(|| "-".to_owned(), u64::to_string);
            match block_on(smoke::look(&self.remote, shim))? {
                None => done(&format!("{} deployed and answering, version {before} → {after}", shim.name)),
                Some(problem) => failed.push((&*shim.name, problem)),
            }
        }
        if failed.is_empty() {
            remember(self.project, &self.good);
            return Ok(ExitCode::SUCCESS);
        }
        let names: Vec<&str> = failed.iter().map(|(name, _)| *name).collect();
        Ok(self.go_back(&failed, &names))
    }

    fn fill_vault(&self) -> Result<Vec<String>> {
        let secrets: Vec<(&str, &str)> =
            self.vault.iter().map(|(name, value)| (*name, value.as_str())).collect();
        block_on(async { vault::set(&connect(&self.database).await?, &secrets, "Set by ferry deploy").await })
    }

    /// Says what failed, and how to have these functions as they were.
    fn go_back(&self, failed: &[(&str, String)], functions: &[&str]) -> ExitCode {
        for (name, problem) in failed {
            anstream::eprintln!("{} {name} does not work: {problem}", paint::bad("error:"));
        }
        let good = std::fs::read_to_string(&self.good).ok();
        let (old, new): (Vec<&str>, Vec<&str>) =
            functions.iter().partition(|name| self.deployed.contains_key(**name));
        anstream::eprintln!("{}", way_back(good.as_deref(), &old, &new));
        ExitCode::FAILURE
    }
}

/// The commands that bring back functions that there were before, and take away those that are new.
fn way_back(good: Option<&str>, old: &[&str], new: &[&str]) -> String {
    let mut told = Vec::new();
    if !old.is_empty() {
        let good = good.map_or("<the commit that worked>", str::trim);
        let only: Vec<String> = old.iter().map(|name| format!("--only {name}")).collect();
        told.push(format!(
            "The platform keeps no earlier versions. To go back to the last deployment that worked:\n  \
             git worktree add ../before {good} && cp .env ../before && cd ../before && scripts/setup\n  \
             ferry deploy {}",
            only.join(" ")
        ));
    }
    if !new.is_empty() {
        let delete: Vec<String> =
            new.iter().map(|name| format!("  supabase functions delete {name}")).collect();
        told.push(format!("To go back, take away what is new:\n{}", delete.join("\n")));
    }
    told.push("Migrations and the Vault stay as they are: undo a migration by a new one.".to_owned());
    told.join("\n")
}

/// Notes the commit, for the way back; unless it is not what was deployed.
fn remember(project: &Path, good: &Path) {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(project).output();
        output.ok().filter(|output| output.status.success())
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return };
    if git(&["status", "--porcelain"]).is_none_or(|changes| !changes.stdout.is_empty()) {
        let what = "some files are as no commit has them, so this deployment was not noted as a way back";
        anstream::eprintln!("{} {what}", paint::warn("warning:"));
        return;
    }
    let folder = good.parent().map_or(Ok(()), std::fs::create_dir_all);
    if let Err(error) = folder.and_then(|()| std::fs::write(good, commit.stdout)) {
        anstream::eprintln!("{} the deployed commit was not noted: {error}", paint::warn("warning:"));
    }
}

fn done(what: &str) {
    paint::line(format!("{} {what}", paint::good("done")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_noted_where_it_is_what_was_deployed() {
        let folder = std::env::temp_dir().join(format!("ferry-remember-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let git = |arguments: &[&str]| {
            let who = ["-c", "user.name=a", "-c", "user.email=a@b.test", "-c", "commit.gpgsign=false"];
            let done =
                Command::new("git").args(who).args(arguments).current_dir(&folder).output().expect("git");
            assert!(done.status.success(), "{done:?}");
            String::from_utf8(done.stdout).expect("text")
        };
        git(&["init", "--quiet"]);
        std::fs::write(folder.join("index.ts"), "1").expect("written");
        git(&["add", "."]);
        git(&["commit", "--quiet", "-m", "one"]);
        let good = folder.join(".git/deployed");
        remember(&folder, &good);
        let noted = std::fs::read_to_string(&good).expect("noted");
        assert_eq!(noted, git(&["rev-parse", "HEAD"]));

        std::fs::write(folder.join("index.ts"), "2").expect("written");
        std::fs::remove_file(&good).expect("removed");
        remember(&folder, &good);
        assert!(!good.exists(), "the commit has another index.ts");
        std::fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn the_way_back_brings_back_what_was_there_and_takes_away_what_was_not() {
        let told = way_back(Some("abc123\n"), &["cache", "health"], &["greet"]);
        for part in [
            "git worktree add ../before abc123 &&",
            "ferry deploy --only cache --only health\n",
            "supabase functions delete greet",
        ] {
            assert!(told.contains(part), "{part} is not in {told}");
        }
        assert!(!way_back(None, &[], &["greet"]).contains("worktree"), "nothing was there before");
    }
}
