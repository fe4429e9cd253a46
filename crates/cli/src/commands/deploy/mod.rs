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
get them. A smoke test asks each function for a route that it has not: only the module itself can say so.

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
        let database = arguments.database.find(place)?;
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
        for shim in &self.shims {
            if let Err(error) = self.platform.deploy(&shim.name) {
                return Ok(self.go_back(&[(shim.name.clone(), format!("{error:#}"))]));
            }
        }
        let now = self.platform.functions()?;
        let mut failed = Vec::new();
        for shim in &self.shims {
            let before = self.deployed.get(&shim.name).map_or_else(|| "-".to_owned(), u64::to_string);
            let after = now.get(&shim.name).map_or_else(|| "-".to_owned(), u64::to_string);
            match block_on(smoke::look(&self.remote, shim))? {
                None => done(&format!("{} deployed and answering, version {before} → {after}", shim.name)),
                Some(problem) => failed.push((shim.name.clone(), problem)),
            }
        }
        if failed.is_empty() {
            remember(self.project, &self.good);
            return Ok(ExitCode::SUCCESS);
        }
        Ok(self.go_back(&failed))
    }

    fn fill_vault(&self) -> Result<Vec<String>> {
        let secrets: Vec<(&str, &str)> =
            self.vault.iter().map(|(name, value)| (*name, value.as_str())).collect();
        block_on(async { vault::set(&connect(&self.database).await?, &secrets, "Set by ferry deploy").await })
    }

    fn go_back(&self, failed: &[(String, String)]) -> ExitCode {
        for (name, problem) in failed {
            anstream::eprintln!("{} {name} does not work: {problem}", paint::bad("error:"));
        }
        let names: Vec<String> = failed.iter().map(|(name, _)| format!("--only {name}")).collect();
        let good = std::fs::read_to_string(&self.good).ok();
        let good = good.as_deref().map_or("<the commit that worked>", str::trim);
        anstream::eprintln!(
            "The platform keeps no earlier versions. To go back to the last deployment that worked:\n  \
             git worktree add ../before {good} && cp .env ../before && cd ../before && scripts/setup\n  \
             ferry deploy {}\n\
             Migrations stay as they are: undo one by a new one. `supabase functions delete NAME` takes a new function away.",
            names.join(" ")
        );
        ExitCode::FAILURE
    }
}

/// Notes the commit, for the way back.
fn remember(project: &Path, good: &Path) {
    let commit = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(project).output();
    let Some(commit) = commit.ok().filter(|output| output.status.success()) else { return };
    let folder = good.parent().map_or(Ok(()), std::fs::create_dir_all);
    if let Err(error) = folder.and_then(|()| std::fs::write(good, commit.stdout)) {
        anstream::eprintln!("{} the deployed commit was not noted: {error}", paint::warn("warning:"));
    }
}

fn done(what: &str) {
    paint::line(format!("{} {what}", paint::good("done")));
}
