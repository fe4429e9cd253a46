//! What goes on while keys are replaced: callers, owners' alerts, jobs, readers and writers of what is sealed. None
//! of it tries a second time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hmac::{Hmac, Mac as _};
use ironferry_tests::dex_site::{Account, Site};
use ironferry_tests::http::Reply;
use ironferry_tests::lab::Lab;
use ironferry_tests::tokens::jwt;
use serde_json::{Value, json};
use sha2::Sha256;
use time::OffsetDateTime;
use tokio::task::JoinHandle;

use super::read_env;
use crate::webhooks::{Webhook, as_user};

const PAUSE: Duration = Duration::from_millis(150);
/// A caller reads its key so seldom.
const KEY_AGE: Duration = Duration::from_secs(1);

/// All of it.
pub(super) struct Traffic {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    tasks: Vec<JoinHandle<()>>,
    site: Site,
}

/// What became of it.
struct Seen {
    start: Instant,
    counted: BTreeMap<&'static str, usize>,
    failed: Vec<String>,
}

impl Seen {
    fn note(&mut self, name: &'static str, outcome: Result<()>) {
        *self.counted.entry(name).or_default() += 1;
        if let Err(error) = outcome {
            self.failed.push(format!("{:?} {name}: {error:#}", self.start.elapsed()));
        }
    }

    fn is_enough(&self) -> bool {
        self.counted.len() == 7 && self.counted.values().all(|count| *count > 20)
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self { start: Instant::now(), counted: BTreeMap::new(), failed: Vec::new() }
    }
}

/// One who calls, with the key that `.env` had a moment ago.
#[derive(Clone)]
struct Caller {
    lab: Arc<Lab>,
    folder: PathBuf,
    key: Arc<Mutex<Option<(Instant, String)>>>,
}

impl Caller {
    async fn call(&self, method: &str, path: &str, more: &[(&str, &str)], body: &Value) -> Result<Reply> {
        let key = self.key()?;
        let mut headers = vec![("content-type", "application/json"), ("x-service-key", key.as_str())];
        headers.extend(more);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let reply = self.lab.api.send(method, &format!("/functions/v1/{path}"), &headers, body).await?;
        ensure!(reply.status == 200, "{path}: {} {}", reply.status, String::from_utf8_lossy(&reply.body));
        Ok(reply)
    }

    fn key(&self) -> Result<String> {
        let mut known = self.key.lock().expect("not poisoned");
        if let Some((read, key)) = &*known
            && read.elapsed() < KEY_AGE
        {
            return Ok(key.clone());
        }
        let keys = read_env(&self.folder)?.remove("SERVICE_API_KEY").context("a key")?;
        let key = keys.split(',').next().unwrap_or_default().to_owned();
        *known = Some((Instant::now(), key.clone()));
        Ok(key)
    }
}

impl Traffic {
    /// Lets it begin.
    pub(super) async fn start(lab: &Arc<Lab>, folder: PathBuf) -> Result<Self> {
        let db = lab.db().await?;
        let accounts: Vec<Account> =
            (1..=2).map(|number| Account::synthetic(number, 1, 1, OffsetDateTime::now_utc())).collect();
        let site = Site::start(0, accounts.clone()).await?;
        let mine = lab.company(&db, "Mine", &site, &accounts[0]).await?;
        let theirs = lab.company(&db, "Theirs", &site, &accounts[1]).await?;
        let login = json!({ "username": accounts[1].email, "password": accounts[1].password, "site_url": site.url() });
        let hook = Webhook::create(lab, &db, "relay", json!({})).await?;
        let path = format!("/receive-webhook/configs/{}", hook.id);
        let body = json!({ "hmac": true, "hmac_required": true, "alpaca_api_key": "PK1", "alpaca_api_secret": "hidden" });
        let made = as_user(lab, &hook.user, "PATCH", &path, body).await?.json()?;
        let secret = made["hmac_secret"].as_str().with_context(|| made.to_string())?.to_owned();
        let source = json!({ "kind": "strava", "url": site.url(), "refresh_token": "refresh-0" });
        let project = "insert into public.projects (project_name) values ('tracker')";
        db.run(project).await?;
        let saved = lab.as_service("PUT", "/cache/tracker/strava/source", None, source).await?;
        ensure!(saved.status == 200, "{}", saved.json()?);

        let caller = Caller { lab: Arc::clone(lab), folder, key: Arc::default() };
        let token = jwt("APEX_1", 4_800);
        let stored = json!({ "tokens": [{ "account_name": "APEX_1", "access_token": token }] });
        caller.call("POST", "token-manager?action=store", &[], &stored).await?;
        let mut traffic = Self { stop: Arc::default(), seen: Arc::default(), tasks: Vec::new(), site };
        traffic.services(&caller, &mine, &theirs, login, token);
        traffic.alerts(lab, hook.id, secret);
        // A job that pg_cron runs; and what it does, more often than pg_cron does it.
        lab.schedule(&db, "token-manager-cleanup", "* * * * *").await?;
        let db = Arc::new(db);
        traffic.each("ticks", move || {
            let db = Arc::clone(&db);
            async move {
                db.text("select private.call_function('token-manager?action=cleanup')::text", &[])
                    .await
                    .map(drop)
            }
        });
        Ok(traffic)
    }

