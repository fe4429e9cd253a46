//! What order an alert becomes, or why it becomes none. Pure: the account, the positions, the limits
//! and the day so far come in as arguments, a decision with its reasons comes out.
//!
//! | question | file |
//! |---|---|
//! | what is traded, and by which rules | `symbol` |
//! | what does the alert want: open, close or turn around | `signal` |
//! | how much | `size` |
//! | at which price, in which increments | `price` |
//! | with which stop loss and take profit | `bracket` |
//! | may it | `risk` |
//! | all of it together | `decide` |
//!
//! Money and quantities are decimals; there is no floating point number in this crate.
#![forbid(unsafe_code)]

mod bracket;
mod decide;
mod order;
mod price;
mod risk;
mod signal;
mod size;
mod state;
mod symbol;

pub use bracket::Bracket;
pub use decide::{Decision, Outcome, decide};
pub use order::{Intent, Order, OrderType, Side, TimeInForce, Trail};
pub use price::{round_limit, round_price};
pub use risk::{Code, Refusal};
pub use rust_decimal::Decimal;
pub use signal::{Action, MarketPosition, Signal, Wanted, wanted};
pub use size::Sizing;
pub use state::{Account, Limits, Position, Settings, Situation, Usage};
pub use symbol::{AssetClass, Symbol};
