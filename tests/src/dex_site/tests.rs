//! The site as a browser or a collector meets it.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;
use time::OffsetDateTime;

use super::{Account, Fault, Faults, Site};
use crate::http::{Client, Reply};

/// A client that keeps cookies and the CSRF token, as a browser with the site's script does.
struct Browser {
    client: Client,
    cookies: String,
    csrf: String,
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

impl Browser {
    fn new(site: &Site) -> Self {
        Self { client: Client::new(&site.url()), cookies: String::new(), csrf: String::new() }
    }

    async fn send(&mut self, method: &str, path: &str, body: &str) -> Result<Reply> {
        let headers = [
            FORM,
            ("cookie", &self.cookies),
            ("x-csrf-token", &self.csrf),
            ("x-requested-with", "XMLHttpRequest"),
        ];
        let reply = self.client.send(method, path, &headers, body.to_owned()).await?;
        let cookies = reply.headers.get_all("set-cookie").iter();
        let pairs: Vec<&str> = cookies.filter_map(|cookie| cookie.to_str().ok()?.split(';').next()).collect();
        if !pairs.is_empty() {
            self.cookies = pairs.join("; ");
        }
        let text = String::from_utf8_lossy(&reply.body);
        if let Some((_, rest)) = text.split_once("name=\"csrf-token\" content=\"") {
            self.csrf = rest.split('"').next().unwrap_or_default().to_owned();
        }
        Ok(reply)
    }

    async fn log_in(&mut self, email: &str, password: &str) -> Result<String> {
        self.send("GET", "/login", "").await?;
        let form = format!("_token={}&email={email}&password={password}", self.csrf);
        let reply = self.send("POST", "/login", &form).await?;
        assert_eq!(reply.status, 302);
        let location = reply.headers["location"].to_str()?.to_owned();
        self.send("GET", "/dex", "").await?;
        Ok(location)
    }

    async fn list(&mut self, start: usize, length: i64) -> Result<Reply> {
        let form = format!(
            "draw=4&start={start}&length={length}&columns%5B2%5D%5Bdata%5D=dexRaw.created\
             &order%5B0%5D%5Bcolumn%5D=2&order%5B0%5D%5Bdir%5D=desc"
        );
        self.send("POST", "/dex", &form).await
    }

    async fn ids(&mut self, start: usize, length: i64) -> Result<Vec<i64>> {
        let said = self.list(start, length).await?.json()?;
        let rows = said["data"].as_array().cloned().unwrap_or_default();
        Ok(rows.iter().filter_map(|row| row["dexRaw"]["id"].as_i64()).collect())
    }
}

fn account(number: u32, machines: u32, readings: u32) -> Account {
    Account::synthetic(number, machines, readings, OffsetDateTime::now_utc())
}

async fn logged_in(accounts: Vec<Account>) -> Result<(Site, Browser)> {
    let email = accounts[0].email.clone();
    let site = Site::start(0, accounts).await?;
    let mut browser = Browser::new(&site);
    assert_eq!(browser.log_in(&email, "let+me+in").await?, "/dashboard");
    Ok((site, browser))
}

#[tokio::test]
async fn a_login_needs_the_forms_token_and_the_right_password() -> Result<()> {
    let site = Site::start(0, vec![account(1, 1, 1)]).await?;
    let mut browser = Browser::new(&site);
    assert_eq!(browser.send("GET", "/dex", "").await?.headers["location"], "/login");
    assert_eq!(browser.log_in("operator-1@example.com", "wrong").await?, "/login");
    browser.csrf = "of another session".to_owned();
    assert_eq!(browser.send("POST", "/login", "email=operator-1%40example.com").await?.status, 419);
    let before = browser.cookies.clone();
    assert_eq!(browser.log_in("operator-1@example.com", "let+me+in").await?, "/dashboard");
    assert_ne!(browser.cookies, before, "a login begins a fresh session");
    let stats = site.stats();
    assert_eq!((stats.all_logins(), stats.refused["operator-1@example.com"], stats.expired), (1, 1, 1));
    Ok(())
}

#[tokio::test]
async fn cookies_come_in_a_header_each_with_commas_in_their_dates() -> Result<()> {
    let site = Site::start(0, vec![]).await?;
    let reply = Browser::new(&site).send("GET", "/login", "").await?;
    let cookies: Vec<_> = reply.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies.len(), 2);
    assert!(cookies.iter().all(|cookie| cookie.as_bytes().contains(&b',')));
    Ok(())
}

