//! The other ways to a Redis: TLS, and Upstash's REST.

use anyhow::Result;
use ironferry_tests::lab::Lab;
use ironferry_tests::redis::{Redis, Upstash, run, with_login};
use ironferry_tests::tokens::jwt;
use serde_json::json;

use super::{call, done, fill};

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_and_the_certificate_is_checked() -> Result<()> {
    let server = Redis::start_tls(&["--requirepass", "a-password"]).await?;
    server.run("default:a-password", &format!("SET token:APEX_1 {} EX 600\n", jwt("a", 900))).await?;
    let (url, ca) = (with_login(&server.url, ":a-password"), server.ca()?);
    let lab = Lab::start("token-tls", &[("REDIS_URL", &url), ("REDIS_CA", &ca)]).await?;
    assert_eq!(done(&lab, "?action=sync").await?["tokens_synced"], 1);
    lab.stop().await?;

    let lab = Lab::start("token-tls-unknown", &[("REDIS_URL", &url)]).await?;
    let (status, said) = call(&lab, "?action=sync").await?;
    assert_eq!(
        (status, said["code"].as_str()),
        (503, Some("REDIS_UNAVAILABLE")),
        "an unknown authority: {said}"
    );
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn upstash_gives_what_a_socket_gives() -> Result<()> {
    let server = Redis::start(&[]).await?;
    fill(&server.url).await?;
    run(&server.url, "LPUSH token:A_LIST a\nSET token:NO_END opaque\nSET token:OVER x PX 1\n").await?;
    let many: Vec<String> = (0..3_000).map(|number| format!("SET noise:{number} x\n")).collect();
    run(&server.url, &many.concat()).await?;
    let rest = Upstash::start(&server.url).await?;
    let settings =
        [("UPSTASH_REDIS_REST_URL", rest.url()), ("UPSTASH_REDIS_REST_TOKEN", rest.token().to_owned())];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let lab = Lab::start("token-upstash", &settings).await?;
    let said = done(&lab, "?action=sync").await?;
    assert_eq!((&said["tokens_synced"], &said["skipped"]), (&json!(23), &json!(1)), "{said}");
    let status = done(&lab, "?action=status").await?;
    assert_eq!(
        (&status["status"]["redis_tokens"], &status["status"]["sync_needed"]),
        (&json!(23), &json!(false))
    );
    let rows = "select md5(string_agg(concat_ws('|', account_name, main_account, token_type, token_length, is_active), ',' order by account_name))
                from public.tradovate_tokens";
    let by_rest = lab.db().await?.text(rows, &[]).await?;
    lab.stop().await?;

    let lab = Lab::start("token-socket", &[("REDIS_URL", &server.url)]).await?;
    done(&lab, "?action=sync").await?;
    assert_eq!(lab.db().await?.text(rows, &[]).await?, by_rest);
    lab.stop().await?;

    let wrong = [("UPSTASH_REDIS_REST_URL", &*rest.url()), ("UPSTASH_REDIS_REST_TOKEN", "wrong-rest-token")];
    let lab = Lab::start("token-upstash-wrong", &wrong).await?;
    let (status, said) = call(&lab, "?action=sync").await?;
    assert_eq!((status, said["code"].as_str()), (502, Some("REDIS_REFUSED")), "{said}");
    lab.stop().await
}
