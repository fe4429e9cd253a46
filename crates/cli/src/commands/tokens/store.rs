//! `ferry tokens store`: one token from the standard input, or many from a file. Never from the command
//! line, which every user of the machine can read.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use token_manager::types::StoreReply;

use super::Common;
use super::ask::{ask, told};
use crate::commands::{Misuse, paint};
use crate::remote::{Place, Remote, block_on};

/// What the function takes at once.
const AT_ONCE: usize = 1_000;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  ferry tokens store APEX_136189 < token.txt
  ferry tokens store APEX_136189 --expires-at 2026-11-21T14:45:00Z < token.txt
  ferry tokens store --file tokens.json

tokens.json is {\"tokens\": [{\"account_name\": …, \"access_token\": …, \"expires_at\": …}, …]}, or the array
alone. The token of a JWT says itself when it ends; the earlier of both counts.")]
pub(in crate::commands) struct Arguments {
    /// The account, e.g. APEX_136189; its token is read from the standard input
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    account: Option<String>,
    /// When the token ends, RFC 3339
    #[arg(long, value_name = "TIME", conflicts_with = "file")]
    expires_at: Option<String>,
    /// The main account, where it does not follow from the name
    #[arg(long, value_name = "ACCOUNT", conflicts_with = "file")]
    main_account: Option<String>,
    /// Many tokens as JSON; - is the standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(arguments: &Arguments, place: &Place) -> Result<ExitCode> {
    let remote = Remote::find(&arguments.common.target, place)?;
    let tokens = match (&arguments.file, &arguments.account) {
        (Some(file), _) => from_file(file)?,
        (None, account) => vec![one(arguments, account.as_deref().unwrap_or_default())?],
    };
    let stored = block_on(async {
        let mut all = StoreReply { success: true, ..StoreReply::default() };
        for tokens in tokens.chunks(AT_ONCE) {
            let reply: StoreReply = told(ask(&remote, "store", Some(&json!({ "tokens": tokens }))).await?)?;
            all.tokens_stored += reply.tokens_stored;
            all.created += reply.created;
            all.updated += reply.updated;
        }
        all.message = format!("Stored {} tokens", all.tokens_stored);
        Ok(all)
    })?;
    if arguments.common.json {
        paint::line(format!("{:#}", json!(stored)));
    } else {
        paint::line(format!("{}: {} new, {} replaced", stored.message, stored.created, stored.updated));
    }
    Ok(ExitCode::SUCCESS)
}

fn one(arguments: &Arguments, account: &str) -> Result<Value> {
    let token = standard_input()?;
    let token = token.trim();
    if token.is_empty() {
        return Err(Misuse(
            "no token came on the standard input: ferry tokens store ACCOUNT < FILE".to_owned(),
        )
        .into());
    }
    let mut entry = json!({ "account_name": account, "access_token": token });
    if let Some(expires_at) = &arguments.expires_at {
        entry["expires_at"] = expires_at.as_str().into();
    }
    if let Some(main_account) = &arguments.main_account {
        entry["main_account"] = main_account.as_str().into();
    }
    Ok(entry)
}

fn from_file(path: &Path) -> Result<Vec<Value>> {
    let misuse = |what: String| Misuse(format!("{}: {what}", path.display()));
    let text = if path == Path::new("-") {
        standard_input()?
    } else {
        std::fs::read_to_string(path).map_err(|error| misuse(error.to_string()))?
    };
    // Its own words would quote what is in the file.
    let json: Value = serde_json::from_str(&text)
        .map_err(|error| misuse(format!("it is no JSON, at line {}", error.line())))?;
    match json {
        Value::Array(tokens) => Ok(tokens),
        Value::Object(mut object) => match object.remove("tokens") {
            Some(Value::Array(tokens)) => Ok(tokens),
            _ => Err(misuse("it has no array \"tokens\"".to_owned()).into()),
        },
        _ => Err(misuse("it is neither an array nor an object".to_owned()).into()),
    }
}

fn standard_input() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("reading the standard input")?;
    Ok(text)
}
