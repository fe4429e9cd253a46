//! `ferry secrets rotate`: a new key in place of an old one while everything goes on. `list` is the secret's keys,
//! `plan` tells from what is stored what comes next, `seen` asks the workers, `database` counts.

mod database;
mod list;
mod plan;
mod seen;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use self::list::{Kind, List};
use self::plan::Phase;
use self::seen::{Wanted, Workers};
use super::source::Kept;
use super::{PrivateFile, digest_of, line};
use crate::commands::platform::Platform;
use crate::commands::{Misuse, paint, shims};
use crate::remote::{DatabaseTarget, Method, Place, Remote, Settings, block_on, connect};
use crate::stack::vault;

const SERVICE_API_KEY: &str = "SERVICE_API_KEY";

#[derive(clap::Args)]
#[command(after_help = "Examples:
  ferry secrets rotate SERVICE_API_KEY --dry-run            what would be done, from where it stands
  ferry secrets rotate SERVICE_API_KEY                      callers, jobs and functions get a new service key
  ferry secrets rotate CREDENTIALS_ENCRYPTION_KEYS          and everything sealed is sealed anew
  ferry secrets rotate TOKEN_ENCRYPTION_KEYS --from-vault secret/ironferry/production

In five steps, so that no request is lost: a new key is made and kept beside the old one; functions get both; when no
worker is left that knows the old one only, callers and jobs show the new one, and functions seal with it; what hangs
on the old one ends, and what it sealed is sealed anew and counted; then the old one goes. Where it stands follows
from what is stored, so a run that was ended is taken up by the next one. No value is printed or given as an argument.

--settle is how long a worker lives that was started before a secret changed: 400 s on a paid project, 150 s on a
free one. It is waited for two or three times.")]
pub(in crate::commands) struct Arguments {
    /// `SERVICE_API_KEY`, or a ring of keys: `CREDENTIALS_ENCRYPTION_KEYS`, `TOKEN_ENCRYPTION_KEYS`, …
    secret: String,
    /// Tell the steps, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// How long no worker may show the state before a change
    #[arg(long, value_name = "SECONDS", default_value_t = 400)]
    settle: u64,
    /// Keep it at this path of HashiCorp Vault instead of in .env
    #[arg(long, value_name = "MOUNT/PATH")]
    from_vault: Option<String>,
    /// The project, twenty letters [default: `SUPABASE_PROJECT_REF`, that of `SUPABASE_URL`, or the linked one]
    #[arg(long, value_name = "REF")]
    project_ref: Option<String>,
    /// Print what was done as JSON, and the progress on standard error
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseTarget,
}

/// A rotation under way.
struct Rotation<'a> {
    secret: &'a str,
    kept: Kept,
    list: List,
    platform: Platform,
    /// The digest that the platform tells, or would tell.
    there: Option<String>,
    workers: Workers,
    database: String,
    settle: Duration,
    start: Instant,
    as_json: bool,
    steps: Vec<Value>,
}

pub(super) fn run(arguments: &Arguments, place: &Place, project: &Path) -> Result<ExitCode> {
    block_on(async {
        let rotation = Rotation::find(arguments, place, project).await?;
        let _lock = if arguments.dry_run { None } else { Some(database::lock(&rotation.database).await?) };
        let mut phase = rotation.phase()?;
        let left = rotation.texts_left().await?;
        if phase == Phase::Remove && left > 0 {
            // Sealed by a worker of before: the old key is needed once more.
            phase = Phase::Switch;
        }
        if arguments.dry_run {
            rotation.tell_plan(phase, left);
            return Ok(ExitCode::SUCCESS);
        }
        rotation.carry_out(phase).await?;
        Ok(ExitCode::SUCCESS)
    })
}

