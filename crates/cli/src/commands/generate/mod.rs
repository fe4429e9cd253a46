//! `ferry gen`: writes what can be read off the project.

mod types;

use std::process::ExitCode;

use anyhow::Result;

use crate::remote::Place;

#[derive(clap::Subcommand)]
pub(in crate::commands) enum Command {
    /// Write the rows of the live schema as Rust types
    Types(types::Arguments),
}

pub(super) fn run(command: &Command, place: &Place) -> Result<ExitCode> {
    match command {
        Command::Types(arguments) => types::run(arguments, place),
    }
}
