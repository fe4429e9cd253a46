// An alert and the situation that it comes into, as JSON and as objects with decimals.

import { Decimal } from "decimal.js";

export type Side = "buy" | "sell";
type AssetClass = "us_equity" | "crypto" | "forex";
export type OrderType =
  | "market"
  | "limit"
  | "stop"
  | "stop_limit"
  | "trailing_stop";
export type Trail = { price: Decimal } | { percent: Decimal };

export interface Signal {
  symbol: { name: string; class: AssetClass };
  action: "buy" | "sell" | "long" | "short" | "exit";
  market_position?: "long" | "short" | "flat";
  order_type: OrderType;
  quantity?: Decimal;
  price?: Decimal;
  limit_price?: Decimal;
  stop_price?: Decimal;
  stop_loss?: Decimal;
  take_profit?: Decimal;
  trail?: Trail;
  time_in_force?: "day" | "gtc" | "ioc" | "fok";
}

export interface Case {
  signal: Signal;
  account: {
    equity: Decimal;
    last_equity: Decimal;
    buying_power: Decimal;
    blocked: boolean;
    shorting_enabled: boolean;
  };
  position: { quantity: Decimal; last_price?: Decimal };
  limits: {
    kill_switch: boolean;
    allowed_symbols?: string[];
    max_order_notional?: Decimal;
    max_position_notional?: Decimal;
    max_orders_per_day?: number;
    max_daily_loss?: Decimal;
    cooldown_seconds?: number;
  };
  usage: {
    orders_today: number;
    seconds_since_last?: number;
    open_notional: Decimal;
  };
  settings: {
    sizing: "fixed" | "percentage" | "risk";
    size_value: Decimal;
    default_quantity: Decimal;
  };
}

const decimal = (text?: string) => text === undefined ? undefined : new Decimal(text);

/** The numbers of an object as decimals. */
function numbers<T>(fields: T, names: (keyof T)[]): T {
  const all = { ...fields };
  for (const name of names) {
    all[name] = decimal(fields[name] as string | undefined) as T[keyof T];
  }
  return all;
}

/** Reads a case, its numbers as decimals. */
export function read(json: string): Case {
  return decimals(JSON.parse(json));
}

/** The same of one whose numbers are texts. */
export function decimals(
  { signal, account, position, limits, usage, settings }: Case,
): Case {
  const named = numbers(signal, [
    "quantity",
    "price",
    "limit_price",
    "stop_price",
    "stop_loss",
    "take_profit",
  ]);
  if (named.trail) {
    named.trail = "price" in named.trail
      ? { price: new Decimal(named.trail.price) }
      : { percent: new Decimal(named.trail.percent) };
  }
  return {
    signal: named,
    account: numbers(account, ["equity", "last_equity", "buying_power"]),
    position: numbers(position, ["quantity", "last_price"]),
    limits: numbers(limits, [
      "max_order_notional",
      "max_position_notional",
      "max_daily_loss",
    ]),
    usage: numbers(usage, ["open_notional"]),
    settings: numbers(settings, ["size_value", "default_quantity"]),
  };
}
