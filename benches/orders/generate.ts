// Alerts and situations by chance, the same each time: of each kind of order, in every standing, within and
// beyond every limit.

/** xorshift: from 0 to 1. */
function chance(): () => number {
  let state = 42;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** So many cases, numbers as texts. */
export function cases(count: number): unknown[] {
  const next = chance();
  const one = <T>(...from: T[]): T => from[Math.floor(next() * from.length)];
  const maybe = <T>(share: number, value: T): T | undefined => next() < share ? value : undefined;
  /** Without zeros at the end, which one of the two would keep in its words. */
  const number = (most: number, digits: number) => `${Number((next() * most + 0.01).toFixed(digits))}`;
  const around = (price: string, share: number) =>
    `${Number((Number(price) * (1 + (next() - 0.5) * share)).toFixed(3))}`;
  return Array.from({ length: count }, () => {
    const price = number(one(0.9, 40, 400), one(2, 4));
    const symbol = next() < 0.75
      ? { name: one("AAPL", "MSFT", "BRK.B"), class: "us_equity" }
      : next() < 0.9
      ? { name: one("BTC/USD", "ETH/USD"), class: "crypto" }
      : { name: "EURUSD", class: "forex" };
    const order_type = one(
      "market",
      "market",
      "limit",
      "stop",
      "stop_limit",
      "trailing_stop",
    );
    return {
      signal: {
        symbol,
        action: one("buy", "buy", "sell", "long", "short", "exit"),
        market_position: maybe(0.3, one("long", "short", "flat")),
        order_type,
        quantity: maybe(0.7, number(one(5, 500), one(0, 0, 3))),
        price: maybe(0.9, price),
        limit_price: maybe(0.6, around(price, 0.1)),
        stop_price: maybe(0.7, around(price, 0.1)),
        stop_loss: maybe(0.3, around(price, 0.3)),
        take_profit: maybe(0.3, around(price, 0.3)),
        trail: maybe(
          0.8,
          next() < 0.5 ? { price: number(5, 2) } : { percent: number(5, 1) },
        ),
        time_in_force: maybe(0.4, one("day", "gtc", "ioc", "fok")),
      },
      account: {
        equity: number(200_000, 2),
        last_equity: number(200_000, 2),
        buying_power: number(400_000, 2),
        blocked: next() < 0.02,
        shorting_enabled: next() < 0.7,
      },
      position: {
        quantity: next() < 0.5 ? "0" : `${one("", "-")}${number(300, one(0, 0, 3))}`,
        last_price: maybe(0.8, around(price, 0.05)),
      },
      limits: {
        kill_switch: next() < 0.02,
        allowed_symbols: maybe(0.3, ["aapl", "BTC/USD", "MSFT"]),
        max_order_notional: maybe(0.3, number(50_000, 0)),
        max_position_notional: maybe(0.3, number(100_000, 0)),
        max_orders_per_day: maybe(0.3, Math.floor(next() * 20)),
        max_daily_loss: maybe(0.3, number(50_000, 0)),
        cooldown_seconds: maybe(0.3, Math.floor(next() * 120)),
      },
      usage: {
        orders_today: Math.floor(next() * 20),
        seconds_since_last: maybe(0.5, Math.floor(next() * 200)),
        open_notional: one("0", number(10_000, 2)),
      },
      settings: {
        sizing: one("fixed", "percentage", "risk"),
        size_value: number(one(2, 10), 1),
        default_quantity: number(10, 0),
      },
    };
  });
}
