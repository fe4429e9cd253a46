//! `ferry dex check`: a verdict a file.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use super::files;
use super::verdict::{self, Verdict};
use crate::commands::{MISUSE, paint};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  ferry dex check audit.dex
  ferry dex check --quiet captures/ || echo 'some are damaged'
  ferry dex check --json captures/ | jq -r '.files[] | select(.verdict == \"damaged\") .path'

Folders are searched for *.dex, *.daa and *.txt, with all folders in them. Verdicts:
  ok          nothing is odd
  warnings    something is odd, and all that counts was read; `ferry dex show` tells it
  damaged     the checksum does not match: a byte was lost or changed
  truncated   the end is missing, and no checksum vouches for what came
  not DEX     nothing of a capture is in it
  unreadable  it could not be read

A file of several captures gets the verdict of its worst. Exit code 0 says that all files are ok or have
warnings, 1 that one is damaged, truncated or not DEX, 2 that one could not be read.")]
pub(in crate::commands) struct Arguments {
    /// Files and folders; - is standard input
    #[arg(required = true, value_name = "FILES")]
    files: Vec<PathBuf>,
    /// Print one JSON object: files, each with its verdict, and counts
    #[arg(long)]
    json: bool,
    /// Print only the files that are neither ok nor have mere warnings
    #[arg(long, short)]
    quiet: bool,
}

/// What is said of a file.
#[derive(Serialize)]
struct Checked {
    path: String,
    verdict: Verdict,
    /// One a capture: `valid`, `mismatch` …
    crc: Vec<&'static str>,
    serials: Vec<String>,
    warnings: usize,
    /// Why it could not be read, or what is wrong in a few words.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(skip)]
    remark: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let paths = files::walk(&arguments.files)?;
    let mut progress = Progress::new(paths.len(), arguments);
    let mut counts: BTreeMap<Verdict, usize> = Verdict::ALL.map(|verdict| (verdict, 0)).into();
    let mut all = Vec::new();
    for (done, path) in paths.iter().enumerate() {
        progress.tell(done);
        let checked = check(path);
        *counts.entry(checked.verdict).or_default() += 1;
        if arguments.quiet && checked.verdict.is_good() {
            continue;
        }
        if arguments.json {
            all.push(checked);
        } else {
            progress.clear();
            print(&checked);
        }
    }
    progress.clear();
    if arguments.json {
        let counts: BTreeMap<_, _> = counts.iter().map(|(verdict, count)| (name(*verdict), count)).collect();
        paint::line(format!("{:#}", serde_json::json!({"files": all, "counts": counts})));
    } else if !arguments.quiet {
        print_counts(&counts);
    }
    let worst = counts.iter().rfind(|(_, count)| **count > 0).map_or(Verdict::Ok, |(verdict, _)| *verdict);
    Ok(match worst {
        Verdict::Unreadable => ExitCode::from(MISUSE),
        worst if worst.is_good() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// As in JSON.
fn name(verdict: Verdict) -> String {
    serde_json::to_value(verdict).ok().and_then(|name| Some(name.as_str()?.to_owned())).unwrap_or_default()
}

fn check(path: &Path) -> Checked {
    let mut checked = Checked {
        path: files::name(path),
        verdict: Verdict::Unreadable,
        crc: Vec::new(),
        serials: Vec::new(),
        warnings: 0,
        problem: None,
        remark: String::new(),
    };
    let file = match files::read(path) {
        Ok(file) => file,
        Err(error) => {
            // The path stands before it already.
            let said = error.to_string();
            let reason = said.strip_prefix(&format!("{}: ", checked.path)).unwrap_or(&said).to_owned();
            checked.problem = Some(reason.clone());
            checked.remark = reason;
            return checked;
        }
    };
    judge(&file, &mut checked);
    checked
}

fn judge(file: &[u8], checked: &mut Checked) {
    let dumps = eva_dts::parse(file);
    let captures: Vec<_> = dumps.iter().filter(|dump| verdict::is_dex(dump)).collect();
    if captures.is_empty() {
        checked.verdict = Verdict::NotDex;
        let what = if file.is_empty() { "it is empty" } else { "nothing of a capture is in it" };
        checked.problem = Some(what.to_owned());
        what.clone_into(&mut checked.remark);
        return;
    }
    checked.verdict = Verdict::Ok;
    let mut remarks = Vec::new();
    for dump in &captures {
        let reading = dump.reading();
        let verdict = Verdict::of(dump, &reading);
        if verdict >= checked.verdict {
            checked.verdict = verdict;
            remarks = remark(&reading);
        }
        checked.crc.push(reading.crc.status.name());
        let serial = reading.identity.serial.as_ref().map(ToString::to_string);
        checked.serials.extend(serial.filter(|serial| !checked.serials.contains(serial)));
        checked.warnings += reading.warnings.len();
    }
    if !checked.verdict.is_good() {
        checked.problem = Some(remarks.join(", "));
    }
    if captures.len() > 1 {
        remarks.insert(0, format!("{} captures", captures.len()));
    }
    match checked.warnings {
        0 => {}
        1 => remarks.push("1 warning".to_owned()),
        count => remarks.push(format!("{count} warnings")),
    }
    checked.remark = remarks.join(", ");
}

fn remark(reading: &eva_dts::Reading<'_>) -> Vec<String> {
    let crc = reading.crc;
    let mut remarks = vec![match (crc.sent, crc.computed) {
        (Some(sent), Some(computed)) if crc.status == eva_dts::CrcStatus::Mismatch => {
            format!("checksum {sent:04X} in the file, {computed:04X} by its bytes")
        }
        _ => verdict::crc(crc.status).to_owned(),
    }];
    if reading.is_truncated {
        remarks.push("the end is missing".to_owned());
    }
    remarks
}

fn print(checked: &Checked) {
    // Padded before it is painted.
    let verdict = checked.verdict.tone().paint(format!("{:<10}", checked.verdict.words()));
    let (path, remark) = (paint::harmless(&checked.path), paint::harmless(&checked.remark));
    paint::line(format!("{verdict}  {path}  {}", paint::faint(remark)));
}

fn print_counts(counts: &BTreeMap<Verdict, usize>) {
    let all: usize = counts.values().sum();
    let told = counts.iter().filter(|(_, count)| **count > 0);
    let words = |verdict: Verdict| match verdict {
        Verdict::Warnings => "with warnings",
        other => other.words(),
    };
    let told: Vec<String> =
        told.map(|(verdict, count)| verdict.tone().paint(format!("{count} {}", words(*verdict)))).collect();
    let files = if all == 1 { "file" } else { "files" };
    paint::line(format!("{all} {files}: {}", told.join(", ")));
}

/// How far it is, on the terminal, where many files are checked and their verdicts go elsewhere.
struct Progress {
    total: usize,
    is_shown: bool,
    is_written: bool,
    last: Instant,
}

const MANY: usize = 50;
const TELL_EVERY: Duration = Duration::from_millis(100);

impl Progress {
    fn new(total: usize, arguments: &Arguments) -> Self {
        let is_silent = arguments.quiet || arguments.json || !std::io::stdout().is_terminal();
        let is_shown = total > MANY && is_silent && std::io::stderr().is_terminal();
        Self { total, is_shown, is_written: false, last: Instant::now() }
    }

    fn tell(&mut self, done: usize) {
        if self.is_shown && self.last.elapsed() >= TELL_EVERY {
            self.last = Instant::now();
            self.is_written = true;
            let _ = write!(std::io::stderr(), "\r{done} of {} files", self.total);
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.is_written) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
