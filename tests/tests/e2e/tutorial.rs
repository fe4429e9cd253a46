//! The tutorial does what it says: its commands, in a copy of the project, and its answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use ironferry_tests::lab::{ferry, project, target};
use serde_json::Value;

/// What the page asks for, in its order.
#[derive(Debug)]
enum Step {
    Run(String),
    /// A file with this text.
    Write(String, String),
    /// The last line of what the command before it printed, as JSON.
    Answer(Value),
}

fn steps(page: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut parts = page.split("\n```");
    parts.next();
    while let (Some(block), after) = (parts.next(), parts.next()) {
        after.context("a block does not end")?;
        let (kind, text) = block.split_once('\n').context("an empty block")?;
        steps.push(match kind.split_once(" file=") {
            Some((_, file)) => Step::Write(file.to_owned(), format!("{text}\n")),
            None if kind == "sh" => Step::Run(text.to_owned()),
            None if kind == "json" => Step::Answer(serde_json::from_str(text)?),
            None => anyhow::bail!("a block of {kind:?} is no step"),
        });
    }
    Ok(steps)
}

/// A copy of what the project consists of; its tools and what was compiled are shared.
struct Copy(PathBuf);

impl Copy {
    /// Always in the same place, since Cargo compiles a crate anew in each.
    fn new() -> Result<Self> {
        let folder = target().join("tutorial");
        let copy = Self(folder);
        copy.clear()?;
        fs::create_dir_all(&copy.0)?;
        for entry in fs::read_dir(project())? {
            let entry = entry?;
            let name = entry.file_name();
            match name.to_str().context("a name")? {
                "target" | ".git" | ".ferry" | ".env" => {}
                "node_modules" => std::os::unix::fs::symlink(entry.path(), copy.0.join(name))?,
                _ => copy_all(&entry.path(), &copy.0.join(name))?,
            }
        }
        Ok(copy)
    }

    fn clear(&self) -> Result<()> {
        if self.0.exists() {
            fs::remove_dir_all(&self.0).with_context(|| format!("removing {}", self.0.display()))?;
        }
        Ok(())
    }

    /// The steps as one script. Each answer follows a line that tells which step's it is.
    fn run(&self, steps: &[Step]) -> Result<String> {
        let lines = steps.iter().enumerate().map(|(at, step)| match step {
            Step::Run(text) => format!("echo '{MARK}{at}'\n{text}\necho\n"),
            Step::Write(file, text) => format!("cat >'{file}' <<'END OF FILE'\n{text}END OF FILE\n"),
            Step::Answer(_) => String::new(),
        });
        let script = format!("set -euo pipefail\n{}", lines.collect::<String>());
        let tools = [ferry().parent().map(PathBuf::from)];
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(tools.into_iter().flatten().chain(std::env::split_paths(&path)))?;
        let output = Command::new("bash")
            .args(["-c", &script])
            .env("PATH", path)
            .current_dir(&self.0)
            .env("CARGO_TARGET_DIR", target())
            .env("CARGO_INCREMENTAL", "0")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .output()?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "the tutorial fails:\n{out}\n{err}");
        Ok(out.into_owned())
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = Command::new(ferry()).arg("down").current_dir(&self.0).stdout(Stdio::null()).status();
        let _ = self.clear();
    }
}

const MARK: &str = "-- step ";

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        fs::copy(from, to)?;
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_name() != ".temp" {
            copy_all(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

#[test]
fn every_step_of_the_tutorial_works_and_answers_what_the_page_says() -> Result<()> {
    ensure!(ferry().exists(), "the command is not built: cargo build -p ironferry-cli");
    let steps = steps(&fs::read_to_string(project().join("docs/tutorial.md"))?)?;
    let printed = Copy::new()?.run(&steps)?;
    let mut answers = 0;
    for (at, step) in steps.iter().enumerate() {
        let Step::Answer(expected) = step else { continue };
        let (_, after) = printed.split_once(&format!("{MARK}{}\n", at - 1)).context("the step before")?;
        let output = after.split(MARK).next().unwrap_or_default().trim();
        let answer: Value = serde_json::from_str(output).with_context(|| format!("step {at}: {output}"))?;
        assert_eq!(answer, *expected, "step {at}");
        answers += 1;
    }
    assert!(answers >= 3 && steps.len() >= 11, "the page lost steps: {steps:?}");
    Ok(())
}
