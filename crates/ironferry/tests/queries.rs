//! Queries as they are written and sent: PostgREST's grammar, and what is made of its replies.

use ironferry::db::{Count, Page, Query};
use ironferry::testing::{Answer, App};
use ironferry::{Context, Request, Response, Result};
use proptest::prelude::*;
use serde_json::{Value, json};

const BASE: &str = "https://p.supabase.co/";

fn written(query: &Query<()>) -> http::Request<bytes::Bytes> {
    query.request(BASE).expect("a request")
}

/// The decoded query string.
fn parameters(request: &http::Request<bytes::Bytes>) -> Vec<(String, String)> {
    let url = reqwest::Url::parse(&request.uri().to_string()).expect("a URL");
    url.query_pairs().into_owned().collect()
}

fn parameter(query: &Query<()>) -> String {
    let all: Vec<String> =
        parameters(&written(query)).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    all.join("&")
}

#[test]
fn each_part_of_the_grammar_is_written_as_postgrest_reads_it() {
    let orders = || Query::table("orders");
    for (query, wanted) in [
        (
            orders().select("id, total:sum(), \"a b\", lines!inner(sku)"),
            "select=id,total:sum(),\"a b\",lines!inner(sku)",
        ),
        (orders().filter("name", "like(any)", "{A*,B*}"), "name=like(any).{A*,B*}"),
        (orders().eq("note", "a.b,(c)"), "note=eq.a.b,(c)"),
        (
            orders().any_of("note", ["plain", "a,b", "say \"no\"", "back\\slash", ""]),
            r#"note=in.(plain,"a,b","say \"no\"","back\\slash","")"#,
        ),
        (orders().any_of("id", [0; 0]), "id=in.()"),
        (
            orders().or(|any| any.eq("a", "x,y").and(|all| all.gt("b", 1).not(|one| one.is("c", "null")))),
            r#"or=(a.eq."x,y",and(b.gt.1,c.not.is.null))"#,
        ),
        (
            orders().or(|any| any.any_of("a", ["1", "2,3"]).or(|any| any.eq("b", 1).eq("c", 2))),
            r#"or=(a.in.(1,"2,3"),or(b.eq.1,c.eq.2))"#,
        ),
        (orders().or_in("lines", |any| any.eq("sku", "a").eq("sku", "b")), "lines.or=(sku.eq.a,sku.eq.b)"),
        (orders().and(|all| all.eq("a", 1).eq("b", 2)), "and=(a.eq.1,b.eq.2)"),
        (orders().not(|one| one.eq("a", 1)), "a=not.eq.1"),
        (orders().not(|one| one.any_of("a", [1, 2])), "a=not.in.(1,2)"),
        (orders().not(|all| all.eq("a", 1).eq("b", 2)), "not.and=(a.eq.1,b.eq.2)"),
        (orders().not(|any| any.or(|any| any.eq("a", 1).eq("b", 2))), "not.or=(a.eq.1,b.eq.2)"),
        (orders().not(|one| one.not(|one| one.eq("a", 1))), "a=eq.1"),
        (orders().order("at.desc.nullslast").order("id"), "order=at.desc.nullslast,id"),
        (orders().order_in("lines", "sku").limit_in("lines", 3), "lines.order=sku&lines.limit=3"),
        (orders().range(20, 29), "offset=20&limit=10"),
        (orders().limit(5), "limit=5"),
        (orders().range(7, 3), "offset=7&limit=1"),
        (orders().eq("data->>size", "x"), "data->>size=eq.x"),
        (Query::function("count", &json!({})).eq("a", 1), "a=eq.1"),
    ] {
        assert_eq!(parameter(&query), wanted);
    }
}

#[test]
fn methods_bodies_and_wishes_are_those_of_the_statement() {
    let row = json!({ "id": 1 });
    let table = || Query::table("a table");
    for (query, method, path, body, prefer) in [
        (table(), "GET", "/rest/v1/a%20table", "", None),
        (table().insert(&row), "POST", "/rest/v1/a%20table", r#"{"id":1}"#, None),
        (
            table().upsert(&row, "id"),
            "POST",
            "/rest/v1/a%20table",
            r#"{"id":1}"#,
            Some("resolution=merge-duplicates"),
        ),
        (
            table().insert_or_ignore(&row, "id"),
            "POST",
            "/rest/v1/a%20table",
            r#"{"id":1}"#,
            Some("resolution=ignore-duplicates"),
        ),
        (table().update(&row).eq("id", 1), "PATCH", "/rest/v1/a%20table", r#"{"id":1}"#, None),
        (table().delete().eq("id", 1), "DELETE", "/rest/v1/a%20table", "", None),
        (table().count(Count::Planned), "GET", "/rest/v1/a%20table", "", Some("count=planned")),
        (Query::function("add", &row), "POST", "/rest/v1/rpc/add", r#"{"id":1}"#, None),
    ] {
        let request = written(&query);
        assert_eq!((request.method().as_str(), request.uri().path()), (method, path));
        assert_eq!(
            (request.body().as_ref(), request.headers().get("prefer").map(|wish| wish.to_str().unwrap())),
            (body.as_bytes(), prefer)
        );
        assert_eq!(request.headers().contains_key("content-type"), method != "GET");
    }
    assert_eq!(written(&table().schema("api")).headers()["accept-profile"], "api");
    assert_eq!(written(&table().schema("api").delete()).headers()["content-profile"], "api");
}

#[test]
fn what_cannot_be_a_request_says_why() {
    assert_eq!(Query::table("a").request("").unwrap_err(), "`` is not a URL");
    assert_eq!(Query::table("a").schema("a\nb").request(BASE).unwrap_err(), "a\nb is not a schema");
    assert!(Query::table("a").insert(&Unwritable).request(BASE).unwrap_err().contains("no JSON"));
}

struct Unwritable;

impl serde::Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _to: S) -> std::result::Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no JSON"))
    }
}

