//! `ferry sales`: against a project of one page, and against the real reports of a running stack.

mod ferry;
mod project;
mod site;

use std::path::Path;

use ::ferry::stack::{Options, Stack};
use anyhow::{Context as _, Result};
use ferry::{Folder, Ran, ferry_with};
use serde_json::{Value, json};
use site::{Answer, Seen, Site};

const NORTH: &str = "00000000-0000-4000-8000-000000000001";
const SOUTH: &str = "00000000-0000-4000-8000-000000000002";

/// Runs beside the site, which answers on the test's own threads.
async fn sales(url: &str, key: &str, more: &[&str]) -> Ran {
    let arguments: Vec<String> =
        ["sales", "--url", url].iter().chain(more).map(ToString::to_string).collect();
    let key = key.to_owned();
    let run = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        ferry_with(&arguments, b"", &[("SUPABASE_SECRET_KEY", &key)])
    };
    tokio::task::spawn_blocking(run).await.expect("it runs")
}

fn report(request: &Seen) -> Answer {
    let day = |company: &str, currency: &str, day: &str, vends: u64, value: u64| {
        json!({"day": day, "company_id": company, "currency": currency, "decimals": 2, "vends": vends,
            "value_minor": value, "cash_minor": null, "cashless_minor": value / 2, "machines": 2})
    };
    match request.path.split(['?']).next() {
        Some("/rest/v1/companies") => Answer::json(
            200,
            &json!([{"id": NORTH, "company_name": "North"}, {"id": SOUTH, "company_name": "South, Ltd"}]),
        ),
        Some("/rest/v1/rpc/dex_sales_by_day") => Answer::json(
            200,
            &json!([
                day(NORTH, "EUR", "2026-11-01", 8, 1_600),
                day(SOUTH, "SEK", "2026-11-01", 1, 2_000),
                day(NORTH, "EUR", "2026-11-03", 1, 200),
            ]),
        ),
        _ => Answer::json(404, &json!({"code": "PGRST202", "message": "there is no such function"})),
    }
}

const DAYS: [&str; 4] = ["--from", "2026-11-01", "--to", "2026-11-03"];

#[tokio::test]
async fn each_day_has_a_bar_and_each_company_its_chart() {
    let site = Site::start(report).await;
    let ran = sales(&site.url, "sb_secret_1", &DAYS).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let wanted = format!(
        "North · 2026-11-01 to 2026-11-03
Day               EUR  Vends  Cashless  Machines
2026-11-01 Sun  16.00      8      8.00         2  {}
2026-11-02 Mon      -
2026-11-03 Tue   2.00      1      1.00         2  {}
all             18.00      9      9.00

South, Ltd · 2026-11-01 to 2026-11-03
Day               SEK  Vends  Cashless  Machines
2026-11-01 Sun  20.00      1     10.00         2  {}
2026-11-02 Mon      -
2026-11-03 Tue      -
all             20.00      1     10.00
",
        "█".repeat(40),
        "█".repeat(5),
        "█".repeat(40)
    );
    assert_eq!(ran.out, wanted);
    let asked = site.last().json();
    assert_eq!(asked, json!({"p_from": "2026-11-01", "p_to": "2026-11-03"}));
    let ascii = sales(&site.url, "sb_secret_1", &[&DAYS[..], &["--ascii"]].concat()).await;
    assert_eq!(ascii.line("2026-11-03"), "2026-11-03 Tue 2.00 1 1.00 2 #####");
}

#[tokio::test]
async fn a_company_is_named_by_people_and_asked_for_by_its_id() {
    let site = Site::start(report).await;
    let named = [&DAYS[..], &["--company", "south, ltd"]].concat();
    assert_eq!(sales(&site.url, "sb_secret_1", &named).await.code, 0);
    assert_eq!(site.last().json()["p_company_id"], SOUTH);
    let ran = sales(&site.url, "sb_secret_1", &["--company", "West"]).await;
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("there is no company \"West\"; there are: North, South, Ltd"), "{}", ran.err);
}

#[tokio::test]
async fn json_has_the_rows_as_they_are_and_csv_amounts_with_their_decimals() {
    let site = Site::start(report).await;
    let told = sales(&site.url, "sb_secret_1", &[&DAYS[..], &["--json"]].concat()).await.json();
    assert_eq!(
        (&told["by"], &told["from"], &told["to"]),
        (&json!("day"), &json!("2026-11-01"), &json!("2026-11-03"))
    );
    assert_eq!(
        (&told["rows"][0]["value_minor"], &told["rows"][0]["cash_minor"]),
        (&json!(1_600), &Value::Null)
    );
    let csv = sales(&site.url, "sb_secret_1", &[&DAYS[..], &["--csv"]].concat()).await;
    let wanted = "day,machines,company,currency,vends,value,cash,cashless
2026-11-01,2,North,EUR,8,16.00,,8.00
2026-11-01,2,\"South, Ltd\",SEK,1,20.00,,10.00
2026-11-03,2,North,EUR,1,2.00,,1.00
";
    assert_eq!(csv.out, wanted);
}

