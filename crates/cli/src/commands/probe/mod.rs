//! `ferry probe`: a hosted project tells what its runtime and its database allow, and the local stack is compared with
//! it. `temporary` makes the function that asks and takes it away, `observe` calls it on both sides, `compare` finds
//! what differs.

mod compare;
mod observe;
mod temporary;

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::platform::Platform;
use super::table::{Cell, Column, Table};
use super::{Misuse, paint};
use crate::interrupt::unless_interrupted;
use crate::remote::{DatabaseTarget, Place, Remote, Settings, block_on};
use crate::stack::{Options, Ports, Stack};
use compare::Difference;
use observe::Side;
use temporary::{Deployed, NAME, Project};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  ferry probe                        ask first, then probe the project of SUPABASE_URL
  ferry probe --yes --json > probe.json
  ferry probe --yes --json | jq -r '.differences[].what'

Deploys the temporary function ferry-probe to the project, calls it some thirty times, and deletes it, also after a
failure or Ctrl-C. The function tries what a runtime may deny, uses up its own CPU time and memory, and tells names of
environment variables without their values; the project's logs show that it was ended. The same function runs on a
local stack of its own. Where a database is named (SUPABASE_DB_URL), roles, their settings and default privileges are
compared too; nothing is changed there. Takes about a minute.

Needs SUPABASE_URL, and an access token of the platform in SUPABASE_ACCESS_TOKEN or by `supabase login`.

Exit code 0: no difference. 1: there are differences, or the probe failed; the message says which. 2: wrong usage.")]
pub(super) struct Arguments {
    /// Deploy the temporary function without asking
    #[arg(long)]
    yes: bool,
    /// Print one JSON object: what each side told, and the differences
    #[arg(long)]
    json: bool,
    /// The project, twenty letters [default: SUPABASE_PROJECT_REF, that of SUPABASE_URL, or the linked one]
    #[arg(long, value_name = "REF")]
    project_ref: Option<String>,
    #[command(flatten)]
    database: DatabaseTarget,
}

pub(super) fn run(arguments: &Arguments, place: &Place, project: &Path) -> Result<ExitCode> {
    let mut set = Settings::of(place);
    let Some(url) = set.get("SUPABASE_URL")? else {
        return Err(Misuse("SUPABASE_URL is not set: which project shall be probed?".to_owned()).into());
    };
    let platform = Platform::find(arguments.project_ref.as_deref(), &mut set, project)?;
    let database = platform.database(&arguments.database, place)?;
    if !arguments.yes && !is_agreed(&platform.reference)? {
        paint::line("Nothing was deployed.");
        return Ok(ExitCode::FAILURE);
    }
    if platform.functions()?.contains_key(NAME) {
        bail!(
            "the project has a function {NAME} already: another probe is running, or one was killed before it could \
             delete it (supabase functions delete {NAME})"
        );
    }
    let secrets: Vec<String> = platform.secrets()?.into_keys().collect();
    let temporary = Project::new(project)?;
    let (hosted, local) = block_on(unless_interrupted(async {
        let progress = |what: &str| anstream::eprintln!("{}", paint::faint(what));
        progress("starting a local stack");
        let stack = local_stack(&temporary).await?;
        progress(&format!("deploying {NAME} to {}", platform.reference));
        let platform = platform.deploying_from(temporary.folder());
        let deployed = Deployed::deploy(&platform)?;
        progress("probing the platform");
        let side = |remote, database| Side { remote, token: temporary.token(), database, own: &secrets };
        let hosted = side(Remote::without_key(&url)?, database.as_deref()).observe().await;
        deployed.delete()?;
        progress(&format!("deleted {NAME}"));
        let hosted = hosted.context("the platform")?;
        progress("probing the local stack");
        let own_database = stack.db_url();
        let own_database = database.is_some().then_some(&*own_database);
        let local = side(Remote::without_key(stack.api_url())?, own_database).observe().await;
        stack.stop().await;
        Ok((hosted, local.context("the local stack")?))
    }))?;
    let differences = compare::differences(&hosted, &local);
    if arguments.json {
        let told = json!({
            "project": platform.reference, "platform": hosted, "local": local, "differences": differences,
        });
        paint::line(format!("{told:#}"));
    } else {
        for line in lines(&hosted, &local, &differences, paint::width()) {
            paint::line(line);
        }
    }
    Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is_agreed(reference: &str) -> Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let what = "nobody is there to be asked: --yes agrees that the temporary function is deployed";
        return Err(Misuse(what.to_owned()).into());
    }
    let what = format!("Deploy the temporary function {NAME} to {reference}, call it, and delete it? [y/N] ");
    let _ = write!(std::io::stderr(), "{what}");
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// A stack of its own with the function and the project's migrations, and nothing of its data.
async fn local_stack(temporary: &Project) -> Result<Stack> {
    let options = Options {
        ports: Ports::Any,
        durable: false,
        jobs: false,
        reload: false,
        ..Options::new(temporary.folder())
    };
    Stack::start(options).await.context("starting a local stack: nothing was deployed")
}

/// For people: who was compared, and a row for each difference.
fn lines(hosted: &Value, local: &Value, differences: &[Difference], room: Option<usize>) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, side) in [("Platform   ", hosted), ("Local stack", local)] {
        let versions = [
            ("Deno", &side["versions"]["deno"]),
            ("V8", &side["versions"]["v8"]),
            ("Postgres", &side["database"]["version"]),
        ];
        let told = versions.into_iter().filter_map(|(what, version)| {
            version.as_str().map(|version| format!("{what} {}", paint::harmless(version)))
        });
        lines.push(format!("{} {}", paint::bold(name), told.collect::<Vec<_>>().join(" · ")));
    }
    if hosted["database"].is_null() {
        lines.push(paint::faint("The databases were not compared: SUPABASE_DB_URL is not set."));
    }
    if differences.is_empty() {
        lines.push(paint::good("no differences"));
        return lines;
    }
    lines.push(String::new());
    let columns = [
        Column::left("Difference"),
        Column::left("Platform").elastic(),
        Column::left("Local stack").elastic(),
    ];
    let mut table = Table::new(columns);
    for Difference { what, platform, local } in differences {
        let cell = |told: &Option<String>| Cell::from(told.as_deref().unwrap_or("–"));
        table.row([Cell::from(what.as_str()), cell(platform), cell(local)]);
    }
    lines.extend(table.lines(room));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_a_row_and_a_database_that_was_not_asked_is_told() {
        let side =
            |deno: &str| json!({ "versions": { "deno": deno, "v8": "13.0" }, "environment": ["SB_REGION"] });
        let (hosted, mut local) = (side("2.1.4"), side("2.1.4\u{1b}[31m"));
        local["environment"] = json!([]);
        let told = |local: &Value| {
            let lines = lines(&hosted, local, &compare::differences(&hosted, local), None);
            lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            told(&local),
            [
                "Platform    Deno 2.1.4 · V8 13.0",
                "Local stack Deno 2.1.4\u{fffd}[31m · V8 13.0",
                "The databases were not compared: SUPABASE_DB_URL is not set.",
                "",
                "Difference               Platform  Local stack",
                "environment / SB_REGION  yes       –",
                "versions / deno          2.1.4     2.1.4\u{fffd}[31m",
            ]
        );
        assert_eq!(told(&hosted).last().map(String::as_str), Some("no differences"));
    }
}