impl<'a> Rotation<'a> {
    async fn find(arguments: &'a Arguments, place: &Place, project: &Path) -> Result<Self> {
        let secret = &*arguments.secret;
        Kind::of(secret)?;
        let kept = Kept::find(arguments.from_vault.as_deref(), place)?;
        let unkept = |name: &str| Misuse(format!("{name} is not kept in {}", kept.name()));
        let text = kept.read(secret, place).await?.ok_or_else(|| unkept(secret))?;
        let list = List::parse(secret, &text)?;
        let key = match list.kind() {
            Kind::Service => list.first().to_owned(),
            Kind::Ring => {
                let keys = match &kept {
                    Kept::File(_) => Settings::of(place).get(SERVICE_API_KEY)?,
                    Kept::HashiCorp(_) => kept.read(SERVICE_API_KEY, place).await?,
                };
                List::parse(SERVICE_API_KEY, &keys.ok_or_else(|| unkept(SERVICE_API_KEY))?)?
                    .first()
                    .to_owned()
            }
        };
        let mut set = Settings::of(place);
        let url = set.get("SUPABASE_URL")?;
        let url =
            url.ok_or_else(|| Misuse("SUPABASE_URL is not set: whose functions take the key?".to_owned()))?;
        let platform = Platform::find(arguments.project_ref.as_deref(), &mut set, project)?;
        let deployed = platform.functions()?;
        let mut shims = shims::read(project)?;
        shims.retain(|shim| {
            shim.secrets.iter().any(|name| name == secret) && deployed.contains_key(&shim.name)
        });
        let functions: Vec<String> = shims.into_iter().map(|shim| shim.name).collect();
        ensure!(!functions.is_empty(), Misuse(format!("no deployed function of this folder names {secret}")));
        Ok(Self {
            secret,
            kept,
            list,
            there: platform.secrets()?.remove(secret),
            database: platform.needed_database(&arguments.database, place)?,
            platform,
            workers: Workers { functions, url, key },
            settle: Duration::from_secs(arguments.settle),
            start: Instant::now(),
            as_json: arguments.json,
            steps: Vec::new(),
        })
    }

    fn phase(&self) -> Result<Phase> {
        plan::next(&self.list, self.there.as_deref())
            .map_err(|why| Misuse(format!("{}: {why}", self.secret)).into())
    }

    /// How many texts are sealed under a key that shall go.
    async fn texts_left(&self) -> Result<i64> {
        if self.list.kind() == Kind::Service {
            return Ok(0);
        }
        let old = self.list.newest_first().others().ids();
        let sealed = database::sealed(&self.database, self.secret).await?;
        Ok(sealed.iter().filter(|sealed| old.contains(&sealed.key_id)).map(|sealed| sealed.texts).sum())
    }

    fn tell_plan(&self, phase: Phase, left: i64) {
        let steps = phase.steps(self.list.kind());
        if self.as_json {
            let steps: Vec<&str> = steps.iter().map(|(_, step)| *step).collect();
            let told = json!({
                "success": true, "dry_run": true, "secret": self.secret, "under_way": phase > Phase::Make,
                "functions": self.workers.functions, "texts": left, "steps": steps,
            });
            paint::line(format!("{told:#}"));
            return;
        }
        let standing =
            if phase > Phase::Make { "a rotation is under way" } else { "one key, as it should be" };
        paint::line(format!("Secret     {} in {}: {standing}", self.secret, self.kept.name()));
        paint::line(format!("Functions  {}", self.workers.functions.join(", ")));
        if left > 0 {
            paint::line(format!("Sealed     {left} texts are still under an older key"));
        }
        for (number, (_, step)) in steps.iter().enumerate() {
            paint::line(format!("Step {}     {step}", number + 1));
        }
        paint::line("\nNothing was changed: this was a dry run.");
    }

    async fn carry_out(mut self, phase: Phase) -> Result<()> {
        let is_new = phase == Phase::Make;
        if !is_new {
            self.done("found", "a rotation under way, and goes on with it");
        }
        if is_new {
            self.make().await?;
        }
        if phase <= Phase::Announce {
            self.announce().await?;
        }
        if phase <= Phase::Drain {
            self.switch().await?;
            self.drain().await?;
        }
        self.remove().await?;
        if self.as_json {
            let told = json!({
                "success": true, "secret": self.secret, "resumed": !is_new, "functions": self.workers.functions,
                "seconds": self.start.elapsed().as_secs(), "steps": self.steps,
            });
            paint::line(format!("{told:#}"));
        }
        Ok(())
    }

    async fn make(&mut self) -> Result<()> {
        // Before anything is changed: can they be asked at all?
        let wanted = Wanted::Takes(&self.workers.key);
        if let Some((function, problem)) = self.workers.first_without(&wanted).await {
            bail!("{function} cannot be asked which keys it has: {problem}. Nothing was changed");
        }
        let ids: Vec<String> = match self.list.kind() {
            Kind::Service => Vec::new(),
            Kind::Ring => {
                let sealed = database::sealed(&self.database, self.secret).await?;
                sealed.into_iter().map(|sealed| sealed.key_id).collect()
            }
        };
        self.keep(self.list.with_new(&ids)).await?;
        self.done("made", &format!("a new key, kept beside the old one in {}", self.kept.name()));
        Ok(())
    }

    async fn announce(&mut self) -> Result<()> {
        self.push(&self.list.clone())?;
        self.done("pushed", "both, the old one first");
        let newest = self.list.newest();
        let wanted = match self.list.kind() {
            Kind::Service => Wanted::Takes(newest.first()),
            Kind::Ring => Wanted::Has { ring: self.secret, id: newest.first_id() },
        };
        self.workers.settle(&wanted, self.settle).await?;
        self.done("seen", &format!("the new one in {}", self.all_for(self.settle)));
        Ok(())
    }

