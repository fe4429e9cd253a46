//! `ferry db`: what is done to a project's database as a whole.

mod import;

use std::process::ExitCode;

use anyhow::Result;

use crate::remote::Place;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Take an existing Postgres into the project: its schema as a migration, its rows with it
    Import(import::Arguments),
}

pub(super) fn run(command: &Command, place: &Place) -> Result<ExitCode> {
    match command {
        Command::Import(arguments) => import::run(arguments, place),
    }
}