proptest! {
    /// `postgrest` as the oracle: for each filter that it can write, the parameters are the same. It does not
    /// quote the values of `in`, so those are plain.
    #[test]
    fn filters_are_those_of_the_postgrest_crate(
        column in "[a-zA-Zäß_>\\-. ]{1,12}",
        value in "\\PC{0,20}",
        plain in prop::collection::vec("[a-zA-Z0-9_äß-]{1,8}", 1..4),
        (low, high) in (-1_000..1_000_i64, -1_000..1_000_i64),
    ) {
        let table = || Query::table("t");
        let theirs = || postgrest::Postgrest::new("https://p.supabase.co/rest/v1").from("t");
        let (c, v, span) = (column.as_str(), value.as_str(), format!("({low},{high})"));
        let nested = format!("a.eq.1,b.not.in.({})", plain.join(","));
        for (name, ours, theirs) in [
            ("eq", table().eq(c, v), theirs().eq(c, v)),
            ("neq", table().neq(c, v), theirs().neq(c, v)),
            ("gt", table().gt(c, v), theirs().gt(c, v)),
            ("gte", table().gte(c, v), theirs().gte(c, v)),
            ("lt", table().lt(c, v), theirs().lt(c, v)),
            ("lte", table().lte(c, v), theirs().lte(c, v)),
            ("like", table().like(c, v), theirs().like(c, v.replace('%', "*"))),
            ("is", table().is(c, "null"), theirs().is(c, "null")),
            ("in", table().any_of(c, &plain), theirs().in_(c, &plain)),
            ("cs", table().contains(c, v), theirs().cs(c, v)),
            ("cd", table().contained_by(c, v), theirs().cd(c, v)),
            ("ov", table().overlaps(c, v), theirs().ov(c, v)),
            ("sl", table().range_lt(c, &span), theirs().sl(c, (low, high))),
            ("sr", table().range_gt(c, &span), theirs().sr(c, (low, high))),
            ("nxl", table().range_gte(c, &span), theirs().nxl(c, (low, high))),
            ("nxr", table().range_lte(c, &span), theirs().nxr(c, (low, high))),
            ("adj", table().range_adjacent(c, &span), theirs().adj(c, (low, high))),
            ("fts", table().text_search(c, v), theirs().fts(c, v, None)),
            ("plfts", table().plain_search(c, v), theirs().plfts(c, v, None)),
            ("phfts", table().phrase_search(c, v), theirs().phfts(c, v, None)),
            ("wfts", table().filter(c, "wfts(german)", v), theirs().wfts(c, v, Some("german"))),
            ("not", table().not(|one| one.eq(c, v)), theirs().not("eq", c, v)),
            ("or", table().or(|any| any.eq("a", 1).not(|one| one.any_of("b", &plain))), theirs().or(&nested)),
            ("and", table().and(|all| all.eq("a", 1).not(|one| one.any_of("b", &plain))), theirs().and(&nested)),
            ("select", table().select("a,b(c)"), theirs().select("a,b(c)")),
            ("order", table().order("a.desc.nullslast"), theirs().order("a.desc.nullslast")),
        ] {
            if name == "like" && v.contains('%') {
                continue;
            }
            let theirs = theirs.build().build().expect("a request");
            let theirs: Vec<(String, String)> = theirs.url().query_pairs().into_owned().collect();
            prop_assert_eq!(parameters(&written(&ours)), theirs, "{}", name);
        }
    }
}

async fn with_postgrest(_request: Request, cx: Context) -> Result<Response> {
    let db = cx.db().schema("api");
    let query = db.postgrest().from("machines").select("id").eq("status", "a&b");
    let rows: Vec<Value> = db.fetch(query).await?;
    Response::json(200, &rows)
}

