//! `ferry gen types`: Rust structs and names from the live schema, as `supabase gen types` makes them for
//! other languages. `catalog` reads the schema, `rust` knows the types, `emit` and `rpc` write; `part`
//! writes what one crate names of it.

mod catalog;
mod emit;
mod names;
mod part;
mod rpc;
mod rust;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use similar::TextDiff;

use crate::commands::{Misuse, paint};
use crate::remote::{DatabaseTarget, Place, block_on, connect};
use catalog::Catalog;
use part::Part;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  ferry gen types --out crates/shop/src/rows.rs
  ferry gen types --out src/rows.rs --only orders,customers,place_order
  ferry gen types --out src/rows.rs --check      in CI: exit code 1 and a difference when it is out of date
  ferry gen types --part crates/*/rows.toml      what each of these crates names of the schema, and no more

What becomes what, as PostgREST writes it in JSON:
  int2, int4, int8      i16, i32, i64          float4, float8   f32, f64
  numeric               --numeric              timestamptz      --times
  json, jsonb           serde_json::Value      arrays           Vec of their elements
  enums                 an enum; values that came later are kept in Unknown(String)
  composite types       a struct, each field an Option
  uuid, date, time, interval, bytea, ranges …  String
  domains               what they are made of

The file needs serde (derive) and serde_json, and time (formatting, parsing) or rust_decimal (serde) where it
names them. It has no tables of extensions, and of functions no triggers.")]
pub(in crate::commands) struct Arguments {
    /// Write to this file instead of the standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Compare with the file instead of writing it
    #[arg(long)]
    check: bool,
    /// Write the parts of the schema that these files name, each beside its crate's other sources
    #[arg(long, value_name = "ROWS.TOML", num_args = 1.., conflicts_with_all = ["out", "schema", "only", "times", "numeric"])]
    part: Vec<PathBuf>,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    database: DatabaseTarget,
}

/// What the file shall be like.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Which schema
    #[arg(long, value_name = "NAME", default_value = "public")]
    schema: String,
    /// Only these tables, views and functions, and what they are made of
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// What a timestamptz becomes
    #[arg(long, value_enum, default_value_t = Times::Time)]
    times: Times,
    /// What a numeric becomes
    #[arg(long, value_enum, default_value_t = Numeric::String)]
    numeric: Numeric,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Times {
    /// A wrapper of time::OffsetDateTime that reads and writes RFC 3339
    Time,
    /// String
    #[default]
    String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Numeric {
    /// A wrapper of String
    #[default]
    String,
    /// rust_decimal::Decimal
    Decimal,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

pub(super) fn run(arguments: &Arguments, place: &Place) -> Result<ExitCode> {
    if arguments.check && arguments.out.is_none() && arguments.part.is_empty() {
        return Err(Misuse("--check compares with a file: name it by --out, or --part".to_owned()).into());
    }
    let url = arguments.database.find(place)?;
    if !arguments.part.is_empty() {
        return parts(&arguments.part, &url, arguments.check);
    }
    let options = &arguments.options;
    let catalog = block_on(async { Catalog::read(&connect(&url).await?, &options.schema).await })?;
    let known = |name: &String| {
        catalog.relations.iter().any(|one| one.name == *name)
            || catalog.functions.iter().any(|one| one.name == *name)
    };
    if let Some(unknown) = options.only.iter().find(|name| !known(name)) {
        return Err(
            Misuse(format!("schema {} has no table, view or function {unknown}", options.schema)).into()
        );
    }
    let text = formatted(emit::file(&catalog, options), arguments.out.as_deref())?;
    match &arguments.out {
        None => paint::line(text.trim_end()),
        Some(file) => return put(file, &text, arguments.check),
    }
    Ok(ExitCode::SUCCESS)
}

/// All of them are looked at, so that one run tells what is out of date.
fn parts(files: &[PathBuf], url: &str, check: bool) -> Result<ExitCode> {
    let mut worst = ExitCode::SUCCESS;
    for file in files {
        let part = Part::read(file)?;
        let catalog = block_on(async { Catalog::read(&connect(url).await?, &part.schema).await })?;
        let text = part.write(&catalog).with_context(|| file.display().to_string())?;
        if put(part.out(), &formatted(text, Some(part.out()))?, check)? != ExitCode::SUCCESS {
            worst = ExitCode::FAILURE;
        }
    }
    Ok(worst)
}

/// Writes a file, or compares with it.
fn put(file: &Path, text: &str, check: bool) -> Result<ExitCode> {
    if check {
        return self::check(file, text);
    }
    if std::fs::read_to_string(file).is_ok_and(|before| before == text) {
        paint::line(format!("{} is up to date", file.display()));
        return Ok(ExitCode::SUCCESS);
    }
    std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
    paint::line(format!("{} written", file.display()));
    Ok(ExitCode::SUCCESS)
}

/// As `cargo fmt` would have it in that place, so that neither undoes the other's work. Without rustfmt it
/// stays as it is.
fn formatted(text: String, file: Option<&Path>) -> Result<String> {
    let mut command = Command::new("rustfmt");
    command.args(["--edition", "2024", "--quiet"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    // From there it looks for its settings.
    if let Some(folder) = file.and_then(Path::parent).filter(|folder| folder.is_dir()) {
        command.current_dir(folder);
    }
    let Ok(mut child) = command.spawn() else { return Ok(text) };
    // It reads everything before it writes anything.
    child.stdin.take().context("rustfmt reads")?.write_all(text.as_bytes()).context("running rustfmt")?;
    let output = child.wait_with_output().context("running rustfmt")?;
    ensure!(output.status.success(), "rustfmt does not understand what was generated: please report it");
    String::from_utf8(output.stdout).context("rustfmt writes text")
}

fn check(file: &Path, text: &str) -> Result<ExitCode> {
    let before = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    if before == text {
        paint::line(format!("{} is up to date", file.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let name = file.display().to_string();
    let difference = TextDiff::from_lines(before.as_str(), text);
    let shown = difference.unified_diff().context_radius(2).header(&name, "the schema").to_string();
    paint::line(shown.trim_end());
    anstream::eprintln!("{name} is out of date; `ferry gen types` writes it anew");
    Ok(ExitCode::FAILURE)
}
