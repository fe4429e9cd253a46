//! A database as it is after its migrations, for others to begin as: a copy takes a fraction of the time.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};

use super::Postgres;
use crate::stack::files::make_closed_folder;
use crate::stack::keys::hex;

/// One such database, made or not.
pub(crate) struct Template<'a> {
    postgres: &'a Postgres,
    folder: PathBuf,
    kind: &'static str,
    /// Where it is: a folder that is named after what it was made of.
    path: PathBuf,
}

impl<'a> Template<'a> {
    /// The one for everything that a new database of this project is made of.
    pub(crate) fn of(postgres: &'a Postgres, folder: &Path, project: Option<&Path>) -> Result<Self> {
        let mut hash = Sha256::new().chain_update(postgres.made_of()).chain_update("jobs at rest");
        for path in [
            postgres.installation.programs.join("bin/postgres"),
            postgres.installation.share.join("extension"),
        ] {
            let found = path.metadata().with_context(|| format!("looking at {}", path.display()))?;
            hash.update(format!("{} {} {}\n", path.display(), found.mtime(), found.size()));
        }
        if let Some(project) = project {
            let mut files = Vec::new();
            find_sql(&project.join("supabase"), &mut files)?;
            files.sort();
            for path in files {
                let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
                hash.update(format!("{} {}\n", path.strip_prefix(project)?.display(), text.len()));
                hash.update(text);
            }
        }
        let kind = if project.is_some() { "migrated" } else { "empty" };
        let path = folder.join(format!("{kind}-{}", hex(&hash.finalize()[..8])));
        make_closed_folder(folder, 0o700)?;
        Ok(Self { postgres, folder: folder.to_owned(), kind, path })
    }

    /// Waits until nobody else makes or copies one of these.
    pub(crate) async fn lock(&self) -> Result<File> {
        let path = self.folder.join("lock");
        let lock = move || -> Result<File> {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            flock(&file, FlockOperation::LockExclusive)
                .with_context(|| format!("locking {}", path.display()))?;
            Ok(file)
        };
        tokio::task::spawn_blocking(lock).await?
    }

    pub(crate) fn is_made(&self) -> bool {
        self.path.exists()
    }

    /// Keeps the server's database, which was shut down, in the place of earlier ones of its kind. Not one whose
    /// server had to be killed: each copy would begin with its recovery.
    pub(crate) fn keep(&self) -> Result<()> {
        if self.postgres.data().join("postmaster.pid").exists() {
            return Ok(());
        }
        for entry in fs::read_dir(&self.folder)?.flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(self.kind)) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let draft = self.folder.join(format!("{}-draft", self.kind));
        copy_folder(&self.postgres.data(), &draft, &|_| Ok(()))?;
        // The server itself does not wait for the disk, and what is kept is used after a power cut, too.
        rustix::fs::syncfs(File::open(&draft)?)?;
        fs::rename(&draft, &self.path).context("keeping the database for the next ones")
    }

    /// Begins the server's database as a copy.
    pub(crate) fn copy(&self) -> Result<()> {
        let data = self.postgres.data();
        // A copy that was cut off is none.
        let draft = data.with_extension("draft");
        for left in [&data, &draft] {
            let _ = fs::remove_dir_all(left);
        }
        copy_folder(&self.path, &draft, &|path| self.postgres.own(path))?;
        fs::rename(&draft, &data).with_context(|| format!("making {}", data.display()))
    }
}

/// Settings and everything that migrations and seeds may be.
fn find_sql(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != ".temp" && name != "functions") {
                find_sql(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "sql" || extension == "toml") {
            files.push(path);
        }
    }
    Ok(())
}

/// With everything in it; each copy is given to its owner.
fn copy_folder(from: &Path, to: &Path, give: &dyn Fn(&Path) -> Result<()>) -> Result<()> {
    let copy = || -> Result<()> {
        fs::create_dir(to)?;
        fs::set_permissions(to, from.metadata()?.permissions())?;
        give(to)
    };
    copy().with_context(|| format!("making {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_folder(&path, &copy, give)?;
        } else {
            fs::copy(&path, &copy).with_context(|| format!("copying {}", path.display()))?;
            give(&copy)?;
        }
    }
    Ok(())
}
