//! The commands, one file each. This file is what `ferry --help` shows.

mod backup;
mod cache;
mod chart;
mod cron;
mod db;
mod deploy;
mod dex;
mod doctor;
mod down;
mod generate;
mod inspect;
mod logs;
mod new;
mod orders;
mod paint;
mod platform;
mod probe;
mod restore;
mod risk;
mod sales;
mod secrets;
mod shims;
mod signals;
mod status;
mod table;
mod tokens;
mod up;
mod webhooks;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::remote::{Place, RemoteError, unquoted_ampersands};
use crate::stack::Options;
use crate::stack::state::Folder;

/// Runs Supabase Edge Functions in Rust, with all they need, on this machine.
#[derive(Parser)]
#[command(name = "ferry", version, propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    /// The project: a folder with supabase/ in it [default: this folder or the nearest one above]
    #[arg(long, global = true, value_name = "FOLDER", help_heading = "Which stack")]
    project: Option<PathBuf>,
    /// Where the stack keeps data, keys and logs [default: .ferry in the project]
    #[arg(long, global = true, value_name = "FOLDER", help_heading = "Which stack")]
    state: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  ferry up                     start the stack; Ctrl-C stops it
  ferry up --detach            start it in the background
  ferry status                 addresses, keys and the health of each part
  ferry logs collect-dex -f    follow a function's log
  ferry down                   stop the stack in the background
  ferry dex show audit.dex     what a vending machine says of itself
  ferry sales --days 30        what all machines sold, day by day
  ferry tokens status          broker tokens in Redis and in the database
  ferry signals                the alerts that came in, and what became of them
  ferry cache status           what is cached, how old it is, and how its sources stand";

#[derive(Subcommand)]
enum Command {
    /// Start the local stack: Postgres, REST, Redis, the functions and the gateway
    Up(up::Arguments),
    /// Stop the stack; its data stays
    Down,
    /// Show the parts of the stack, its addresses and its keys
    Status(status::Arguments),
    /// Show what the parts of the stack wrote
    Logs(logs::Arguments),
    /// Read the audit files of vending machines (EVA-DTS, DEX)
    #[command(subcommand)]
    Dex(dex::Command),
    /// Show what was sold, by day, machine or product, as a bar chart
    Sales(sales::Arguments),
    /// Manage broker tokens
    #[command(subcommand)]
    Tokens(tokens::Command),
    /// Make, list and switch the webhooks that alerts are sent to
    #[command(subcommand)]
    Webhooks(webhooks::Command),
    /// Show the alerts that came in, and what became of them
    Signals(signals::Arguments),
    /// Show the orders that alerts became
    Orders(orders::Arguments),
    /// Show and set an owner's limits, and stop all trading
    #[command(subcommand)]
    Risk(risk::Command),
    /// Back up a project's database, or list its backups
    Backup(backup::Arguments),
    /// Restore a backup into an empty database
    Restore(restore::Arguments),
    /// Take an existing Postgres into the project
    #[command(subcommand)]
    Db(db::Command),
    /// Show what became of each job's ticks: fired, answered, run; and where the chain broke
    Cron(cron::Arguments),
    /// Ask a database what it is doing and what it leaves open
    Inspect(inspect::Arguments),
    /// Read, save and watch cached data
    #[command(subcommand)]
    Cache(cache::Command),
    /// Build, check, migrate, deploy and try every function of a hosted project
    Deploy(deploy::Arguments),
    /// Let a hosted project tell what it allows, and compare that with the local stack
    Probe(probe::Arguments),
    /// Compare and set the secrets of the functions and of the database's Vault
    #[command(subcommand)]
    Secrets(secrets::Command),
    /// Find the usual mistakes, and say how to mend each
    Doctor(doctor::Arguments),
    /// Make a new function: crate, shim, configuration, migration, tests
    New(new::Arguments),
    /// Write what can be read off a project: Rust types of its schema
    #[command(subcommand)]
    Gen(generate::Command),
    /// Print the completions for a shell
    #[command(
        after_help = "Example:\n  ferry completions bash > ~/.local/share/bash-completion/completions/ferry"
    )]
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// Runs the command line. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no stack is running.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match cli.run() {
        Ok(code) => code,
        Err(error) => {
            anstream::eprintln!("{} {error:#}", paint::bad("error:"));
            if is_misuse(&error) { ExitCode::from(MISUSE) } else { ExitCode::FAILURE }
        }
    }
}

/// What clap exits with too.
const MISUSE: u8 = 2;
/// `ferry status` and `ferry logs` without a stack to show.
const NOT_RUNNING: u8 = 3;

/// The fault is in how the command was called: a file that is not there, a setting that is missing.
#[derive(thiserror::Error, Debug)]
#[error("{0}")]
struct Misuse(String);

fn is_misuse(error: &anyhow::Error) -> bool {
    error.is::<Misuse>() || error.downcast_ref().is_some_and(RemoteError::is_usage)
}

