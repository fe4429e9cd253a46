//! A private `PostgreSQL`: its own tree, its own data folder, the roles of a hosted project.
//!
//! The server finds its extensions relative to its own program. So a copy of the program in a tree
//! of links gets an extension folder that is ours, without a change to the system: there the
//! extensions that a hosted project's `postgres` role may create are marked `trusted`, and the
//! stand-ins for `pg_net` and Vault stand beside them.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use tokio_postgres::NoTls;

use super::files::{make_folder, write_if_changed};
use super::process::Spec;
use super::tools::PostgresInstallation;

/// What the hosted platform lets `postgres` create although it is not a superuser.
const TRUSTED: &[&str] = &[
    "amcheck",
    "autoinc",
    "bloom",
    "dblink",
    "hypopg",
    "index_advisor",
    "insert_username",
    "moddatetime",
    "pg_buffercache",
    "pg_cron",
    "pg_hashids",
    "pg_jsonschema",
    "pg_prewarm",
    "pg_stat_statements",
    "pg_walinspect",
    "pgaudit",
    "pgjwt",
    "pgmq",
    "pgroonga",
    "pgrouting",
    "pgrowlocks",
    "pgstattuple",
    "pgtap",
    "plpgsql_check",
    "postgis",
    "postgis_raster",
    "postgis_topology",
    "postgres_fdw",
    "refint",
    "rum",
    "sslinfo",
    "vector",
    "xml2",
];
/// Loaded into the server where installed; `pg_cron` must be.
const PRELOADED: &[&str] = &["pg_cron", "pg_stat_statements", "plpgsql_check"];
const STAND_INS: [(&str, &str, &str); 2] = [
    ("pg_net", include_str!("sql/pg_net.control"), include_str!("sql/pg_net.sql")),
    ("supabase_vault", include_str!("sql/supabase_vault.control"), include_str!("sql/supabase_vault.sql")),
];
const BOOTSTRAP: &[&str] = &[
    include_str!("sql/roles.sql"),
    include_str!("sql/auth.sql"),
    include_str!("sql/triggers.sql"),
    "create extension supabase_vault",
];
/// The longest path that fits a Unix socket's address, less the socket's own name.
const LONGEST_SOCKET_FOLDER: usize = 85;

/// One private server, running or not.
pub(crate) struct Postgres {
    installation: PostgresInstallation,
    root: PathBuf,
    user: Option<(u32, u32)>,
    durable: bool,
    pub(crate) port: u16,
}

impl Postgres {
    /// Prepares the tree below `root`. As root, everything there belongs to user `postgres`,
    /// because the server refuses to run as root.
    pub(crate) fn prepare(root: &Path, port: u16, durable: bool) -> Result<Self> {
        let installation = PostgresInstallation::find()?;
        if !installation.has_module("pg_cron") {
            bail!(
                "pg_cron is not installed. Run scripts/setup, or: apt-get install postgresql-{}-cron",
                installation.version
            );
        }
        let user = rustix::process::geteuid().is_root().then(|| find_user("postgres")).transpose()?;
        let server = Self { installation, root: root.to_owned(), user, durable, port };
        server.lay_tree().with_context(|| format!("preparing {}", root.display()))?;
        Ok(server)
    }

    fn programs(&self) -> PathBuf {
        self.root.join("lib/postgresql").join(&self.installation.version).join("bin")
    }

    fn data(&self) -> PathBuf {
        self.root.join(format!("data-{}", self.installation.version))
    }

    fn lay_tree(&self) -> Result<()> {
        let programs = self.programs();
        make_folder(&programs)?;
        for program in ["postgres", "initdb"] {
            copy_if_newer(&self.installation.programs.join("bin").join(program), &programs.join(program))?;
        }
        link(&self.installation.programs.join("lib"), &programs.with_file_name("lib"))?;

        let share = self.root.join("share/postgresql").join(&self.installation.version);
        let extensions = share.join("extension");
        make_folder(&extensions)?;
        for entry in std::fs::read_dir(&self.installation.share)?
            .flatten()
            .filter(|entry| entry.file_name() != "extension")
        {
            link(&entry.path(), &share.join(entry.file_name()))?;
        }
        for entry in std::fs::read_dir(self.installation.share.join("extension"))?.flatten() {
            let copy = extensions.join(entry.file_name());
            match entry.file_name().to_str().and_then(|name| name.strip_suffix(".control")) {
                Some(name) if TRUSTED.contains(&name) => {
                    let control = std::fs::read_to_string(entry.path())?;
                    write_if_changed(&copy, &format!("{}\ntrusted = true\n", control.trim_end()))?;
                }
                _ => link(&entry.path(), &copy)?,
            }
        }
        for (name, control, script) in STAND_INS {
            let version = control
                .lines()
                .find_map(|line| line.strip_prefix("default_version = '")?.strip_suffix('\''))
                .context("a control file names its version")?;
            write_if_changed(&extensions.join(format!("{name}.control")), control)?;
            write_if_changed(&extensions.join(format!("{name}--{version}.sql")), script)?;
        }
        self.own(&self.root)
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
        !self.root.join("bootstrapped").exists()
    }

