// What order an alert becomes, in TypeScript with decimal.js: the same rules as crates/order-engine, as one
// would write them with plain objects and a library for decimals.

import { Decimal } from "decimal.js";
import type { Case, OrderType, Side, Signal, Trail } from "./case.ts";

// As many digits as the other one has.
Decimal.set({ precision: 28 });

interface Bracket {
  stop_loss?: Decimal;
  take_profit?: Decimal;
}

interface Order {
  symbol: Signal["symbol"];
  side: Side;
  quantity: Decimal;
  order_type: OrderType;
  limit_price?: Decimal;
  stop_price?: Decimal;
  trail?: Trail;
  time_in_force: NonNullable<Signal["time_in_force"]>;
  bracket?: Bracket;
  intent: "entry" | "exit" | "turn";
  reference_price?: Decimal;
}

interface Reason {
  code: string;
  message: string;
}

export interface Decision {
  outcome: { place: Order } | { refuse: Reason[] };
  reasons: string[];
}

/** Ends a decision. */
class Refusal extends Error {
  constructor(readonly code: string, message: string) {
    super(message);
  }
}

const CENT = new Decimal("0.01");

export function decide(given: Case): Decision {
  const reasons: string[] = [];
  try {
    const order = draft(given, reasons);
    const refuse = check(order, given);
    return {
      outcome: refuse.length === 0 ? { place: order } : { refuse },
      reasons,
    };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return {
      outcome: { refuse: [{ code: error.code, message: error.message }] },
      reasons,
    };
  }
}

function draft(given: Case, reasons: string[]): Order {
  const { signal, account, limits, position } = given;
  if (limits.kill_switch) {
    throw new Refusal("KILL_SWITCH", "the kill switch is on");
  }
  if (account.blocked) {
    throw new Refusal("ACCOUNT_BLOCKED", "the account is blocked for trading");
  }
  if (signal.symbol.class === "forex") {
    throw new Refusal(
      "FOREX_NOT_TRADED",
      "the broker does not trade currency pairs",
    );
  }
  const want = wanted(signal, position.quantity);
  switch (want.kind) {
    case "entry":
      return entry(given, want.side, reasons);
    case "exit":
      return exit(given, want.side, want.whole, reasons);
    case "turn":
      reasons.push("the opposite position is closed first");
      return {
        ...market(given, want.side, position.quantity.abs()),
        intent: "turn",
      };
  }
}

type Wanted = { kind: "entry" | "turn"; side: Side } | {
  kind: "exit";
  side: Side;
  whole: boolean;
};

function wanted({ action, market_position }: Signal, held: Decimal): Wanted {
  const isShort = held.isNegative() && !held.isZero();
  const closes: Side = isShort ? "buy" : "sell";
  const open = (side: Side): Wanted => ({
    kind: !held.isZero() && closes === side ? "turn" : "entry",
    side,
  });
  const close = (side: Side, whole: boolean): Wanted => {
    if (held.isZero() || closes !== side) {
      throw new Refusal(
        "NOTHING_TO_EXIT",
        "there is no position to close; to sell short, send market_position short",
      );
    }
    return { kind: "exit", side, whole };
  };
  const opens = action === "long" || action === "short";
  if (opens && market_position && market_position !== action) {
    throw new Refusal(
      "CONTRADICTION",
      "action and market_position contradict each other",
    );
  }
  if (market_position === "flat" || (action === "exit" && !market_position)) {
    return close(closes, true);
  }
  if (action === "exit") return close(closes, false);
  if (action === "long" || (action === "buy" && market_position === "long")) {
    return open("buy");
  }
  if (
    action === "short" || (action === "sell" && market_position === "short")
  ) return open("sell");
  if (action === "buy" && !market_position && !isShort) {
    return { kind: "entry", side: "buy" };
  }
  return close(action === "buy" ? "buy" : "sell", false);
}

function entry(given: Case, side: Side, reasons: string[]): Order {
  const { signal, position } = given;
  const kind = signal.symbol.class;
  const prices = pricesOf(signal, side);
  const reference = prices.limit_price ?? prices.stop_price ?? signal.price ??
    position.last_price;
  const legs = bracket(signal, side, reference);
  const hasBracket = legs.stop_loss !== undefined ||
    legs.take_profit !== undefined;
  const [wished, how] = size(given, reference);
  reasons.push(how);
  const divisible = kind === "crypto" ||
    (signal.order_type === "market" && side === "buy" && !hasBracket &&
      (signal.time_in_force === undefined || signal.time_in_force === "day"));
  const quantity = roundQuantity(wished, divisible);
  if (quantity.lte(0)) {
    const what = divisible ? "nothing" : "not one whole share";
    throw new Refusal(
      "QUANTITY_TOO_SMALL",
      `of ${wished} ${what} is left to order`,
    );
  }
  if (!quantity.eq(wished)) {
    reasons.push(`quantity ${wished} cut to ${quantity}`);
  }
  return {
    symbol: signal.symbol,
    side,
    quantity,
    order_type: signal.order_type,
    ...prices,
    time_in_force: timeInForce(signal, hasBracket),
    bracket: hasBracket ? legs : undefined,
    intent: "entry",
    reference_price: reference,
  };
}

