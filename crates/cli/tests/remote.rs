//! A project that is asked over HTTP: what it is shown, and what is said when it refuses.

mod project;
mod site;

use std::time::{Duration, Instant};

use anyhow::Result;
use ferry::remote::{Method, Place, Remote, RemoteError, Target};
use project::Project;
use serde_json::{Value, json};
use site::{Answer, Site};

const LEGACY: &str = "eyJ.legacy.key";

fn remote(url: &str, keys: &[(&str, &str)]) -> Remote {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let place = Place { environment: keys.iter().map(owned).collect(), ..Place::default() };
    Remote::find(&Target { url: Some(url.to_owned()), local: false }, &place).expect("all is set")
}

#[tokio::test]
async fn a_function_is_shown_the_service_key_and_nothing_else() {
    let site = Site::start(|_| Answer::json(200, &json!({"success": true}))).await;
    let remote = remote(&site.url, &[("SERVICE_API_KEY", "one,two"), ("SUPABASE_SECRET_KEY", "sb_secret_1")]);
    let reply = remote.function(Method::POST, "collect-dex?x=1", Some(&json!({"company": "a"}))).await;
    assert_eq!(reply.expect("an answer").success().expect("success"), json!({"success": true}));
    let seen = site.last();
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/functions/v1/collect-dex?x=1"));
    assert_eq!(seen.json(), json!({"company": "a"}));
    assert_eq!(seen.header("x-service-key"), Some("one"));
    assert_eq!((seen.header("apikey"), seen.header("authorization")), (None, None));
}

#[tokio::test]
async fn without_a_service_key_the_secret_key_opens_functions() {
    let site = Site::start(|_| Answer::json(200, &Value::Null)).await;
    let new = remote(&site.url, &[("SUPABASE_SECRET_KEY", "sb_secret_1")]);
    new.function(Method::GET, "health", None).await.expect("an answer");
    assert_eq!(
        (site.last().header("apikey"), site.last().header("authorization")),
        (Some("sb_secret_1"), None)
    );
    let legacy = remote(&site.url, &[("SUPABASE_SERVICE_ROLE_KEY", LEGACY)]);
    legacy.function(Method::GET, "health", None).await.expect("an answer");
    assert_eq!(site.last().header("apikey"), Some(LEGACY));
    assert_eq!(site.last().header("authorization"), Some("Bearer eyJ.legacy.key"));
}

#[tokio::test]
async fn a_database_function_gets_its_arguments_and_the_secret_key() {
    let site = Site::start(|_| Answer::json(200, &json!([{"day": "2026-11-20", "vends": 3}]))).await;
    let remote = remote(&site.url, &[("SERVICE_API_KEY", "one"), ("SUPABASE_SECRET_KEY", "sb_secret_1")]);
    let rows: Vec<Value> = remote.rpc("dex_sales", &json!({"p_days": 3})).await.expect("rows");
    assert_eq!(rows[0]["vends"], 3);
    let seen = site.last();
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/rest/v1/rpc/dex_sales"));
    assert_eq!((seen.json(), seen.header("apikey")), (json!({"p_days": 3}), Some("sb_secret_1")));
    assert_eq!(seen.header("x-service-key"), None);
}

#[tokio::test]
async fn rows_are_read_page_by_page_up_to_the_limit() {
    let site = Site::start(|request| {
        let number = |name: &str| {
            let (_, rest) = request.path.split_once(&format!("{name}="))?;
            rest.split('&').next()?.parse::<u64>().ok()
        };
        let from = number("offset").unwrap_or(0);
        Answer::json(200, &(from..(from + number("limit").expect("a limit")).min(1_500)).collect())
    })
    .await;
    let remote = remote(&site.url, &[("SUPABASE_SECRET_KEY", "sb_secret_1")]);
    let all: Vec<u64> = remote
        .select("things", 5_000, |query| query.select("id").eq("kind", "a b&c").order("id"))
        .await
        .expect("rows");
    assert_eq!(all, (0..1_500).collect::<Vec<_>>());
    assert_eq!(site.count(), 2);
    assert_eq!(
        site.last().path,
        "/rest/v1/things?select=id&kind=eq.a%20b%26c&order=id&offset=1000&limit=1000"
    );
    let some: Vec<u64> = remote.select("things", 10, |query| query).await.expect("rows");
    assert_eq!((some.len(), site.last().path.clone()), (10, "/rest/v1/things?limit=10".to_owned()));
    let called: Vec<u64> = remote.rpc_rows("numbers", 5_000, &json!({"p_kind": 1})).await.expect("rows");
    let path = "/rest/v1/rpc/numbers?offset=1000&limit=1000".to_owned();
    assert_eq!((called.len(), site.last().path.clone()), (1_500, path));
    assert_eq!((site.last().json(), site.count()), (json!({"p_kind": 1}), 5));
}

#[tokio::test]
async fn a_server_that_gives_all_rows_at_once_is_not_asked_for_more() {
    for rows in [999_u64, 1_000, 1_860] {
        let range = format!("0-{}/*", rows - 1);
        let site = Site::start(move |_| {
            let body = json!((0..rows).collect::<Vec<_>>()).to_string();
            Answer { status: 200, body, header: Some(("content-range", range.clone())) }
        })
        .await;
        let remote = remote(&site.url, &[("SUPABASE_SECRET_KEY", "sb_secret_1")]);
        let all: Vec<u64> = remote.rpc_rows("numbers", 5_000, &json!({})).await.expect("rows");
        assert_eq!(all, (0..rows).collect::<Vec<_>>());
        let some: Vec<u64> = remote.rpc_rows("numbers", 10, &json!({})).await.expect("rows");
        assert_eq!(some.len(), 10);
    }
}

