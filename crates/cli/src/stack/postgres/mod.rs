//! A private `PostgreSQL`: its own tree, its own data folder, the roles of a hosted project.
//!
//! The server finds its extensions relative to its own program. So a copy of the program in a tree
//! of links gets an extension folder that is ours, without a change to the system: there the
//! extensions that a hosted project's `postgres` role may create are marked `trusted`, and the
//! stand-ins for `pg_net` and Vault stand beside them (`tree`).

mod safeupdate;
mod template;
mod tree;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use tokio_postgres::NoTls;

use sha2::{Digest as _, Sha256};

use super::files::write_if_changed;
use super::keys::hex;
use super::process::Spec;
use super::tools::{PostgresInstallation, install_postgres};
pub(crate) use template::Template;
pub(crate) use tree::root_for;

/// Loaded into the server where installed; `pg_cron` must be.
const PRELOADED: &[&str] = &["pg_cron", "pg_stat_statements", "plpgsql_check"];
const BOOTSTRAP: &[&str] = &[
    include_str!("../sql/roles.sql"),
    include_str!("../sql/auth.sql"),
    include_str!("../sql/triggers.sql"),
    "create extension supabase_vault",
    include_str!("../sql/permissive_default_privileges.sql"),
];
/// Run after the bootstrap, unless new objects shall be open to the API.
const DEFAULT_PRIVILEGES: &str = include_str!("../sql/default_privileges.sql");
/// The longest path that fits a Unix socket's address, less the socket's own name.
const LONGEST_SOCKET_FOLDER: usize = 85;
/// A server that listens answers at once, on a machine that gives it time to.
const CONNECTS_WITHIN: Duration = Duration::from_secs(30);

/// One private server, running or not.
pub(crate) struct Postgres {
    installation: PostgresInstallation,
    programs: PathBuf,
    root: PathBuf,
    user: Option<(u32, u32)>,
    durable: bool,
    /// Whether the API roles may do everything with each new object in `public`.
    permissive: bool,
    /// The reason why UPDATE and DELETE without a WHERE clause are accepted; `None` when they are refused.
    unguarded: Option<String>,
    pub(crate) port: u16,
}

