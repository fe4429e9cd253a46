//! Redis that is down, slow, locked, cut off or no Redis at all: the tokens that are there stay.

use std::time::{Duration, Instant};

use anyhow::Result;
use ironferry_tests::lab::Lab;
use ironferry_tests::redis::{self, Fault, Proxy, Redis};
use ironferry_tests::tokens::jwt;
use serde_json::json;

use super::{call, done, fill};

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_fails_in_any_way_changes_nothing_and_is_told_apart() -> Result<()> {
    let server = Redis::start(&[]).await?;
    let proxy = Proxy::start(&server.url, Fault::None).await?;
    let lab = Lab::start("token-faults", &[("REDIS_URL", &*proxy.url())]).await?;
    let patience = async |seconds: &str| {
        lab.stack.set_secrets(&[("REDIS_TIMEOUT_SECONDS".to_owned(), seconds.to_owned())]).await
    };
    patience("30").await?;
    let db = lab.db().await?;
    fill(&server.url).await?;
    done(&lab, "?action=sync").await?;
    let commands: Vec<String> =
        (0..5_000).map(|number| format!("SET token:MORE_{number} {}\n", jwt("more", 900))).collect();
    redis::run(&server.url, &commands.concat()).await?;

    for (fault, status, code) in [
        (Fault::CutAfter(0), 503, "REDIS_UNAVAILABLE"),
        (Fault::CutAfter(100_000), 503, "REDIS_UNAVAILABLE"),
        (Fault::Hang, 504, "REDIS_TIMEOUT"),
        (Fault::Garbage, 502, "REDIS_PROTOCOL"),
    ] {
        proxy.set(fault);
        // Only where it runs out: a machine that stops for a second is no dead Redis.
        if fault == Fault::Hang {
            patience("1").await?;
        }
        let started = Instant::now();
        let (got, said) = call(&lab, "?action=sync").await?;
        assert_eq!((got, said["code"].as_str()), (status, Some(code)), "{fault:?}: {said}");
        assert!(started.elapsed() < Duration::from_mins(1), "{fault:?} took {:?}", started.elapsed());
        let said = done(&lab, "?action=status").await?;
        assert_eq!(
            (&said["status"]["redis_tokens"], &said["status"]["redis_error"]),
            (&json!(null), &json!(code))
        );
        assert_eq!(said["status"]["supabase_tokens"], 22, "{fault:?}");
        assert_eq!(
            call(&lab, "?action=get&account=APEX_136189").await?.0,
            200,
            "the tokens are there all the same"
        );
        if fault == Fault::Hang {
            patience("30").await?;
        }
    }
    let staged = "select count(*) from private.token_sync_rows";
    assert_eq!(db.count(staged, &[]).await?, 0, "what was read before the cut is gone");
    let failed = "select count(*) from public.token_syncs where status = 'failed' and error like 'REDIS_%'";
    assert_eq!(db.count(failed, &[]).await?, 4);

    // A connection that breaks once in the middle of a scan is opened again, and the scan goes on.
    proxy.set(Fault::CutOnceAfter(700_000));
    let before = proxy.connections();
    let said = done(&lab, "?action=sync").await?;
    assert_eq!(said["tokens_synced"], 5_022, "{said}");
    assert_eq!(proxy.connections() - before, 2);

    // Slow is not dead: each piece comes before the patience is over.
    proxy.set(Fault::Slow(40));
    let started = Instant::now();
    let said = done(&lab, "?action=sync").await?;
    assert_eq!(said["unchanged"], 5_022, "{said}");
    assert!(started.elapsed() > Duration::from_millis(400), "it was not slow: {:?}", started.elapsed());

    drop(server);
    let (status, said) = call(&lab, "?action=sync").await?;
    assert_eq!((status, said["code"].as_str()), (503, Some("REDIS_UNAVAILABLE")), "nobody is there: {said}");
    assert_eq!(db.count("select count(*) from public.tradovate_tokens where is_active", &[]).await?, 5_022);
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_with_a_lock_opens_to_the_right_login_only() -> Result<()> {
    let server = Redis::start(&[]).await?;
    let user = "on >p@ss:word/1 ~token:* ~auth:* +get +pttl +scan +select +set";
    server.run("", &format!("ACL SETUSER sync {user}\nACL SETUSER default off\n")).await?;
    let login = "sync:p%40ss%3Aword%2F1";
    server.run(login, "SELECT 3\nSET token:APEX_1 opaque\n").await?;
    for (login, database, status, code) in [
        (login, 3, 200, None),
        ("sync:wrong-password", 3, 502, Some("REDIS_REFUSED")),
        (login, 99, 502, Some("REDIS_REFUSED")),
    ] {
        let url = format!("{}/{database}", redis::with_login(&server.url, login));
        let lab = Lab::start("token-lock", &[("REDIS_URL", &url)]).await?;
        let (got, said) = call(&lab, "?action=sync").await?;
        assert_eq!((got, said["code"].as_str()), (status, code), "{login} {database}: {said}");
        if status == 200 {
            assert_eq!(said["tokens_synced"], 1, "{said}");
        }
        let log = std::fs::read_to_string(lab.stack.log("token-manager"))?;
        for secret in ["p@ss", "p%40ss", "wrong-password"] {
            assert!(!log.contains(secret) && !said.to_string().contains(secret), "{log}");
        }
        lab.stop().await?;
    }
    Ok(())
}
