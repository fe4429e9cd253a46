//! `ferry status`: the parts, whether they answer, and the addresses and keys to use.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::{not_running, paint};
use crate::stack::keys::Keys;
use crate::stack::state::{Folder, PartState, State};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  ferry status
  ferry status --json | jq -r .keys.service_role
  psql \"$(ferry status --json | jq -r .db_url)\"

Exit code 3 says that no stack is running, 1 that a part of it is not well.")]
pub(super) struct Arguments {
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Ports of this machine answer at once or never.
const PROBE: Duration = Duration::from_millis(500);

pub(super) fn run(arguments: &Arguments, folder: &Folder) -> Result<ExitCode> {
    let Some(state) = folder.running() else {
        return Ok(not_running(folder));
    };
    if arguments.json {
        paint::line(format!("{:#}", as_json(&state, &Keys::load_or_create(&folder.keys())?)));
    } else {
        print(&state, folder);
    }
    Ok(if state.parts.iter().all(is_healthy) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// It runs, and takes connections where it has a port.
fn is_healthy(part: &PartState) -> bool {
    part.life == "running"
        && part.port.is_none_or(|port| {
            TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PROBE).is_ok()
        })
}

fn as_json(state: &State, keys: &Keys) -> Value {
    let rows = state.parts.iter().map(|part| {
        json!({
            "name": part.name, "function": part.function, "pid": part.process.map(|process| process.pid),
            "port": part.port, "life": part.life, "healthy": is_healthy(part),
        })
    });
    json!({
        "ready": state.ready,
        "pid": state.supervisor.pid,
        "api_url": state.api_url,
        "db_url": state.db_url,
        "redis_url": state.redis_url,
        "keys": {
            "publishable": keys.publishable, "secret": keys.secret, "anon": keys.anon,
            "service_role": keys.service_role, "jwt_secret": keys.jwt_secret,
            "service_api_key": keys.service_api_key,
        },
        "parts": rows.collect::<Vec<_>>(),
    })
}

/// The table, for people.
pub(super) fn print(state: &State, folder: &Folder) {
    let line = |name: &str, value: &str| paint::line(format!("  {name:<17} {value}"));
    paint::line(paint::bold("Addresses"));
    line("API", &state.api_url);
    line("Functions", &format!("{}/functions/v1", state.api_url));
    line("Database", &state.db_url);
    line("Redis", &state.redis_url);
    if let Ok(keys) = Keys::load_or_create(&folder.keys()) {
        paint::line(paint::bold("Keys"));
        line("Publishable", &keys.publishable);
        line("Secret", &keys.secret);
        line("Service API key", &keys.service_api_key);
        line("anon (legacy)", &keys.anon);
        line("service (legacy)", &keys.service_role);
    }
    paint::line(paint::bold("Parts"));
    for part in &state.parts {
        let health = match (is_healthy(part), part.life.as_str()) {
            (true, _) => paint::good("healthy"),
            (false, "running") => paint::bad("does not answer"),
            (false, "restarting") => paint::warn("restarting"),
            (false, other) => paint::bad(other),
        };
        let port = part.port.map_or_else(|| "-".to_owned(), |port| port.to_string());
        let pid = part.process.unwrap_or(state.supervisor).pid;
        paint::line(format!("  {:<17} port {port:<6} pid {pid:<8} {health}", part.name));
    }
    paint::line(paint::faint(format!("Logs: {}", folder.logs().display())));
}
