//! One company's collection against a scripted site and database.

use std::time::Duration;

use ironferry::testing::{Answer, App, SERVICE_KEY, user_token};
use serde_json::{Value, json};
use time::macros::datetime;

const COMPANY: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
const SITE: &str = "https://dex.example.com";
const KEYS: &str = "k1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const PAGE: &str = r#"<html><head><meta name="csrf-token" content="token-1"></head></html>"#;
const DEX: &str = "DXS*ABC0000001*VA*V0/6*1\r\nST*001*0001\r\nID1*S1*M1\r\nVA1*100*1\r\nG85*0000\r\nSE*5*0001\r\nDXE*1*1\r\n";

fn row(id: i64, serial: &str) -> Value {
    row_of("2026-01-01", id, serial)
}

fn row_of(day: &str, id: i64, serial: &str) -> Value {
    json!({
        "dexRaw": { "id": id, "created": format!("{day} 08:30:00"), "firmware": "1.8" },
        "devices": { "caseSerial": serial },
    })
}

fn list(rows: &[Value]) -> Answer {
    Answer::json(json!({ "draw": 1, "recordsTotal": 9_999, "recordsFiltered": rows.len(), "data": rows }))
}

fn dex() -> Answer {
    Answer::status(200, DEX).header("content-type", "text/plain; charset=UTF-8")
}

/// A sound capture of a machine that has sold seven times.
fn counted() -> String {
    let body = "ST*001*0001\r\nID1*S1*M1\r\nVA1*700*7\r\nPA1*010*100\r\nPA2*7*700\r\n";
    format!(
        "DXS*ABC0000001*VA*V0/6*1\r\n{body}G85*{:04X}\r\nSE*7*0001\r\nDXE*1*1\r\n",
        eva_dts::crc16(body.as_bytes())
    )
}

/// The sealed login of `COMPANY`, made by the function itself.
fn sealed_login() -> (String, String) {
    let app = site(App::new(collect_bulk::handle))
        .secret("CREDENTIALS_ENCRYPTION_KEYS", KEYS)
        .rpc("collect_credentials_save", Answer::json("an-id"));
    let body = json!({ "username": "ops@example.com", "password": "hunter2", "site_url": SITE }).to_string();
    let reply = app.send("PUT", "/collect-bulk/credentials", &service(), body);
    assert_eq!(reply.json(), json!({ "success": true, "validation_status": "valid" }));
    let saved = app.calls().pop().unwrap().json();
    let text = |name: &str| saved[name].as_str().unwrap().to_owned();
    (text("p_username_encrypted"), text("p_password_encrypted"))
}

fn service() -> [(&'static str, &'static str); 3] {
    [("x-service-key", SERVICE_KEY), ("x-company-id", COMPANY), ("content-type", "application/json")]
}

/// A site that takes the login.
fn site(app: App) -> App {
    app.on(
        "GET",
        "dex.example.com/login",
        Answer::status(200, PAGE).header("set-cookie", "s=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT"),
    )
    .on(
        "POST",
        "dex.example.com/login",
        Answer::status(302, "").header("location", "https://dex.example.com/dashboard"),
    )
    .on("GET", "dex.example.com/dex", Answer::status(200, PAGE))
}

fn company(app: App) -> App {
    let (username, password) = sealed_login();
    let claim = json!([{
        "company_id": COMPANY, "company_name": "Acme Vending", "collect_from": "2025-12-02T00:00:00.5+00:00",
        "username_encrypted": username, "password_encrypted": password, "site_url": SITE, "skip_reason": null,
    }]);
    app.secret("CREDENTIALS_ENCRYPTION_KEYS", KEYS)
        .rpc("collect_dex_claim_one", Answer::json(claim))
        .rpc("collect_dex_finish", Answer::json(true))
        .rpc("collect_dex_release", Answer::status(204, ""))
        .rpc("collect_dex_end", Answer::status(204, ""))
}