#[tokio::test]
async fn what_goes_wrong_is_said_with_the_exit_code_of_its_kind() {
    let site = Site::start(report).await;
    let ran = sales(&site.url, "sb_secret_1", &["--by", "machine"]).await;
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("dex_sales_by_machine answered 404: there is no such function (PGRST202)"),
        "{}",
        ran.err
    );
    for wrong in
        [&["--from", "2026-11-04", "--to", "2026-11-03"][..], &["--from", "yesterday"], &["--days", "0"]]
    {
        assert_eq!(sales(&site.url, "sb_secret_1", wrong).await.code, 2, "{wrong:?}");
    }
    let no_key = sales(&site.url, "", &[]).await;
    assert_eq!(no_key.code, 2);
    assert!(no_key.err.contains("SUPABASE_SECRET_KEY"), "{}", no_key.err);
    let nobody = sales("http://127.0.0.1:1", "sb_secret_1", &[]).await;
    assert_eq!(nobody.code, 1);
    assert!(nobody.err.contains("http://127.0.0.1:1 cannot be reached"), "{}", nobody.err);
    let empty = Site::start(|_| Answer::json(200, &json!([]))).await;
    let ran = sales(&empty.url, "sb_secret_1", &DAYS).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "No sales from 2026-11-01 to 2026-11-03.\n"));
}

/// Two machines of a company in Sydney and one elsewhere; more products than a page has rows.
const SOLD: &str = "
insert into public.companies (id, company_name, settings) values
    ('00000000-0000-4000-8000-000000000001', 'North', '{\"timezone\": \"Australia/Sydney\"}'),
    ('00000000-0000-4000-8000-000000000002', 'South', '{}');
insert into public.machines (company_id, case_serial, location) values
    ('00000000-0000-4000-8000-000000000001', 'N1', 'Pier'), ('00000000-0000-4000-8000-000000000001', 'N2', null),
    ('00000000-0000-4000-8000-000000000002', 'S1', null);
insert into public.dex_intervals
    (machine_id, to_dex_id, from_dex_id, company_id, started_at, ended_at, continuity, vends, value_minor, cash_minor, currency)
select id, 2, 1, company_id, '2026-11-01 12:00Z', '2026-11-01 14:00Z', 'continuous',
    case case_serial when 'N1' then 600 else 6 end, case case_serial when 'N1' then 120000 else 1200 end, 500, 'AUD'
from public.machines;
insert into public.dex_sales (machine_id, to_dex_id, selection, company_id, product_name, started_at, ended_at, vends, value_minor)
select id, 2, number::text, company_id, 'Cola', '2026-11-01 12:00Z', '2026-11-01 14:00Z', number, number * 200
from public.machines, generate_series(1, 400) as number;";

#[tokio::test(flavor = "multi_thread")]
async fn the_reports_of_a_running_stack_are_shown() -> Result<()> {
    if let Some(what) = project::missing() {
        println!("skipped: {what} is not installed");
        return Ok(());
    }
    let state = Folder::new();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let options = Options { functions: false, ..Options::for_tests(repository, &state.0) };
    let stack = Stack::start(options).await?;
    let (database, connection) = tokio_postgres::connect(&stack.db_url(), tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    database.batch_execute(SOLD).await.context("the sales")?;

    let asked = async |more: &[&str]| {
        let days = ["--from", "2026-11-01", "--to", "2026-11-02"];
        sales(stack.api_url(), &stack.keys().secret, &[&days[..], more].concat()).await
    };
    let by_day = asked(&["--company", "North"]).await;
    assert_eq!(by_day.line("2026-11-01"), "2026-11-01 Sun -", "it was the next day in Sydney: {by_day:?}");
    assert!(by_day.line("2026-11-02").starts_with("2026-11-02 Mon 1212.00 606 10.00 2 █"), "{by_day:?}");
    let by_machine = asked(&["--by", "machine"]).await;
    assert!(
        by_machine.line("N1").starts_with("N1 Pier 1200.00 600 5.00 2026-11-01 14:00 █"),
        "{by_machine:?}"
    );
    assert_eq!(asked(&["--by", "machine", "--json"]).await.json()["rows"].as_array().map(Vec::len), Some(3));
    let by_product = asked(&["--by", "product", "--top", "2"]).await;
    assert!(by_product.line("N1 400").starts_with("N1 400 Cola 800.00 400 █"), "{by_product:?}");
    assert_eq!(by_product.line("and"), "and 798 more (--top 0 shows all)");
    let csv = asked(&["--by", "product", "--csv"]).await;
    assert_eq!(csv.out.lines().count(), 1 + 3 * 400, "each row once, page or no page");
    // Found by its state file, without any setting.
    let path = state.path().to_owned();
    let local = tokio::task::spawn_blocking(move || {
        ferry_with(&["sales", "--local", "--state", &path, "--from", "2026-11-01", "--json"], b"", &[])
    });
    assert_eq!(local.await?.json()["rows"].as_array().map(Vec::len), Some(2));
    stack.stop().await;
    Ok(())
}
