//! The temporary function: a project that holds nothing else, and its stay on the platform.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::commands::paint;
use crate::commands::platform::Platform;
use crate::stack::keys::{hex, random};

/// The function's name, on both sides.
pub(super) const NAME: &str = "ferry-probe";
const SOURCE: &str = include_str!("function.ts");
const TOKEN: &str = "FERRY_PROBE_TOKEN";
/// The function must not stay because of one failure of the network.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(2);

/// A folder with the function in it, gone when this is.
pub(super) struct Project {
    folder: PathBuf,
    token: String,
}

impl Project {
    /// Makes it, with the migrations of `project` where it has any.
    pub(super) fn new(project: &Path) -> Result<Self> {
        let token = hex(&random::<16>());
        let folder = std::env::temp_dir().join(format!("{NAME}-{token}"));
        let made = Self { folder, token };
        made.fill(project).with_context(|| format!("writing {}", made.folder.display()))?;
        Ok(made)
    }

    fn fill(&self, project: &Path) -> std::io::Result<()> {
        let function = self.folder.join("supabase/functions").join(NAME);
        std::fs::create_dir_all(&function)?;
        std::fs::write(function.join("index.ts"), SOURCE.replace(TOKEN, &self.token))?;
        let config = format!("[functions.{NAME}]\nverify_jwt = false\n");
        std::fs::write(self.folder.join("supabase/config.toml"), config)?;
        for linked in ["supabase/migrations", "node_modules"] {
            if let Ok(target) = project.join(linked).canonicalize() {
                std::os::unix::fs::symlink(target, self.folder.join(linked))?;
            }
        }
        Ok(())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What opens the function.
    pub(super) fn token(&self) -> &str {
        &self.token
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The function on the platform. Deleted when this is dropped, whatever the reason.
pub(super) struct Deployed<'p> {
    platform: &'p Platform,
    is_there: bool,
}

impl<'p> Deployed<'p> {
    /// Deploys it. A deployment that fails may have left something, so that it is deleted too.
    pub(super) fn deploy(platform: &'p Platform) -> Result<Self> {
        let deployed = Self { platform, is_there: true };
        platform.deploy(NAME)?;
        Ok(deployed)
    }

    pub(super) fn delete(mut self) -> Result<()> {
        self.is_there = false;
        delete(self.platform)
    }
}

impl Drop for Deployed<'_> {
    fn drop(&mut self) {
        if self.is_there
            && let Err(error) = delete(self.platform)
        {
            anstream::eprintln!("{} {error:#}", paint::bad("error:"));
        }
    }
}

/// Deletes the function, until the platform lists it no more.
fn delete(platform: &Platform) -> Result<()> {
    let once = || -> Result<()> {
        if platform.functions()?.contains_key(NAME) {
            platform.delete(NAME)?;
        }
        Ok(())
    };
    let mut outcome = once();
    for _ in 1..TRIES {
        if outcome.is_ok() {
            break;
        }
        std::thread::sleep(PAUSE);
        outcome = once();
    }
    let reference = &platform.reference;
    outcome.with_context(|| {
        format!(
            "the function {NAME} is still deployed; delete it: supabase functions delete {NAME} --remote={reference}"
        )
    })
}