#[test]
fn what_is_new_is_downloaded_and_stored() {
    let app = company(site(App::new(collect_bulk::handle)))
        .rpc("collect_dex_unseen", Answer::json(json!([11, 12])))
        .rpc(
            "collect_dex_store",
            Answer::json(
                json!([{ "dex_id": 11, "outcome": "stored" }, { "dex_id": 12, "outcome": "duplicate" }]),
            ),
        )
        .on("POST", "/dex/getRawDex/", dex())
        .on("POST", "dex.example.com/dex", list(&[row(10, "0042"), row(11, "0042"), row(12, "0043")]));
    let reply = app.send("POST", "/collect-bulk", &service(), "");
    assert_eq!(
        reply.json(),
        json!({
            "success": true, "recordsCount": 1, "machinesUpdated": 1, "message": "1 new captures of 1 machines",
            "batching": { "limit": 100, "offset": 0, "totalAvailable": 3, "hasMore": false, "nextOffset": null },
        })
    );
    let stored = &app.rpc_calls("collect_dex_store")[0]["p_captures"];
    assert_eq!(stored.as_array().unwrap().len(), 2);
    assert_eq!((&stored[0]["case_serial"], &stored[0]["raw_content"]), (&json!("0042"), &json!(DEX)));
    assert_eq!(stored[0]["captured_at"], "2026-01-01T08:30:00Z");
    assert_eq!(app.rpc_calls("collect_dex_finish")[0]["p_success"], true);
    let asked = app.calls();
    let listing =
        asked.iter().find(|call| call.url == format!("{SITE}/dex") && call.method == "POST").unwrap();
    assert_eq!(listing.headers["cookie"], "s=1");
    assert_eq!(listing.headers["x-csrf-token"], "token-1");
}

#[test]
fn sales_are_what_the_counters_gained_since_the_capture_before() {
    let before = json!({ "0042": [{
        "dex_id": 10, "captured_at": 1_767_240_000_000_000_i64,
        "counters": { "serial": "S1", "lines": [[null, "vends", 4, 400], ["010", "vends", 4, 400]] },
    }] });
    let app = company(site(App::new(collect_bulk::handle)))
        .rpc("collect_dex_unseen", Answer::json(json!([11])))
        .rpc("collect_dex_around", Answer::json(before))
        .rpc("collect_dex_store", Answer::json(json!([{ "dex_id": 11, "outcome": "stored" }])))
        .on("POST", "/dex/getRawDex/", Answer::status(200, counted()))
        .on("POST", "dex.example.com/dex", list(&[row(11, "0042")]));
    assert_eq!(app.send("POST", "/collect-bulk", &service(), "").json()["recordsCount"], 1);
    assert_eq!(
        app.rpc_calls("collect_dex_around")[0]["p_captures"],
        json!([{ "dex_id": 11, "case_serial": "0042", "captured_at": "2026-01-01T08:30:00Z" }])
    );
    let stored = &app.rpc_calls("collect_dex_store")[0]["p_captures"][0];
    assert_eq!(
        stored["sales"],
        json!({
            "around": [10],
            "counters": { "serial": "S1", "lines": [[null, "vends", 7, 700], ["010", "vends", 7, 700]] },
            "intervals": [{
                "from": 10, "to": 11, "continuity": "continuous",
                "sales": [[null, "vends", 3, 300], ["010", "vends", 3, 300]],
            }],
        })
    );
}

