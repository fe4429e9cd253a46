//! Each system without the others, and all of them in every order: what `supabase/systems.toml` promises.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ferry::stack::Options;
use ironferry_tests::dex_site::{Account, Site};
use ironferry_tests::lab::{Db, Lab, project};
use ironferry_tests::tokens::jwt;
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::webhooks::{Webhook, settled};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Systems {
    foundation: Foundation,
    system: BTreeMap<String, System>,
    together: Together,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Foundation {
    chapters: Vec<String>,
    tests: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct System {
    functions: Vec<String>,
    chapters: Vec<String>,
    tests: Vec<String>,
    page: PathBuf,
    needs: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Together {
    tests: Vec<String>,
}

impl Systems {
    fn read() -> Result<Self> {
        Ok(toml::from_str(&fs::read_to_string(project().join("supabase/systems.toml"))?)?)
    }

    /// The system and everything that it needs.
    fn closure(&self, name: &str) -> BTreeSet<String> {
        let mut all = BTreeSet::from([name.to_owned()]);
        for need in &self.system[name].needs {
            all.extend(self.closure(need));
        }
        all
    }
}

/// The names of what is in a folder of the project.
fn names(folder: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(project().join(folder))? {
        names.push(entry?.file_name().into_string().map_err(|name| anyhow::anyhow!("{}", name.display()))?);
    }
    names.sort();
    Ok(names)
}

/// The migration of a chapter: `20261129100000_dex_tables.sql` for `dex_tables`.
fn migration(chapter: &str) -> Result<PathBuf> {
    let is_it = |name: &String| {
        name.split_once('_').is_some_and(|(_, rest)| rest.strip_suffix(".sql") == Some(chapter))
    };
    let name = names("supabase/migrations")?.into_iter().find(is_it);
    Ok(project().join("supabase/migrations").join(name.with_context(|| format!("no chapter {chapter}"))?))
}

#[test]
fn every_chapter_test_and_function_belongs_to_one_system() -> Result<()> {
    let all = Systems::read()?;
    let own = |part: fn(&System) -> &Vec<String>| all.system.values().flat_map(part).cloned();
    let sorted = |names: Vec<String>| {
        let mut names = names;
        names.sort();
        names
    };

    let chapters = sorted(all.foundation.chapters.iter().cloned().chain(own(|one| &one.chapters)).collect());
    let files = names("supabase/migrations")?;
    let files =
        files.iter().filter_map(|name| Some(name.split_once('_')?.1.strip_suffix(".sql")?.to_owned()));
    assert_eq!(chapters, sorted(files.collect()));

    let tests = all.foundation.tests.iter().chain(&all.together.tests).cloned();
    let tests = sorted(tests.chain(own(|one| &one.tests)).collect());
    let files = names("supabase/tests")?;
    assert_eq!(
        tests,
        files.iter().filter_map(|name| Some(name.strip_suffix(".sql")?.to_owned())).collect::<Vec<_>>()
    );

    let functions = sorted(own(|one| &one.functions).collect());
    let folders = names("supabase/functions")?;
    assert_eq!(
        functions,
        folders.into_iter().filter(|name| !name.starts_with(['_', '.'])).collect::<Vec<_>>()
    );

    for (name, system) in &all.system {
        assert!(project().join(&system.page).is_file(), "{name}: {} is missing", system.page.display());
        assert!(
            system.needs.iter().all(|need| all.system.contains_key(need)),
            "{name} needs what is unknown"
        );
    }
    Ok(())
}

/// Adding a system to a set of others must give the same schema whatever came first. Then every order gives
/// the same, by induction, and 2ⁿ⁻¹·n steps prove n! orders. One transaction walks through all sets.
#[tokio::test(flavor = "multi_thread")]
async fn systems_apply_in_every_order_and_always_make_the_same_schema() -> Result<()> {
    let all = Systems::read()?;
    let folder = folder("orders");
    let mut options = Options::for_tests(project(), &folder);
    (options.migrate, options.functions, options.jobs) = (false, false, false);
    let lab = Lab::with(options, folder).await?;

    let text = fs::read_to_string(project().join("supabase/tests/support/catalog.psql"))?;
    let (views, _) = text.split_once("\\pset").context("no end of the views")?;
    let mut walk =
        Walk { db: lab.db().await?, chapters: HashMap::new(), needs: HashMap::new(), known: HashMap::new() };
    for (name, system) in &all.system {
        walk.chapters.insert(name.clone(), sql(&system.chapters)?);
        walk.needs.insert(name.clone(), system.needs.clone());
    }
    walk.db.run("begin").await?;
    walk.db.run(&sql(&all.foundation.chapters)?).await?;
    walk.db.run(views).await?;
    let steps = walk.on(&BTreeSet::new()).await?;
    ensure!(walk.known.len() >= all.system.len() && steps >= walk.known.len(), "only {steps} steps");

    let whole: BTreeSet<String> = all.system.keys().cloned().collect();
    assert!(walk.known.contains_key(&whole), "no order applies all systems");
    lab.stop().await
}

fn sql(chapters: &[String]) -> Result<String> {
    chapters.iter().map(|chapter| Ok(fs::read_to_string(migration(chapter)?)?)).collect()
}

struct Walk {
    db: Db,
    chapters: HashMap<String, String>,
    needs: HashMap<String, BTreeSet<String>>,
    /// The catalog with each set of systems.
    known: HashMap<BTreeSet<String>, Vec<String>>,
}

impl Walk {
    /// Adds each system to those that are there, compares, and goes on from each new set. Returns the steps.
    async fn on(&mut self, there: &BTreeSet<String>) -> Result<usize> {
        let mut steps = 0;
        let names: Vec<String> = self.chapters.keys().cloned().collect();
        for name in names {
            if there.contains(&name) || !self.needs[&name].is_subset(there) {
                continue;
            }
            let mut with = there.clone();
            with.insert(name.clone());
            let mark = format!("after_{}", there.len());
            self.db.run(&format!("savepoint {mark}")).await?;
            self.db.run(&self.chapters[&name]).await.map_err(|error| {
                let why = error.chain().last().map(ToString::to_string);
                anyhow::anyhow!("{name} does not apply after {there:?}: {why:?}")
            })?;
            let catalog = self.catalog().await?;
            steps += 1;
            if let Some(before) = self.known.get(&with) {
                let differs = before.iter().zip(&catalog).find(|(before, now)| before != now);
                ensure!(
                    differs.is_none() && before.len() == catalog.len(),
                    "{name} after {there:?} makes another schema than in another order: {differs:?}"
                );
            } else {
                self.known.insert(with.clone(), catalog);
                steps += Box::pin(self.on(&with)).await?;
            }
            self.db.run(&format!("rollback to savepoint {mark}; release savepoint {mark}")).await?;
        }
        Ok(steps)
    }

    async fn catalog(&self) -> Result<Vec<String>> {
        let rows = self
            .db
            .rows("select concat_ws(' ', object, part, definition) from parts order by 1", &[])
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dex_works_alone() -> Result<()> {
    let (lab, _project) = alone("dex").await?;
    let db = lab.db().await?;
    let account = Account::synthetic(1, 2, 3, OffsetDateTime::now_utc());
    let site = Site::start(0, vec![account.clone()]).await?;
    lab.company(&db, "Acme", &site, &account).await?;
    let reply = lab.as_service("POST", "/collect-dex", None, json!({})).await?;
    assert_eq!(reply.status, 202, "{}", reply.json()?);
    let done =
        "select exists (select from public.collection_runs where status = 'succeeded' and total_records = 6)";
    db.wait_for("a run", Duration::from_mins(1), done).await?;
    site.stop();
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn token_manager_works_alone() -> Result<()> {
    let (lab, _project) = alone("token-manager").await?;
    let tokens = json!({ "tokens": [{ "account_name": "ALONE", "access_token": jwt("alone", 900) }] });
    let stored = lab.as_service("POST", "/token-manager?action=store", None, tokens).await?;
    assert_eq!(stored.status, 200, "{}", stored.json()?);
    let got = lab.as_service("GET", "/token-manager?action=get&account=ALONE", None, Value::Null).await?;
    assert_eq!(got.status, 200, "{}", got.json()?);
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn receive_webhook_works_alone() -> Result<()> {
    let (lab, _project) = alone("receive-webhook").await?;
    let db = lab.db().await?;
    let webhook = Webhook::create(&lab, &db, "alone", json!({})).await?;
    let alert = json!({ "ticker": "AAPL", "action": "buy", "quantity": 3, "price": 150 });
    let reply = webhook.send(&lab, alert).await?;
    assert_eq!((reply.status, &reply.json()?["outcome"]), (200, &json!("accepted")));
    settled(&lab, &db).await?;
    assert_eq!(db.text("select status from public.webhook_signals", &[]).await?, "ordered");
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn cache_works_alone() -> Result<()> {
    let (lab, _project) = alone("cache").await?;
    let data = json!({ "total": 7 });
    let saved = lab.as_service("PUT", "/cache/tracker/custom", None, data).await?;
    assert!((200..300).contains(&saved.status), "{}", saved.json()?);
    let stored = "select exists (select from public.cache_storage where data ->> 'total' = '7')";
    lab.db().await?.wait_for("the save", Duration::from_mins(1), stored).await?;
    let got = lab.as_service("GET", "/cache/tracker/custom", None, Value::Null).await?;
    assert_eq!(got.status, 200, "{}", got.json()?);
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn platform_works_alone() -> Result<()> {
    let (lab, _project) = alone("platform").await?;
    let sign_up = "insert into auth.users (id, email) values (gen_random_uuid(), 'olga@tests.example') returning id::text";
    let user = lab.db().await?.text(sign_up, &[]).await?;
    let token = format!("Bearer {}", lab.stack.keys().user_jwt(&user, &json!({})));
    let publishable = lab.stack.keys().publishable.clone();
    let headers = [
        ("authorization", token.as_str()),
        ("apikey", publishable.as_str()),
        ("content-type", "application/json"),
    ];
    let body = json!({ "p_workspace_name": "North" }).to_string();
    let made = lab.api.send("POST", "/rest/v1/rpc/workspace_create", &headers, body).await?;
    assert_eq!(made.status, 200, "{}", made.json()?);
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn health_works_alone() -> Result<()> {
    let (lab, _project) = alone("health").await?;
    let reply = lab.as_service("GET", "/health/full", None, Value::Null).await?;
    let said = reply.json()?;
    let measured = &said["measured"];
    assert_eq!(measured["tables"].get("companies"), Some(&Value::Null), "{said}");
    for absent in ["collector", "tokens", "signals", "cache"] {
        assert_eq!(measured.get(absent), None, "{said}");
    }
    lab.stop().await
}

fn folder(story: &str) -> PathBuf {
    std::env::temp_dir().join(format!("ironferry-system-{story}-{}", std::process::id()))
}

/// A stack with this system, what it needs, and nothing else, after the system's own tests of the database.
async fn alone(name: &str) -> Result<(Lab, ProjectFolder)> {
    let all = Systems::read()?;
    let closure = all.closure(name);
    let state = folder(name);
    let folder = ProjectFolder(state.with_extension("project"));
    let _ = fs::remove_dir_all(&folder.0);
    write_project(&folder.0, &all, &closure)?;

    let mut options = Options::for_tests(&folder.0, &state);
    options.jobs = false;
    options.templates = None;
    options.function_env = vec![
        ("ALLOWED_HOSTS".into(), "127.0.0.1".into()),
        ("CACHE_DATABASE_TIMEOUT_MS".into(), "20000".into()),
    ];
    let lab = Lab::with(options, state).await?;
    let system = &all.system[name];
    let tests = all.foundation.tests.iter().chain(&system.tests);
    let files = tests.map(|test| project().join(format!("supabase/tests/{test}.sql")));
    let run = Command::new("pg_prove").arg("--dbname").arg(lab.stack.db_url()).args(files).output()?;
    ensure!(
        run.status.success(),
        "{}{}",
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr)
    );
    Ok((lab, folder))
}

/// Removed when dropped.
struct ProjectFolder(PathBuf);

impl Drop for ProjectFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A project folder as it would be if there were only these systems.
fn write_project(folder: &Path, all: &Systems, systems: &BTreeSet<String>) -> Result<()> {
    let supabase = folder.join("supabase");
    fs::create_dir_all(supabase.join("migrations"))?;
    symlink(project().join("node_modules"), folder.join("node_modules"))?;
    let config = fs::read_to_string(project().join("supabase/config.toml"))?;
    let mut config = config.split("[functions.").next().unwrap_or_default().to_owned();
    copy(&project().join("supabase/functions/_shared"), &supabase.join("functions/_shared"))?;
    let mut chapters = all.foundation.chapters.clone();
    for system in systems {
        let system = &all.system[system];
        chapters.extend(system.chapters.iter().cloned());
        for name in &system.functions {
            config.extend(["[functions.", name, "]\nverify_jwt = false\n"]);
            let path = Path::new("functions").join(name);
            copy(&project().join("supabase").join(&path), &supabase.join(&path))?;
        }
    }
    for chapter in chapters {
        let file = migration(&chapter)?;
        fs::copy(&file, supabase.join("migrations").join(file.file_name().context("no name")?))?;
    }
    fs::write(supabase.join("config.toml"), config)?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
