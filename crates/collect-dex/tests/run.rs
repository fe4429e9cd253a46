//! Runs of the collector against a scripted site and database.

use std::time::Duration;

use ironferry::testing::{Answer, App};
use serde_json::{Value, json};

const SITE_URL: &str = "https://pages.example.com";

fn claim(number: usize, skip_reason: Option<&str>) -> Value {
    json!({
        "company_id": format!("company-{number}"), "company_name": format!("Company {number}"),
        "collect_from": "2025-12-29T23:55:00.123456+00:00", "username_encrypted": "v1.k1.x",
        "password_encrypted": "v1.k1.x", "site_url": "https://dex.example.com", "skip_reason": skip_reason,
    })
}

fn bulk(records: usize, next: Option<usize>) -> Answer {
    Answer::json(json!({
        "success": true, "recordsCount": records, "machinesUpdated": 1, "message": "",
        "batching": { "limit": 15, "offset": 0, "totalAvailable": 30, "hasMore": next.is_some(), "nextOffset": next },
    }))
}

/// A collector that hands its companies to `SITE_URL`.
fn collector() -> App {
    App::new(collect_dex::handle)
        .secret("SITE_URL", SITE_URL)
        .rpc("collect_dex_finish", Answer::json(true))
        .rpc("collect_dex_release", Answer::status(204, ""))
        .rpc("collect_dex_end", Answer::status(204, ""))
}

#[test]
fn a_run_collects_what_is_due_and_says_whom_it_skipped() {
    let app = collector()
        .rpc(
            "collect_dex_claim",
            Answer::json(json!([claim(1, None), claim(2, Some("no credentials")), claim(3, None)])),
        )
        .on("POST", "/api/dex/collect-bulk?limit=15&offset=0", vec![bulk(15, Some(15)), bulk(2, None)])
        .on("POST", "/api/dex/collect-bulk?limit=15&offset=15", bulk(4, None));
    let summary = app.post_as_service("/collect-dex?wait=true", "").json();
    assert_eq!(
        (&summary["companiesProcessed"], &summary["successfulCollections"], &summary["totalRecords"]),
        (&json!(2), &json!(2), &json!(21))
    );
    let skipped =
        summary["results"].as_array().unwrap().iter().find(|one| one["company_id"] == "company-2").unwrap();
    assert_eq!((&skipped["success"], &skipped["skipped"]), (&json!(false), &json!("no credentials")));

    let handed_over = app.calls().into_iter().find(|call| call.url.starts_with(SITE_URL)).unwrap();
    assert_eq!(handed_over.headers["x-service-key"], ironferry::testing::SERVICE_KEY);
    assert_eq!(handed_over.headers["x-company-id"], "company-1");
    assert_eq!(handed_over.headers["x-run-id"], summary["run_id"].as_str().unwrap());
    let ended = &app.rpc_calls("collect_dex_end")[0];
    assert_eq!((&ended["p_status"], &ended["p_summary"]), (&json!("succeeded"), &summary));
}