#[test]
fn a_capture_that_the_database_refuses_does_not_take_those_behind_it_along() {
    let outcome = |id: i64, outcome: &str| json!({ "dex_id": id, "outcome": outcome, "error": "why" });
    let app = company(site(App::new(collect_bulk::handle)))
        .rpc("collect_dex_unseen", Answer::json(json!([11, 12, 13])))
        .rpc("collect_dex_around", Answer::json(json!({})))
        .rpc(
            "collect_dex_store",
            vec![
                Answer::json(json!([
                    outcome(11, "rejected"),
                    outcome(12, "rejected"),
                    outcome(13, "stored")
                ])),
                Answer::json(json!([outcome(11, "rejected")])),
                Answer::json(json!([outcome(12, "stored")])),
            ],
        )
        .on("POST", "/dex/getRawDex/", Answer::status(200, counted()))
        .on("POST", "dex.example.com/dex", list(&[row(11, "0042"), row(12, "0042"), row(13, "0043")]));
    let reply = app.send("POST", "/collect-bulk", &service(), "").json();
    assert_eq!((&reply["recordsCount"], &reply["machinesUpdated"]), (&json!(2), &json!(2)));
    assert_eq!(reply["errors"], json!([{ "dexId": 11, "error": "why" }]));
    let calls = app.rpc_calls("collect_dex_store");
    assert_eq!(calls[0]["p_captures"][1]["sales"]["around"], json!([11]));
    let again = &calls[2]["p_captures"];
    assert_eq!((again.as_array().unwrap().len(), &again[0]["sales"]["around"]), (1, &json!([])));
    assert_eq!(again[0]["sales"]["counters"], calls[0]["p_captures"][1]["sales"]["counters"]);
}

#[test]
fn a_batch_is_so_many_new_ones_of_a_list_that_does_not_shrink() {
    let rows: Vec<Value> = (0..10).map(|id| row(id, "0042")).collect();
    // Of those behind the offset; 3, 6 and 7 are known.
    for (unseen, next) in [(json!([4, 5, 8, 9]), Some(8)), (json!([4, 5]), None), (json!([8, 9]), None)] {
        let app = company(site(App::new(collect_bulk::handle)))
            .rpc("collect_dex_unseen", Answer::json(unseen.clone()))
            .rpc("collect_dex_store", Answer::json(json!([])))
            .on("POST", "/dex/getRawDex/", dex())
            .on("POST", "dex.example.com/dex", list(&rows));
        let reply = app.send("POST", "/collect-bulk?limit=2&offset=3", &service(), "");
        assert_eq!(
            reply.json()["batching"],
            json!({ "limit": 2, "offset": 3, "totalAvailable": 10, "hasMore": next.is_some(), "nextOffset": next })
        );
        assert_eq!(app.rpc_calls("collect_dex_unseen")[0]["p_dex_ids"], json!([3, 4, 5, 6, 7, 8, 9]));
        let stored = app.rpc_calls("collect_dex_store")[0]["p_captures"].clone();
        let stored: Vec<&Value> = stored.as_array().unwrap().iter().map(|one| &one["dex_id"]).collect();
        assert_eq!(stored, unseen.as_array().unwrap()[..2].iter().collect::<Vec<_>>());
        // The company stays due.
        assert_eq!(app.rpc_calls("collect_dex_release").len(), 1);
        assert!(app.rpc_calls("collect_dex_finish").is_empty());
    }
}

#[test]
fn a_list_that_outlasts_the_budget_is_its_companys_failure() {
    let page = Answer::json(json!({ "recordsFiltered": 1_000, "data": [row(1, "0042")] }));
    let app = company(site(App::new(collect_bulk::handle).secret("COLLECT_REQUESTS", "8"))).on(
        "POST",
        "dex.example.com/dex",
        page,
    );
    let reply = app.send("POST", "/collect-bulk", &service(), "");
    assert_eq!((reply.status(), reply.json()["code"].as_str()), (504, Some("LIST_TOO_LONG")));
    assert_eq!(app.rpc_calls("collect_dex_finish")[0]["p_success"], false);
    let pages = app.calls().iter().filter(|call| call.method == "POST" && call.url.ends_with("/dex")).count();
    assert_eq!(pages, 6, "nine requests, three of them for the login");
}