function exit(
  given: Case,
  side: Side,
  whole: boolean,
  reasons: string[],
): Order {
  const { signal, position } = given;
  const held = position.quantity.abs();
  const wished = whole ? held : Decimal.min(signal.quantity ?? held, held);
  const all = wished.eq(held);
  const isCrypto = signal.symbol.class === "crypto";
  const quantity = roundQuantity(
    wished,
    isCrypto || all || signal.order_type === "market",
  );
  if (quantity.lte(0)) {
    throw new Refusal(
      "QUANTITY_TOO_SMALL",
      `of ${wished} nothing is left to order`,
    );
  }
  reasons.push(all ? `closes all of ${held}` : `closes ${quantity} of ${held}`);
  const isFraction = signal.symbol.class === "us_equity" &&
    !quantity.isInteger();
  const simple = market(given, side, quantity);
  if (whole || isFraction || signal.order_type === "market") return simple;
  return {
    ...simple,
    order_type: signal.order_type,
    ...pricesOf(signal, side),
    time_in_force: timeInForce(signal, false),
  };
}

function market(
  { signal, position }: Case,
  side: Side,
  quantity: Decimal,
): Order {
  return {
    symbol: signal.symbol,
    side,
    quantity,
    order_type: "market",
    time_in_force: signal.symbol.class === "crypto" ? "gtc" : "day",
    intent: "exit",
    reference_price: signal.price ?? position.last_price,
  };
}

function pricesOf(
  signal: Signal,
  side: Side,
): Pick<Order, "limit_price" | "stop_price" | "trail"> {
  const isCrypto = signal.symbol.class === "crypto";
  const invalid = (message: string) => new Refusal("ORDER_TYPE_INVALID", message);
  const limit = () => {
    const price = signal.limit_price ?? signal.price;
    if (price === undefined) throw invalid("the order needs a limit price");
    const mode = side === "buy" ? Decimal.ROUND_DOWN : Decimal.ROUND_UP;
    const rounded = price.toDecimalPlaces(decimals(signal, price), mode);
    if (rounded.isZero()) {
      throw invalid("the limit price is below the smallest increment");
    }
    return rounded;
  };
  const stop = (fallback?: Decimal) => {
    const price = signal.stop_price ?? fallback;
    if (price === undefined) throw invalid("the order needs a stop price");
    const rounded = roundPrice(signal, price);
    if (rounded.isZero()) {
      throw invalid("the stop price is below the smallest increment");
    }
    return rounded;
  };
  switch (signal.order_type) {
    case "market":
      return {};
    case "limit":
      return { limit_price: limit() };
    case "stop":
      if (isCrypto) throw invalid("coins take no stop orders, but stop-limit");
      return { stop_price: stop(signal.price) };
    case "stop_limit":
      return { limit_price: limit(), stop_price: stop() };
    case "trailing_stop":
      if (isCrypto) throw invalid("coins take no trailing stops");
      if (!signal.trail) {
        throw invalid("a trailing stop needs trail_percent or trail_price");
      }
      return { trail: signal.trail };
  }
}

function decimals(signal: Signal, price: Decimal): number {
  if (signal.symbol.class === "crypto") return 9;
  return price.gte(1) ? 2 : 4;
}

const roundPrice = (signal: Signal, price: Decimal) =>
  price.toDecimalPlaces(decimals(signal, price), Decimal.ROUND_HALF_UP);
const roundQuantity = (quantity: Decimal, divisible: boolean) =>
  quantity.toDecimalPlaces(divisible ? 9 : 0, Decimal.ROUND_DOWN);

function timeInForce(
  signal: Signal,
  hasBracket: boolean,
): Order["time_in_force"] {
  const asked = signal.time_in_force;
  if (signal.symbol.class === "crypto") {
    if (asked === "ioc") return "ioc";
    if (asked === "fok") {
      throw new Refusal("ORDER_TYPE_INVALID", "coins take gtc and ioc only");
    }
    return "gtc";
  }
  const isShortLived = asked === "ioc" || asked === "fok";
  if (isShortLived && (hasBracket || signal.order_type === "trailing_stop")) {
    throw new Refusal(
      "ORDER_TYPE_INVALID",
      "brackets and trailing stops take day and gtc only",
    );
  }
  return asked ?? "day";
}