#[test]
fn a_builder_of_postgrest_is_sent_by_the_host_with_the_keys_of_the_role() {
    let app = App::new(with_postgrest).on("GET", "/rest/v1/machines", Answer::json(json!([{ "id": 1 }])));
    assert_eq!(app.get("/rows").json(), json!([{ "id": 1 }]));
    let call = &app.calls()[0];
    assert!(call.url.ends_with("/rest/v1/machines?select=id&status=eq.a%26b"), "{}", call.url);
    assert_eq!(
        (&call.headers["apikey"], &call.headers["accept-profile"]),
        (&"sb_secret_for_tests".parse().unwrap(), &"api".parse().unwrap())
    );
}

async fn all(_request: Request, cx: Context) -> Result<Response> {
    let rows: Vec<Value> = cx.db().from("machines").order("id").fetch_all().await?;
    Response::json(200, &rows)
}

fn ranged(rows: std::ops::Range<usize>, range: &str) -> Answer {
    let rows: Vec<Value> = rows.map(Value::from).collect();
    Answer::json(json!(rows)).header("content-range", range)
}

#[test]
fn all_rows_are_read_whatever_the_project_gives_at_once() {
    let pages =
        vec![ranged(0..400, "0-399/1000"), ranged(400..800, "400-799/*"), ranged(800..1_000, "800-999/*")];
    let app = App::new(all).on("GET", "/rest/v1/machines", pages);
    assert_eq!(app.get("/rows").json().as_array().map(Vec::len), Some(1_000));
    let asked: Vec<String> =
        app.calls().iter().map(|call| call.url.rsplit_once("order=id").unwrap().1.to_owned()).collect();
    assert_eq!(asked, ["&limit=1000", "&offset=400&limit=600", "&offset=800&limit=200"]);
    assert_eq!(app.calls()[0].headers["prefer"], "count=exact");
    assert!(!app.calls()[1].headers.contains_key("prefer"), "counting once is enough");

    let none = App::new(all).on("GET", "/rest/v1/machines", ranged(0..0, "*/0"));
    assert_eq!((none.get("/rows").json(), none.calls().len()), (json!([]), 1));
}

async fn counting(_request: Request, cx: Context) -> Result<Response> {
    let machines = || cx.db().from("machines").eq("status", "active");
    let page: Page<Value> = machines().count(Count::Exact).limit(2).fetch_page().await?;
    Response::json(200, &json!([page.rows, page.total, machines().fetch_count().await?]))
}

#[test]
fn rows_are_counted_with_a_page_or_alone() {
    let app = App::new(counting).on("GET", "/rest/v1/machines", ranged(0..2, "0-1/7")).on(
        "HEAD",
        "/rest/v1/machines",
        Answer::status(200, "").header("content-range", "*/7"),
    );
    assert_eq!(app.get("/rows").json(), json!([[0, 1], 7, 7]));
}

async fn single(request: Request, cx: Context) -> Result<Response> {
    let query = cx.db().from("machines").eq("id", 1);
    let query = if request.route() == "/write" { query.update(&json!({ "a": 1 })) } else { query };
    Response::json(200, &query.fetch_single::<Value>().await?)
}

#[test]
fn a_single_row_is_neither_none_nor_several() {
    let refusal = |details: &str| {
        let problem = json!({ "code": "PGRST116", "message": "no", "details": details, "hint": null });
        Answer::status(406, problem.to_string())
    };
    for (answer, status, code) in [
        (Answer::json(json!({ "id": 1 })), 200, None),
        (refusal("The result contains 0 rows"), 404, Some("NOT_FOUND")),
        (refusal("The result contains 10 rows"), 500, Some("SEVERAL_ROWS")),
    ] {
        let app = App::new(single).on("GET", "/rest/v1/machines", answer);
        let reply = app.get("/rows");
        assert_eq!((reply.status(), reply.json()["code"].as_str()), (status, code));
        assert_eq!(app.calls()[0].headers["accept"], "application/vnd.pgrst.object+json");
    }
    let app = App::new(single).on("PATCH", "/rest/v1/machines", Answer::json(json!({ "id": 1 })));
    assert_eq!(app.get("/rows/write").status(), 200);
    assert_eq!(app.calls()[0].headers["prefer"], "return=representation");
}

async fn planned(_request: Request, cx: Context) -> Result<Response> {
    Ok(Response::text(200, cx.db().from("machines").explain("analyze|verbose").await?))
}

#[test]
fn a_plan_is_asked_for_by_its_type() {
    let app = App::new(planned).on("GET", "/rest/v1/machines", Answer::status(200, "Seq Scan"));
    assert_eq!(app.get("/plan").text(), "Seq Scan");
    let wanted = "application/vnd.pgrst.plan+text; for=\"application/json\"; options=analyze|verbose";
    assert_eq!(app.calls()[0].headers["accept"], wanted);
}