#[test]
fn a_worker_collects_within_its_cpu_budget_and_refuses_until_the_count_is_over() {
    let rows: Vec<Value> = (0..60).map(|id| row(id, "0042")).collect();
    let ids = |from: usize| Answer::json((from..60).collect::<Vec<_>>());
    // 100 ms are the worker's start; 30 ms are enough for some 40 captures of this size.
    let app = company(site(App::new(collect_bulk::handle).secret("COLLECT_CPU_MS", "130")))
        .rpc("collect_dex_unseen", vec![ids(0), ids(40)])
        .rpc("collect_dex_store", Answer::json(json!([])))
        .on("POST", "/dex/getRawDex/", dex())
        .on("POST", "dex.example.com/dex", list(&rows));
    let downloads = || app.calls().iter().filter(|call| call.url.contains("/getRawDex/")).count();
    let collect = || app.send("POST", "/collect-bulk", &service(), "");

    let reply = collect().json();
    let collected = downloads();
    assert!((20..55).contains(&collected), "{collected} captures");
    assert_eq!((&reply["success"], &reply["budgetSpent"]), (&json!(true), &json!(true)), "{reply}");
    assert_eq!((&reply["batching"]["hasMore"], &reply["batching"]["nextOffset"]), (&json!(true), &json!(0)));
    assert_eq!(app.rpc_calls("collect_dex_release").len(), 1, "the company stays due, and has not failed");
    assert!(app.rpc_calls("collect_dex_finish").is_empty());
    let noted = app.rpc_calls("collect_dex_end")[0]["p_error"].clone();
    assert!(noted.as_str().is_some_and(|note| note.starts_with("CPU_BUDGET_SPENT: ")), "{noted}");

    app.advance(Duration::from_secs(200));
    let refused = collect();
    assert_eq!((refused.status(), refused.json()["code"].as_str()), (503, Some("CPU_BUDGET_SPENT")));
    assert_eq!(refused.header("retry-after"), Some("300"));
    assert_eq!((downloads(), app.rpc_calls("collect_dex_claim_one").len()), (collected, 1));

    // A worker that is still there after 240 s is not retired by the platform.
    app.advance(Duration::from_secs(41));
    let reply = collect().json();
    assert_eq!((downloads(), &reply["budgetSpent"]), (collected + 20, &Value::Null), "{reply}");
    assert_eq!(app.rpc_calls("collect_dex_finish")[0]["p_success"], true);
}

#[test]
fn without_a_cpu_budget_nothing_is_counted() {
    let ids: Vec<usize> = (0..2_000).collect();
    let rows: Vec<Value> = ids.iter().map(|id| row(i64::try_from(*id).unwrap(), "0042")).collect();
    let app = company(site(App::new(collect_bulk::handle).secret("COLLECT_CPU_MS", "0")))
        .rpc("collect_dex_unseen", Answer::json(ids))
        .rpc("collect_dex_store", Answer::json(json!([])))
        .on("POST", "/dex/getRawDex/", dex())
        .on("POST", "dex.example.com/dex", list(&rows));
    for _ in 0..4 {
        let reply = app.send("POST", "/collect-bulk?limit=500", &service(), "").json();
        assert_eq!((&reply["success"], &reply["budgetSpent"]), (&json!(true), &Value::Null), "{reply}");
    }
    assert_eq!(app.calls().iter().filter(|call| call.url.contains("/getRawDex/")).count(), 2_000);
}

#[test]
fn a_call_that_did_not_begin_at_the_front_does_not_speak_for_the_whole_list() {
    for (offset, seen_from_the_front) in [(0, true), (2, false), (50, false)] {
        let app = company(site(App::new(collect_bulk::handle)))
            .rpc("collect_dex_unseen", Answer::json(json!([])))
            .on("POST", "dex.example.com/dex", list(&[row(1, "0042"), row(2, "0042"), row(3, "0042")]));
        let reply = app.send("POST", &format!("/collect-bulk?offset={offset}"), &service(), "").json();
        assert_eq!(reply["batching"]["hasMore"], false, "{offset}");
        let (finished, released) =
            (app.rpc_calls("collect_dex_finish").len(), app.rpc_calls("collect_dex_release").len());
        assert_eq!((finished == 1, released == 0), (seen_from_the_front, seen_from_the_front), "{offset}");
    }
}

