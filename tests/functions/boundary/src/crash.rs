//! Every way a module can trap.

use std::time::Duration;

use ironferry::{Context, Error, Request, Response, Result};

/// Crashes as `?how=` says.
pub(crate) async fn crash(request: &Request, cx: &Context) -> Result<Response> {
    match request.query("how").as_deref() {
        Some("at-once") => panic!("a panic, on purpose"),
        Some("after-await") => {
            cx.sleep(Duration::from_millis(5)).await;
            panic!("a panic after an await, on purpose");
        }
        Some("bounds") => {
            let bytes = request.body();
            Response::json(200, &bytes[bytes.len() + 7])
        }
        Some("stack") => Response::json(200, &descend(request.path().len() as u64)),
        Some("memory") => {
            let mut kept = Vec::new();
            loop {
                kept.push(vec![1_u8; 16 << 20]);
                std::hint::black_box(&kept);
            }
        }
        _ => Err(Error::bad_request("say how: at-once, after-await, bounds, stack or memory")),
    }
}

/// Endless, and not a tail call.
#[allow(unconditional_recursion)]
fn descend(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    descend(frame[7] + 1) + frame[9]
}
