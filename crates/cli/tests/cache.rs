//! `ferry cache`, against a project of one page that answers as the function does.

mod ferry;
mod site;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ferry::{Folder, Ran, ferry_with};
use serde_json::json;
use site::{Answer, Seen, Site};

async fn cache(url: &str, arguments: &[&str], input: &str) -> Ran {
    let mut all: Vec<String> = std::iter::once(&"cache").chain(arguments).map(ToString::to_string).collect();
    all.extend(["--url".to_owned(), url.to_owned()]);
    let input = input.to_owned();
    let run = move || {
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        ferry_with(&all, input.as_bytes(), &[("SERVICE_API_KEY", "the-key")])
    };
    tokio::task::spawn_blocking(run).await.expect("it runs")
}

fn saved(outcome: &str) -> Answer {
    Answer::json(
        200,
        &json!({ "success": true, "outcome": outcome, "layers": ["file"], "pending": outcome == "pending" }),
    )
}

fn function(request: &Seen) -> Answer {
    match (request.method.as_str(), request.path.split('?').next().unwrap_or("")) {
        ("GET", "/functions/v1/cache/tracker/strava") => Answer::json(200, &json!({ "total_activities": 7 })),
        ("POST", "/functions/v1/cache/tracker/strava/refresh") => {
            Answer::json(200, &json!({ "total_activities": 8 }))
        }
        ("PUT", "/functions/v1/cache/tracker/strava") => saved("older"),
        ("PUT", "/functions/v1/cache/tracker/large") => Answer::json(
            413,
            &json!({ "success": false, "error": "the data is not below 10 MB", "code": "CACHE_TOO_LARGE" }),
        ),
        ("PUT", _) => saved("new"),
        ("GET", "/functions/v1/cache") => Answer::json(
            200,
            &json!([
                { "project": "tracker", "type": "strava", "kind": "strava", "data_size": 1_200, "age_seconds": 7_300,
                  "fresh_seconds": 21_600, "consecutive_failures": 2, "last_error": "SOURCE_LIMITED: slow down" },
                { "project": "tracker", "type": "rates", "kind": null, "data_size": 10, "age_seconds": 90, "fresh_seconds": 60 },
            ]),
        ),
        ("GET", "/functions/v1/cache/metrics") => Answer::json(
            200,
            &json!({
                "reads": 1_000, "hit_ratio": 0.987, "alerts": 2,
                "layers": { "memory": { "answers": 950, "ratio": 0.95, "p50_ms": 0.1, "p95_ms": 0.5, "p99_ms": 1.0 } },
                "refresh": { "sources": 3, "failing": 1, "overdue": 0, "lag_seconds_max": 12.5 },
            }),
        ),
        _ => Answer::json(
            404,
            &json!({ "success": false, "error": "nothing is cached under this name", "code": "CACHE_MISS" }),
        ),
    }
}

#[tokio::test]
async fn data_is_read_saved_and_refreshed() {
    let site = Site::start(function).await;
    let got = cache(&site.url, &["get", "tracker", "strava"], "").await;
    assert_eq!((got.code, got.json()), (0, json!({ "total_activities": 7 })));
    assert_eq!(site.last().header("x-service-key"), Some("the-key"));
    let refreshed = cache(&site.url, &["refresh", "tracker", "strava"], "").await;
    assert_eq!((refreshed.code, refreshed.json()), (0, json!({ "total_activities": 8 })));

    let put = cache(&site.url, &["put", "tracker", "rates", "--fresh-seconds", "60"], "{\"a\": 1}").await;
    assert_eq!((put.code, put.out.trim()), (0, "saved"));
    let sent = site.last();
    assert_eq!(
        (sent.path.as_str(), sent.json()),
        ("/functions/v1/cache/tracker/rates?fresh_seconds=60", json!({ "a": 1 }))
    );

    let missing = cache(&site.url, &["get", "tracker", "none"], "").await;
    assert_eq!(missing.code, 1);
    assert!(missing.err.contains("CACHE_MISS"), "{}", missing.err);
    let garbage = cache(&site.url, &["put", "tracker", "rates"], "{").await;
    assert_eq!(garbage.code, 2, "{}", garbage.err);
}