#[tokio::test]
async fn a_guest_gets_401_and_a_stale_token_419() -> Result<()> {
    let site = Site::start(0, vec![account(1, 1, 1)]).await?;
    let mut guest = Browser::new(&site);
    guest.send("GET", "/login", "").await?;
    let reply = guest.list(0, 10).await?;
    assert_eq!((reply.status, reply.json()?), (401, json!({ "message": "Unauthenticated." })));
    guest.log_in("operator-1@example.com", "let+me+in").await?;
    assert_eq!(guest.list(0, 10).await?.status, 200);
    site.expire_sessions();
    let reply = guest.list(0, 10).await?;
    assert_eq!((reply.status, reply.json()?), (419, json!({ "message": "CSRF token mismatch." })));
    Ok(())
}

#[tokio::test]
async fn the_list_pages_newest_first_and_has_the_shape_of_the_real_one() -> Result<()> {
    let (_site, mut browser) = logged_in(vec![account(1, 3, 5)]).await?;
    let first = browser.ids(0, 10).await?;
    let second = browser.ids(10, 10).await?;
    assert_eq!((first.len(), second.len()), (10, 5));
    let all = browser.ids(0, -1).await?;
    assert_eq!([first, second].concat(), all);
    let said = browser.list(14, 10).await?.json()?;
    assert_eq!((&said["draw"], &said["recordsFiltered"]), (&json!(4), &json!(15)));
    let row = &said["data"][0];
    assert_eq!(row["DT_RowId"], format!("row_{}", row["dexRaw"]["id"]));
    let created = row["dexRaw"]["created"].as_str().unwrap_or_default();
    assert_eq!((created.len(), &created[10..11]), (19, " "), "a time without a zone");
    assert!(row["devices"]["caseSerial"].is_string() && row["vdiToDEX"].is_array());
    Ok(())
}

#[tokio::test]
async fn the_window_is_obeyed_with_its_offset() -> Result<()> {
    let (_site, mut browser) = logged_in(vec![account(1, 1, 48)]).await?;
    let from = OffsetDateTime::now_utc() + time::Duration::hours(10) - time::Duration::minutes(270);
    let form = format!(
        "draw=1&start=0&length=100&columns%5B2%5D%5Bdata%5D=dexRaw.created&order%5B0%5D%5Bcolumn%5D=2\
         &startDateVal={}T{:02}%3A{:02}%3A00%2B10%3A00",
        from.date(),
        from.hour(),
        from.minute()
    );
    let said = browser.send("POST", "/dex", &form).await?.json()?;
    assert_eq!((&said["recordsTotal"], &said["recordsFiltered"]), (&json!(48), &json!(4)));
    Ok(())
}

#[tokio::test]
async fn an_account_sees_and_downloads_its_own_captures_only() -> Result<()> {
    let (site, mut browser) = logged_in(vec![account(1, 1, 2), account(2, 1, 2)]).await?;
    assert_eq!(browser.ids(0, 10).await?, [1_000_001, 1_000_000]);
    let raw = browser.send("POST", "/dex/getRawDex/1000001", "dexId=1000001").await?;
    assert!(raw.body.starts_with(b"DXS*") || raw.body.starts_with(b"BA1*") || raw.body.starts_with(b"<000"));
    assert_eq!(browser.send("POST", "/dex/getRawDex/2000001", "dexId=2000001").await?.status, 404);
    assert_eq!(browser.send("POST", "/dex/getRawDex/1000001", "").await?.status, 422);
    assert_eq!(site.stats().downloads, [(1_000_001, 1)].into());
    Ok(())
}

