//! `eva-dts` behind plain functions, without any glue: the caller writes a capture where `input` says,
//! calls one of the stages with its length, and reads what came of it where `output` says. Native code
//! and wasm have the same functions, so that `benches/dex/dex.ts` times both alike.

use std::sync::{Mutex, MutexGuard, PoisonError};

use eva_dts::Report;
use ironferry_json::to_json;
use serde::Serialize;

/// The memory that the caller shares.
struct Shared {
    input: Vec<u8>,
    output: Vec<u8>,
}

static SHARED: Mutex<Shared> = Mutex::new(Shared { input: Vec::new(), output: Vec::new() });

fn shared() -> MutexGuard<'static, Shared> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the collector sends to the database of each capture.
#[derive(Serialize)]
struct Row<'a> {
    raw_content: &'a str,
    crc_status: &'static str,
    has_errors: bool,
    record_count: usize,
    parsed_data: Report,
}

/// Where a capture of up to `length` bytes is to be written. Moves the memory when it is too small.
#[unsafe(no_mangle)]
pub extern "C" fn input(length: usize) -> *mut u8 {
    let input = &mut shared().input;
    if input.len() < length {
        input.resize(length, 0);
    }
    input.as_mut_ptr()
}

/// Where the last row stands.
#[unsafe(no_mangle)]
pub extern "C" fn output() -> *const u8 {
    shared().output.as_ptr()
}

/// Lines, envelope and checksum. Gives the number of segments, the checksum behind the point of it.
#[unsafe(no_mangle)]
pub extern "C" fn check(length: usize) -> u32 {
    let shared = shared();
    eva_dts::parse(&shared.input[..length]).iter().fold(0, |sum, dump| {
        let crc = dump.crc();
        sum + (u32::try_from(dump.segment_count()).unwrap_or(0) << 16) + u32::from(crc.computed.unwrap_or(0))
    })
}

/// All of `check`, and what the elements mean. Gives the number of products. Not called `read`, which
/// is the C library's.
#[unsafe(no_mangle)]
pub extern "C" fn interpret(length: usize) -> u32 {
    let shared = shared();
    let dumps = eva_dts::parse(&shared.input[..length]);
    let products = dumps.last().map_or(0, |dump| dump.reading().products.len());
    u32::try_from(products).unwrap_or(0)
}

/// All of `interpret`, as the row that is stored. Gives its length; it stands at `output`.
#[unsafe(no_mangle)]
pub extern "C" fn prepare(length: usize) -> usize {
    let mut shared = shared();
    let Shared { input, output } = &mut *shared;
    let capture = &input[..length];
    let parsed_data = eva_dts::parse(capture).pop().map(|dump| dump.report()).unwrap_or_default();
    let row = Row {
        raw_content: std::str::from_utf8(capture).unwrap_or_default(),
        crc_status: parsed_data.crc.status.name(),
        has_errors: parsed_data.has_errors(),
        record_count: parsed_data.segments,
        parsed_data,
    };
    *output = to_json(&row).unwrap_or_default().into_bytes();
    output.len()
}
