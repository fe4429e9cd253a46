//! `ferry secrets`: from where they are kept to the functions and to the database's Vault. No value is printed;
//! what is set is compared by its digest, which the platform tells.

mod envfile;
mod named;
mod rotate;
mod skipped;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use skipped::Reason;

use super::platform::Platform;
use super::{Misuse, paint, shims};
use crate::remote::{DatabaseTarget, Place, Settings, block_on, connect};
use crate::stack::keys::{hex, random};
use crate::stack::state::ProcessId;
use crate::stack::vault;

#[derive(clap::Subcommand)]
#[command(after_help = "Examples:
  ferry secrets check                                       is the project set as .env says?
  ferry secrets push                                        set what is missing or differs
  ferry secrets push --from-vault secret/ironferry/production
  ferry secrets rotate SERVICE_API_KEY                      a new key in place of the old one, no request lost

The names are those that the shims of supabase/functions name, the lists that they compute included. They come from the environment and .env, or from
HashiCorp Vault (KV version 2; VAULT_ADDR, VAULT_TOKEN, VAULT_NAMESPACE), and go to the functions' secrets and, where
a database is named, to its Vault: project_url and service_api_key. No value is printed.

What is kept and not pushed is named with the reason: no function asks for it, or the platform refuses it (names that
begin with SUPABASE_ or have more than 256 characters, values above 48 KiB; more than 100 secrets are refused as a
whole). Exit code 1 says that a function asks for one that the platform refuses.")]
pub(super) enum Command {
    /// Compare; exit code 1 when something is missing or differs
    Check(Arguments),
    /// Set what is missing or differs
    Push(Arguments),
    /// Replace a key by a new one, step by step, so that no request is lost
    Rotate(rotate::Arguments),
}

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Take them from this path of HashiCorp Vault instead of the environment and .env
    #[arg(long, value_name = "MOUNT/PATH")]
    from_vault: Option<String>,
    /// The project, twenty letters [default: SUPABASE_PROJECT_REF, that of SUPABASE_URL, or the linked one]
    #[arg(long, value_name = "REF")]
    project_ref: Option<String>,
    #[command(flatten)]
    database: DatabaseTarget,
}

