//! `ferry logs`: the lines of the parts, in the order of their time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::paint;
use crate::stack::logs::path;
use crate::stack::state::Folder;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  ferry logs                        the last 50 lines of all parts together
  ferry logs collect-dex pg_net -f  follow two parts
  ferry logs postgres -n 1000")]
pub(super) struct Arguments {
    /// Which parts: postgres, redis, rest, pg_net, gateway, migrations, or functions [default: all]
    parts: Vec<String>,
    /// Wait for new lines
    #[arg(long, short)]
    follow: bool,
    /// How many lines to begin with
    #[arg(long, short = 'n', default_value_t = 50, value_name = "N")]
    lines: usize,
}

const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Enough for the lines that anybody asks for; logs can be large.
const READ_AT_MOST: u64 = 4 * 1024 * 1024;

pub(super) fn run(arguments: &Arguments, folder: &Folder) -> Result<ExitCode> {
    let mut sources = sources(&folder.logs(), &arguments.parts)?;
    let mut lines = new_lines(&mut sources);
    let from = lines.len().saturating_sub(arguments.lines);
    print(&lines.split_off(from), &sources)?;
    if !arguments.follow {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        std::thread::sleep(LOOK_EVERY);
        if arguments.parts.is_empty() {
            // A function that is new has a new log.
            for (part, source) in self::sources(&folder.logs(), &[])? {
                sources.entry(part).or_insert(Source { offset: 0, ..source });
            }
        }
        print(&new_lines(&mut sources), &sources)?;
    }
}

/// A log file and how far it was read.
struct Source {
    path: PathBuf,
    offset: u64,
}

fn sources(logs: &Path, wanted: &[String]) -> Result<BTreeMap<String, Source>> {
    let mut all: Vec<String> = std::fs::read_dir(logs)
        .with_context(|| format!("there are no logs in {}; `ferry up` makes them", logs.display()))?
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".log")?.to_owned()))
        .collect();
    all.sort();
    if let Some(unknown) = wanted.iter().find(|part| !all.contains(part)) {
        bail!("there is no log of {unknown:?}; there are: {}", all.join(", "));
    }
    let chosen = if wanted.is_empty() { &all } else { wanted };
    Ok(chosen
        .iter()
        .map(|part| {
            let path = path(logs, part);
            let length = path.metadata().map_or(0, |file| file.len());
            (part.clone(), Source { path, offset: length.saturating_sub(READ_AT_MOST) })
        })
        .collect())
}

/// Whole lines that were not read before: part, text. All lines begin with their time.
fn new_lines(sources: &mut BTreeMap<String, Source>) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for (part, source) in sources {
        for line in source.read() {
            lines.push((part.clone(), line));
        }
    }
    lines.sort_by(|(_, one), (_, other)| one.get(..24).cmp(&other.get(..24)));
    lines
}

impl Source {
    fn read(&mut self) -> Vec<String> {
        let mut bytes = Vec::new();
        let length = self.path.metadata().map_or(0, |file| file.len());
        if length < self.offset {
            // It was put aside, and a new one begun.
            self.offset = 0;
        }
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.offset))?;
            file.read_to_end(&mut bytes)
        });
        let Some(end) = read.ok().and_then(|_| bytes.iter().rposition(|byte| *byte == b'\n')) else {
            return Vec::new();
        };
        self.offset += end as u64 + 1;
        String::from_utf8_lossy(&bytes[..end]).lines().map(str::to_owned).collect()
    }
}

fn print(lines: &[(String, String)], sources: &BTreeMap<String, Source>) -> Result<()> {
    use std::io::Write as _;
    let width = sources.keys().map(String::len).max().unwrap_or(0);
    let mut out = anstream::stdout().lock();
    for (part, line) in lines {
        let (time, text) = line.split_once(' ').unwrap_or((line, ""));
        let written = if sources.len() == 1 {
            writeln!(out, "{} {text}", paint::faint(time))
        } else {
            writeln!(out, "{} {} {text}", paint::faint(time), paint::bold(format!("{part:<width$}")))
        };
        match written {
            // The reader, `head` say, has seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
            other => other?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_several_parts_are_put_in_order_and_half_a_line_waits() {
        let logs = std::env::temp_dir().join(format!("ferry-logs-{}", std::process::id()));
        std::fs::create_dir_all(&logs).expect("a folder");
        let at = |second: u32| format!("2026-11-21T09:00:0{second}.000Z");
        std::fs::write(path(&logs, "a"), format!("{} one\n{} three\n{} fo", at(1), at(3), at(4)))
            .expect("written");
        std::fs::write(path(&logs, "b"), format!("{} two\n", at(2))).expect("written");
        let mut sources = sources(&logs, &[]).expect("two logs");
        let texts: Vec<String> =
            new_lines(&mut sources).into_iter().map(|(_, line)| line[25..].to_owned()).collect();
        assert_eq!(texts, ["one", "two", "three"]);
        assert!(new_lines(&mut sources).is_empty());
        assert!(self::sources(&logs, &["c".to_owned()]).is_err());
        std::fs::remove_dir_all(logs).expect("removed");
    }
}
