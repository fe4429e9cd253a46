//! A function that exercises every path of the boundary between wasm and its shim.
