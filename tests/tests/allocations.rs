//! How often hot paths allocate natively: exactly as often as `tests/budget.json` says. The modules are the same
//! source, so what is added here is added there.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::hint::black_box;

use anyhow::Result;
use ironferry::testing::{Answer, App};
use ironferry::{Context, Request, Response};
use ironferry_tests::budget::{self, Needs};
use ironferry_tests::lab::project;
use order_engine::{
    Account, Action, Decimal, Limits, OrderType, Position, Settings, Signal, Situation, Sizing, Symbol,
    Usage, decide,
};
use serde_json::{Value, json};

/// The system's allocator, with a count for each thread: others run beside a test.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

fn counted() {
    COUNT.set(COUNT.get() + 1);
}

// SAFETY: all is passed on to the system's allocator; the count neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        counted();
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        counted();
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of a piece of work, once it has been done before: what is set up once does not count.
fn allocations<T>(work: impl Fn() -> T) -> Needs {
    drop(black_box(work()));
    let before = COUNT.get();
    let made = black_box(work());
    let count = COUNT.get() - before;
    drop(made);
    [("allocations".to_owned(), count)].into()
}

async fn echo(request: Request, _: Context) -> ironferry::Result<Response> {
    Ok(Response::new(200, http::HeaderValue::from_static("application/json"), request.body().clone()))
}

async fn read(_: Request, cx: Context) -> ironferry::Result<Response> {
    cx.require_service()?;
    let rows: Vec<Value> = cx.db().from("machines").eq("status", "active").fetch().await?;
    Response::json(200, &json!({ "active": rows.len() }))
}

fn number(text: &str) -> Decimal {
    text.parse().expect("a number")
}

/// Buys 10 AAPL at 150, with an account of 100,000 and nothing held.
fn order() -> Needs {
    let signal = Signal {
        symbol: Symbol::parse("AAPL", None).expect("a symbol"),
        action: Action::Buy,
        market_position: None,
        market_position_size: None,
        order_type: OrderType::Market,
        quantity: Some(number("10")),
        price: Some(number("150")),
        limit_price: None,
        stop_price: None,
        stop_loss: None,
        take_profit: None,
        trail: None,
        time_in_force: None,
    };
    let account = Account {
        equity: number("100000"),
        last_equity: number("100000"),
        buying_power: number("200000"),
        blocked: false,
        shorting_enabled: true,
    };
    let settings =
        Settings { sizing: Sizing::Fixed, size_value: Decimal::ONE, default_quantity: Decimal::ONE };
    let (limits, usage) = (Limits::default(), Usage::default());
    let situation = Situation {
        account: &account,
        position: Position::default(),
        limits: &limits,
        usage: &usage,
        settings: &settings,
    };
    allocations(|| decide(&signal, &situation))
}

#[test]
fn hot_paths_allocate_as_often_as_their_budget_says() -> Result<()> {
    let capture = std::fs::read(project().join("tests/captures/004000003_500300.dex"))?;
    let echo = App::new(echo);
    let query = "/rest/v1/machines?status=eq.active";
    let reading = App::new(read).on("GET", query, Answer::json(json!([{ "id": 1 }, { "id": 2 }])));
    let measured: BTreeMap<String, Needs> = [
        (
            "a capture, lines and checksum",
            allocations(|| eva_dts::parse(&capture).iter().map(eva_dts::Dump::crc).count()),
        ),
        ("a capture, its report", allocations(|| eva_dts::parse(&capture)[0].report())),
        (
            "an echo through the SDK, with the script of the test",
            allocations(|| echo.post("/echo", "{\"a\":1}").status()),
        ),
        (
            "a read of two rows through the SDK, with the script of the test",
            allocations(|| {
                let reply = reading.post_as_service("/", "{}");
                assert_eq!(reply.status(), 200, "{:?}", reply.json());
            }),
        ),
        ("a decision on an order", order()),
    ]
    .map(|(name, needs)| (name.to_owned(), needs))
    .into();
    budget::check("allocations", &measured)
}
