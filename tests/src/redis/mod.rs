//! A Redis of one's own: the real `redis-server`, plain or with TLS, open or with a password.
//!
//! `tls` makes its certificates, `proxy` puts faults on the way to it, `upstash` speaks Upstash's REST
//! over it.

mod proxy;
mod tls;
mod upstash;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use ferry::stack::Claim;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

pub use proxy::{Fault, Proxy};
pub use upstash::Upstash;

/// A running server. Ends when dropped.
pub struct Redis {
    /// `redis://127.0.0.1:<port>` or `rediss://…`, without a login.
    pub url: String,
    claim: Claim,
    tls: Option<tls::Certificates>,
    folder: PathBuf,
    _child: Child,
}

impl Redis {
    /// Starts a plain server with more of its options, e.g. `["--requirepass", "word"]`.
    pub async fn start(options: &[&str]) -> Result<Self> {
        Self::with(options, false).await
    }

    /// Starts one that speaks TLS only.
    pub async fn start_tls(options: &[&str]) -> Result<Self> {
        Self::with(options, true).await
    }

    async fn with(options: &[&str], with_tls: bool) -> Result<Self> {
        let claim = Claim::any()?;
        let port = claim.port();
        let folder = std::env::temp_dir().join(format!("ironferry-redis-{port}-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let number = port.to_string();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--loglevel", "warning"]).args(options);
        let tls = if with_tls {
            let made = tls::Certificates::make(&folder)?;
            command.args(["--port", "0", "--tls-port", &number, "--tls-auth-clients", "no"]);
            command.arg("--tls-cert-file").arg(&made.certificate).arg("--tls-key-file").arg(&made.key);
            command.arg("--tls-ca-cert-file").arg(&made.authority);
            Some(made)
        } else {
            command.args(["--port", &number]);
            None
        };
        let child = command.current_dir(&folder).stdout(Stdio::null()).kill_on_drop(true).spawn();
        let child = child.context("starting redis-server")?;
        let scheme = if with_tls { "rediss" } else { "redis" };
        let redis = Self { url: format!("{scheme}://127.0.0.1:{port}"), claim, tls, folder, _child: child };
        redis.wait().await?;
        Ok(redis)
    }

    /// The certificate of the authority that signed the server's own, PEM.
    pub fn ca(&self) -> Result<String> {
        let tls = self.tls.as_ref().context("this server speaks no TLS")?;
        Ok(std::fs::read_to_string(&tls.authority)?)
    }

    async fn wait(&self) -> Result<()> {
        for _ in 0..1_200 {
            if tokio::net::TcpStream::connect(("127.0.0.1", self.claim.port())).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("redis-server does not start")
    }

    /// Runs commands, one a line, e.g. `SET a b`. `login` is what stands before the `@` of a URL.
    pub async fn run(&self, login: &str, commands: &str) -> Result<String> {
        let ca = self.tls.as_ref().map(|tls| tls.authority.as_path());
        cli(&with_login(&self.url, login), ca, commands).await
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// `redis://host` and `user:word` as `redis://user:word@host`.
#[must_use]
pub fn with_login(url: &str, login: &str) -> String {
    if login.is_empty() { url.to_owned() } else { url.replacen("://", &format!("://{login}@"), 1) }
}

/// How Redis' errors begin, and those of `redis-cli`.
const ERRORS: [&str; 6] = ["(error)", "ERR ", "NOAUTH", "WRONGPASS", "NOPERM", "AUTH failed"];

/// Runs commands, one a line, on any server; fails when one of them does.
pub async fn run(url: &str, commands: &str) -> Result<String> {
    cli(url, None, commands).await
}

async fn cli(url: &str, ca: Option<&Path>, commands: &str) -> Result<String> {
    let mut command = Command::new("redis-cli");
    command.args(["-u", url, "--no-auth-warning"]);
    if let Some(ca) = ca {
        command.arg("--cacert").arg(ca);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("redis-cli")?;
    let mut input = child.stdin.take().context("its input")?;
    let text = commands.to_owned();
    let writing = tokio::spawn(async move { input.write_all(text.as_bytes()).await });
    let output = child.wait_with_output().await?;
    writing.await??;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let refused = said.lines().find(|line| ERRORS.iter().any(|word| line.starts_with(word)));
    ensure!(
        output.status.success() && refused.is_none(),
        "redis-cli: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(said.trim_end().to_owned())
}
