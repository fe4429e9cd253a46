//! A function in a process of its own, started with the command and the environment with which the stack
//! started its own copy, for what is measured of a process: its start, its memory.

use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use ferry::stack::Claim;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

use crate::lab::Lab;

/// How a function is started.
#[derive(Clone, Debug)]
pub struct Recipe {
    program: String,
    args: Vec<String>,
    environment: Vec<(String, String)>,
    folder: PathBuf,
}

/// A running function. Killed when dropped.
pub struct Instance {
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    /// Its process.
    pub pid: u32,
    /// What it prints.
    pub output: Lines<BufReader<ChildStdout>>,
    _process: Child,
    _claim: Claim,
}

impl Recipe {
    /// As the stack started this function.
    pub fn of(lab: &Lab, function: &str) -> Result<Self> {
        let pid = lab.pid(function)?;
        let read = |file: &str| -> Result<Vec<String>> {
            let bytes = std::fs::read(format!("/proc/{pid}/{file}"))?;
            let parts = bytes.split(|byte| *byte == 0).filter(|part| !part.is_empty());
            let text = |part: &[u8]| std::ffi::OsString::from_vec(part.to_vec()).into_string();
            parts.map(|part| text(part).map_err(|_| anyhow::anyhow!("{file} is no UTF-8"))).collect()
        };
        let mut args = read("cmdline")?;
        let program = args.remove(0);
        let environment = read("environ")?.into_iter();
        let pair =
            |line: String| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(Self {
            program,
            args,
            environment: environment.filter_map(pair).collect(),
            folder: std::fs::read_link(format!("/proc/{pid}/cwd"))?,
        })
    }

    /// With an option of Deno's own.
    #[must_use]
    pub fn option(mut self, option: impl Into<String>) -> Self {
        self.args.insert(1, option.into());
        self
    }

    /// With another value of a variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// With another script: a bundle of the same, or a bare server.
    #[must_use]
    pub fn script(mut self, path: impl Into<String>) -> Self {
        self.args.pop();
        self.args.push(path.into());
        self
    }

    /// With another Deno and a script that it may do everything for.
    #[must_use]
    pub fn run_by(mut self, deno: &str, script: impl Into<String>) -> Self {
        deno.clone_into(&mut self.program);
        let options = ["run", "--quiet", "--no-lock", "--no-check", "--allow-all"];
        self.args = options.map(str::to_owned).into();
        self.args.push(script.into());
        self
    }

    /// Starts the process and returns at once, with the moment just before.
    pub fn spawn(&self) -> Result<(Instance, Instant)> {
        let claim = Claim::any()?;
        let port = claim.port();
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("DENO_SERVE_ADDRESS", format!("tcp:127.0.0.1:{port}"))
            .current_dir(&self.folder)
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let begun = Instant::now();
        let mut process = command.spawn().with_context(|| self.program.clone())?;
        let output = process.stdout.take().context("no output")?;
        let pid = process.id().context("it ended at once")?;
        let output = BufReader::new(output).lines();
        Ok((Instance { port, pid, output, _process: process, _claim: claim }, begun))
    }

    /// Starts the process and waits until it listens.
    pub async fn start(&self) -> Result<Instance> {
        let (instance, begun) = self.spawn()?;
        instance.connect(begun).await?;
        Ok(instance)
    }
}

impl Instance {
    /// A connection, as soon as it listens.
    pub async fn connect(&self, begun: Instant) -> Result<TcpStream> {
        while begun.elapsed() < Duration::from_secs(20) {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", self.port)).await {
                return Ok(stream);
            }
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        bail!("it does not listen")
    }
}