    fn services(&mut self, caller: &Caller, mine: &str, theirs: &str, login: Value, token: String) {
        let one = caller.clone();
        self.each("tokens read", move || {
            let (one, token) = (one.clone(), token.clone());
            async move {
                let reply =
                    one.call("GET", "token-manager?action=get&account=APEX_1", &[], &Value::Null).await?;
                ensure!(reply.json()?["token"] == token.as_str(), "another token");
                Ok(())
            }
        });
        let (one, number) = (caller.clone(), Arc::new(AtomicUsize::new(2)));
        self.each("tokens stored", move || {
            let (one, number) = (one.clone(), number.fetch_add(1, Ordering::Relaxed));
            async move {
                let account = format!("APEX_{number}");
                let stored =
                    json!({ "tokens": [{ "account_name": account, "access_token": jwt(&account, 4_800) }] });
                one.call("POST", "token-manager?action=store", &[], &stored).await.map(drop)
            }
        });
        let (one, company) = (caller.clone(), mine.to_owned());
        self.each("logins used", move || {
            let (one, company) = (one.clone(), company.clone());
            async move {
                one.call("POST", "collect-bulk", &[("x-company-id", &company)], &Value::Null).await.map(drop)
            }
        });
        let (one, company) = (caller.clone(), theirs.to_owned());
        self.each("logins saved", move || {
            let (one, company, login) = (one.clone(), company.clone(), login.clone());
            async move {
                let company = [("x-company-id", company.as_str())];
                one.call("PUT", "collect-bulk/credentials", &company, &login).await.map(drop)
            }
        });
        let one = caller.clone();
        self.each("health asked", move || {
            let one = one.clone();
            async move { one.call("GET", "health", &[], &Value::Null).await.map(drop) }
        });
    }

    /// Signed ones: the secret of the signature is sealed.
    fn alerts(&mut self, lab: &Arc<Lab>, webhook: String, secret: String) {
        let (lab, number) = (Arc::clone(lab), Arc::new(AtomicUsize::new(0)));
        self.each("alerts", move || {
            let (lab, webhook, secret) = (Arc::clone(&lab), webhook.clone(), secret.clone());
            let number = number.fetch_add(1, Ordering::Relaxed);
            async move {
                let body = json!({ "symbol": "AAPL", "action": "buy", "quantity": 1, "alert_id": number })
                    .to_string();
                let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
                mac.update(body.as_bytes());
                let signature = format!("sha256={:x}", mac.finalize().into_bytes());
                let headers = [("content-type", "application/json"), ("x-webhook-signature", &*signature)];
                let path = format!("/functions/v1/receive-webhook/{webhook}");
                let reply = lab.api.send("POST", &path, &headers, body).await?;
                let said = String::from_utf8_lossy(&reply.body);
                ensure!(matches!(reply.status, 200 | 202), "{} {said}", reply.status);
                Ok(())
            }
        });
    }

    fn each<F, W>(&mut self, name: &'static str, work: F)
    where
        F: Fn() -> W + Send + 'static,
        W: Future<Output = Result<()>> + Send,
    {
        let (stop, seen) = (Arc::clone(&self.stop), Arc::clone(&self.seen));
        self.tasks.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let outcome = work().await;
                seen.lock().expect("not poisoned").note(name, outcome);
                tokio::time::sleep(PAUSE).await;
            }
        }));
    }

    /// Ends it. All of it must have gone on, and nothing of it failed.
    pub(super) async fn end(self) -> Result<()> {
        let start = Instant::now();
        while !self.seen.lock().expect("not poisoned").is_enough() && start.elapsed() < Duration::from_mins(3)
        {
            tokio::time::sleep(PAUSE).await;
        }
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await?;
        }
        self.site.stop();
        let seen = self.seen.lock().expect("not poisoned");
        println!("{:?}", seen.counted);
        ensure!(seen.failed.is_empty(), "{} requests failed: {:#?}", seen.failed.len(), seen.failed);
        ensure!(seen.is_enough(), "{:?}", seen.counted);
        Ok(())
    }
}
