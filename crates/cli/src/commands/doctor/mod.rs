//! `ferry doctor`: the usual mistakes, and how to mend each. `files` looks at the project's folder, `keys`
//! at what is set, `address` at the way to the database, `database` into it.

mod address;
mod database;
pub(super) mod files;
mod keys;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use super::{paint, shims};
use crate::remote::{DatabaseTarget, Place, Settings, block_on, connect};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  ferry doctor                                         the project's folder, .env and database
  ferry doctor --json | jq -r '.findings[] | select(.severity == \"error\") | .code'
  ferry doctor --db-url \"$PRODUCTION_DB_URL\"

Looks at config.toml, the shims and their modules, at keys and addresses of the environment and .env, and, where
there is a database, at Vault, grants, RLS, jobs, migrations and its clock. It changes nothing and prints no key.

Exit code 1 says that there is an error; warnings and notices alone give 0.")]
pub(super) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseTarget,
}

/// What is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// Stable: `VAULT_SECRET_MISSING`.
    pub(super) code: &'static str,
    /// What it is about: a function, a table, a variable.
    pub(super) subject: String,
    pub(super) what: String,
    pub(super) mend: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Severity {
    Error,
    Warning,
    Notice,
}

impl Finding {
    fn of(
        severity: Severity,
        code: &'static str,
        subject: &str,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { severity, code, subject: subject.to_owned(), what: what.into(), mend: mend.into() }
    }

    pub(super) fn error(
        code: &'static str,
        subject: &str,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self::of(Severity::Error, code, subject, what, mend)
    }

    pub(super) fn warning(
        code: &'static str,
        subject: &str,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self::of(Severity::Warning, code, subject, what, mend)
    }

    pub(super) fn notice(
        code: &'static str,
        subject: &str,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self::of(Severity::Notice, code, subject, what, mend)
    }
}

pub(super) fn run(arguments: &Arguments, place: &Place, project: &Path) -> Result<ExitCode> {
    let mut set = Settings::of(place);
    let shims = shims::read(project)?;
    let mut findings = files::look(project, &shims)?;
    findings.extend(files::environment(project));
    findings.extend(files::secrets(project, &shims, &mut set)?);
    findings.extend(keys::look(&mut set)?);
    if let Some(pooler) = set.get(address::POOLER)? {
        findings.extend(address::of(address::POOLER, &pooler));
    }
    let url = arguments.database.look_for(place)?;
    match &url {
        None => findings.push(Finding::notice(
            "NO_DATABASE",
            "database",
            "nothing names a database: Vault, grants, jobs and migrations were not looked at",
            "set SUPABASE_DB_URL in .env, or give --db-url",
        )),
        Some(url) => {
            findings.extend(address::look(url));
            match block_on(async {
                let client = connect(url).await?;
                database::look(&client, project, &mut set).await
            }) {
                Ok(found) => findings.extend(found),
                Err(error) => findings.push(Finding::error(
                    "DATABASE_UNREACHABLE",
                    "database",
                    format!("{error:#}"),
                    "check host, port, user and password of the address, and the project's network restrictions",
                )),
            }
        }
    }
    findings.sort_by(|one, other| {
        (one.severity, one.code, &one.subject).cmp(&(other.severity, other.code, &other.subject))
    });
    if arguments.json {
        paint::line(format!("{:#}", json!({"findings": findings})));
    } else {
        print(&findings);
    }
    let is_well = findings.iter().all(|finding| finding.severity != Severity::Error);
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// For people: what it is, and below it how to mend it.
pub(super) fn print(findings: &[Finding]) {
    for finding in findings {
        let severity = match finding.severity {
            Severity::Error => paint::bad("error  "),
            Severity::Warning => paint::warn("warning"),
            Severity::Notice => paint::faint("notice "),
        };
        let Finding { code, subject, what, mend, .. } = finding;
        paint::line(format!("{severity} {} {}", paint::bold(paint::harmless(subject)), paint::faint(code)));
        for line in paint::lines(what) {
            paint::line(format!("        {line}"));
        }
        paint::line(format!("        → {}", paint::harmless(mend)));
    }
    if findings.is_empty() {
        paint::line(paint::good("nothing found"));
    }
}
