//! From a body to a signal: whatever spelling a template has, and the path of each field that is wrong.

use ironferry::{Error, Result};
use order_engine::{Action, Decimal, MarketPosition, OrderType, Signal, Symbol, TimeInForce, Trail};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::body::{Fields, plain, text};

/// An alert that could be read.
#[derive(Debug)]
pub(crate) struct Alert {
    pub(crate) signal: Signal,
    /// The alert's own time.
    pub(crate) sent_at: Option<OffsetDateTime>,
    /// The alert's own id.
    pub(crate) id: Option<String>,
}

/// No price or quantity is larger.
const LARGEST: Decimal = Decimal::from_parts(3_567_587_328, 232, 0, false, 0); // 10¹²
/// Fractions of the cheapest coins.
const DECIMALS: u32 = 12;

/// Reads an alert. 400 `INVALID_PAYLOAD` with `details`: path and error of each field that is wrong.
pub(crate) fn alert(fields: &Fields) -> Result<Alert> {
    let mut reader = Reader { fields, problems: Vec::new() };
    let exchange = reader.text(&["exchange"]);
    let symbol = reader.need(&["ticker", "symbol", "instrument"], "a symbol", |text| {
        Symbol::parse(text, exchange.as_deref())
    });
    let action = reader.need(
        &["action", "strategyorderaction", "orderaction", "side", "strategyaction", "signal"],
        "buy, sell, long, short or close",
        action,
    );
    let positions = ["marketposition", "strategymarketposition", "strategydirection"];
    let market_position = reader.read(&positions, "long, short or flat", market_position);
    let sizes = ["marketpositionsize", "strategymarketpositionsize"];
    let market_position_size = reader.read(&sizes, "a number from 0 and below 1000000000000", |text| {
        decimal(text).filter(|size| *size >= Decimal::ZERO && *size < LARGEST)
    });
    let types = ["ordertype", "strategyordertype", "type"];
    let order_type = reader.read(&types, "MARKET, LIMIT, STOP, STOP_LIMIT or TRAILING_STOP", order_type);
    let quantity = reader.number(&[
        "quantity",
        "qty",
        "contracts",
        "strategyordercontracts",
        "ordercontracts",
        "shares",
        "size",
    ]);
    let price = reader.number(&["price", "strategyorderprice", "orderprice", "close", "lastprice"]);
    let limit_price = reader.number(&["limitprice", "limit"]);
    let stop_price = reader.number(&["stopprice", "triggerprice", "trigger", "stop"]);
    let stop_loss = reader.number(&["stoploss", "sl", "stoplossprice", "stoplossstopprice"]);
    let take_profit =
        reader.number(&["takeprofit", "tp", "takeprofitprice", "takeprofitlimitprice", "target"]);
    let trail_percent = reader.number(&["trailpercent", "trailingpercent", "trailpct"]);
    let trail_price = reader.number(&["trailprice", "trailingprice", "trailamount"]);
    let time_in_force = reader.read(&["timeinforce", "tif"], "DAY, GTC, IOC or FOK", time_in_force);
    // The time of the bar is not the time of the alert; `timenow` goes first.
    let times = ["timenow", "alerttime", "alerttimestamp", "timestamp", "time", "sentat"];
    let sent_at = reader.read(
        &times,
        "a time like 2026-01-01T00:00:00Z, or in seconds or milliseconds since 1970",
        moment,
    );
    let id = reader.text(&["alertid", "signalid", "idempotencykey", "dedupekey", "uuid"]);
    if trail_percent.is_some_and(|percent| percent >= Decimal::ONE_HUNDRED) {
        reader.problem("trail_percent", "must be below 100");
    }
    if id.as_deref().is_some_and(|id| id.len() > 200) {
        reader.problem("alert_id", "must not be longer than 200 characters");
    }
    let (Some(symbol), Some(action), true) = (symbol, action, reader.problems.is_empty()) else {
        return Err(reader.refuse());
    };
    let trail = trail_percent.map(Trail::Percent).or(trail_price.map(Trail::Price));
    let signal = Signal {
        symbol,
        action,
        market_position,
        market_position_size: market_position_size.filter(|size| !size.is_zero()),
        order_type: order_type.unwrap_or_default(),
        quantity,
        price,
        limit_price,
        stop_price,
        stop_loss,
        take_profit,
        trail,
        time_in_force,
    };
    Ok(Alert { signal, sent_at, id })
}

struct Reader<'a> {
    fields: &'a Fields,
    problems: Vec<Value>,
}

