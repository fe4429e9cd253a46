//! `ferry gen types` against a real schema, and its file in use with a real REST server.

mod ferry;
mod project;
mod rows;

use anyhow::Result;
use project::{Project, get, post};
use rows::{Mood, Numeric, OptionType, Timestamp, open_orders, orders, rpc};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use time::macros::datetime;

const SCHEMA: &str = include_str!("rows/schema.sql");
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rows/mod.rs");

async fn with_orders() -> Result<Option<Project>> {
    let Some(project) = Project::start().await? else { return Ok(None) };
    project.sql("drop table public.things").await?;
    project.sql(SCHEMA).await?;
    // The REST server reads the schema when it starts.
    project.stack.stop_part("rest").await?;
    project.stack.start_part("rest").await?;
    Ok(Some(project))
}

fn gen_types(project: &Project, more: &[&str]) -> ferry::Ran {
    let url = project.stack.db_url();
    let path = std::env::var("PATH").expect("a path");
    let arguments = [&["gen", "types", "--password-in-url", "--db-url", &url], more].concat();
    ferry::ferry_with(&arguments, b"", &[("PATH", &path), ("HOME", &std::env::var("HOME").expect("a home"))])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_is_the_same_each_time_and_a_check_shows_what_changed() -> Result<()> {
    let Some(project) = with_orders().await? else { return Ok(()) };
    let check = ["--out", FILE, "--check"];
    let same = gen_types(&project, &check);
    assert_eq!((same.code, same.out.contains("up to date")), (0, true), "{same:?}");

    project
        .sql("alter table public.orders add column note text; alter type public.mood add value 'late'")
        .await?;
    let before = std::fs::read_to_string(FILE)?;
    let changed = gen_types(&project, &check);
    assert_eq!(changed.code, 1, "{changed:?}");
    for line in ["+        pub note: Option<String>,", "+    #[serde(rename = \"late\")]"] {
        assert!(changed.out.contains(line), "{line} is not in {}", changed.out);
    }
    assert_eq!(std::fs::read_to_string(FILE)?, before, "a check writes nothing");

    let one = gen_types(
        &project,
        &["--only", "open_orders,orders_of", "--times", "string", "--numeric", "decimal"],
    );
    for wanted in [
        "pub mod open_orders",
        "pub mod orders_of",
        "pub mod orders {",
        "pub enum Mood",
        "::rust_decimal::Decimal",
    ] {
        assert!(one.out.contains(wanted), "{wanted} is not in {}", one.out);
    }
    assert!(!one.out.contains("orders_count") && !one.out.contains("Timestamp"), "{}", one.out);
    let unknown = gen_types(&project, &["--only", "nowhere"]);
    assert_eq!((unknown.code, unknown.err.contains("nowhere")), (2, true), "{unknown:?}");
    project.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crate_gets_the_part_that_it_names_and_is_told_when_the_schema_moves_on() -> Result<()> {
    let Some(project) = with_orders().await? else { return Ok(()) };
    let folder = project.stack.log("shop").with_extension("crate");
    std::fs::create_dir_all(folder.join("src"))?;
    let names = folder.join("rows.toml");
    let names = names.to_str().expect("a path");
    let part = |text: &str| std::fs::write(names, text);
    part(
        r#"functions = ["orders_of"]
[rows.lunch]
from = "orders"
columns = ["order_id", "details: Box<str>", "slug"]
[rows.open]
from = "open_orders"
columns = ["order_id!", "mood: String"]
[rows.counted]
from = "orders_count"
columns = ["orders!"]
"#,
    )?;
    let made = gen_types(&project, &["--part", names]);
    assert_eq!(made.code, 0, "{made:?}");
    let text = std::fs::read_to_string(folder.join("src/rows.rs"))?;
    for wanted in [
        r#"pub const COLUMNS: &str = "order_id,details,slug";"#,
        "pub details: Box<str>,",
        "pub slug: Option<String>,",
        "pub mood: Option<String>,",
        "pub orders: i64,",
        "pub struct Args<'a>",
        "pub p_mood: &'a str,",
        "pub p_limit: Option<i32>,",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in {text}");
    }
    // Of a view the database knows no more than that a column may be null: the part says better.
    assert_eq!(text.matches("pub order_id: i64,").count(), 2, "{text}");
    assert!(!text.contains("placed_at") && !text.contains("orders_by_mood"), "{text}");

    let check = ["--check", "--part", names];
    assert_eq!(gen_types(&project, &check).code, 0);
    project.sql("alter table public.orders add column note text").await?;
    assert_eq!(gen_types(&project, &check).code, 0, "what is not named may change");
    project.sql("alter table public.orders alter column slug type integer using 1").await?;
    let changed = gen_types(&project, &check);
    assert_eq!(
        (changed.code, changed.out.contains("+        pub slug: Option<i32>")),
        (1, true),
        "{changed:?}"
    );
    project.sql("alter table public.orders drop column slug").await?;
    let gone = gen_types(&project, &check);
    assert_eq!((gone.code, gone.err.contains("orders has no column slug")), (2, true), "{gone:?}");

    part("tables = []")?;
    let unknown = gen_types(&project, &["--part", names]);
    assert_eq!((unknown.code, unknown.err.contains("tables")), (2, true), "{unknown:?}");
    project.end().await
}

/// What the REST server takes and gives.
struct Api {
    url: String,
    key: String,
}

impl Api {
    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl serde::Serialize) -> Result<T> {
        let headers = [
            ("apikey", &*self.key),
            ("content-type", "application/json"),
            ("prefer", "return=representation"),
        ];
        let (status, reply) =
            post(&format!("{}/rest/v1/{path}", self.url), &headers, &serde_json::to_string(body)?).await?;
        anyhow::ensure!(status < 300, "{status}: {reply}");
        Ok(serde_json::from_value(reply)?)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        Ok(serde_json::from_value(
            get(&format!("{}/rest/v1/{path}", self.url), &[("apikey", &self.key)]).await?.1,
        )?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_and_go_through_the_rest_server() -> Result<()> {
    let Some(project) = with_orders().await? else { return Ok(()) };
    let api = Api { url: project.stack.api_url().to_owned(), key: project.stack.keys().secret.clone() };
    let seen = Timestamp(datetime!(2026-11-21 15:00 UTC));
    let new = orders::Insert {
        reference: None,
        r#type: "lunch".to_owned(),
        total: Some(Numeric("12.5".to_owned())),
        mood: Some(Mood::InProgress),
        moods: Some(vec![Mood::Good, Mood::SoSo]),
        tags: Some(vec!["a".to_owned()]),
        choice: Some(OptionType { label: Some("salad".to_owned()), weight: None }),
        details: Some(json!({"for": 2})),
        slug: None,
        placed_at: None,
        seen_at: Some(vec![seen]),
        shipped_on: None,
    };
    let [row]: [orders::Row; 1] = api.post(orders::TABLE, &new).await?;
    assert_eq!((row.order_id, row.reference.len(), &*row.r#type), (1, 36, "lunch"));
    assert!(row.total.0.starts_with("12.5"), "{:?}", row.total);
    assert_eq!((row.mood, row.moods), (Mood::InProgress, vec![Mood::Good, Mood::SoSo]));
    assert_eq!((row.choice, row.details), (new.choice, json!({"for": 2})));
    assert_eq!(row.placed_at, Timestamp(datetime!(2026-11-21 14:30 UTC)));
    assert_eq!((row.seen_at, row.slug, row.doubled), (Some(vec![seen]), None, Some(42)));

    let open: Vec<open_orders::Row> = api.get(&format!("open_orders?{}=eq.1", open_orders::ORDER_ID)).await?;
    assert_eq!(open, [open_orders::Row { order_id: Some(1), mood: Some(Mood::InProgress) }]);
    let asked = rpc::orders_of::Args { p_mood: Mood::InProgress, p_limit: None };
    let found: rpc::orders_of::Output = api.post(&format!("rpc/{}", rpc::orders_of::NAME), &asked).await?;
    assert_eq!(found.len(), 1);
    let counted: rpc::orders_by_mood::Output =
        api.post("rpc/orders_by_mood", &rpc::orders_by_mood::Args::default()).await?;
    assert_eq!(counted, [rpc::orders_by_mood::Row { mood: Some(Mood::InProgress), orders: Some(1) }]);
    project.end().await
}

#[test]
fn an_unknown_value_of_an_enum_is_kept_and_goes_back_as_it_came() -> Result<()> {
    let mood: Mood = serde_json::from_value(json!("late"))?;
    assert_eq!(mood, Mood::Unknown("late".to_owned()));
    assert_eq!(serde_json::to_value(mood)?, json!("late"));
    Ok(())
}

#[test]
fn an_update_tells_leaving_from_emptying() -> Result<()> {
    let update = orders::Update { slug: Some(None), mood: Some(Mood::Good), ..orders::Update::default() };
    assert_eq!(serde_json::to_value(update)?, json!({"slug": Value::Null, "mood": "good"}));
    Ok(())
}
