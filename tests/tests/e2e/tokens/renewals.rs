//! Renewals before the end, within what Tradovate permits.

use std::time::Duration;

use anyhow::Result;
use ironferry_tests::lab::Lab;
use ironferry_tests::redis;
use ironferry_tests::tokens::jwt;
use ironferry_tests::tradovate::{Fault, Tradovate};
use serde_json::json;

use super::{done, send};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_soon_is_renewed_once_for_all_accounts_that_share_it() -> Result<()> {
    let broker = Tradovate::start().await?;
    let lab = Lab::start("token-renew", &[("TRADOVATE_URL", &broker.url())]).await?;
    let db = lab.db().await?;
    let url = lab.stack.redis_url();
    let (shared, later) = (jwt("shared", 600), jwt("later", 3_000));
    broker.admit(&shared);
    broker.admit(&later);
    let commands = format!(
        "SET token:APEX_136189 {shared} EX 3600\nSET token:PAAPEX1361890000001 {shared} EX 3600\nSET auth:APEX_136189 {shared}\n\
         SET token:APEX_272045 {later}\n"
    );
    redis::run(url, &commands).await?;
    done(&lab, "?action=sync").await?;

    // pg_cron sees that something ends within 15 minutes.
    lab.schedule(&db, "token-manager-renew", "* * * * *").await?;
    let renewed = "select count(*) = 2 from public.tradovate_tokens where version = 2 and source = 'redis'
                   and expires_at > now() + interval '70 minutes'";
    db.wait_for("the renewal", Duration::from_mins(3), renewed).await?;
    db.run("select cron.alter_job(jobid, active := false) from cron.job").await?;
    assert_eq!(broker.asked(), 1, "the accounts share one session");
    let token = done(&lab, "?action=get&account=PAAPEX1361890000001").await?["token"].clone();
    assert_ne!(token, shared.as_str());
    for key in ["token:APEX_136189", "token:PAAPEX1361890000001", "auth:APEX_136189"] {
        assert_eq!(
            redis::run(url, &format!("GET {key}\n")).await?,
            token.as_str().unwrap_or_default(),
            "{key}"
        );
        let life: i64 = redis::run(url, &format!("TTL {key}\n")).await?.parse()?;
        assert!((4_200..=4_800).contains(&life), "{key} lives {life} s");
    }
    let said = done(&lab, "?action=sync").await?;
    assert_eq!(said["unchanged"], 3, "Redis and the database agree: {said}");
    assert_eq!(done(&lab, "?action=status").await?["status"]["sync_needed"], false);

    // By hand, whenever it ends.
    let said = done(&lab, "?action=renew&account=APEX_272045").await?;
    assert_eq!((&said["renewed"], &said["accounts"]), (&json!(1), &json!(["APEX_272045"])), "{said}");
    assert_eq!(said["redis_keys_written"], 1);
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_the_broker_is_understood_and_none_is_hammered() -> Result<()> {
    let broker = Tradovate::start().await?;
    let lab = Lab::start("token-refused", &[("TRADOVATE_URL", &broker.url()), ("REDIS_URL", "")]).await?;
    let db = lab.db().await?;
    let token = jwt("a", 600);
    broker.admit(&token);
    let stored = json!({ "tokens": [{ "account_name": "APEX_1", "access_token": token }] }).to_string();
    let again = "update public.tradovate_tokens set renew_claimed_until = null, renew_failures = 0;
                 update private.token_renewals set paused_until = null, calls = '{}'";

    for (fault, reason) in [
        (Fault::ErrorText("The session is locked".to_owned()), "Tradovate says: The session is locked"),
        (Fault::Status(500), "Tradovate answered 500"),
        (Fault::Garbage, "Tradovate answers in a way that is not understood"),
    ] {
        assert_eq!(send(&lab, "POST", "?action=store", &stored).await?.0, 200);
        db.run(again).await?;
        broker.fail([fault]);
        let said = done(&lab, "?action=renew").await?;
        assert_eq!(said["failed"], json!([{ "account_name": "APEX_1", "reason": reason }]), "{said}");
        let said = done(&lab, "?action=renew").await?;
        assert_eq!(
            (&said["renewed"], &said["failed"]),
            (&json!(0), &json!([])),
            "the next try waits: {said}"
        );
    }
    db.run(again).await?;
    broker.fail([Fault::Penalty(1)]);
    let before = broker.asked();
    let said = done(&lab, "?action=renew").await?;
    assert_eq!(
        (&said["renewed"], broker.asked() - before),
        (&json!(1), 2),
        "a short penalty is waited for: {said}"
    );

    for (fault, seconds) in [(Fault::Penalty(300), 300), (Fault::Captcha, 3_600), (Fault::Status(429), 3_600)]
    {
        assert_eq!(send(&lab, "POST", "?action=store", &stored).await?.0, 200);
        db.run(again).await?;
        broker.forgive();
        broker.fail([fault.clone()]);
        let said = done(&lab, "?action=renew").await?;
        assert_eq!((&said["renewed"], &said["waiting"]), (&json!(0), &json!(1)), "{fault:?}: {said}");
        let pause =
            "select round(extract(epoch from paused_until - now()))::bigint from private.token_renewals";
        let paused = db.count(pause, &[]).await?;
        assert!((seconds - 60..=seconds).contains(&paused), "{fault:?} pauses for {paused} s");
        let before = broker.asked();
        let said = done(&lab, "?action=renew").await?;
        assert!(
            said["paused_until"].is_string() && broker.asked() == before,
            "nobody asks before then: {said}"
        );
    }
    broker.forgive();
    broker.end_sessions();
    assert_eq!(send(&lab, "POST", "?action=store", &stored).await?.0, 200);
    db.run(again).await?;
    let said = done(&lab, "?action=renew").await?;
    assert_eq!(said["failed"][0]["reason"], "the session has ended", "{said}");
    let trail =
        "select count(*) from public.token_events where event = 'renewal_failed' and account_name = 'APEX_1'";
    assert_eq!(db.count(trail, &[]).await?, 4);
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn more_tokens_than_the_limit_allows_wait_for_the_next_minute() -> Result<()> {
    let broker = Tradovate::start().await?;
    let lab = Lab::start("token-limit", &[("TRADOVATE_URL", &broker.url()), ("REDIS_URL", "")]).await?;
    let tokens: Vec<_> = (0..12)
        .map(|number| {
            let token = jwt(&format!("session-{number}"), 500 + number);
            broker.admit(&token);
            json!({ "account_name": format!("APEX_{number:06}"), "access_token": token })
        })
        .collect();
    assert_eq!(send(&lab, "POST", "?action=store", &json!({ "tokens": tokens }).to_string()).await?.0, 200);
    let (one, two) = tokio::try_join!(done(&lab, "?action=renew"), done(&lab, "?action=renew"))?;
    let renewed = [&one, &two].map(|said| said["renewed"].as_u64().unwrap_or(0)).iter().sum::<u64>();
    assert_eq!((renewed, broker.asked()), (8, 8), "{one} {two}");
    let last = done(&lab, "?action=renew").await?;
    assert_eq!((&last["renewed"], &last["waiting"]), (&json!(0), &json!(4)), "{last}");
    lab.stop().await
}
