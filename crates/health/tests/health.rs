//! The function as its callers see it, with a database that says what a test wants.

use std::time::Duration;

use health::{LIMITS, NEVER, TOKEN_SECONDS};
use ironferry::testing::{Answer, App, Reply, SERVICE_KEY};
use serde_json::{Value, json};

/// A project in which all is well and all is installed.
fn well() -> Value {
    json!({
        "server": { "size_bytes": 9_000_000, "read_only": false, "connections_used": 5, "connections_allowed": 97 },
        "queries": [{ "pid": 7, "state": "active", "role": "postgres", "application": "psql", "seconds": 2 }],
        "tables": { "companies": null, "private.leases": null },
        "pg_cron": { "running": true, "jobs": [{
            "name": "collect-dex", "schedule": "*/5 * * * *", "active": true, "last_status": "succeeded",
            "last_seconds_ago": 200, "runs_24h": 288, "failures_24h": 1, "failures_in_a_row": 0,
        }] },
        "pg_net": { "running": true, "queued": 3, "answered_1h": 100, "failed_1h": 1, "last_error": "status 500" },
        "collector": { "companies": 9, "due": 1, "lag_seconds": 40, "failing": 0 },
        "tokens": { "active": 4, "expired": 0, "expiring": 0 },
        "signals": { "pending": 1, "oldest_seconds": 2 },
        "cache": {
            "sources": 3, "due": 0, "lag_seconds": 0, "failing": 0,
            "pending": 1, "pending_seconds": 2, "refused_24h": 0, "pending_error": "57014 statement timeout",
            "needs_login": 0,
        },
        "versions": { "postgres": "15.8", "migration": "20261121140300" },
        "errors": {},
        "took_ms": 12,
    })
}

/// The same with one value changed, by its JSON pointer.
fn but(pointer: &str, value: impl Into<Value>) -> Value {
    let mut report = well();
    *report.pointer_mut(pointer).unwrap_or_else(|| panic!("nothing is at {pointer}")) = value.into();
    report
}

fn app(report: Value) -> App {
    App::new(health::handle).rpc("health_report", Answer::json(report))
}

fn full(app: &App) -> Reply {
    app.send("GET", "/health/full", &[("x-service-key", SERVICE_KEY)], "")
}

fn metrics(app: &App, accept: &str) -> Reply {
    app.send("GET", "/health/full", &[("x-service-key", SERVICE_KEY), ("accept", accept)], "")
}