    /// Whether the seed is still to be applied: once in the life of the data folder.
    pub(crate) fn is_unseeded(&self) -> bool {
        !self.root.join("seeded").exists()
    }

    pub(crate) fn mark_seeded(&self) -> Result<()> {
        Ok(std::fs::write(self.root.join("seeded"), "")?)
    }

    /// Makes the data folder where there is none, and writes the settings.
    pub(crate) async fn initialise(&self) -> Result<()> {
        if self.is_new() {
            let _ = std::fs::remove_dir_all(self.data());
            let _ = std::fs::remove_file(self.root.join("seeded"));
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
            program: self.programs().join(program),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: vec![
                ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
                ("LC_ALL".to_owned(), "C.UTF-8".to_owned()),
                ("TZ".to_owned(), "UTC".to_owned()),
            ],
            folder: self.root.clone(),
            user: self.user,
            // Fast shutdown: it does not wait until clients leave.
            stop_signal: Signal::INT,
            patience: Duration::from_secs(15),
        }
    }

    pub(crate) fn server(&self) -> Spec {
        self.spec("postgres", &["-D", &self.data().display().to_string()])
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
        for script in BOOTSTRAP {
            admin.batch_execute(script).await.context("setting up the database")?;
        }
        Ok(std::fs::write(self.root.join("bootstrapped"), "")?)
    }
}

/// Connects; the connection ends with the client.
pub(crate) async fn connect(url: &str) -> Result<tokio_postgres::Client> {
    let connecting = tokio_postgres::connect(url, NoTls);
    let (client, connection) = tokio::time::timeout(Duration::from_secs(5), connecting)
        .await
        .context("connecting to Postgres")??;
    tokio::spawn(async move {
        // What goes wrong, the client's calls report.
        let _ = connection.await;
    });
    Ok(client)
}

/// A folder that user `postgres` reaches: `<state>/postgres`, or one below /var/tmp where the way to
/// the project is closed to it (a project in /root, say).
pub(crate) fn root_for(state: &Path) -> Result<PathBuf> {
    if !rustix::process::geteuid().is_root() {
        return Ok(state.join("postgres"));
    }
    let open = |folder: &Path| folder.metadata().is_ok_and(|folder| folder.permissions().mode() & 0o001 != 0);
    if state.ancestors().all(open) {
        return Ok(state.join("postgres"));
    }
    let name =
        super::keys::hex(&<sha2::Sha256 as sha2::Digest>::digest(state.as_os_str().as_encoded_bytes())[..6]);
    let root = Path::new("/var/tmp").join(format!("ironferry-{name}"));
    // Anybody may write to /var/tmp: a folder there that is not ours is not used.
    if let Ok(found) = root.symlink_metadata() {
        let owners = [0, find_user("postgres")?.0];
        if !found.is_dir() || !owners.contains(&found.uid()) {
            bail!("{} belongs to somebody else", root.display());
        }
    }
    Ok(root)
}

fn find_user(name: &str) -> Result<(u32, u32)> {
    let accounts = std::fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
    accounts
        .lines()
        .find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            (fields.first() == Some(&name))
                .then(|| Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)))?
        })
        .with_context(|| format!("there is no user {name}, which Postgres runs as when ferry runs as root"))
}

fn link(target: &Path, link: &Path) -> Result<()> {
    if std::fs::read_link(link).is_ok_and(|old| old == target) {
        return Ok(());
    }
    let _ = std::fs::remove_file(link);
    symlink(target, link).with_context(|| format!("linking {}", link.display()))
}

fn copy_if_newer(from: &Path, to: &Path) -> Result<()> {
    let (source, copy) = (from.metadata()?, to.metadata());
    let current = copy.is_ok_and(|copy| copy.len() == source.len() && copy.mtime() >= source.mtime());
    if !current {
        let _ = std::fs::remove_file(to);
        std::fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    }
    Ok(())
}