#[tokio::test]
async fn a_refused_key_is_called_by_its_name_and_not_shown() {
    let problem = json!({"success": false, "error": "the service key is wrong", "code": "INVALID_SERVICE_KEY", "request_id": "r-1"});
    let site = Site::start(move |_| Answer::json(401, &problem)).await;
    let remote = remote(&site.url, &[("SERVICE_API_KEY", "topsecret")]);
    let error = remote.function(Method::GET, "collect-dex/runs", None).await.expect_err("it is refused");
    let told = error.to_string();
    for part in [
        "SERVICE_API_KEY",
        "environment",
        "collect-dex",
        "the service key is wrong",
        "INVALID_SERVICE_KEY",
        "r-1",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("topsecret") && !error.is_usage(), "{told}");
    let no_key =
        remote.rpc::<Value>("anything", &json!({})).await.expect_err("SERVICE_API_KEY opens no database");
    assert!(no_key.is_usage() && no_key.to_string().contains("SUPABASE_SECRET_KEY"), "{no_key}");
}

#[tokio::test]
async fn refusals_are_told_with_their_code_and_request() {
    let site = Site::start(|request| match request.path.as_str() {
        "/functions/v1/a" => Answer::json(
            409,
            &json!({"error": "it is being collected", "code": "COLLECTING", "request_id": "r-2"}),
        ),
        "/functions/v1/b" => Answer { status: 503, body: "<html>\nbad day".into(), header: None },
        "/functions/v1/c" => Answer {
            status: 302,
            body: String::new(),
            header: Some(("location", "https://elsewhere.test/".to_owned())),
        },
        _ => Answer::json(
            404,
            &json!({"code": "PGRST202", "message": "no such function", "hint": "dex_sale", "details": null}),
        ),
    })
    .await;
    let remote = remote(&site.url, &[("SUPABASE_SECRET_KEY", "sb_secret_1")]);
    let function = async |path: &str| remote.function(Method::GET, path, None).await.expect("an answer");
    let told = async |path: &str| function(path).await.success().expect_err("a refusal").to_string();
    assert_eq!(told("a").await, "a answered 409: it is being collected (COLLECTING, request r-2)");
    assert_eq!(told("b").await, "b answered 503: <html> bad day");
    assert_eq!(told("c").await, "c answered 302, a redirect to https://elsewhere.test/: is the URL right?");
    assert_eq!(function("a").await.json["code"], "COLLECTING", "who wants to can read it");
    let error = remote.rpc::<Value>("dex_sales", &json!({})).await.expect_err("a refusal");
    assert_eq!(error.to_string(), "dex_sales answered 404: no such function (PGRST202, hint: dex_sale)");
    assert!(
        matches!(error, RemoteError::Refused { status: 404, code: Some(code), .. } if code == "PGRST202")
    );
}

#[tokio::test]
async fn another_shape_is_told_and_by_whom() {
    let site = Site::start(|_| Answer::json(200, &json!({"vends": 3}))).await;
    let remote = remote(&site.url, &[("SUPABASE_SECRET_KEY", "sb_secret_1")]);
    let error = remote.rpc::<Vec<Value>>("dex_sales", &json!({})).await.expect_err("no rows");
    assert!(error.to_string().starts_with("dex_sales answered in an unexpected shape"), "{error}");
}

#[tokio::test]
async fn nobody_there_and_no_answer_are_told_apart() {
    let keys = [("SUPABASE_SECRET_KEY", "sb_secret_1")];
    let nobody = remote("http://127.0.0.1:1", &keys);
    let error = nobody.function(Method::GET, "health", None).await.expect_err("nobody is there");
    let told = error.to_string();
    assert!(matches!(error, RemoteError::Unreachable { .. }), "{error:?}");
    assert!(told.contains("http://127.0.0.1:1 cannot be reached") && told.contains("refused"), "{told}");

    let silent = Site::start_silent().await;
    let start = Instant::now();
    let remote = remote(&silent.url, &keys).patient_for(Duration::from_millis(200));
    let error = remote.function(Method::GET, "health", None).await.expect_err("no answer");
    assert_eq!(error, RemoteError::TimedOut { url: silent.url.clone(), within: Duration::from_millis(200) });
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_stack_is_found_by_its_state_and_opens_with_its_own_keys() -> Result<()> {
    let Some(project) = Project::start().await? else { return Ok(()) };
    let hosted = [("SUPABASE_URL", "https://hosted.test"), ("SERVICE_API_KEY", "hosted")];
    let environment = hosted.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let place = Place { stack: Some(project.state_folder()?), environment, ..Place::default() };
    let remote = Remote::find(&Target { url: None, local: true }, &place)?;
    let seen = remote.function(Method::POST, "echo/a?b=c", Some(&json!({"d": 1}))).await?.success()?;
    assert_eq!(
        (&seen["path"], &seen["search"], &seen["body"]),
        (&json!("/echo/a"), &json!("?b=c"), &json!("{\"d\":1}"))
    );
    assert_eq!(seen["headers"]["x-service-key"], project.stack.service_api_key());
    project
        .sql("insert into public.things (name) select 'n' || n from generate_series(1, 1200) as n")
        .await?;
    let things: Vec<Value> =
        remote.select("things", 5_000, |query| query.select("name").like("name", "n*").order("name")).await?;
    assert_eq!((things.len(), &things[0]["name"]), (1_200, &json!("n1")));
    let missing = remote.function(Method::GET, "nothing", None).await?.success().expect_err("there is none");
    assert!(missing.to_string().starts_with("nothing answered 404: "), "{missing}");
    drop(remote);
    project.end().await
}
