//! `ferry up`: starts the stack and supervises it, here or in the background.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};

use super::{paint, status};
use crate::stack::state::{Folder, ProcessId, State};
use crate::stack::{Limits, Options, Ports, Stack};

#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(after_help = "Examples:
  ferry up
  ferry up --detach --no-migrate
  ferry up --wall-clock 400      as on the hosted platform's paid plans
  ferry up --function tests/functions/boundary --env SITE_URL=http://127.0.0.1:9000")]
pub(super) struct Arguments {
    /// Return when the stack is ready, and leave it running
    #[arg(long, short)]
    detach: bool,
    /// Do not apply migrations and seed
    #[arg(long)]
    no_migrate: bool,
    /// Do not run the functions
    #[arg(long)]
    no_functions: bool,
    /// Do not run what pg_cron has scheduled
    #[arg(long)]
    no_jobs: bool,
    /// Grant all privileges on new objects in schema public to the API roles, as a hosted project does with
    /// "Default privileges for new entities" switched on
    #[arg(long)]
    permissive_default_privileges: bool,
    /// Let the workers of functions use any CPU time and memory, and live as long as the stack: for measurements
    #[arg(long)]
    no_limits: bool,
    /// How long a worker may live after its first request; 150 on the free plan, 400 on the others
    #[arg(long, value_name = "SECONDS", default_value_t = 150, conflicts_with = "no_limits")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=400))]
    wall_clock: u64,
    /// Also run the function in this folder (may be given several times)
    #[arg(long = "function", value_name = "FOLDER")]
    functions: Vec<PathBuf>,
    /// Set a variable of the functions' environment (may be given several times)
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Take any free ports instead of the usual ones
    #[arg(long)]
    any_ports: bool,
    /// Show only problems, not what the functions write
    #[arg(long, short)]
    quiet: bool,
    /// We are the process that --detach starts.
    #[arg(long, hide = true)]
    in_background: bool,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it has the form NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A first start with many migrations on a slow machine takes part of that.
const DETACHED_WITHIN: Duration = Duration::from_mins(3);

pub(super) fn run(arguments: Arguments, options: Options, folder: &Folder) -> Result<ExitCode> {
    if let Some(state) = folder.running() {
        anstream::println!("The stack is running already.");
        status::print(&state, folder);
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.detach && !arguments.in_background {
        return detach(folder);
    }
    let quiet = arguments.quiet;
    let in_background = arguments.in_background;
    if in_background {
        // Away from the terminal, whose end is not ours.
        rustix::process::setsid().context("leaving the terminal")?;
    }
    let wall_clock = Duration::from_secs(arguments.wall_clock);
    let limits = (!arguments.no_limits).then_some(Limits { wall_clock, ..Limits::HOSTED });
    if limits.is_none() {
        anstream::eprintln!("{} no limits of CPU time, memory and worker life", paint::faint("ferry"));
    }
    let options = Options {
        limits,
        extra_functions: arguments.functions,
        function_env: arguments.env,
        ports: if arguments.any_ports { Ports::Any } else { Ports::Usual },
        migrate: !arguments.no_migrate,
        functions: !arguments.no_functions,
        jobs: !arguments.no_jobs,
        permissive_default_privileges: arguments.permissive_default_privileges,
        progress: Some(Arc::new(|text| {
            anstream::eprintln!("{} {text}", paint::faint("ferry"));
        })),
        listener: (!quiet && !in_background).then(|| Arc::new(show) as _),
        ..options
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(supervise(options, folder, in_background))
}

/// What a function writes is what one wants to see while one works on it.
fn show(part: &str, text: &str) {
    if !matches!(part, "postgres" | "redis" | "rest" | "gateway" | "pg_net" | "migrations") {
        paint::line(format!("{} {text}", paint::faint(format!("{part} |"))));
    }
}

async fn supervise(options: Options, folder: &Folder, in_background: bool) -> Result<ExitCode> {
    let start = Instant::now();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut told = async || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        };
    };
    // Dropping the start ends what had started.
    let stack = tokio::select! {
        stack = Stack::start(options) => stack?,
        () = told() => {
            anstream::eprintln!("Stopped before everything was up.");
            return Ok(ExitCode::FAILURE);
        }
    };
    if !in_background {
        show_ready(&stack.state(), folder, start);
        anstream::println!("\n{}", paint::faint("Ctrl-C stops the stack."));
    }
    told().await;
    anstream::println!("\nStopping …");
    stack.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Starts this program again in the background and shows what it says until it is ready.
fn detach(folder: &Folder) -> Result<ExitCode> {
    std::fs::create_dir_all(folder.path())?;
    let output = File::create(folder.output())?;
    let mut said = File::open(folder.output())?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .arg("--in-background")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .context("starting ferry in the background")?;
    let start = Instant::now();
    loop {
        let ended = child.try_wait()?.is_some();
        let supervisor = ProcessId::of(child.id());
        let ready = folder.running().filter(|state| state.ready && Some(state.supervisor) == supervisor);
        let mut text = String::new();
        said.read_to_string(&mut text)?;
        anstream::eprint!("{text}");
        if ended {
            return Ok(ExitCode::FAILURE);
        }
        if let Some(state) = ready {
            show_ready(&state, folder, start);
            return Ok(ExitCode::SUCCESS);
        }
        if start.elapsed() > DETACHED_WITHIN {
            anyhow::bail!(
                "the stack is not ready after {} s; `ferry down` gives up on it",
                DETACHED_WITHIN.as_secs()
            );
        }
        std::thread::sleep(Duration::from_millis(30));
    }
}

fn show_ready(state: &State, folder: &Folder, start: Instant) {
    anstream::println!("Ready after {:.1} s.\n", start.elapsed().as_secs_f64());
    status::print(state, folder);
}