/// What is to be, and what is.
struct Comparison {
    platform: Platform,
    kept: BTreeMap<String, String>,
    /// Name and state of each, in the order of the names.
    states: Vec<(String, State)>,
    /// What is kept and not pushed.
    skipped: Vec<(String, Reason)>,
    /// Name and digest of what the platform has.
    there: BTreeMap<String, String>,
    /// The database, and what its Vault shall hold.
    vault: Option<(String, Vec<(&'static str, String)>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Same,
    Differs,
    /// Kept, and not set on the platform.
    Unset,
    /// Set on the platform, and not kept.
    OnlyThere,
    /// Neither, and its name says that a function cannot do without.
    Nowhere,
    /// Neither; it has a default.
    Default,
}

pub(super) fn run(command: &Command, place: &Place, project: &Path) -> Result<ExitCode> {
    match command {
        Command::Check(arguments) => {
            let compared = Comparison::make(arguments, place, project)?;
            compared.print();
            let differing = block_on(compared.vault_differences())?;
            for name in &differing {
                paint::line(format!("{} Vault {name}", paint::bad("differs")));
            }
            compared.print_skipped();
            let is_well = differing.is_empty()
                && compared.is_taken()
                && compared.states.iter().all(|(_, state)| !state.is_wrong());
            Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Push(arguments) => Comparison::make(arguments, place, project)?.push(),
        Command::Rotate(arguments) => rotate::run(arguments, place, project),
    }
}

impl State {
    fn is_wrong(self) -> bool {
        matches!(self, State::Differs | State::Unset | State::Nowhere)
    }
}

impl Comparison {
    fn make(arguments: &Arguments, place: &Place, project: &Path) -> Result<Self> {
        let mut set = Settings::of(place);
        let shims = shims::read(project)?;
        let (mut names, mut kept, known) = if let Some(path) = &arguments.from_vault {
            let kept = block_on(source::from_vault(path, &mut set))?;
            let known: BTreeSet<String> = kept.keys().cloned().collect();
            (named::by_shims(project, &shims, &known), kept, known)
        } else {
            let known = set.names_of_file()?;
            let names = named::by_shims(project, &shims, &known);
            let kept = source::from_settings(&names, &mut set)?;
            (names, kept, known)
        };
        let skipped: Vec<(String, Reason)> = known
            .union(&kept.keys().cloned().collect())
            .filter_map(|name| {
                let value = kept.get(name).map(String::as_str).filter(|value| !value.trim().is_empty());
                Some((name.clone(), Reason::of(name, value, &names)?))
            })
            .collect();
        for (name, reason) in &skipped {
            kept.remove(name);
            if reason.is_wrong() {
                names.remove(name);
            }
        }
        names.retain(|name| !skipped::is_reserved(name));
        let platform = Platform::find(arguments.project_ref.as_deref(), &mut set, project)?;
        let there = platform.secrets()?;
        let state = |name: &String| match (kept.get(name), there.get(name)) {
            (Some(value), Some(digest)) if digest_of(value) == *digest => State::Same,
            (Some(_), Some(_)) => State::Differs,
            (Some(_), None) => State::Unset,
            (None, Some(_)) => State::OnlyThere,
            (None, None) if shims.iter().any(|shim| shim.needs(name)) => State::Nowhere,
            (None, None) => State::Default,
        };
        // Of lists that are computed, what nobody set is not worth a line.
        let is_written = |name: &String| shims.iter().any(|shim| shim.secrets.contains(name));
        let states = names
            .iter()
            .map(|name| (name.clone(), state(name)))
            .filter(|(name, state)| *state != State::Default || is_written(name))
            .collect();
        let mut entries = Vec::new();
        entries.extend(
            set.get("SUPABASE_URL")?.map(|url| ("project_url", url.trim_end_matches('/').to_owned())),
        );
        let first = kept
            .get("SERVICE_API_KEY")
            .and_then(|keys| keys.split(',').map(str::trim).find(|key| !key.is_empty()));
        entries.extend(first.map(|key| ("service_api_key", key.to_owned())));
        let vault = platform.database(&arguments.database, place)?.map(|url| (url, entries));
        Ok(Self { platform, kept, states, skipped, there, vault })
    }

    fn print(&self) {
        for (name, state) in &self.states {
            let told = match state {
                State::Same => paint::good("same   "),
                State::Differs => paint::bad("differs"),
                State::Unset => paint::bad("unset  "),
                State::OnlyThere => paint::faint("theirs "),
                State::Nowhere => paint::bad("nowhere"),
                State::Default => paint::faint("default"),
            };
            paint::line(format!("{told} {name}"));
        }
    }

    fn print_skipped(&self) {
        for (name, reason) in &self.skipped {
            let told = if reason.is_wrong() { paint::bad("skipped") } else { paint::faint("skipped") };
            paint::line(format!("{told} {}: {reason}", paint::harmless(name)));
        }
    }

    /// Whether everything that functions ask for and that is kept can be set.
    fn is_taken(&self) -> bool {
        self.skipped.iter().all(|(_, reason)| !reason.is_wrong())
    }

    async fn vault_differences(&self) -> Result<Vec<String>> {
        let Some((database, entries)) = &self.vault else { return Ok(Vec::new()) };
        let client = connect(database).await?;
        let mut differing = Vec::new();
        for (name, value) in entries {
            let same =
                "select count(*) from vault.decrypted_secrets where name = $1 and decrypted_secret = $2";
            if client.query_one(same, &[name, value]).await.context("reading the Vault")?.get::<_, i64>(0)
                != 1
            {
                differing.push((*name).to_owned());
            }
        }
        Ok(differing)
    }

    fn push(&self) -> Result<ExitCode> {
        if let Some((name, _)) = self.states.iter().find(|(_, state)| *state == State::Nowhere) {
            return Err(Misuse(format!(
                "{name} is neither kept nor set, and a shim names it: nothing was pushed"
            ))
            .into());
        }
        let new: Vec<&str> =
            self.states.iter().filter(|(_, state)| state.is_wrong()).map(|(name, _)| &**name).collect();
        skipped::check_count(&self.there, &new)?;
        if !new.is_empty() {
            let text: String = new.iter().map(|name| line(name, &self.kept[*name])).collect::<Result<_>>()?;
            let file = PrivateFile::new(&text)?;
            self.platform.set_secrets(&file.0)?;
        }
        for name in &new {
            paint::line(format!("{} {name}", paint::good("set")));
        }
        if let Some((database, entries)) = &self.vault {
            let entries: Vec<(&str, &str)> = entries.iter().map(|(name, value)| (*name, &**value)).collect();
            let changed = block_on(async {
                vault::set(&connect(database).await?, &entries, "Set by ferry secrets").await
            })?;
            for name in &changed {
                paint::line(format!("{} Vault {name}", paint::good("set")));
            }
        } else {
            paint::line(paint::faint("The database's Vault was not looked at: SUPABASE_DB_URL is not set."));
        }
        self.print_skipped();
        Ok(if self.is_taken() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// What the platform tells of a secret.
pub(super) fn digest_of(value: &str) -> String {
    hex(&Sha256::digest(value))
}

/// A line of an environment file. The CLI knows three quotes and no way to write one within itself; in double
/// quotes it reads `\n` as a line break.
fn line(name: &str, value: &str) -> Result<String> {
    let quote = ['\'', '`', '"']
        .into_iter()
        .find(|quote| !value.contains(*quote) && (*quote != '"' || !value.contains('\\')));
    let quote = quote.ok_or_else(|| {
        Misuse(format!(
            "{name} holds all kinds of quotes, which the Supabase CLI cannot read: set it in the dashboard"
        ))
    })?;
    Ok(format!("{name}={quote}{value}{quote}\n"))
}

/// A file that only its owner can read, gone when this is: arguments could be seen by others.
struct PrivateFile(std::path::PathBuf);

impl PrivateFile {
    fn new(text: &str) -> Result<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        sweep();
        let name = format!("{FILES}{}-{}", std::process::id(), hex(&random::<8>()));
        let path = std::env::temp_dir().join(name);
        let mut options = std::fs::OpenOptions::new();
        let mut file =
            options.write(true).create_new(true).mode(0o600).open(&path).context("a temporary file")?;
        let file_is_gone_with = Self(path);
        file.write_all(text.as_bytes()).context("writing a temporary file")?;
        Ok(file_is_gone_with)
    }
}

/// What the names of such files begin with; the process that made it follows.
const FILES: &str = "ferry-secrets-";

/// Removes what a command left behind that was killed.
fn sweep() {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process =
            name.to_str().and_then(|name| name.strip_prefix(FILES)?.split('-').next()?.parse().ok());
        if process.is_some_and(|process| ProcessId::of(process).is_none()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