#[test]
fn a_session_that_expires_in_the_middle_is_renewed_once() {
    let app = company(site(App::new(collect_bulk::handle)))
        .rpc("collect_dex_unseen", Answer::json(json!([1])))
        .rpc("collect_dex_store", Answer::json(json!([{ "dex_id": 1, "outcome": "stored" }])))
        .on(
            "POST",
            "/dex/getRawDex/",
            vec![Answer::status(419, r#"{"message":"CSRF token mismatch."}"#), dex()],
        )
        .on("POST", "dex.example.com/dex", list(&[row(1, "0042")]));
    let reply = app.send("POST", "/collect-bulk", &service(), "");
    assert_eq!(reply.json()["recordsCount"], 1);
    let logins =
        app.calls().iter().filter(|call| call.method == "POST" && call.url.ends_with("/login")).count();
    assert_eq!(logins, 2);
}

#[test]
fn a_capture_that_fails_does_not_stop_the_others() {
    let app = company(site(App::new(collect_bulk::handle)))
        .rpc("collect_dex_unseen", Answer::json(json!([1, 2])))
        .rpc("collect_dex_store", Answer::json(json!([{ "dex_id": 2, "outcome": "stored" }])))
        .on("POST", "/dex/getRawDex/1", Answer::status(500, "<html>"))
        .on("POST", "/dex/getRawDex/2", dex())
        .on("POST", "dex.example.com/dex", list(&[row(1, "0042"), row(2, "0042")]));
    let reply = app.send("POST", "/collect-bulk", &service(), "").json();
    assert_eq!(reply["recordsCount"], 1);
    assert_eq!(reply["errors"], json!([{ "dexId": 1, "error": "the DEX site answered 500" }]));
}

#[test]
fn the_next_collection_begins_with_the_oldest_capture_that_failed() {
    let refused = json!([
        { "dex_id": 2, "outcome": "rejected", "error": "another call stored a capture of this machine meanwhile" },
        { "dex_id": 3, "outcome": "stored" },
    ]);
    let app = company(site(App::new(collect_bulk::handle)))
        .rpc("collect_dex_unseen", Answer::json(json!([2, 3, 4])))
        .rpc("collect_dex_store", Answer::json(refused))
        .on("POST", "/dex/getRawDex/4", Answer::status(500, ""))
        .on("POST", "/dex/getRawDex/", dex())
        .on(
            "POST",
            "dex.example.com/dex",
            list(&[
                row_of("2025-12-20", 4, "0042"),
                row_of("2025-12-03", 1, "0042"),
                row_of("2025-12-04", 2, "0042"),
                row_of("2025-12-05", 3, "0042"),
            ]),
        );
    assert_eq!(app.send("POST", "/collect-bulk", &service(), "").json()["recordsCount"], 1);
    let asked = app.calls();
    let listing =
        asked.iter().find(|call| call.url == format!("{SITE}/dex") && call.method == "POST").unwrap();
    let form = String::from_utf8_lossy(&listing.body);
    assert!(form.contains("startDateVal=2025%2D12%2D02T00%3A00%3A00%2B00%3A00"), "{form}");
    let finished = &app.rpc_calls("collect_dex_finish")[0];
    assert_eq!(
        (&finished["p_success"], &finished["p_failed_from"]),
        (&json!(true), &json!("2025-12-04T08:30:00Z"))
    );
    assert!(
        finished["p_login"].as_str().unwrap().starts_with("v1.k1."),
        "and the login was taken: {finished}"
    );
}

#[test]
fn old_captures_that_fail_again_do_not_make_their_company_fail() {
    for (day, status) in [("2025-12-20", 200), ("2025-12-31", 502)] {
        let app = company(site(App::new(collect_bulk::handle)))
            .rpc("collect_dex_unseen", Answer::json(json!([1])))
            .on("POST", "/dex/getRawDex/", Answer::status(500, ""))
            .on("POST", "dex.example.com/dex", list(&[row_of(day, 1, "0042")]));
        assert_eq!(app.send("POST", "/collect-bulk", &service(), "").status(), status, "{day}");
    }
}

#[test]
fn a_capture_that_leads_elsewhere_is_no_session_that_ended() {
    let app = company(site(App::new(collect_bulk::handle)))
        .rpc("collect_dex_unseen", Answer::json(json!([1, 2])))
        .rpc("collect_dex_store", Answer::json(json!([{ "dex_id": 2, "outcome": "stored" }])))
        .on("POST", "/dex/getRawDex/1", Answer::status(302, "").header("location", "/dex"))
        .on("POST", "/dex/getRawDex/2", dex())
        .on("POST", "dex.example.com/dex", list(&[row(1, "0042"), row(2, "0042")]));
    let reply = app.send("POST", "/collect-bulk", &service(), "").json();
    assert_eq!((&reply["recordsCount"], &reply["errors"][0]["dexId"]), (&json!(1), &json!(1)), "{reply}");
}

#[test]
fn a_site_that_refuses_all_is_not_asked_for_the_rest() {
    for (answer, code) in
        [(Answer::status(429, ""), "TOO_MANY_REQUESTS"), (Answer::status(419, ""), "SESSION_REFUSED")]
    {
        let app = company(site(App::new(collect_bulk::handle)))
            .rpc("collect_dex_unseen", Answer::json(json!([1, 2, 3])))
            .rpc("collect_dex_store", Answer::json(json!([{ "dex_id": 1, "outcome": "stored" }])))
            .on("POST", "/dex/getRawDex/1", dex())
            .on("POST", "/dex/getRawDex/2", answer)
            .on("POST", "/dex/getRawDex/3", dex())
            .on("POST", "dex.example.com/dex", list(&[row(1, "0042"), row(2, "0042"), row(3, "0042")]));
        let reply = app.send("POST", "/collect-bulk", &service(), "").json();
        assert_eq!(reply["code"], code);
        assert!(!app.calls().iter().any(|call| call.url.ends_with("/getRawDex/3")));
        assert_eq!(app.rpc_calls("collect_dex_store").len(), 1, "what came until then is stored");
        assert_eq!(app.rpc_calls("collect_dex_finish")[0]["p_success"], false);
    }
}

#[test]
fn each_fault_of_the_site_has_its_status_and_code() {
    let html = Answer::status(200, "<html>").header("content-type", "text/html");
    for (answer, status, code) in [
        (Answer::status(500, "boom"), 502, "BAD_GATEWAY"),
        (Answer::status(503, ""), 503, "UNAVAILABLE"),
        (Answer::status(429, ""), 429, "TOO_MANY_REQUESTS"),
        (html, 502, "SITE_PROTOCOL"),
        (Answer::json(json!({ "data": 7 })), 502, "SITE_PROTOCOL"),
        (Answer::status(401, "{}"), 502, "SESSION_REFUSED"),
        (Answer::hang(), 504, "SITE_TIMEOUT"),
        (Answer::refused(), 502, "SITE_UNREACHABLE"),
    ] {
        let app =
            company(site(App::new(collect_bulk::handle))).on("POST", "dex.example.com/dex", answer.clone());
        let reply = app.send("POST", "/collect-bulk", &service(), "");
        assert_eq!((reply.status(), reply.json()["code"].as_str()), (status, Some(code)), "{answer:?}");
        assert_eq!(app.rpc_calls("collect_dex_finish")[0]["p_success"], false);
    }
}

#[test]
fn a_refused_login_is_noted() {
    let app = company(App::new(collect_bulk::handle))
        .on("GET", "dex.example.com/login", Answer::status(200, PAGE))
        .on("POST", "dex.example.com/login", Answer::status(302, "").header("location", "/login"));
    let reply = app.send("POST", "/collect-bulk", &service(), "");
    assert_eq!((reply.status(), reply.json()["code"].as_str()), (502, Some("LOGIN_REFUSED")));
    let finished = &app.rpc_calls("collect_dex_finish")[0];
    assert_eq!(finished["p_error"], "LOGIN_REFUSED: the DEX site refuses the login");
    assert!(finished["p_login"].as_str().unwrap().starts_with("v1.k1."), "{finished}");
}

type Headers<'a> = &'a [(&'a str, &'a str)];

#[test]
fn each_wrong_caller_has_its_status_and_code() {
    let valid = user_token("user-1", datetime!(2026-01-01 01:00 UTC));
    let forged = format!("{valid}x");
    let cases: [(Headers<'_>, u16, &str); 6] = [
        (&[], 401, "INVALID_TOKEN"),
        (&[("x-service-key", "wrong"), ("x-company-id", COMPANY)], 401, "INVALID_SERVICE_KEY"),
        (&[("x-service-key", SERVICE_KEY)], 400, "MISSING_COMPANY_ID"),
        (&[("x-service-key", SERVICE_KEY), ("x-company-id", "7")], 400, "INVALID_COMPANY_ID"),
        (&[("authorization", &forged)], 401, "INVALID_TOKEN"),
        (&[("authorization", &valid)], 403, "NO_COMPANY"),
    ];
    for (headers, status, code) in cases {
        let app = App::new(collect_bulk::handle).rpc("my_company_id", Answer::json(Value::Null));
        let reply = app.send("POST", "/collect-bulk", headers, "");
        assert_eq!((reply.status(), reply.json()["code"].as_str()), (status, Some(code)), "{headers:?}");
    }
    let unset = App::new(collect_bulk::handle).secret("SERVICE_API_KEY", "");
    assert_eq!(unset.send("POST", "/collect-bulk", &service(), "").json()["code"], "MISSING_SECRET");
}

#[test]
fn a_member_who_does_not_manage_the_company_cannot_change_its_login() {
    let token = user_token("user-1", datetime!(2026-01-01 01:00 UTC));
    let body = json!({ "username": "me@example.com", "password": "mine", "site_url": SITE }).to_string();
    for (managed, status, code) in [(Value::Null, 403, Some("ADMINS_ONLY")), (json!(COMPANY), 200, None)] {
        let app = site(App::new(collect_bulk::handle))
            .secret("CREDENTIALS_ENCRYPTION_KEYS", KEYS)
            .rpc("my_company_id", Answer::json(COMPANY))
            .rpc("my_managed_company_id", Answer::json(managed))
            .rpc("collect_credentials_save", Answer::json("an-id"));
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        let reply = app.send("PUT", "/collect-bulk/credentials", &headers, body.clone());
        assert_eq!((reply.status(), reply.json()["code"].as_str()), (status, code));
        assert_eq!(app.rpc_calls("collect_credentials_save").len(), usize::from(code.is_none()));
    }
}

#[test]
fn a_user_collects_the_company_that_is_theirs_whatever_header_they_send() {
    let token = user_token("user-1", datetime!(2026-01-01 01:00 UTC));
    let app = company(site(App::new(collect_bulk::handle)))
        .rpc("my_company_id", Answer::json(COMPANY))
        .rpc("collect_dex_unseen", Answer::json(json!([])))
        .on("POST", "dex.example.com/dex", list(&[row(1, "0042")]));
    let headers = [("authorization", token.as_str()), ("x-company-id", "another"), ("x-run-id", COMPANY)];
    assert_eq!(app.send("POST", "/collect-bulk", &headers, "").status(), 200);
    let claim = &app.rpc_calls("collect_dex_claim_one")[0];
    assert_eq!(claim["p_company_id"], COMPANY);
    assert_ne!(claim["p_run_id"], COMPANY, "a user cannot work under another run's lease");
    let asked = app.calls();
    let own = asked.iter().find(|call| call.url.ends_with("/my_company_id")).unwrap();
    assert_eq!(own.headers["authorization"], token);
    assert_eq!(own.headers["apikey"], "sb_publishable_for_tests");
}

#[test]
fn a_company_that_another_run_has_is_a_conflict_and_an_unknown_one_is_not_found() {
    let missing =
        Answer::status(400, r#"{"code":"P0002","message":"no such company","details":null,"hint":null}"#);
    for (answer, status, code) in
        [(Answer::json(json!([])), 409, "COLLECTING"), (missing, 404, "COMPANY_NOT_FOUND")]
    {
        let app = App::new(collect_bulk::handle).rpc("collect_dex_claim_one", answer);
        let reply = app.send("POST", "/collect-bulk", &service(), "");
        assert_eq!((reply.status(), reply.json()["code"].as_str()), (status, Some(code)));
    }
}

#[test]
fn a_login_is_tried_before_it_is_saved_and_never_logged() {
    let refusing = App::new(collect_bulk::handle)
        .secret("CREDENTIALS_ENCRYPTION_KEYS", KEYS)
        .on("GET", "dex.example.com/login", Answer::status(200, PAGE))
        .on("POST", "dex.example.com/login", Answer::status(302, "").header("location", "/login"));
    let body = json!({ "username": "ops@example.com", "password": "hunter2-and-more", "site_url": SITE })
        .to_string();
    let reply = refusing.send("PUT", "/collect-bulk/credentials", &service(), body);
    assert_eq!((reply.status(), reply.json()["code"].as_str()), (400, Some("LOGIN_REFUSED")));
    assert!(refusing.rpc_calls("collect_credentials_save").is_empty());
    assert!(!format!("{:?}", refusing.logs()).contains("hunter2"));

    for inside in
        ["http://dex.example.com", "https://127.0.0.1/", "https://metadata.internal", "ftp://x.example.com"]
    {
        let body = json!({ "username": "u", "password": "p", "site_url": inside }).to_string();
        let reply = refusing.send("PUT", "/collect-bulk/credentials", &service(), body);
        assert_eq!((reply.status(), reply.json()["code"].as_str()), (400, Some("URL_REFUSED")), "{inside}");
    }
    let reply = refusing.send("PUT", "/collect-bulk/credentials", &service(), r#"{"username":"u"}"#);
    assert_eq!((reply.status(), reply.json()["code"].as_str()), (400, Some("INVALID_JSON")));
}

#[test]
fn a_sealed_login_opens_for_its_own_company_and_key_ring_only() {
    let (username, password) = sealed_login();
    assert!(username.starts_with("v1.k1.") && !password.contains("hunter2"));
    let claim = |company: &str| {
        Answer::json(json!([{
            "company_id": company, "company_name": "x", "username_encrypted": username, "password_encrypted": password,
            "site_url": SITE, "skip_reason": null, "collect_from": "2025-12-02T00:00:00+00:00",
        }]))
    };
    let another_ring = "k2:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    let another_key = "k1:MTEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    for (company, ring) in [("another-company", KEYS), (COMPANY, another_ring), (COMPANY, another_key)] {
        let app = site(App::new(collect_bulk::handle))
            .secret("CREDENTIALS_ENCRYPTION_KEYS", ring)
            .rpc("collect_dex_claim_one", claim(company))
            .rpc("collect_dex_finish", Answer::json(true))
            .rpc("collect_dex_end", Answer::status(204, ""));
        let reply = app.send("POST", "/collect-bulk", &service(), "");
        assert_eq!((reply.status(), reply.json()["code"].as_str()), (500, Some("CREDENTIALS_UNREADABLE")));
    }
}