#[tokio::test]
async fn a_session_ends_after_its_requests_and_a_list_grows_while_it_is_paged() -> Result<()> {
    let (site, mut browser) = logged_in(vec![account(1, 1, 5)]).await?;
    site.set_faults("*", Faults { grows_by: 2, ..Faults::default() });
    assert_eq!(browser.ids(0, 100).await?.len(), 7);
    assert_eq!(browser.ids(0, 100).await?.len(), 9);
    site.set_faults("*", Faults { session_requests: Some(4), ..Faults::default() });
    assert_eq!(browser.list(0, 10).await?.status, 200);
    assert_eq!(browser.list(0, 10).await?.status, 419);
    Ok(())
}

#[tokio::test]
async fn each_fault_is_what_it_says() -> Result<()> {
    let (site, mut browser) = logged_in(vec![account(1, 1, 5)]).await?;
    let whole = browser.list(0, 10).await?.body.len();
    for (fault, status, length) in [
        (Fault::Status(503), 503, None),
        (Fault::TooMany, 429, None),
        (Fault::Html, 200, None),
        (Fault::Garbage, 200, Some(4)),
        (Fault::Truncated, 200, Some(whole / 2)),
        (Fault::Drip(1), 200, Some(whole)),
    ] {
        site.set_faults("*", Faults { list: Some(fault), ..Faults::default() });
        let reply = browser.list(0, 10).await?;
        assert_eq!(reply.status, status, "{fault:?}");
        assert!(length.is_none_or(|length| length == reply.body.len()), "{fault:?}");
        assert!(fault == Fault::Drip(1) || reply.json().is_err() || status == 429, "{fault:?}");
    }
    site.set_faults("*", Faults { list: Some(Fault::CutOff), ..Faults::default() });
    assert!(browser.list(0, 10).await.is_err());
    for fault in [Fault::Hang, Fault::Endless] {
        site.set_faults("*", Faults { list: Some(fault), ..Faults::default() });
        let patience = Duration::from_millis(200);
        assert!(tokio::time::timeout(patience, browser.list(0, 10)).await.is_err(), "{fault:?}");
    }
    site.set_faults("*", Faults::slow(Duration::from_millis(50)));
    let started = Instant::now();
    browser.list(0, 10).await?;
    assert!(started.elapsed() >= Duration::from_millis(50));
    Ok(())
}

#[tokio::test]
async fn another_process_controls_it_over_http() -> Result<()> {
    let (site, mut browser) = logged_in(vec![account(1, 2, 1)]).await?;
    let control = Client::new(&site.url());
    let post = async |path: &str, body: &str| control.send("POST", path, &[], body.to_owned()).await;
    assert_eq!(post("/__control/advance", "").await?.json()?["captures"], 2);
    assert_eq!(browser.ids(0, 10).await?.len(), 4);
    post("/__control/faults", r#"{"operator-1@example.com": {"list": {"status": 500}, "times": 1}}"#).await?;
    assert_eq!(browser.list(0, 10).await?.status, 500);
    assert_eq!(browser.list(0, 10).await?.status, 200);
    post("/__control/expire", r#"{"account": "operator-1@example.com"}"#).await?;
    assert_eq!(browser.list(0, 10).await?.status, 419);
    assert_eq!(post("/__control/faults", r#"{"*": {"lst": "hang"}}"#).await?.status, 400);
    let stats = control.send("GET", "/__control/stats", &[], "").await?.json()?;
    assert_eq!((&stats["lists"]["operator-1@example.com"], &stats["expired"]), (&json!(3), &json!(1)));
    Ok(())
}
