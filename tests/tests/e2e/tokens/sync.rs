//! What a sync does, seen by callers and by SQL.

use std::time::Duration;

use anyhow::Result;
use ironferry_tests::lab::Lab;
use ironferry_tests::redis;
use ironferry_tests::tokens::{accounts, jwt};
use serde_json::json;

use super::{call, done, fill, send};

#[tokio::test(flavor = "multi_thread")]
async fn twenty_two_tokens_are_synced_handed_out_and_kept_in_line_with_redis() -> Result<()> {
    let lab = Lab::start("tokens", &[]).await?;
    let db = lab.db().await?;
    let url = lab.stack.redis_url();
    let tokens = fill(url).await?;

    let said = done(&lab, "?action=sync").await?;
    assert_eq!(said["message"], "Synced 22 tokens from Redis to Supabase");
    assert_eq!((&said["tokens_synced"], &said["key_mappings_created"]), (&json!(22), &json!(22)));
    let mut names = accounts();
    names.sort();
    assert_eq!(said["accounts"], json!(names));
    for (account, token) in &tokens {
        let said = done(&lab, &format!("?action=get&account={account}")).await?;
        assert_eq!(
            (said["token"].as_str(), said["account_name"].as_str()),
            (Some(&**token), Some(&**account))
        );
        assert_eq!(said["token_length"], token.len());
        assert_eq!(said["metadata"]["redis_key"], format!("token:{account}"));
        assert!(said["metadata"].get("token_preview").is_none());
    }
    let said = done(&lab, "?action=status").await?;
    let status = &said["status"];
    assert_eq!((&status["supabase_tokens"], &status["redis_tokens"]), (&json!(22), &json!(22)));
    assert_eq!(status["sync_needed"], false, "{said}");
    assert_eq!(said["recent_tokens"].as_array().map(Vec::len), Some(10));
    let main =
        "select count(*) from public.tradovate_tokens where main_account = 'APEX_136189' and is_active";
    assert_eq!(db.count(main, &[]).await?, 9, "the main account, 7 performance accounts and an evaluation");

    // The same again: nothing changes.
    let versions =
        "select md5(string_agg(t::text, ',' order by account_name)) from public.tradovate_tokens t";
    let before = db.text(versions, &[]).await?;
    let said = done(&lab, "").await?;
    assert_eq!((&said["unchanged"], &said["key_mappings_created"]), (&json!(22), &json!(0)), "{said}");
    assert_eq!(db.text(versions, &[]).await?, before);

    // Changes in Redis: one token is new, one is gone, one is no token.
    let new = jwt("new", 4_000);
    let changes = format!(
        "SET token:APEX_136189 {new} EX 3600\nDEL token:APEX_266668\nDEL token:APEX_272045\nLPUSH token:APEX_272045 a b\n"
    );
    redis::run(url, &changes).await?;
    assert_eq!(done(&lab, "?action=status").await?["status"]["sync_needed"], true);
    let said = done(&lab, "?action=sync").await?;
    let counts = [&said["tokens_synced"], &said["updated"], &said["deactivated"], &said["skipped"]];
    assert_eq!(counts, [&json!(20), &json!(1), &json!(2), &json!(1)], "{said}");
    assert_eq!(
        said["warnings"][0],
        json!({ "key": "token:APEX_272045", "reason": "the value is not a string" })
    );
    assert_eq!(done(&lab, "?action=get&account=APEX_136189").await?["token"], new.as_str());
    let (status, said) = call(&lab, "?action=get&account=APEX_266668").await?;
    assert_eq!((status, &said["error"]), (404, &json!("Token not found")), "{said}");

    // What comes back is active again.
    redis::run(url, &format!("SET token:APEX_266668 {} EX 3600\n", tokens[1].1)).await?;
    assert_eq!(done(&lab, "?action=sync").await?["reactivated"], 1);
    assert_eq!(call(&lab, "?action=get&account=APEX_266668").await?.0, 200);
    let story = "select string_agg(event, ' ' order by id) from public.token_events
                 where account_name = 'APEX_266668' and actor = 'a story'";
    assert_eq!(
        db.text(story, &[]).await?,
        "created read refused deactivated refused reactivated read".replacen("refused ", "", 1)
    );
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_earlier_of_two_ends_counts_and_expired_tokens_are_not_handed_out() -> Result<()> {
    let lab = Lab::start("token-ends", &[]).await?;
    let db = lab.db().await?;
    let far = jwt("far", 4_800);
    let commands = format!(
        "SET token:BY_TTL {far} EX 600\nSET token:BY_EXP {} EX 36000\nSET token:NO_TTL {far}\nSET token:OPAQUE opaque-token\n\
         SET token:JSON {} EX 900\nSET token:OVER {} EX 900\nSET token:SOON {} EX 900\nSET auth:BY_TTL {far} EX 900\nSET other:KEY x\n",
        jwt("short", 1_200),
        json!({ "access_token": far, "expires_at": "2099-01-01T00:00:00Z" }).to_string().replace('"', "\\\""),
        jwt("over", -1),
        jwt("soon", 3),
    )
    .replace("JSON {", "JSON \"{")
    .replace("} EX 900\nSET token:OVER", "}\" EX 900\nSET token:OVER");
    redis::run(lab.stack.redis_url(), &commands).await?;
    let said = done(&lab, "?action=sync").await?;
    assert_eq!((&said["tokens_synced"], &said["key_mappings"]), (&json!(7), &json!(8)), "{said}");
    let ends = |account: &'static str| {
        let query = "select round(extract(epoch from expires_at - now()) / 60)::bigint from public.tradovate_tokens where account_name = $1";
        let db = &db;
        async move { db.count(query, &[&account]).await }
    };
    assert_eq!((ends("BY_TTL").await?, ends("BY_EXP").await?), (10, 20));
    assert_eq!((ends("NO_TTL").await?, ends("JSON").await?), (80, 15));
    let forever =
        "select count(*) from public.tradovate_tokens where expires_at is null and account_name = 'OPAQUE'";
    assert_eq!(db.count(forever, &[]).await?, 1, "neither a life in Redis nor an end of its own");

    let (status, said) = call(&lab, "?action=get&account=OVER").await?;
    assert_eq!(
        (status, &said["error"], &said["account_name"]),
        (410, &json!("Token expired"), &json!("OVER"))
    );
    assert!(said["expires_at"].is_string() && said["request_id"].is_string(), "{said}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(call(&lab, "?action=get&account=SOON").await?.0, 410, "time has passed");
    assert_eq!(done(&lab, "?action=cleanup").await?["cleaned_up"], 2);
    assert_eq!(done(&lab, "?action=cleanup").await?["cleaned_up"], 0);
    assert_eq!(call(&lab, "?action=get&account=SOON").await?.0, 410, "cleaned up, it has still expired");
    // It lies in Redis yet; it stays inactive.
    done(&lab, "?action=sync").await?;
    let active =
        "select count(*) from public.tradovate_tokens where account_name in ('SOON', 'OVER') and is_active";
    assert_eq!(db.count(active, &[]).await?, 0);
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_call_gets_its_status_and_code_and_no_one_gets_a_token_without_a_key() -> Result<()> {
    let lab = Lab::start("token-edges", &[]).await?;
    let publishable = lab.stack.keys().publishable.clone();
    let anon = format!("Bearer {}", lab.stack.keys().anon);
    let user =
        format!("Bearer {}", lab.stack.keys().user_jwt("00000000-0000-4000-8000-000000000001", &json!({})));
    for headers in [
        &[][..],
        &[("apikey", &*publishable)],
        &[("authorization", &*anon), ("apikey", &*lab.stack.keys().anon)],
        &[("authorization", &*user), ("apikey", &*publishable)],
        &[("x-service-key", "wrong")],
    ] {
        for action in ["sync", "status", "get&account=A", "list", "cleanup", "renew", "rotate-key", "store"] {
            let path = format!("/functions/v1/token-manager?action={action}");
            let reply = lab.api.send("POST", &path, headers, "{}").await?;
            assert_eq!(
                (reply.status, reply.json()?["code"].as_str()),
                (401, Some("INVALID_SERVICE_KEY")),
                "{action}"
            );
        }
        let table = lab.api.send("GET", "/rest/v1/tradovate_tokens", headers, "").await?;
        assert!(matches!(table.status, 401 | 403), "{}", table.status);
    }
    let token = jwt("a", 60);
    let bad = |entry: serde_json::Value| json!({ "tokens": [entry] }).to_string();
    for (method, query, body, status, code) in [
        ("GET", "?action=get", String::new(), 400, "MISSING_ACCOUNT"),
        ("GET", "?action=get&account=NOBODY", String::new(), 404, "TOKEN_NOT_FOUND"),
        ("GET", "?action=reticulate", String::new(), 400, "INVALID_ACTION"),
        ("GET", "?action=store", String::new(), 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "?action=get", String::new(), 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/elsewhere", String::new(), 404, "NOT_FOUND"),
        ("GET", "?action=list&limit=0", String::new(), 400, "INVALID_QUERY"),
        ("GET", "?action=sync&wait=perhaps", String::new(), 400, "INVALID_QUERY"),
        ("POST", "?action=store", "{}".to_owned(), 400, "INVALID_JSON"),
        ("POST", "?action=store", json!({ "tokens": [] }).to_string(), 400, "INVALID_JSON"),
        (
            "POST",
            "?action=store",
            bad(json!({ "account_name": "A B", "access_token": "t" })),
            400,
            "INVALID_JSON",
        ),
        (
            "POST",
            "?action=store",
            bad(json!({ "account_name": "A", "access_token": "" })),
            400,
            "INVALID_JSON",
        ),
        (
            "POST",
            "?action=store",
            bad(json!({ "account_name": "A", "access_token": token, "expires_at": "soon" })),
            400,
            "INVALID_JSON",
        ),
        (
            "POST",
            "?action=store",
            bad(json!({ "account_name": "A", "access_token": token, "metadata": { "note": &token[..50] } })),
            400,
            "INVALID_JSON",
        ),
    ] {
        let (got, said) = send(&lab, method, query, &body).await?;
        assert_eq!((got, said["code"].as_str()), (status, Some(code)), "{method} {query} {body}: {said}");
        assert!(!said.to_string().contains(&token[..30]), "{said}");
    }
    let many = json!({ "tokens": [
        { "account_name": "PAAPEX1361890000001", "access_token": token, "metadata": { "token_preview": &token[..50], "desk": 7 } },
        { "account_name": "APEX_1", "token": "opaque", "token_type": "auth", "expires_at": "2099-01-01T00:00:00Z" },
    ] });
    let (status, said) = send(&lab, "POST", "?action=store", &many.to_string()).await?;
    assert_eq!((status, &said["tokens_stored"]), (200, &json!(2)), "{said}");
    let said = done(&lab, "?action=get&account=PAAPEX1361890000001").await?;
    assert_eq!((&said["main_account"], &said["metadata"]), (&json!("APEX_136189"), &json!({ "desk": 7 })));
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn syncs_at_the_same_moment_and_readers_beside_them_see_whole_states_only() -> Result<()> {
    let lab = Lab::start("token-races", &[]).await?;
    let db = lab.db().await?;
    let url = lab.stack.redis_url().to_owned();
    // Two states of 3,000 accounts: all tokens of the one, or all of the other.
    let state = |session: &str| -> String {
        let token = jwt(session, 4_800);
        (0..3_000).map(|number| format!("SET token:ACCOUNT_{number} {token}\n")).collect::<Vec<_>>().concat()
    };
    let states = [state("odd"), state("even")];
    redis::run(&url, &states[0]).await?;
    done(&lab, "?action=sync").await?;
    let reader = lab.db().await?;
    let reading = tokio::spawn(async move {
        let mixed = "select count(distinct fingerprint) from public.tradovate_tokens where is_active";
        let mut seen = 0;
        loop {
            let states = reader.count(mixed, &[]).await?;
            anyhow::ensure!(states == 1, "a reader saw {states} states at once");
            seen += 1;
            if reader.count("select count(*) from public.token_syncs where status = 'done'", &[]).await? >= 5
            {
                return Ok(seen);
            }
        }
    });
    for round in 0..4 {
        redis::run(&url, &states[(round + 1) % 2]).await?;
        let (one, two, three) = tokio::try_join!(
            done(&lab, "?action=sync"),
            done(&lab, "?action=sync"),
            done(&lab, "?action=sync")
        )?;
        for said in [&one, &two, &three] {
            assert_eq!((&said["success"], &said["tokens_synced"]), (&json!(true), &json!(3_000)), "{said}");
        }
    }
    assert!(reading.await?? > 0);
    let left = "select (select count(*) from private.token_sync_rows) + (select count(*) from public.token_syncs where status = 'running')";
    assert_eq!(db.count(left, &[]).await?, 0);
    let versions = "select count(*) from public.tradovate_tokens where version <> 5";
    assert_eq!(
        db.count(versions, &[]).await?,
        0,
        "each state was taken over once, however many syncs saw it"
    );
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_cron_syncs_and_its_calls_do_not_wait() -> Result<()> {
    let lab = Lab::start("token-cron", &[]).await?;
    let db = lab.db().await?;
    fill(lab.stack.redis_url()).await?;
    lab.schedule(&db, "token-manager-sync", "* * * * *").await?;
    let synced = "select count(*) = 22 from public.tradovate_tokens where is_active";
    db.wait_for("the sync of a tick", Duration::from_mins(3), synced).await?;
    let actor = "select actor like 'pg_net%' from public.token_syncs limit 1";
    db.wait_for("its actor", Duration::from_mins(1), actor).await?;
    lab.stop().await
}