impl Cli {
    fn run(self) -> Result<ExitCode> {
        let scope = Scope { project: self.project, state: self.state };
        match self.command {
            Command::Up(arguments) => {
                let (options, folder) = scope.stack()?;
                up::run(arguments, options, &folder)
            }
            Command::Down => down::run(&scope.stack()?.1),
            Command::Status(arguments) => status::run(&arguments, &scope.stack()?.1),
            Command::Logs(arguments) => logs::run(&arguments, &scope.stack()?.1),
            Command::Dex(command) => dex::run(&command),
            Command::Sales(arguments) => sales::run(&arguments, &scope.place()?),
            Command::Tokens(command) => tokens::run(&command, &scope.place()?),
            Command::Webhooks(command) => webhooks::run(&command, &scope.place()?),
            Command::Signals(arguments) => signals::run(&arguments, &scope.place()?),
            Command::Orders(arguments) => orders::run(&arguments, &scope.place()?),
            Command::Risk(command) => risk::run(&command, &scope.place()?),
            Command::Backup(arguments) => backup::run(&arguments, &scope.place()?),
            Command::Restore(arguments) => restore::run(&arguments, &scope.place()?),
            Command::Db(command) => db::run(&command, &scope.place()?),
            Command::Cron(arguments) => cron::run(&arguments, &scope.place()?),
            Command::Inspect(arguments) => inspect::run(&arguments, &scope.place()?),
            Command::Cache(command) => cache::run(&command, &scope.place()?),
            Command::New(arguments) => new::run(&arguments, &scope.stack()?.0.project),
            Command::Deploy(arguments) => {
                let (place, project) = in_project(scope.place()?)?;
                deploy::run(&arguments, &place, &project)
            }
            Command::Probe(arguments) => {
                let (place, project) = in_project(scope.place()?)?;
                probe::run(&arguments, &place, &project)
            }
            Command::Secrets(command) => {
                let (place, project) = in_project(scope.place()?)?;
                secrets::run(&command, &place, &project)
            }
            Command::Doctor(arguments) => {
                // It has words of its own for what is wrong with `.env`.
                let (place, project) = in_project(scope.quiet_place()?)?;
                doctor::run(&arguments, &place, &project)
            }
            Command::Gen(command) => generate::run(&command, &scope.place()?),
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "ferry", &mut script);
                paint::line(String::from_utf8_lossy(&script).trim_end());
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// The project and its stack, as the command line names them.
struct Scope {
    project: Option<PathBuf>,
    state: Option<PathBuf>,
}

impl Scope {
    /// For commands that ask a project: it may run anywhere, and this folder need be none.
    fn place(self) -> Result<Place> {
        let place = self.quiet_place()?;
        if let Some(project) = &place.project {
            warn_of_environment(project);
        }
        Ok(place)
    }

    fn quiet_place(self) -> Result<Place> {
        let here = std::env::current_dir().context("where are we?")?;
        let project = self.project.or_else(|| find_project(&here).ok());
        let stack = match (self.state, &project) {
            (Some(state), _) => Some(Folder::at(state)),
            (None, Some(project)) => Some(Folder::of_project(project)),
            (None, None) => None,
        };
        Ok(Place::new(project, stack))
    }

    /// For commands that run a stack: there must be a project.
    fn stack(self) -> Result<(Options, Folder)> {
        let project = match self.project {
            Some(project) => project,
            None => find_project(&std::env::current_dir().context("where are we?")?)?,
        };
        let options = Options { state: self.state, ..Options::new(project) };
        let folder = options.state_folder()?;
        Ok((options, folder))
    }
}

/// For commands that look at a project's folder and ask where it runs.
fn in_project(place: Place) -> Result<(Place, PathBuf)> {
    let project = place.project.clone().map_or_else(|| find_project(Path::new(".")), Ok)?;
    Ok((place, project))
}

/// Says which URLs of `.env` a shell would not set: many source the file for other commands.
fn warn_of_environment(project: &Path) {
    for (line, name) in unquoted_ampersands(&project.join(".env")) {
        anstream::eprintln!(
            "{} .env, line {line}: the & in {name} ends the command in a shell that sources the file, and {name} is \
             not set there; write {name}='…'",
            paint::warn("warning:")
        );
    }
}

fn find_project(here: &Path) -> Result<PathBuf> {
    here.ancestors().find(|folder| folder.join("supabase").is_dir()).map(Path::to_owned).with_context(|| {
        format!(
            "{} is not in a project: there is no supabase/ folder. Go to one, or name it with --project",
            here.display()
        )
    })
}

fn not_running(folder: &Folder) -> ExitCode {
    anstream::eprintln!("No stack is running in {}. `ferry up` starts one.", folder.path().display());
    ExitCode::from(NOT_RUNNING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_project_is_found_from_a_folder_below_it() {
        let project = std::env::temp_dir().join(format!("ferry-find-{}", std::process::id()));
        let below = project.join("supabase/functions/a");
        std::fs::create_dir_all(&below).expect("folders");
        assert_eq!(find_project(&below).expect("found"), project);
        assert!(find_project(Path::new("/")).is_err());
        std::fs::remove_dir_all(project).expect("removed");
    }
}