#[tokio::test]
async fn standings_and_figures_are_tables_or_json() {
    let site = Site::start(function).await;
    let status = cache(&site.url, &["status"], "").await;
    assert_eq!(status.code, 0, "{}", status.err);
    assert_eq!(
        status.line("tracker strava"),
        "tracker strava 1200 2 h strava failing SOURCE_LIMITED: slow down"
    );
    assert_eq!(status.line("tracker rates"), "tracker rates 10 90 s expired");
    let figures = cache(&site.url, &["metrics"], "").await;
    assert_eq!(figures.line("1000 reads"), "1000 reads in 24 h, answered from the cache: 98.7 %");
    assert_eq!(figures.line("memory"), "memory 950 95.0 % 0.1 0.5 1");
    assert_eq!(
        figures.line("3 sources"),
        "3 sources, 1 failing, 0 overdue; refreshes begin 12.5 s late at the most. 2 alerts."
    );
    let json = cache(&site.url, &["metrics", "--json", "--hours", "1"], "").await;
    assert_eq!(json.json()["reads"], 1_000);
    assert!(site.last().path.contains("hours=1&"));
}

#[tokio::test]
async fn an_older_cache_is_taken_over_file_by_file() {
    let site = Site::start(function).await;
    let folder = Folder::new();
    folder.file("fundraising_cache.json", r#"{"timestamp": "2025-10-01T12:00:00.5", "donations": []}"#);
    folder.file("strava_cache.json", r#"{"timestamp": "2025-10-01T12:00:00Z", "activities": []}"#);
    folder.file("large.json", "{}");
    folder.file("broken.json", "{");
    folder.file("notes.txt", "not ours");
    let place = folder.0.display().to_string();

    let dry = cache(&site.url, &["import", &place, "--into", "tracker", "--dry-run"], "").await;
    assert_eq!(site.count(), 0, "{}", dry.out);
    assert_eq!(
        dry.line("fundraising_cache.json"),
        "fundraising_cache.json fundraising 2025-10-01T12:00:00.5Z would be saved"
    );

    let ran = cache(&site.url, &["import", &place, "--into", "tracker"], "").await;
    assert_eq!(ran.code, 1, "one file is broken and one refused: {}", ran.err);
    assert!(ran.line("fundraising_cache.json").ends_with("saved"));
    assert!(ran.line("strava_cache.json").ends_with("not saved: what is cached is newer"));
    assert!(ran.line("large.json").contains("CACHE_TOO_LARGE"));
    assert!(ran.line("broken.json").contains("no JSON"));
    // Files come in the order of their names.
    assert_eq!(site.count(), 3);
    assert!(
        site.last().path.starts_with("/functions/v1/cache/tracker/strava?last_fetch=2025%2D10%2D01"),
        "{}",
        site.last().path
    );
    let nowhere = cache(&site.url, &["import", "/nowhere", "--into", "tracker"], "").await;
    assert_eq!(nowhere.code, 2);
}

#[tokio::test]
async fn who_asks_too_often_is_asked_to_wait_and_does() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let site = Site::start(move |request| {
        if counted.fetch_add(1, Ordering::Relaxed) == 0 {
            let limited = json!({ "success": false, "error": "too many requests", "code": "RATE_LIMITED", "details": { "retry_after": 1 } });
            return Answer::json(429, &limited);
        }
        function(request)
    })
    .await;
    let got = cache(&site.url, &["get", "tracker", "strava"], "").await;
    assert_eq!(
        (got.code, got.json(), calls.load(Ordering::Relaxed)),
        (0, json!({ "total_activities": 7 }), 2)
    );
    assert!(got.err.contains("wait 1 s"), "{}", got.err);
}