#[test]
fn a_tick_is_accepted_at_once_and_works_on() {
    let app = collector().rpc("collect_dex_claim", Answer::json(json!([claim(1, None)]))).on(
        "POST",
        "/api/dex/collect-bulk",
        bulk(3, None).after(Duration::from_secs(30)),
    );
    let reply = app.post_as_service("/collect-dex", r#"{"triggered_by":"cron"}"#);
    assert_eq!(reply.status(), 202);
    let run_id = reply.json()["run_id"].clone();
    let ended = &app.rpc_calls("collect_dex_end")[0];
    assert_eq!((&ended["p_run_id"], &ended["p_summary"]["totalRecords"]), (&run_id, &json!(3)));
    assert_eq!(app.rpc_calls("collect_dex_claim")[0]["p_triggered_by"], "cron");
}

#[test]
fn one_companys_failure_and_slowness_are_its_own() {
    let app = collector()
        .rpc("collect_dex_claim", Answer::json(json!([claim(1, None), claim(2, None), claim(3, None)])))
        .on(
            "POST",
            "/api/dex/collect-bulk",
            vec![
                Answer::hang(),
                Answer::status(502, r#"{"success":false,"error":"the DEX site answered 500"}"#),
                bulk(1, None),
            ],
        );
    let summary = app.post_as_service("/collect-dex?wait=true", "").json();
    assert_eq!((&summary["companiesProcessed"], &summary["successfulCollections"]), (&json!(3), &json!(1)));
    let mut errors: Vec<_> =
        summary["results"].as_array().unwrap().iter().filter_map(|one| one["error"].as_str()).collect();
    errors.sort_unstable();
    assert_eq!(errors, ["a service did not answer in time", "the DEX site answered 500"]);
    let finished = app.rpc_calls("collect_dex_finish");
    assert_eq!(finished.iter().filter(|one| one["p_success"] == false).count(), 2);
}

#[test]
fn companies_are_collected_side_by_side_and_bounded() {
    let due = |count: usize| Answer::json((0..count).map(|number| claim(number, None)).collect::<Vec<_>>());
    let app = collector()
        .secret("COLLECT_CONCURRENCY", "10")
        .rpc("collect_dex_claim", vec![due(10), due(5), due(5), due(0)])
        .on("POST", "/api/dex/collect-bulk", bulk(1, None).after(Duration::from_secs(1)));
    let summary = app.post_as_service("/collect-dex?wait=true", "").json();
    assert_eq!(summary["successfulCollections"], 20);
    let took =
        app.logs().iter().find(|line| line["event"] == "collect_dex.done").unwrap()["ms"].as_i64().unwrap();
    assert_eq!(took, 2_000, "twenty seconds of waiting, ten at a time");
}

#[test]
fn slow_companies_do_not_keep_others_from_the_places_beside_them() {
    let due =
        |numbers: &[usize]| Answer::json(numbers.iter().map(|one| claim(*one, None)).collect::<Vec<_>>());
    let after = |seconds| bulk(1, None).after(Duration::from_secs(seconds));
    let app = collector()
        .secret("COLLECT_CONCURRENCY", "4")
        .rpc("collect_dex_claim", vec![due(&[1, 2, 3, 4]), due(&[5, 6]), due(&[])])
        .on("POST", "/api/dex/collect-bulk", vec![after(10), after(10), after(10), after(1)]);
    let summary = app.post_as_service("/collect-dex?wait=true", "").json();
    assert_eq!(summary["successfulCollections"], 6);
    let took =
        app.logs().iter().find(|line| line["event"] == "collect_dex.done").unwrap()["ms"].as_i64().unwrap();
    assert_eq!(took, 10_000, "the fourth, fifth and sixth one after the other beside the other three");
}

#[test]
fn a_run_stops_claiming_when_its_time_is_over() {
    let app = collector()
        .secret("COLLECT_CONCURRENCY", "2")
        .secret("COLLECT_SECONDS", "5")
        .rpc(
            "collect_dex_claim",
            vec![
                Answer::json(json!([claim(1, None), claim(2, None)])),
                Answer::json(json!([claim(3, None)])),
            ],
        )
        .on("POST", "/api/dex/collect-bulk", bulk(1, None).after(Duration::from_secs(2)));
    let summary = app.post_as_service("/collect-dex?wait=true", "").json();
    assert_eq!(summary["companiesProcessed"], 6, "two each at 0, 2 and 4 s");
}

#[test]
fn runs_that_share_a_worker_share_its_cpu_budget() {
    // 100 ms are the worker's start: a few companies are left.
    let app = collector()
        .secret("COLLECT_CONCURRENCY", "1")
        .secret("COLLECT_CPU_MS", "120")
        .rpc("collect_dex_claim", Answer::json(json!([claim(1, None)])))
        .on("POST", "/api/dex/collect-bulk", bulk(1, None));
    let tick = || app.post_as_service("/collect-dex?wait=true", "").json();
    let first = tick();
    let collected = first["companiesProcessed"].as_u64().unwrap();
    assert!((2..10).contains(&collected), "{first}");
    assert_eq!((&first["success"], &first["budgetSpent"]), (&json!(true), &json!(true)));

    let second = tick();
    assert_eq!((&second["success"], &second["budgetSpent"]), (&json!(true), &json!(true)));
    assert_eq!(second["companiesProcessed"], 0);
    assert_eq!(app.rpc_calls("collect_dex_claim").last().unwrap()["p_limit"], 0, "nothing is leased");
    for ended in app.rpc_calls("collect_dex_end") {
        let error = ended["p_error"].as_str().unwrap_or_default();
        assert!(ended["p_status"] == "succeeded" && error.starts_with("CPU_BUDGET_SPENT: "), "{ended}");
    }

    // A worker that is still there after 240 s is not retired by the platform.
    app.advance(Duration::from_secs(241));
    assert!((2..10).contains(&tick()["companiesProcessed"].as_u64().unwrap()));
}

#[test]
fn a_site_whose_worker_has_spent_its_cpu_budget_ends_the_run_and_fails_no_company() {
    let spent =
        r#"{"success":false,"error":"this worker has spent its CPU budget","code":"CPU_BUDGET_SPENT"}"#;
    let partly = Answer::json(json!({
        "success": true, "recordsCount": 7, "machinesUpdated": 1, "message": "", "budgetSpent": true,
        "batching": { "limit": 15, "offset": 0, "totalAvailable": 30, "hasMore": true, "nextOffset": 0 },
    }));
    for (answer, records) in [(Answer::status(503, spent), 0), (partly, 7)] {
        let app = collector()
            .secret("COLLECT_CONCURRENCY", "1")
            .rpc("collect_dex_claim", Answer::json(json!([claim(1, None)])))
            .on("POST", "/api/dex/collect-bulk", answer);
        let summary = app.post_as_service("/collect-dex?wait=true", "").json();
        assert_eq!((&summary["budgetSpent"], &summary["totalRecords"]), (&json!(true), &json!(records)));
        assert_eq!(summary["companiesProcessed"], 1, "no other company is begun");
        assert_eq!(app.rpc_calls("collect_dex_release").len(), 1);
        assert!(app.rpc_calls("collect_dex_finish").is_empty());
    }
}

#[test]
fn a_company_that_was_begun_has_an_eighth_longer_and_is_due_again_after_that() {
    let first = |seconds| bulk(15, Some(15)).after(Duration::from_secs(seconds));
    let app = collector()
        .secret("COLLECT_CONCURRENCY", "2")
        .secret("COLLECT_SECONDS", "40")
        .rpc(
            "collect_dex_claim",
            vec![
                Answer::json(json!([claim(1, None), claim(2, None)])),
                Answer::json(json!([claim(3, None)])),
            ],
        )
        .on("POST", "/api/dex/collect-bulk?limit=15&offset=0", vec![first(44), first(46)])
        .on("POST", "/api/dex/collect-bulk?limit=15&offset=15", bulk(4, None));
    app.post_as_service("/collect-dex?wait=true", "");
    let named = |rpc| {
        let calls = app.rpc_calls(rpc).into_iter();
        calls
            .map(|call| [&call["p_company_id"], &call["p_company_ids"]].map(Value::clone))
            .collect::<Vec<_>>()
    };
    assert_eq!(named("collect_dex_finish"), [[json!("company-1"), Value::Null]]);
    assert_eq!(named("collect_dex_release"), [[Value::Null, json!(["company-2"])]]);
    assert_eq!(
        app.rpc_calls("collect_dex_end")[0]["p_summary"]["companiesProcessed"],
        2,
        "the third is not begun"
    );
}

#[test]
fn after_captures_that_failed_elsewhere_the_next_collection_begins_where_this_one_did() {
    let partly = Answer::json(json!({
        "success": true, "recordsCount": 14, "machinesUpdated": 1, "message": "",
        "errors": [{ "dexId": 7, "error": "the DEX site answered 500" }],
        "batching": { "limit": 15, "offset": 0, "totalAvailable": 30, "hasMore": true, "nextOffset": 15 },
    }));
    let app = collector()
        .rpc("collect_dex_claim", Answer::json(json!([claim(1, None)])))
        .on("POST", "/api/dex/collect-bulk?limit=15&offset=0", partly)
        .on("POST", "/api/dex/collect-bulk?limit=15&offset=15", bulk(4, None));
    app.post_as_service("/collect-dex?wait=true", "");
    let finished = &app.rpc_calls("collect_dex_finish")[0];
    assert_eq!(
        (&finished["p_success"], &finished["p_failed_from"]),
        (&json!(true), &json!("2025-12-29T23:55:00.123456Z"))
    );
}

#[test]
fn a_login_that_is_refused_elsewhere_is_noted_as_such() {
    let refused = r#"{"success":false,"error":"the DEX site refuses the login","code":"LOGIN_REFUSED"}"#;
    let app = collector().rpc("collect_dex_claim", Answer::json(json!([claim(1, None)]))).on(
        "POST",
        "/api/dex/collect-bulk",
        Answer::status(502, refused),
    );
    let summary = app.post_as_service("/collect-dex?wait=true", "").json();
    assert_eq!(summary["results"][0]["code"], "LOGIN_REFUSED");
    let finished = &app.rpc_calls("collect_dex_finish")[0];
    assert_eq!(
        (&finished["p_error"], &finished["p_login"]),
        (&json!("LOGIN_REFUSED: the DEX site refuses the login"), &json!("v1.k1.x"))
    );
}

#[test]
fn an_offset_that_does_not_grow_is_an_error_and_not_a_loop() {
    let app = collector().rpc("collect_dex_claim", Answer::json(json!([claim(1, None)]))).on(
        "POST",
        "/api/dex/collect-bulk",
        bulk(1, Some(0)),
    );
    let summary = app.post_as_service("/collect-dex?wait=true", "").json();
    assert_eq!(summary["results"][0]["code"], "SITE_PROTOCOL");
}

#[test]
fn a_database_that_is_down_is_a_503_for_who_waits_and_a_log_line_for_cron() {
    let app = App::new(collect_dex::handle);
    let reply = app.post_as_service("/collect-dex?wait=true", "");
    assert_eq!((reply.status(), reply.json()["code"].as_str()), (503, Some("DATABASE_UNAVAILABLE")));
    assert_eq!(app.post_as_service("/collect-dex", "").status(), 202);
    assert!(app.logs().iter().any(|line| line["event"] == "collect_dex.done" && line["error"].is_string()));
}

#[test]
fn only_services_may_call() {
    let app = collector();
    assert_eq!(app.post("/collect-dex", "").status(), 401);
    assert_eq!(app.get("/collect-dex/status").status(), 401);
    let anon = [("apikey", "sb_publishable_for_tests"), ("authorization", "Bearer sb_publishable_for_tests")];
    assert_eq!(app.send("POST", "/collect-dex", &anon, "").json()["code"], "INVALID_SERVICE_KEY");
    let secret = [("apikey", "sb_secret_for_tests")];
    assert_eq!(app.send("GET", "/collect-dex", &secret, "").json()["code"], "METHOD_NOT_ALLOWED");
    assert_eq!(app.send("GET", "/collect-dex/nothing", &secret, "").json()["code"], "NOT_FOUND");
    assert_eq!(app.send("POST", "/collect-dex", &secret, "{nonsense").json()["code"], "INVALID_JSON");
    assert_eq!(app.send("POST", "/collect-dex?wait=perhaps", &secret, "").json()["code"], "INVALID_QUERY");
}