impl Reader<'_> {
    /// The first of the names that has a value, and its path as the sender wrote it.
    fn find(&self, names: &[&str]) -> Option<(String, String)> {
        names.iter().find_map(|name| {
            let mut same = self.fields.iter().filter(|field| plain(&field.path) == *name);
            same.find_map(|field| Some((field.path, text(field.raw)?)))
        })
    }

    fn text(&self, names: &[&str]) -> Option<String> {
        self.find(names).map(|(_, text)| text)
    }

    fn problem(&mut self, path: &str, error: &str) {
        self.problems.push(json!({ "path": path, "error": error }));
    }

    fn read<T>(&mut self, names: &[&str], expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let (path, text) = self.find(names)?;
        let value = read(&text);
        if value.is_none() {
            let error = if text.contains("{{") {
                "the placeholder was not filled in".to_owned()
            } else {
                let shown: String = text.chars().take(40).collect();
                format!("must be {expected}, not `{shown}`")
            };
            self.problem(&path, &error);
        }
        value
    }

    fn need<T>(&mut self, names: &[&str], expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        if self.find(names).is_none() {
            self.problem(names[0], &format!("is missing: {expected}"));
            return None;
        }
        self.read(names, expected, read)
    }

    fn number(&mut self, names: &[&str]) -> Option<Decimal> {
        self.read(names, "a number above 0 and below 1000000000000", |text| {
            let number = decimal(text)?;
            (number > Decimal::ZERO && number < LARGEST).then_some(number)
        })
    }

    fn refuse(self) -> Error {
        let named: Vec<String> = self
            .problems
            .iter()
            .map(|one| {
                format!("{}: {}", one["path"].as_str().unwrap_or(""), one["error"].as_str().unwrap_or(""))
            })
            .collect();
        Error::bad_request(named.join("; ")).code("INVALID_PAYLOAD").details(self.problems)
    }
}

/// `1500`, `0.5`, `1e3`, `1,500.25`. A comma parts thousands: `0,5` and `0,500` are meant as less than one.
fn decimal(text: &str) -> Option<Decimal> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut places = whole.bytes().rev().enumerate();
    let is_grouped = whole.starts_with(|first| matches!(first, '1'..='9'))
        && places.all(|(place, byte)| if place % 4 == 3 { byte == b',' } else { byte.is_ascii_digit() });
    if fraction.contains(',') || whole.contains(',') && !is_grouped {
        return None;
    }
    let text = text.replace(',', "");
    let number = if text.contains(['e', 'E']) {
        Decimal::from_scientific(&text.to_ascii_lowercase()).ok()?
    } else {
        text.parse().ok()?
    };
    Some(number.round_dp(DECIMALS).normalize())
}

fn action(text: &str) -> Option<Action> {
    Some(match plain(text).as_str() {
        "buy" => Action::Buy,
        "sell" => Action::Sell,
        "long" | "longentry" | "enterlong" | "entrylong" | "buylong" => Action::Long,
        "short" | "shortentry" | "entershort" | "entryshort" | "sellshort" => Action::Short,
        "exit" | "close" | "flat" | "closeposition" | "longexit" | "shortexit" | "exitlong" | "exitshort"
        | "closelong" | "closeshort" => Action::Exit,
        _ => return None,
    })
}

fn market_position(text: &str) -> Option<MarketPosition> {
    Some(match plain(text).as_str() {
        "long" | "buy" => MarketPosition::Long,
        "short" | "sell" => MarketPosition::Short,
        "flat" => MarketPosition::Flat,
        _ => return None,
    })
}

fn order_type(text: &str) -> Option<OrderType> {
    Some(match plain(text).as_str() {
        "market" | "mkt" => OrderType::Market,
        "limit" | "lmt" => OrderType::Limit,
        "stop" | "stopmarket" => OrderType::Stop,
        "stoplimit" => OrderType::StopLimit,
        "trailingstop" | "trailing" => OrderType::TrailingStop,
        _ => return None,
    })
}

fn time_in_force(text: &str) -> Option<TimeInForce> {
    Some(match plain(text).as_str() {
        "day" => TimeInForce::Day,
        "gtc" => TimeInForce::Gtc,
        "ioc" => TimeInForce::Ioc,
        "fok" => TimeInForce::Fok,
        _ => return None,
    })
}

fn moment(text: &str) -> Option<OffsetDateTime> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Some(time);
    }
    let number: i64 = text.parse().ok()?;
    // In seconds, the year 5138; in milliseconds, 1973.
    let seconds = if number > 100_000_000_000 { number / 1000 } else { number };
    OffsetDateTime::from_unix_timestamp(seconds).ok().filter(|time| time.year() > 1999)
}