function bracket(signal: Signal, side: Side, price?: Decimal): Bracket {
  const wrong = (message: string) => new Refusal("BRACKET_INVALID", message);
  const stop = signal.stop_loss && roundPrice(signal, signal.stop_loss);
  const target = signal.take_profit && roundPrice(signal, signal.take_profit);
  if (!stop && !target) return {};
  if (signal.symbol.class === "crypto") {
    throw wrong(
      "the broker takes no stop loss or take profit with an order for coins",
    );
  }
  if (stop?.isZero() || target?.isZero()) {
    throw wrong("a leg's price is below the smallest increment");
  }
  const below = (a: Decimal, b: Decimal) => side === "buy" ? a.plus(CENT).lte(b) : a.gte(b.plus(CENT));
  const [low, high] = side === "buy" ? ["below", "above"] : ["above", "below"];
  if (stop && target && !below(stop, target)) {
    throw wrong(
      `the stop loss ${stop} must be ${low} the take profit ${target}`,
    );
  }
  if (price && stop && !below(stop, price)) {
    throw wrong(`the stop loss ${stop} must be ${low} the price ${price}`);
  }
  if (price && target && !below(price, target)) {
    throw wrong(`the take profit ${target} must be ${high} the price ${price}`);
  }
  return { stop_loss: stop, take_profit: target };
}

function size(
  { signal, settings, account }: Case,
  price?: Decimal,
): [Decimal, string] {
  const { size_value, default_quantity } = settings;
  if (settings.sizing === "fixed") {
    if (signal.quantity) {
      return [signal.quantity, `quantity ${signal.quantity} from the alert`];
    }
    const quantity = default_quantity.times(size_value);
    return [quantity, `fixed quantity ${quantity}`];
  }
  if (!price) throw unknownPrice(`sizing by ${settings.sizing}`);
  const money = account.equity.times(size_value).div(100);
  if (settings.sizing === "percentage") {
    return [
      money.div(price),
      `${size_value} % of equity ${account.equity} at ${price}`,
    ];
  }
  if (!signal.stop_loss) {
    throw new Refusal(
      "SIZE_UNKNOWN",
      "sizing by risk needs a stop_loss in the alert",
    );
  }
  const distance = price.minus(signal.stop_loss).abs();
  if (distance.isZero()) {
    throw new Refusal("SIZE_UNKNOWN", "the stop loss is at the price itself");
  }
  const how = `${size_value} % of equity ${account.equity} at risk over ${distance} a share`;
  return [money.div(distance), how];
}

function unknownPrice(what: string): Refusal {
  return new Refusal(
    "PRICE_UNKNOWN",
    `${what} needs a price, and neither the alert nor the position has one`,
  );
}

/** All that speaks against an order. */
function check(
  order: Order,
  { account, limits, usage, position }: Case,
): Reason[] {
  const refusals: Reason[] = [];
  if (order.intent !== "entry") return refusals;
  const refuse = (code: string, message: string) => refusals.push({ code, message });
  const { name } = order.symbol;
  if (
    limits.allowed_symbols &&
    !limits.allowed_symbols.some((one) => one.toUpperCase() === name.toUpperCase())
  ) {
    refuse("SYMBOL_NOT_ALLOWED", `${name} is not among the allowed symbols`);
  }
  if (order.side === "sell") {
    if (order.symbol.class === "crypto") {
      refuse("CRYPTO_SHORT", "coins cannot be sold short");
    } else if (!account.shorting_enabled) {
      refuse("SHORT_NOT_ALLOWED", "the account may not sell short");
    }
  }
  const most = limits.max_orders_per_day;
  if (most !== undefined && usage.orders_today >= most) {
    refuse(
      "MAX_ORDERS_PER_DAY",
      `${usage.orders_today} of ${most} orders a day are placed`,
    );
  }
  if (limits.max_daily_loss) {
    const lost = account.last_equity.minus(account.equity);
    if (lost.gte(limits.max_daily_loss)) {
      refuse("DAILY_LOSS", `${lost} of ${limits.max_daily_loss} a day is lost`);
    }
  }
  const [wait, since] = [limits.cooldown_seconds, usage.seconds_since_last];
  if (wait !== undefined && since !== undefined && since < wait) {
    refuse(
      "COOLDOWN",
      `the last order in ${name} was ${since} s ago, ${wait} s must lie between`,
    );
  }
  if (!order.reference_price) {
    if (limits.max_order_notional || limits.max_position_notional) {
      const { code, message } = unknownPrice("a limit on money");
      refuse(code, message);
    }
    return refusals;
  }
  const notional = order.quantity.times(order.reference_price);
  if (limits.max_order_notional && notional.gt(limits.max_order_notional)) {
    refuse(
      "MAX_ORDER_NOTIONAL",
      `the order is worth ${notional}, ${limits.max_order_notional} is the most`,
    );
  }
  if (limits.max_position_notional) {
    if (!position.quantity.isZero() && !position.last_price) {
      refuse("PRICE_UNKNOWN", "what the position is worth is not known");
    } else {
      const held = position.quantity.abs().times(position.last_price ?? 0);
      const total = held.plus(usage.open_notional).plus(notional);
      if (total.gt(limits.max_position_notional)) {
        refuse(
          "MAX_POSITION",
          `the position would be worth ${total}, ${limits.max_position_notional} is the most`,
        );
      }
    }
  }
  if (notional.gt(account.buying_power)) {
    refuse(
      "BUYING_POWER",
      `the order is worth ${notional}, the buying power is ${account.buying_power}`,
    );
  }
  return refusals;
}
