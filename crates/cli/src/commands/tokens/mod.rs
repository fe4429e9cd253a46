//! `ferry tokens`: broker tokens, by way of the function `token-manager`.
//!
//! `ask` calls it, `report` prints what it answers, `store` and `rotate` do what takes more than one call
//! or reads a file.

mod ask;
mod report;
mod store;
mod when;

use std::process::ExitCode;

use anyhow::Result;
use token_manager::types::{CleanupReply, GetReply, RenewReply, StatusReply, SyncReply};

use super::paint;
use crate::remote::{Place, Remote, Target, block_on};
use ask::{ask, told};

#[derive(clap::Subcommand)]
#[command(after_help = "Examples:
  ferry tokens sync                                  bring the database in line with Redis
  ferry tokens get APEX_136189 | pbcopy              the token alone
  ferry tokens list --expiring-within 10             those that end within 10 minutes
  ferry tokens store APEX_136189 < token.txt
  ferry tokens status --json | jq .status.sync_needed

The project is that of SUPABASE_URL, with SERVICE_API_KEY or SUPABASE_SECRET_KEY, from the environment or
from .env; else the local stack.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage or a setting is missing.")]
pub(super) enum Command {
    /// Bring the database in line with Redis
    Sync(Common),
    /// Count the tokens of both sides, and tell whether a sync is needed
    Status(Common),
    /// Print an account's token, and nothing else
    Get {
        /// The account, e.g. APEX_136189
        account: String,
        #[command(flatten)]
        common: Common,
    },
    /// List the tokens, without the tokens
    List(ask::ListArguments),
    /// Store a token from the standard input, or many from a file
    Store(store::Arguments),
    /// Mark tokens that have expired as inactive
    Cleanup(Common),
    /// Renew the tokens that end soon
    Renew {
        /// Only this account's, whenever it ends
        account: Option<String>,
        /// Those that end within so many minutes [default: the function's own setting, 15]
        #[arg(long, value_name = "MINUTES")]
        within: Option<u32>,
        #[command(flatten)]
        common: Common,
    },
    /// Seal all tokens again, under the first key of TOKEN_ENCRYPTION_KEYS
    RotateKey(Common),
}

/// What every command takes.
#[derive(clap::Args)]
pub(super) struct Common {
    /// Print the answer as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(command: &Command, place: &Place) -> Result<ExitCode> {
    match command {
        Command::Sync(common) => once::<SyncReply>(common, place, "sync", report::sync),
        Command::Status(common) => once::<StatusReply>(common, place, "status", report::status),
        Command::Cleanup(common) => once::<CleanupReply>(common, place, "cleanup", report::cleanup),
        Command::Get { account, common } => {
            let action = ask::with("get", "account", account);
            once::<GetReply>(common, place, &action, |reply| {
                paint::line(reply.token.expose());
                ExitCode::SUCCESS
            })
        }
        Command::Renew { account, within, common } => {
            let mut action = "renew".to_owned();
            if let Some(account) = account {
                action = ask::with(&action, "account", account);
            }
            if let Some(minutes) = within {
                action = ask::with(&action, "within", &(u64::from(*minutes) * 60));
            }
            once::<RenewReply>(common, place, &action, report::renew)
        }
        Command::List(arguments) => ask::list(arguments, place),
        Command::Store(arguments) => store::run(arguments, place),
        Command::RotateKey(common) => ask::rotate_key(common, place),
    }
}

/// One call, printed as JSON or for people.
fn once<T: serde::de::DeserializeOwned>(
    common: &Common,
    place: &Place,
    action: &str,
    print: impl FnOnce(&T) -> ExitCode,
) -> Result<ExitCode> {
    let remote = Remote::find(&common.target, place)?;
    let answer = block_on(ask(&remote, action, None))?;
    if common.json {
        paint::line(format!("{answer:#}"));
        return Ok(ExitCode::SUCCESS);
    }
    Ok(print(&told(answer)?))
}