    async fn switch(&mut self) -> Result<()> {
        self.keep(self.list.newest_first()).await?;
        self.push(&self.list.clone())?;
        self.done("pushed", &format!("the new one first, and kept so in {}", self.kept.name()));
        let ids = self.list.ids();
        let wanted = match self.list.kind() {
            Kind::Service => {
                self.list.first().clone_into(&mut self.workers.key);
                let entry = [("service_api_key", self.list.first())];
                let client = connect(&self.database).await?;
                vault::set(&client, &entry, "Set by ferry secrets").await?;
                self.done("set", "the new one in the database's Vault: jobs show it");
                Wanted::Takes(&self.workers.key)
            }
            Kind::Ring => Wanted::HasExactly { ring: self.secret, ids: &ids },
        };
        self.workers.settle(&wanted, self.settle).await?;
        self.done("seen", &format!("the new one first in {}", self.all_for(self.settle)));
        Ok(())
    }

    async fn drain(&mut self) -> Result<()> {
        match self.list.kind() {
            Kind::Service => {
                database::drain(&self.database, self.list.first()).await?;
                self.done("ended", "the last call of a job that shows the old one");
            }
            Kind::Ring => {
                let resealed = self.reseal().await?;
                self.done("sealed", &format!("{resealed} texts anew; none is left under the old key"));
            }
        }
        Ok(())
    }

    async fn remove(&mut self) -> Result<()> {
        let both = self.list.newest_first();
        let newest = both.newest();
        self.push(&newest)?;
        let (others, ids) = (both.others().text(), newest.ids());
        let others: Vec<&str> = others.split(',').collect();
        let wanted = match self.list.kind() {
            Kind::Service => Wanted::TakesAlone(newest.first(), &others),
            Kind::Ring => Wanted::HasExactly { ring: self.secret, ids: &ids },
        };
        self.workers.settle(&wanted, Duration::ZERO).await?;
        let left = self.texts_left().await?;
        if left > 0 {
            self.push(&both)?;
            bail!(
                "{left} texts were sealed under the old key by a worker of before, so the functions have both again: \
                 run again to go on, with a longer --settle"
            );
        }
        self.keep(newest).await?;
        self.done("removed", &format!("the old one from {} and from {}", self.all(), self.kept.name()));
        Ok(())
    }

    /// Calls the functions until nothing is left under an old key. Gives the number of texts.
    async fn reseal(&self) -> Result<u64> {
        let old = self.list.others().ids();
        let remote = Remote::at(&self.workers.url, &self.workers.key)?;
        let mut resealed = 0;
        loop {
            let mut left = database::sealed(&self.database, self.secret).await?;
            left.retain(|sealed| old.contains(&sealed.key_id));
            let Some(next) = left.first() else { return Ok(resealed) };
            let reply = remote.function(Method::POST, &next.reseal, Some(&json!({}))).await?.success();
            let reply = reply.with_context(|| format!("sealing anew by {}", next.reseal))?;
            let rotated = reply["rotated"].as_u64().unwrap_or(0);
            resealed += rotated;
            if rotated == 0 {
                let named: Vec<&str> =
                    reply["unreadable"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                bail!(
                    "{} texts under key {} are left that {} cannot open ({}): save them again or delete them, and run \
                     again to go on",
                    next.texts,
                    next.key_id,
                    next.reseal,
                    named.join(", ")
                );
            }
        }
    }

    /// Keeps another list, unless it is kept already.
    async fn keep(&mut self, list: List) -> Result<()> {
        if list != self.list {
            self.kept.write(self.secret, &list.text()).await?;
            self.list = list;
        }
        Ok(())
    }

    /// Sets it on the platform, unless it is set already.
    fn push(&mut self, list: &List) -> Result<()> {
        let digest = digest_of(&list.text());
        if self.there.as_ref() != Some(&digest) {
            let file = PrivateFile::new(&line(self.secret, &list.text())?)?;
            self.platform.set_secrets(&file.0)?;
            self.there = Some(digest);
        }
        Ok(())
    }

    fn all(&self) -> String {
        match &*self.workers.functions {
            [one] => one.clone(),
            all => format!("all {} functions", all.len()),
        }
    }

    fn all_for(&self, settle: Duration) -> String {
        format!("{}, for {} s", self.all(), settle.as_secs())
    }

    fn done(&mut self, verb: &'static str, what: &str) {
        let seconds = self.start.elapsed().as_secs();
        let told = format!("{} {what} {}", paint::good(verb), paint::faint(format!("({seconds} s)")));
        if self.as_json {
            anstream::eprintln!("{told}");
        } else {
            paint::line(told);
        }
        self.steps.push(json!({ "step": verb, "what": what, "seconds": seconds }));
    }
}
