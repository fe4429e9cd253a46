//! `ferry new`: a function that works at once, to be changed into the one that is wanted.

mod name;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use time::OffsetDateTime;

use super::{Misuse, paint};

#[derive(clap::Args)]
#[command(after_help = "Example:
  ferry new greet-guests
  cargo test -p greet-guests
  scripts/build greet-guests
  ferry up

Makes crates/NAME, its shim in supabase/functions/NAME, a migration, a pgTAP file, a block in
supabase/config.toml, and a line in the inventory of supabase/tests. docs/tutorial.md goes on from there.")]
pub(super) struct Arguments {
    /// Words of small letters and digits with hyphens between them: collect-dex
    name: String,
}

/// A file with its whole new text, and the one it had.
struct Piece {
    path: PathBuf,
    text: String,
    before: Option<String>,
}

pub(super) fn run(arguments: &Arguments, project: &Path) -> Result<ExitCode> {
    let name = arguments.name.as_str();
    if !project.join("crates").is_dir() || !project.join("supabase/config.toml").is_file() {
        return Err(Misuse(format!(
            "{} has no crates/ and no supabase/config.toml: a function is made in a clone of Ironferry",
            project.display()
        ))
        .into());
    }
    name::check(name, project)?;
    let pieces = pieces(name, project, OffsetDateTime::now_utc())?;
    write(&pieces)?;
    for piece in &pieces {
        let verb = if piece.before.is_some() { "changed" } else { "made" };
        let path = piece.path.strip_prefix(project).unwrap_or(&piece.path);
        paint::line(format!("{} {}", paint::good(format!("{verb:<7}")), path.display()));
    }
    paint::line(format!("\nNext: cargo test -p {name} && scripts/build {name} && ferry up"));
    Ok(ExitCode::SUCCESS)
}

fn pieces(name: &str, project: &Path, now: OffsetDateTime) -> Result<Vec<Piece>> {
    let module = name.replace('-', "_");
    let filled = |template: &str| template.replace("{{name}}", name).replace("{{module}}", &module);
    let file = |path: String, template: &str| Piece {
        path: project.join(path),
        text: filled(template),
        before: None,
    };
    let (crate_, function) = (format!("crates/{name}"), format!("supabase/functions/{name}"));
    let mut pieces = vec![
        file(format!("{crate_}/Cargo.toml"), include_str!("template/Cargo.toml.txt")),
        file(format!("{crate_}/src/lib.rs"), include_str!("template/lib.rs.txt")),
        file(format!("{crate_}/tests/{module}.rs"), include_str!("template/test.rs.txt")),
        file(format!("{function}/index.ts"), include_str!("template/index.ts.txt")),
        file(format!("{function}/deno.json"), "{ \"imports\": {} }\n"),
        file(
            format!("supabase/migrations/{}_{module}.sql", version(project, now)),
            include_str!("template/migration.sql.txt"),
        ),
        file(
            format!("supabase/tests/{}-{name}.sql", story_number(project)),
            include_str!("template/pgtap.sql.txt"),
        ),
    ];
    pieces.extend(inventory(project, &module)?);
    let block = filled("\n[functions.{{name}}]\nverify_jwt = false\n");
    pieces.push(
        change(project.join("supabase/config.toml"), |before| {
            let end = if before.ends_with('\n') { "" } else { "\n" };
            Some(format!("{before}{end}{block}"))
        })?
        .context("supabase/config.toml cannot be changed")?,
    );
    Ok(pieces)
}

/// The project's inventory of what functions with a service key may call, where there is one.
fn inventory(project: &Path, module: &str) -> Result<Option<Piece>> {
    let path = project.join("supabase/tests/10-inventory.sql");
    if !path.exists() {
        return Ok(None);
    }
    change(path, |before| {
        let asked = before.find("has_function_privilege('service_role', oid, 'execute')")?;
        let list = asked + before[asked..].find("array[\n")? + "array[\n".len();
        let (head, tail) = before.split_at(list);
        Some(format!("{head}        '{module}_greet(text)',\n{tail}"))
    })
}

fn change(path: PathBuf, how: impl FnOnce(&str) -> Option<String>) -> Result<Option<Piece>> {
    let before = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(how(&before).map(|text| Piece { path, text, before: Some(before) }))
}

/// Now, as migrations are numbered; later than the last one, whatever the clock says.
fn version(project: &Path, now: OffsetDateTime) -> u64 {
    let (date, time) = (now.date(), now.time());
    let day = u64::from(date.year().unsigned_abs()) * 10_000
        + u64::from(u8::from(date.month())) * 100
        + u64::from(date.day());
    let second = u64::from(time.hour()) * 10_000 + u64::from(time.minute()) * 100 + u64::from(time.second());
    let last = numbers(&project.join("supabase/migrations"), '_').max().unwrap_or(0);
    (day * 1_000_000 + second).max(last + 1)
}

/// Of the pgTAP file: the next after the last one.
fn story_number(project: &Path) -> u64 {
    numbers(&project.join("supabase/tests"), '-').max().unwrap_or(9) + 1
}

/// What the names of the files in a folder begin with.
fn numbers(folder: &Path, end: char) -> impl Iterator<Item = u64> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(move |entry| entry.file_name().to_str()?.split_once(end)?.0.parse().ok())
}

/// Writes all or, where one cannot be written, none.
fn write(pieces: &[Piece]) -> Result<()> {
    for (at, piece) in pieces.iter().enumerate() {
        if let Err(error) = write_one(piece) {
            for written in &pieces[..at] {
                let _ = match &written.before {
                    Some(text) => std::fs::write(&written.path, text),
                    None => std::fs::remove_file(&written.path),
                };
            }
            return Err(error).with_context(|| format!("writing {}", piece.path.display()));
        }
    }
    Ok(())
}

fn write_one(piece: &Piece) -> Result<()> {
    std::fs::create_dir_all(piece.path.parent().context("a folder")?)?;
    Ok(std::fs::write(&piece.path, &piece.text)?)
}
