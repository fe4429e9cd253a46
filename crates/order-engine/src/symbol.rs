//! What is traded: TradingView's names in the broker's spelling.

use serde::{Deserialize, Serialize};

/// What kind of thing it is: each has rules of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssetClass {
    /// US stocks and funds: whole shares, or fractions of them in simple day orders.
    UsEquity,
    /// Coins, in fractions, around the clock, never short.
    Crypto,
    /// Currency pairs, which the broker does not trade.
    Forex,
}

/// A symbol in the broker's spelling: `AAPL`, `BRK.B`, `BTC/USD`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symbol {
    /// The spelling.
    pub name: String,
    /// The kind.
    pub class: AssetClass,
}

/// No exchange that TradingView knows has longer ones.
const LONGEST: usize = 24;

const CRYPTO_EXCHANGES: [&str; 15] = [
    "BINANCE",
    "BINANCEUS",
    "BITFINEX",
    "BITSTAMP",
    "BYBIT",
    "COINBASE",
    "CRYPTO",
    "CRYPTOCOM",
    "GATEIO",
    "GEMINI",
    "HTX",
    "KRAKEN",
    "KUCOIN",
    "MEXC",
    "OKX",
];
const FOREX_EXCHANGES: [&str; 6] = ["FOREXCOM", "FX", "FX_IDC", "OANDA", "PEPPERSTONE", "SAXO"];
/// The coins that Alpaca trades. A ticker without an exchange is taken for a coin only by this list.
const COINS: [&str; 24] = [
    "AAVE", "AVAX", "BAT", "BCH", "BTC", "CRV", "DOGE", "DOT", "ETH", "GRT", "LINK", "LTC", "MKR", "PEPE",
    "SHIB", "SOL", "SUSHI", "TRUMP", "UNI", "USDC", "USDT", "XRP", "XTZ", "YFI",
];
/// What coins are paid in, the longer ones first.
const QUOTES: [&str; 4] = ["USDT", "USDC", "USD", "BTC"];
const CURRENCIES: [&str; 10] = ["AUD", "CAD", "CHF", "CNH", "EUR", "GBP", "JPY", "NZD", "SEK", "USD"];

impl Symbol {
    /// Reads `AAPL`, `NASDAQ:AAPL`, `BTC/USD`, `BTCUSD`, `COINBASE:BTCUSD`; the exchange may come on its
    /// own instead. `None` when it is no symbol.
    pub fn parse(text: &str, exchange: Option<&str>) -> Option<Self> {
        let text = text.trim().to_ascii_uppercase();
        let (prefix, name) = match text.split_once(':') {
            Some((prefix, name)) => (Some(prefix), name),
            None => (None, text.as_str()),
        };
        let exchange =
            prefix.map(str::to_owned).or_else(|| exchange.map(|one| one.trim().to_ascii_uppercase()));
        let exchange = exchange.as_deref().unwrap_or("");
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/' | b'-');
        let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if !begins || name.len() > LONGEST || !name.bytes().all(fits) {
            return None;
        }
        let class = classify(name, exchange);
        let name = if class == AssetClass::Crypto { pair(name) } else { name.to_owned() };
        Some(Self { name, class })
    }
}

fn classify(name: &str, exchange: &str) -> AssetClass {
    if FOREX_EXCHANGES.contains(&exchange) {
        return AssetClass::Forex;
    }
    if CRYPTO_EXCHANGES.contains(&exchange) {
        return AssetClass::Crypto;
    }
    let (base, quote) = split(name);
    match quote {
        Some(quote) if COINS.contains(&base) && QUOTES.contains(&quote) => AssetClass::Crypto,
        Some(quote) if CURRENCIES.contains(&base) && CURRENCIES.contains(&quote) => AssetClass::Forex,
        Some(_) if name.contains('/') => AssetClass::Crypto,
        _ => AssetClass::UsEquity,
    }
}

/// The two halves of a pair; no second one where it is none.
fn split(name: &str) -> (&str, Option<&str>) {
    if let Some((base, quote)) = name.split_once('/') {
        return (base, Some(quote));
    }
    let ends = QUOTES.iter().chain(&CURRENCIES).find_map(|quote| {
        let base = name.strip_suffix(quote)?;
        (COINS.contains(&base) || CURRENCIES.contains(&base)).then_some((base, Some(*quote)))
    });
    ends.unwrap_or((name, None))
}

fn pair(name: &str) -> String {
    if name.contains('/') {
        return name.to_owned();
    }
    let halves = QUOTES.iter().find_map(|quote| {
        let base = name.strip_suffix(quote).filter(|base| !base.is_empty())?;
        Some(format!("{base}/{quote}"))
    });
    halves.unwrap_or_else(|| format!("{name}/USD"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_take_the_brokers_spelling() {
        use AssetClass::{Crypto, Forex, UsEquity};
        for (text, exchange, name, class) in [
            ("AAPL", None, "AAPL", UsEquity),
            (" nasdaq:aapl ", None, "AAPL", UsEquity),
            ("BRK.B", Some("NYSE"), "BRK.B", UsEquity),
            ("BTCUSD", None, "BTC/USD", Crypto),
            ("btc/usd", None, "BTC/USD", Crypto),
            ("COINBASE:ETHUSDT", None, "ETH/USDT", Crypto),
            ("LTCBTC", None, "LTC/BTC", Crypto),
            ("BTC", Some("CRYPTO"), "BTC/USD", Crypto),
            // A share whose name ends like a currency.
            ("FUSD", None, "FUSD", UsEquity),
            ("EURUSD", None, "EURUSD", Forex),
            ("FX:GBPJPY", None, "GBPJPY", Forex),
            ("XAUUSD", Some("OANDA"), "XAUUSD", Forex),
        ] {
            let symbol = Symbol::parse(text, exchange).expect(text);
            assert_eq!((symbol.name.as_str(), symbol.class), (name, class), "{text}");
        }
        for text in
            ["", ":", "NASDAQ:", "{{ticker}}", "AA PL", "A'B", "/USD", "AVERYLONGNAMETHATNOBODYHASANYWHERE"]
        {
            assert_eq!(Symbol::parse(text, None), None, "{text}");
        }
    }
}