impl Postgres {
    /// Prepares the tree below `root`. As root, everything there belongs to user `postgres`,
    /// because the server refuses to run as root.
    pub(crate) fn prepare(root: &Path, port: u16, durable: bool) -> Result<Self> {
        let installation = PostgresInstallation::find()?;
        if !installation.has_module("pg_cron") {
            let install = install_postgres(&format!("postgresql-{}-cron", installation.version));
            bail!("pg_cron is not installed. Run scripts/setup, or: {install}");
        }
        let user = rustix::process::geteuid().is_root().then(|| tree::find_user("postgres")).transpose()?;
        // Prefer the platform's own module if the system has it.
        let module = if installation.has_module(safeupdate::NAME) {
            Ok(None)
        } else {
            safeupdate::module(&installation).map(Some)
        };
        let (module, unguarded) = match module {
            Ok(module) => (module, None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        let programs = tree::lay(root, &installation, module.as_deref())
            .with_context(|| format!("preparing {}", root.display()))?;
        let server = Self {
            installation,
            programs,
            root: root.to_owned(),
            user,
            durable,
            permissive: false,
            unguarded,
            port,
        };
        server.own(root)?;
        Ok(server)
    }

    /// Sets whether a new database grants everything on each new object in `public` to the API roles.
    pub(crate) fn with_permissive_default_privileges(self, permissive: bool) -> Self {
        Self { permissive, ..self }
    }

    /// Returns why UPDATE and DELETE without a WHERE clause are accepted; `None` when they are refused.
    pub(crate) fn unguarded(&self) -> Option<&str> {
        self.unguarded.as_deref()
    }

    fn data(&self) -> PathBuf {
        self.root.join(format!("data-{}", self.installation.version))
    }

    /// Gives a path to the user that the server runs as.
    fn own(&self, path: &Path) -> Result<()> {
        match self.user {
            Some((user, group)) => Ok(std::os::unix::fs::chown(path, Some(user), Some(group))?),
            None => Ok(()),
        }
    }

    /// Whether this is the first start: there is no database yet.
    pub(crate) fn is_new(&self) -> bool {
        // Written last, so that a first start that was cut off is begun again.
        !self.data().join("ferry-made").exists()
    }

    /// Whether the database was made with other roles, default privileges or stand-ins.
    pub(crate) fn is_outdated(&self) -> bool {
        std::fs::read_to_string(self.data().join("ferry-made")).is_ok_and(|made| made != self.made_of())
    }

    /// Whether the seed is still to be applied: once in the life of the data folder.
    pub(crate) fn is_unseeded(&self) -> bool {
        !self.data().join("ferry-seeded").exists()
    }

    pub(crate) fn mark_seeded(&self) -> Result<()> {
        Ok(std::fs::write(self.data().join("ferry-seeded"), "")?)
    }

    /// Makes the data folder where there is none, and writes the settings.
    pub(crate) async fn initialise(&self) -> Result<()> {
        if self.is_new() {
            let _ = std::fs::remove_dir_all(self.data());
            self.initdb().await?;
        }
        let settings = self.data().join("ferry.conf");
        write_if_changed(&settings, &self.settings())?;
        self.own(&settings)
    }

    async fn initdb(&self) -> Result<()> {
        let data = self.data().display().to_string();
        let password = self.root.join("password");
        std::fs::write(&password, "postgres")?;
        let password_file = format!("--pwfile={}", password.display());
        let args =
            ["-D", &data, "-U", "supabase_admin", &password_file, "--auth=scram-sha-256", "-E", "UTF8"];
        let more = ["--locale=C.UTF-8", "--no-sync", "--no-instructions"];
        let output = self
            .spec("initdb", &[&args[..], &more].concat())
            .command()
            .output()
            .await
            .context("starting initdb")?;
        std::fs::remove_file(&password)?;
        if !output.status.success() {
            bail!("initdb failed:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        let main = self.data().join("postgresql.conf");
        let text = std::fs::read_to_string(&main)?;
        Ok(std::fs::write(&main, format!("{text}\ninclude 'ferry.conf'\n"))?)
    }

    fn settings(&self) -> String {
        let preloaded: Vec<&str> =
            PRELOADED.iter().copied().filter(|module| self.installation.has_module(module)).collect();
        let socket = Some(&self.root).filter(|root| root.as_os_str().len() <= LONGEST_SOCKET_FOLDER);
        let mut text = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\nmax_connections = 100\n\
             shared_preload_libraries = '{}'\ncron.database_name = 'postgres'\ncron.use_background_workers = on\n\
             max_worker_processes = 24\npassword_encryption = 'scram-sha-256'\nlog_line_prefix = '%q[%u %a] '\n\
             timezone = 'UTC'\nlog_timezone = 'UTC'\n",
            self.port,
            socket.map(|path| path.display().to_string()).unwrap_or_default(),
            preloaded.join(","),
        );
        if !self.durable {
            text.push_str("fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n");
        }
        text
    }

    fn spec(&self, program: &str, args: &[&str]) -> Spec {
        Spec {
            program: self.programs.join(program),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: vec![
                ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
                ("LC_ALL".to_owned(), "C.UTF-8".to_owned()),
                ("TZ".to_owned(), "UTC".to_owned()),
            ],
            folder: self.root.clone(),
            worker: None,
            user: self.user,
            // Fast shutdown: it does not wait until clients leave.
            stop_signal: Signal::INT,
            patience: Duration::from_secs(15),
        }
    }

    /// The server, which runs scheduled jobs or none.
    pub(crate) fn server(&self, jobs: bool) -> Spec {
        let data = self.data().display().to_string();
        let at_rest = ["-c", "cron.max_running_jobs=0"];
        self.spec("postgres", &[&["-D", &*data][..], if jobs { &[] } else { &at_rest }].concat())
    }

    /// Switches scheduled jobs off, where there are any.
    pub(crate) async fn rest_jobs(&self) -> Result<()> {
        let admin = connect(&self.url("supabase_admin")).await?;
        let there = admin.query_one("select to_regclass('cron.job') is not null", &[]).await?;
        if there.get(0) {
            admin.batch_execute("update cron.job set active = false where active").await?;
        }
        Ok(())
    }

    /// The connection string of a role.
    pub(crate) fn url(&self, role: &str) -> String {
        format!("postgresql://{role}:postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Succeeds when the server takes connections, and it is this one.
    pub(crate) async fn check(&self) -> Result<()> {
        let row = connect(&self.url("supabase_admin")).await?.query_one("show data_directory", &[]).await?;
        if Path::new(row.get::<_, &str>(0)) != self.data() {
            bail!("another Postgres listens on port {}", self.port);
        }
        Ok(())
    }

    /// Makes the roles, schemas and extensions of a hosted project, once.
    pub(crate) async fn bootstrap(&self) -> Result<()> {
        let admin = connect(&self.url("supabase_admin")).await?;
        for script in self.scripts() {
            admin.batch_execute(script).await.context("setting up the database")?;
        }
        Ok(std::fs::write(self.data().join("ferry-made"), self.made_of())?)
    }

    /// Makes sessions of the REST server refuse UPDATE and DELETE without a WHERE clause, if the module
    /// is available. Runs at each start, because the module can appear or vanish between two starts.
    pub(crate) async fn guard(&self) -> Result<()> {
        let script = if self.unguarded.is_none() { safeupdate::LOAD } else { safeupdate::UNLOAD };
        let admin = connect(&self.url("supabase_admin")).await?;
        admin.batch_execute(script).await.context("setting up the REST server's role")
    }

    fn scripts(&self) -> impl Iterator<Item = &'static str> {
        BOOTSTRAP.iter().copied().chain((!self.permissive).then_some(DEFAULT_PRIVILEGES))
    }

    /// Tells one bootstrap from another.
    fn made_of(&self) -> String {
        let stand_ins = tree::STAND_INS.iter().flat_map(|(_, control, script)| [*control, *script]);
        let all = self.scripts().chain(stand_ins);
        hex(&all.fold(Sha256::new(), Sha256::chain_update).finalize())
    }
}

/// Connects; the connection ends with the client.
pub(crate) async fn connect(url: &str) -> Result<tokio_postgres::Client> {
    let connecting = tokio_postgres::connect(url, NoTls);
    let (client, connection) =
        tokio::time::timeout(CONNECTS_WITHIN, connecting).await.context("connecting to Postgres")??;
    tokio::spawn(async move {
        // What goes wrong, the client's calls report.
        let _ = connection.await;
    });
    Ok(client)
}
