//! What callers get wrong, and what they get when the database is away.

use anyhow::Result;
use ironferry_tests::dex_site::{Account, Site};
use ironferry_tests::lab::Lab;
use serde_json::{Value, json};
use time::OffsetDateTime;

const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// Method, path, headers, body; status and code.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, u16, &'a str);

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_call_gets_its_status_and_code() -> Result<()> {
    let lab = Lab::start("edges", &[]).await?;
    let key = lab.stack.service_api_key();
    let publishable = lab.stack.keys().publishable.clone();
    let large = "x".repeat(20_000);
    let service = [("x-service-key", key)];
    let company = [("x-service-key", key), ("x-company-id", NOBODY)];
    let form = [("x-service-key", key), ("x-company-id", NOBODY), ("content-type", "text/plain")];
    let anonymous = [("apikey", publishable.as_str())];
    let wrong = [("x-service-key", "wrong")];
    let bearer = [("authorization", "Bearer a.b.c")];
    let cases: [Case<'_>; 14] = [
        ("POST", "/collect-dex", &[], "", 401, "INVALID_SERVICE_KEY"),
        ("POST", "/collect-dex", &anonymous, "", 401, "INVALID_SERVICE_KEY"),
        ("POST", "/collect-dex", &wrong, "", 401, "INVALID_SERVICE_KEY"),
        ("DELETE", "/collect-dex", &service, "", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/collect-dex", &service, "{\"triggered_by\":", 400, "INVALID_JSON"),
        ("POST", "/collect-dex", &service, &large, 413, "BODY_TOO_LARGE"),
        ("GET", "/collect-dex/elsewhere", &service, "", 404, "NOT_FOUND"),
        ("POST", "/collect-bulk", &service, "", 400, "MISSING_COMPANY_ID"),
        ("POST", "/collect-bulk", &company, "", 404, "COMPANY_NOT_FOUND"),
        ("POST", "/collect-bulk?limit=0", &company, "", 400, "INVALID_QUERY"),
        ("POST", "/collect-bulk?offset=-1", &company, "", 400, "INVALID_QUERY"),
        ("POST", "/collect-bulk", &bearer, "", 401, "INVALID_TOKEN"),
        ("PUT", "/collect-bulk/credentials", &form, "{}", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("PUT", "/collect-bulk/credentials", &company, "{\"username\":7}", 400, "INVALID_JSON"),
    ];
    for (method, path, headers, body, status, code) in cases {
        let reply = lab.api.send(method, &format!("/functions/v1{path}"), headers, body.to_owned()).await?;
        let said = reply.json()?;
        assert_eq!((reply.status, said["code"].as_str()), (status, Some(code)), "{method} {path}: {said}");
        assert_eq!((&said["success"], said["request_id"].is_string()), (&json!(false), true), "{said}");
        let text = said.to_string();
        assert!(!text.contains("panicked") && !text.contains(".rs:") && !text.contains(key), "{text}");
    }
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_down_is_a_503_and_comes_back() -> Result<()> {
    let lab = Lab::start("database", &[]).await?;
    let status = |lab: &Lab| {
        let (api, key) = (lab.api.clone(), lab.stack.service_api_key().to_owned());
        async move {
            let headers = [("x-service-key", key.as_str())];
            let reply = api.send("GET", "/functions/v1/collect-dex/status", &headers, "").await?;
            anyhow::Ok((reply.status, reply.json()?))
        }
    };
    assert_eq!(status(&lab).await?.0, 200);
    lab.stack.stop_part("postgres").await?;
    let (code, said) = status(&lab).await?;
    assert_eq!((code, said["code"].as_str()), (503, Some("DATABASE_UNAVAILABLE")), "{said}");
    let waited = lab.as_service("POST", "/collect-dex?wait=true", None, json!({})).await?;
    assert_eq!(waited.status, 503);
    let accepted = lab.as_service("POST", "/collect-dex", None, json!({})).await?;
    assert_eq!(accepted.status, 202, "who does not wait learns it from the ledger and the log");

    lab.stack.start_part("postgres").await?;
    for _ in 0..600 {
        if status(&lab).await?.0 == 200 {
            return lab.stop().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    anyhow::bail!("the function does not find the database again")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_collects_and_sees_the_company_that_is_theirs() -> Result<()> {
    let lab = Lab::start("users", &[]).await?;
    let db = lab.db().await?;
    let accounts: Vec<Account> =
        (1..=2).map(|number| Account::synthetic(number, 1, 2, OffsetDateTime::now_utc())).collect();
    let site = Site::start(0, accounts.clone()).await?;
    let mine = lab.company(&db, "Mine", &site, &accounts[0]).await?;
    let theirs = lab.company(&db, "Theirs", &site, &accounts[1]).await?;
    let user = db.text("insert into auth.users (id, email) values (gen_random_uuid(), 'me@example.com') returning id::text", &[]).await?;
    let joined = "insert into public.company_members (company_id, user_id, role) values ($1::text::uuid, $2::text::uuid, 'owner')";
    db.0.execute(joined, &[&mine, &user]).await?;

    let token = format!("Bearer {}", lab.stack.keys().user_jwt(&user, &json!({})));
    let publishable = lab.stack.keys().publishable.clone();
    let headers = [("authorization", token.as_str()), ("apikey", &publishable), ("x-company-id", &theirs)];
    let reply = lab.api.send("POST", "/functions/v1/collect-bulk", &headers, "").await?;
    let said = reply.json()?;
    assert_eq!((reply.status, &said["recordsCount"]), (200, &json!(2)), "{said}");
    let owners =
        db.text("select string_agg(distinct company_id::text, ',') from public.dex_captures", &[]).await?;
    assert_eq!(owners, mine, "the header of a user counts for nothing");

    let rows = lab.api.send("GET", "/rest/v1/dex_captures?select=company_id", &headers, "").await?.json()?;
    assert_eq!(rows.as_array().map(Vec::len), Some(2));
    for table in ["user_credentials?select=password_encrypted", "collection_runs"] {
        let refused = lab.api.send("GET", &format!("/rest/v1/{table}"), &headers, "").await?;
        assert!(matches!(refused.status, 401 | 403), "{table}: {}", refused.status);
    }
    let stranger = format!("Bearer {}", lab.stack.keys().user_jwt(NOBODY, &json!({})));
    let headers = [("authorization", stranger.as_str()), ("apikey", &publishable)];
    let reply = lab.api.send("POST", "/functions/v1/collect-bulk", &headers, "").await?;
    assert_eq!((reply.status, reply.json()?["code"].as_str()), (403, Some("NO_COMPANY")));
    let rows: Value = lab.api.send("GET", "/rest/v1/dex_captures", &headers, "").await?.json()?;
    assert_eq!(rows, json!([]), "a stranger sees nothing");
    site.stop();
    lab.stop().await
}
