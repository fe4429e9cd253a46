//! `order-engine` behind plain functions, without any glue: the caller writes JSON where `input` says, calls
//! one of the stages with its length, and reads what came of it where `output` says. Native code and wasm
//! have the same functions, so that `benches/orders/orders.ts` times both alike.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ironferry_json::{from_json, to_json};
use order_engine::{
    Account, Decision, Limits, Outcome, Position, Settings, Signal, Situation, Usage, decide,
};
use serde::Deserialize;

/// An alert and the situation that it comes into.
#[derive(Deserialize)]
struct Case {
    signal: Signal,
    account: Account,
    position: Position,
    limits: Limits,
    usage: Usage,
    settings: Settings,
}

/// The memory that the caller shares, and the cases that it loaded.
struct Shared {
    input: Vec<u8>,
    output: Vec<u8>,
    cases: Vec<Case>,
}

static SHARED: Mutex<Shared> =
    Mutex::new(Shared { input: Vec::new(), output: Vec::new(), cases: Vec::new() });

fn shared() -> MutexGuard<'static, Shared> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn decided(case: &Case) -> Decision {
    let Case { signal, account, position, limits, usage, settings } = case;
    decide(signal, &Situation { account, position: *position, limits, usage, settings })
}

/// Where JSON of up to `length` bytes is to be written. Moves the memory when it is too small.
#[unsafe(no_mangle)]
pub extern "C" fn input(length: usize) -> *mut u8 {
    let input = &mut shared().input;
    if input.len() < length {
        input.resize(length, 0);
    }
    input.as_mut_ptr()
}

/// Where the last decision stands.
#[unsafe(no_mangle)]
pub extern "C" fn output() -> *const u8 {
    shared().output.as_ptr()
}

/// Reads an array of cases, to be decided by `decide_all`. Gives their number.
#[unsafe(no_mangle)]
pub extern "C" fn load(length: usize) -> usize {
    let shared = &mut *shared();
    shared.cases = from_json(&shared.input[..length]).unwrap_or_default();
    shared.cases.len()
}

/// Decides all cases that were loaded. Gives the number of orders, and the reasons against the others.
#[unsafe(no_mangle)]
pub extern "C" fn decide_all() -> usize {
    let count = |case| match decided(case).outcome {
        Outcome::Place(_) => 1,
        Outcome::Refuse(refusals) => refusals.len(),
    };
    shared().cases.iter().map(count).sum()
}

/// Reads one case, decides it, and writes the decision as JSON. Gives its length; it stands at `output`.
#[unsafe(no_mangle)]
pub extern "C" fn decide_one(length: usize) -> usize {
    let Shared { input, output, .. } = &mut *shared();
    let decision = from_json::<Case>(&input[..length]).and_then(|case| to_json(&decided(&case)));
    *output = decision.unwrap_or_default().into_bytes();
    output.len()
}
