//! The `ferry` command. Everything is in the library, so that tests reach it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ferry::commands::run()
}
