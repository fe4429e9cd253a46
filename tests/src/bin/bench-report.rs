//! Shows what benchmarks wrote, and makes `docs/benchmarks.md` of it. `scripts/bench` calls it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Parser;
use ironferry_tests::report::{self, Machine, Measured};

/// Prints sections that benchmarks wrote, as Markdown.
#[derive(Parser)]
#[command(after_help = "Examples:\n  bench-report dex.json\n  bench-report --page target/bench boundary dex")]
struct Arguments {
    /// Print the whole page from this folder: machine.tsv, and NAME.json, NAME.load, NAME.seconds of each
    #[arg(long, value_name = "FOLDER")]
    page: Option<PathBuf>,
    /// Files; with --page, the names of the benchmarks in order
    what: Vec<String>,
}

fn main() -> Result<()> {
    let asked = Arguments::parse();
    let Some(folder) = asked.page else {
        for file in &asked.what {
            for section in report::read(Path::new(file))? {
                print!("\n{}", report::markdown(&section));
            }
        }
        return Ok(());
    };
    let measured: Result<Vec<Measured>> = asked.what.iter().map(|name| measured(&folder, name)).collect();
    print!("{}", report::page(&machine(&folder)?, &measured?));
    Ok(())
}

/// Lines of a name, a tab and a value.
fn machine(folder: &Path) -> Result<Machine> {
    let lines = text(&folder.join("machine.tsv"))?;
    let pairs = lines.lines().filter_map(|line| line.split_once('\t'));
    Ok(Machine(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
}

fn measured(folder: &Path, name: &str) -> Result<Measured> {
    let file = |kind: &str| folder.join(format!("{name}.{kind}"));
    let result = file("json");
    Ok(Measured {
        name: name.to_owned(),
        load: text(&file("load"))?.trim().to_owned(),
        seconds: text(&file("seconds"))?.trim().to_owned(),
        // The runner removes the result of an earlier run, so that a failure leaves none.
        sections: if result.exists() { report::read(&result)? } else { Vec::new() },
    })
}

fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}