#[test]
fn anybody_learns_that_the_function_is_alive_and_nothing_else() {
    // Without a database, and without a single secret.
    let app = App::new(health::handle).secret("SUPABASE_SECRET_KEYS", "").secret("SERVICE_API_KEY", "");
    let reply = app.get("/health");
    assert_eq!((reply.status(), reply.text().as_str()), (200, r#"{"status":"alive"}"#));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(app.send("HEAD", "/health", &[], "").status(), 200);
    assert!(app.calls().is_empty(), "liveness asks nobody");
}

#[test]
fn the_rest_is_for_services() {
    let app = app(well());
    let reply = app.get("/health/full");
    assert_eq!((reply.status(), reply.json()["code"].as_str()), (401, Some("INVALID_SERVICE_KEY")));
    assert!(app.calls().is_empty());
    let posted = app.post_as_service("/health/full", "{}");
    assert_eq!((posted.status(), posted.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(app.post("/health", "{}").status(), 405);
    assert_eq!(app.get("/health/elsewhere").status(), 404);
}

#[test]
fn a_project_in_which_all_is_well_is_healthy_and_shows_what_was_measured() {
    let app = app(well());
    let reply = full(&app);
    let said = reply.json();
    assert_eq!((reply.status(), &said["status"]), (200, &json!("healthy")), "{said}");
    let names: Vec<&str> = said["checks"].as_object().unwrap().keys().map(String::as_str).collect();
    let all = [
        "cache",
        "collector",
        "connections",
        "database",
        "pg_cron",
        "pg_net",
        "queries",
        "report",
        "signals",
        "tables",
        "tokens",
    ];
    assert_eq!(names, all);
    assert_eq!(said["measured"], well());
    assert_eq!(said["module"], env!("CARGO_PKG_VERSION"));
    assert_eq!(app.rpc_calls("health_report"), [json!({ "p_expiring_seconds": TOKEN_SECONDS })]);
}

#[test]
fn each_check_has_its_limits() {
    let job = "/pg_cron/jobs/0";
    let cases: [(&str, Value, &str, &str, &str); 29] = [
        ("/server/size_bytes", json!(7_201_000_000_u64), "database", "degraded", "7201 (limit 7200)"),
        ("/server/read_only", json!(true), "database", "unhealthy", "takes no writes"),
        ("/server/connections_used", json!(80), "connections", "degraded", "80 of 97"),
        ("/server/connections_used", json!(94), "connections", "unhealthy", "97 (limit 95)"),
        ("/queries/0/seconds", json!(61), "queries", "degraded", "process 7 of postgres, active"),
        ("/tables/companies", json!("55P03 lock timeout"), "tables", "degraded", "companies cannot be read"),
        ("/tables/companies", json!("XX001 invalid page"), "tables", "unhealthy", "invalid page"),
        ("/pg_cron/running", json!(false), "pg_cron", "unhealthy", "not running"),
        (&[job, "/failures_in_a_row"].concat(), json!(1), "pg_cron", "degraded", "collect-dex failed"),
        (&[job, "/failures_in_a_row"].concat(), json!(3), "pg_cron", "unhealthy", "3 (limit 2)"),
        (&[job, "/last_seconds_ago"].concat(), json!(1_199), "pg_cron", "healthy", ""),
        (&[job, "/last_seconds_ago"].concat(), json!(1_200), "pg_cron", "degraded", "for 1200 s"),
        ("/pg_net/running", json!(false), "pg_net", "unhealthy", "worker"),
        ("/pg_net/queued", json!(1_001), "pg_net", "degraded", "1001 (limit 1000)"),
        ("/pg_net/queued", json!(10_001), "pg_net", "unhealthy", "10001 (limit 10000)"),
        ("/pg_net/failed_1h", json!(11), "pg_net", "degraded", "status 500"),
        ("/pg_net/failed_1h", json!(51), "pg_net", "unhealthy", "51 (limit 50)"),
        ("/collector/lag_seconds", json!(901), "collector", "degraded", "1 companies are due"),
        ("/collector/lag_seconds", json!(3_601), "collector", "unhealthy", "3601 (limit 3600)"),
        ("/tokens/expiring", json!(1), "tokens", "degraded", "0 have expired and 1 soon will"),
        ("/tokens/expired", json!(4), "tokens", "unhealthy", "100 (limit 99)"),
        ("/signals/oldest_seconds", json!(61), "signals", "degraded", "1 signals are pending"),
        ("/signals/oldest_seconds", json!(601), "signals", "unhealthy", "601 (limit 600)"),
        ("/cache/lag_seconds", json!(901), "cache", "degraded", "0 sources are due"),
        ("/cache/lag_seconds", json!(3_601), "cache", "unhealthy", "3601 (limit 3600)"),
        ("/cache/pending_seconds", json!(301), "cache", "degraded", "1 saves wait"),
        ("/cache/pending_seconds", json!(3_601), "cache", "unhealthy", "57014 statement timeout"),
        ("/cache/refused_24h", json!(1), "cache", "degraded", "refused for good"),
        ("/cache/needs_login", json!(1), "cache", "degraded", "1 sources refuse their refresh token"),
    ];
    for (pointer, value, check, status, problem) in cases {
        let app = app(but(pointer, value.clone()));
        let reply = full(&app);
        let said = reply.json();
        assert_eq!(said["checks"][check]["status"], status, "{pointer} {value}: {said}");
        assert_eq!(said["status"], status, "{pointer} {value}: the worst check is the whole");
        assert_eq!(reply.status(), if status == "unhealthy" { 503 } else { 200 }, "{pointer} {value}");
        let problems = said["checks"][check]["problems"].to_string();
        assert!(status == "healthy" || problems.contains(problem), "{pointer} {value}: {problems}");
        let warned = app.logs().iter().filter(|line| line["event"] == "health.check").count();
        assert_eq!(warned, usize::from(status != "healthy"));
    }
}

#[test]
fn settings_replace_the_limits() {
    let strict = app(well()).secret("HEALTH_COLLECTOR_SECONDS_DEGRADED", "39");
    assert_eq!(full(&strict).json()["checks"]["collector"]["status"], "degraded");
    let stricter = app(well()).secret("HEALTH_COLLECTOR_SECONDS_UNHEALTHY", "39");
    assert_eq!(full(&stricter).status(), 503);
    let lenient = app(but("/pg_net/queued", 5_000)).secret("HEALTH_QUEUED_CALLS_DEGRADED", "5000");
    assert_eq!(full(&lenient).json()["status"], "healthy");
    let tokens = app(well()).secret("HEALTH_TOKEN_SECONDS", "60");
    full(&tokens);
    assert_eq!(tokens.rpc_calls("health_report"), [json!({ "p_expiring_seconds": 60 })]);
    let wrong = full(&app(well()).secret("HEALTH_SIZE_MB_DEGRADED", "8 GB"));
    assert_eq!((wrong.status(), wrong.json()["code"].as_str()), (500, Some("INVALID_SETTING")));
}

#[test]
fn a_paused_job_and_one_that_has_not_run_yet_are_no_problem() {
    let mut paused = but("/pg_cron/jobs/0/active", false);
    paused["pg_cron"]["jobs"][0]["failures_in_a_row"] = 9.into();
    let mut new = well();
    new["pg_cron"]["jobs"][0].as_object_mut().unwrap().retain(|name, _| !name.starts_with("last_"));
    for report in [paused, new] {
        assert_eq!(full(&app(report.clone())).json()["status"], "healthy", "{report}");
    }
}

#[test]
fn few_calls_are_no_statistics() {
    let mut report = but("/pg_net/answered_1h", 9);
    report["pg_net"]["failed_1h"] = 9.into();
    assert_eq!(full(&app(report)).json()["status"], "healthy");
}

#[test]
fn what_is_not_installed_is_not_checked() {
    let mut report = well();
    report
        .as_object_mut()
        .unwrap()
        .retain(|name, _| !["tokens", "signals", "cache"].contains(&name.as_str()));
    let said = full(&app(report)).json();
    assert_eq!(said["status"], "healthy");
    assert_eq!(said["checks"].as_object().unwrap().len(), 8, "{said}");
}

#[test]
fn what_cannot_be_measured_is_said() {
    let mut report = but("/errors", json!({ "pg_net": "42501 permission denied for schema net" }));
    report.as_object_mut().unwrap().remove("pg_net");
    report["tokens"] = json!({ "active": "many" });
    let said = full(&app(report)).json();
    assert_eq!(said["status"], "degraded");
    let problems = said["checks"]["report"]["problems"].as_array().unwrap();
    assert_eq!(problems[0], "pg_net cannot be measured: 42501 permission denied for schema net");
    assert!(problems[1].as_str().unwrap().starts_with("tokens cannot be measured: its shape"));
    assert!(said["checks"].get("tokens").is_none());
}

#[test]
fn a_database_that_is_slow_is_degraded_and_the_report_itself_does_not_count() {
    for (after, took, status) in [(2_500, 12, "degraded"), (2_500, 1_000, "healthy"), (1_000, 12, "healthy")]
    {
        let answer = Answer::json(but("/took_ms", took)).after(Duration::from_millis(after));
        let app = App::new(health::handle).rpc("health_report", answer);
        let said = full(&app).json();
        assert_eq!(said["checks"]["database"]["status"], status, "{said}");
        assert_eq!(said["latency_ms"], after - took);
    }
}

#[test]
fn without_a_database_there_is_a_503_that_says_what_is_known() {
    let pool =
        r#"{"code":"PGRST000","message":"Could not connect with the database","details":null,"hint":null}"#;
    let missing = r#"{"code":"PGRST202","message":"Could not find the function public.health_report","details":null,"hint":null}"#;
    for (answer, problem) in [
        (Answer::refused(), "DATABASE_UNAVAILABLE: the database cannot be reached, after 0 ms"),
        (Answer::hang(), "TIMEOUT: the database did not answer in time, after 5000 ms"),
        (Answer::status(503, pool), "(PGRST000 Could not connect with the database)"),
        (Answer::status(404, missing), "(PGRST202 Could not find the function public.health_report)"),
        (Answer::status(502, "<html>"), "DATABASE_UNAVAILABLE"),
        (Answer::json(Value::Null), "DATABASE_ERROR"),
    ] {
        let app = App::new(health::handle).rpc("health_report", answer.clone());
        let reply = full(&app);
        let said = reply.json();
        assert_eq!((reply.status(), &said["status"]), (503, &json!("unhealthy")), "{answer:?}: {said}");
        let first = said["checks"]["database"]["problems"][0].as_str().unwrap();
        assert!(first.contains(problem), "{answer:?}: {first}");
        assert_eq!((&said["measured"], &said["latency_ms"]), (&Value::Null, &Value::Null));
        assert_eq!(said["module"], env!("CARGO_PKG_VERSION"));

        let page = metrics(&app, "text/plain");
        assert_eq!(page.status(), 200, "a scraper reads no page with another status");
        assert!(page.text().contains("\nironferry_health 2\n"), "{}", page.text());
    }
}

#[test]
fn who_asks_for_text_gets_the_exposition_format_and_others_json() {
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.3";
    for (accept, kind, ends) in [
        ("text/plain", "text/plain; version=0.0.4; charset=utf-8", false),
        ("text/plain; version=0.0.4", "text/plain; version=0.0.4; charset=utf-8", false),
        (prometheus, "application/openmetrics-text; version=1.0.0; charset=utf-8", true),
    ] {
        let page = metrics(&app(well()), accept);
        assert_eq!((page.status(), page.header("content-type")), (200, Some(kind)));
        assert_eq!(page.text().ends_with("# EOF\n"), ends);
    }
    for accept in ["*/*", "application/json, text/plain, */*", "image/png", ""] {
        assert_eq!(
            metrics(&app(well()), accept).header("content-type"),
            Some("application/json"),
            "{accept}"
        );
    }
}

#[test]
fn the_page_has_each_measure_once_with_its_type_and_is_escaped() {
    let mut report = but("/pg_cron/jobs/0/name", "a \"job\"\\\n");
    report["collector"]["lag_seconds"] = 901.into();
    let answer = Answer::json(report).after(Duration::from_millis(1_234));
    let app = App::new(health::handle).rpc("health_report", answer);
    let text = metrics(&app, "text/plain").text();
    for line in [
        "ironferry_health 1",
        "ironferry_check{check=\"collector\"} 1",
        "ironferry_check{check=\"pg_net\"} 0",
        "ironferry_versions{module=\"0.1.0\",postgres=\"15.8\",migration=\"20261121140300\"} 1",
        "ironferry_database_latency_seconds 1.222",
        "ironferry_database_size_bytes 9000000",
        "ironferry_connections_used 5",
        "ironferry_oldest_transaction_seconds 2",
        "ironferry_tables_unreadable 0",
        "ironferry_cron_job_failures_24h{job=\"a \\\"job\\\"\\\\\\n\"} 1",
        "ironferry_calls_queued 3",
        "ironferry_collector_lag_seconds 901",
        "ironferry_tokens_active 4",
        "ironferry_signals_oldest_seconds 2",
        "ironferry_cache_due 0",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
    }
    // As a scraper reads it: a head of two lines, then the samples of that measure and of no other.
    let mut seen = Vec::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# HELP ") {
            seen.push(head.split(' ').next().unwrap());
        } else if let Some(head) = line.strip_prefix("# TYPE ") {
            assert_eq!(head, format!("{} gauge", seen.last().unwrap()));
        } else {
            assert_eq!(line.split(['{', ' ']).next(), seen.last().copied(), "{line}");
            let value = line.rsplit(' ').next().unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), count, "each measure has one head");
}

#[test]
fn the_page_of_limits_is_complete_and_true() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let page = std::fs::read_to_string(format!("{root}/docs/platform.md")).unwrap();
    let shim = std::fs::read_to_string(format!("{root}/supabase/functions/health/index.ts")).unwrap();
    let number = |value: u64| if value == NEVER { "never".to_owned() } else { value.to_string() };
    let expected: Vec<String> = LIMITS
        .iter()
        .map(|limit| {
            format!("| `HEALTH_{}` | {} | {} |", limit.name, number(limit.degraded), number(limit.unhealthy))
        })
        .collect();
    let stated: Vec<String> = page
        .lines()
        .filter(|line| line.starts_with("| `HEALTH_"))
        .map(|line| line.split_inclusive('|').take(4).collect())
        .collect();
    assert_eq!(stated, expected, "docs/platform.md on the left, the code on the right");
    for limit in LIMITS {
        assert!(
            shim.split([' ', '`', '\n']).any(|word| word == limit.name),
            "the shim passes {} on",
            limit.name
        );
    }
    assert!(page.contains(&format!("`HEALTH_TOKEN_SECONDS` ({TOKEN_SECONDS})")));
}
