//! `ferry tokens` as a user runs it, against a project of one page.

mod ferry;
mod site;

use serde_json::{Value, json};

use ferry::{Ran, ferry_with};
use site::{Answer, Seen, Site};

/// Runs `ferry tokens …` where the environment names the site.
fn tokens(site: &Site, arguments: &[&str], input: &[u8]) -> Ran {
    let arguments: Vec<&str> = [&["tokens"], arguments].concat();
    ferry_with(&arguments, input, &[("SUPABASE_URL", &site.url), ("SERVICE_API_KEY", "a-service-key")])
}

async fn site(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Site {
    Site::start(answer).await
}

fn entry(account: &str) -> Value {
    json!({
        "account_name": account, "main_account": "APEX_136189", "token_type": "bearer", "token_length": 215,
        "expires_at": "2099-01-01T00:00:00Z", "is_active": true, "is_expired": false, "source": "redis", "version": 3,
        "key_id": "k1", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn get_prints_the_token_alone_and_asks_as_a_service() {
    let reply = json!({
        "success": true, "token": "eyJ.a.b", "account_name": "A & B", "expires_at": null, "token_length": 7,
        "metadata": {}, "main_account": "A", "token_type": "bearer", "version": 1,
    });
    let site = site(move |_| Answer::json(200, &reply)).await;
    let ran = tokens(&site, &["get", "A & B"], b"");
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "eyJ.a.b\n", ""));
    let seen = site.last();
    assert_eq!(seen.path, "/functions/v1/token-manager?action=get&account=A%20%26%20B");
    assert_eq!(seen.header("x-service-key"), Some("a-service-key"));
    assert!(
        seen.header("user-agent").is_some_and(|agent| agent.starts_with("ferry/")),
        "the audit trail names it"
    );
    assert_eq!(tokens(&site, &["get", "A", "--json"], b"").json()["token"], "eyJ.a.b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_exit_code_1_and_nothing_on_the_output() {
    let reply = json!({ "success": false, "error": "Token expired", "code": "GONE", "request_id": "r-1" });
    let site = site(move |_| Answer::json(410, &reply)).await;
    let ran = tokens(&site, &["get", "APEX_1"], b"");
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("Token expired") && ran.err.contains("GONE"), "{}", ran.err);
    assert_eq!(tokens(&site, &["get"], b"").code, 2, "an account is missing");
    assert_eq!(tokens(&site, &["steal"], b"").code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_tells_what_it_did() {
    let accounts: Vec<String> = (1..=22).map(|number| format!("APEX_{number:06}")).collect();
    let reply = json!({
        "success": true, "message": "Synced 22 tokens from Redis to Supabase", "tokens_synced": 22, "key_mappings": 22,
        "key_mappings_created": 22, "created": 20, "updated": 2, "accounts": accounts, "skipped": 1, "sync_id": "s",
        "warnings": [{ "key": "token:\u{1b}[31mLIST", "reason": "the value is not a string" }],
    });
    let site = site(move |_| Answer::json(200, &reply)).await;
    let ran = tokens(&site, &["sync"], b"");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.line("Sync successful"), "Sync successful: Synced 22 tokens from Redis to Supabase");
    assert_eq!(
        (ran.line("Tokens synced"), ran.line("Key mappings")),
        ("Tokens synced 22".into(), "Key mappings 22".into())
    );
    assert!(
        ran.out.contains("  APEX_000022\n") && ran.out.contains("the value is not a string"),
        "{}",
        ran.out
    );
    assert!(!ran.out.contains('\u{1b}'), "a key's name does not steer the terminal");
    assert_eq!(tokens(&site, &["sync", "--json"], b"").json()["tokens_synced"], 22);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_without_redis_is_told_and_is_exit_code_1() {
    let answer = |redis: Value, error: Option<&str>| {
        let mut status = json!({ "supabase_tokens": 22, "redis_tokens": redis, "sync_needed": redis.is_null().then_some(true).map_or(json!(false), |_| Value::Null) });
        if let Some(error) = error {
            status["redis_error"] = error.into();
        }
        json!({ "success": true, "status": status, "recent_tokens": [
            { "account_name": "APEX_136189", "main_account": "APEX_136189", "expires_at": "2025-10-17T14:45:00Z", "created_at": "", "updated_at": "" },
        ] })
    };
    let well = answer(json!(22), None);
    let site_well = site(move |_| Answer::json(200, &well)).await;
    let ran = tokens(&site_well, &["status"], b"");
    assert_eq!(
        (ran.code, ran.line("Redis tokens"), ran.line("Sync needed")),
        (0, "Redis tokens 22".into(), "Sync needed false".into())
    );
    assert_eq!(ran.line("APEX_136189"), "APEX_136189 2025-10-17 14:45:00 UTC");
    let down = answer(Value::Null, Some("REDIS_UNAVAILABLE"));
    let site_down = site(move |_| Answer::json(200, &down)).await;
    let ran = tokens(&site_down, &["status"], b"");
    assert_eq!(
        (ran.code, ran.line("Redis tokens"), ran.line("Redis:")),
        (1, "Redis tokens cannot be asked".into(), "Redis: REDIS_UNAVAILABLE".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_stored_from_the_standard_input_and_many_from_a_file() {
    let site = site(|seen| {
        let stored = seen.json()["tokens"].as_array().map_or(0, Vec::len);
        Answer::json(200, &json!({ "success": true, "message": "", "tokens_stored": stored, "created": stored, "updated": 0 }))
    })
    .await;
    let ran = tokens(&site, &["store", "APEX_1", "--expires-at", "2099-01-01T00:00:00Z"], b"eyJ.a.b\n");
    assert_eq!((ran.code, ran.out.as_str()), (0, "Stored 1 tokens: 1 new, 0 replaced\n"));
    assert_eq!(
        site.last().json(),
        json!({ "tokens": [{ "account_name": "APEX_1", "access_token": "eyJ.a.b", "expires_at": "2099-01-01T00:00:00Z" }] })
    );
    let many: Vec<Value> =
        (0..1_500).map(|n| json!({ "account_name": format!("A{n}"), "access_token": "t" })).collect();
    let before = site.count();
    let ran =
        tokens(&site, &["store", "--file", "-", "--json"], json!({ "tokens": many }).to_string().as_bytes());
    assert_eq!((ran.code, ran.json()["tokens_stored"].as_u64(), site.count() - before), (0, Some(1_500), 2));
    for (arguments, input) in [
        (&["store", "APEX_1"][..], &b""[..]),
        (&["store", "--file", "-"], b"{\"token\": \"secret"),
        (&["store", "--file", "-"], b"7"),
        (&["store", "--file", "/nowhere/tokens.json"], b""),
        (&["store", "APEX_1", "--file", "-"], b"[]"),
        (&["store"], b""),
    ] {
        let ran = tokens(&site, arguments, input);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        assert!(!ran.err.contains("secret"), "{}", ran.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_read_page_after_page() {
    let site = site(|seen| {
        let (tokens, next) = if seen.path.contains("&after=B") {
            (vec![entry("C")], None)
        } else {
            (vec![entry("A"), entry("B")], Some("B"))
        };
        Answer::json(200, &json!({ "success": true, "tokens": tokens, "next_after": next }))
    })
    .await;
    let ran = tokens(&site, &["list", "--main", "APEX_136189", "--expiring-within", "10"], b"");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        site.last().path.contains("main_account=APEX%5F136189&expiring_within=600&after=B"),
        "{}",
        site.last().path
    );
    assert!(ran.line("C").starts_with("C APEX_136189 2099-01-01 00:00:00 UTC in "), "{}", ran.out);
    assert_eq!(tokens(&site, &["list", "--json"], b"").json()["tokens"].as_array().map(Vec::len), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_goes_on_until_nothing_is_left_and_names_what_no_key_opens() {
    let left = std::sync::atomic::AtomicU64::new(3);
    let site = site(move |_| {
        let more = left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) > 1;
        let reply = json!({ "success": true, "message": "", "key_id": "k2", "rotated": 500, "unreadable": if more { json!([]) } else { json!(["APEX_9"]) }, "has_more": more });
        Answer::json(200, &reply)
    })
    .await;
    let ran = tokens(&site, &["rotate-key"], b"");
    assert_eq!((ran.code, site.count()), (1, 3), "{ran:?}");
    assert!(
        ran.out.contains("1500 tokens sealed under key k2") && ran.out.contains("  APEX_9"),
        "{}",
        ran.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_fails_is_exit_code_1_and_says_why() {
    let reply = json!({
        "success": true, "message": "Renewed 1 tokens of 2 accounts", "renewed": 1, "accounts": ["A", "B"], "redis_keys_written": 2,
        "failed": [{ "account_name": "C", "reason": "the session has ended" }], "waiting": 1, "paused_until": null,
    });
    let site = site(move |_| Answer::json(200, &reply)).await;
    let ran = tokens(&site, &["renew", "A", "--within", "30"], b"");
    assert_eq!((ran.code, ran.line("not renewed:")), (1, "not renewed: C: the session has ended".into()));
    assert!(site.last().path.ends_with("action=renew&account=A&within=1800"), "{}", site.last().path);
    let site = self::site(|_| {
        Answer::json(
            200,
            &json!({ "success": true, "message": "Expired tokens marked as inactive", "cleaned_up": 3 }),
        )
    })
    .await;
    assert_eq!(tokens(&site, &["cleanup"], b"").out, "Expired tokens marked as inactive: 3\n");
}
