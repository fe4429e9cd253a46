//! Write [Supabase Edge Functions](https://supabase.com/docs/guides/functions) in Rust.
//!
//! A function is an async handler and one macro. It compiles to WebAssembly; a Deno shim of
//! eight lines loads it and performs what it asks for.
//!
//! ```
//! use ironferry::{Context, Error, Request, Response, Result};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize)]
//! struct Greet { name: String }
//!
//! #[derive(Serialize)]
//! struct Greeting { message: String }
//!
//! async fn handle(request: Request, _cx: Context) -> Result<Response> {
//!     match (request.method().as_str(), request.route()) {
//!         ("POST", "/") => {
//!             let greet: Greet = request.json()?;
//!             Response::json(200, &Greeting { message: format!("Hello {}!", greet.name) })
//!         }
//!         (_, "/") => Err(Error::method_not_allowed("POST")),
//!         _ => Err(Error::not_found()),
//!     }
//! }
//!
//! ironferry::export!(handle);
//!
//! // And its test, native, in milliseconds: nothing of the platform is needed.
//! # #[cfg(feature = "testing")] {
//! use ironferry::testing::App;
//!
//! let app = App::new(handle);
//! let reply = app.post("/hello", r#"{"name": "Ferris"}"#);
//! assert_eq!(reply.json()["message"], "Hello Ferris!");
//! assert_eq!(app.post("/hello", "{}").json()["code"], "INVALID_JSON");
//! # }
//! ```
//!
//! | to | see |
//! |---|---|
//! | read a request, write a reply | [`Request`], [`Response`], [`Error`] |
//! | ask the outside for anything: fetch, time, random, files, sockets, secrets | [`Context`], [`Host`] |
//! | read and write Postgres | [`db`] |
//! | check who calls | [`Context::require_service`], [`Context::require_user`] |
//! | try again | [`Retry`] |
//! | call a URL that a user supplied | [`outbound::guard`] |
//! | encrypt what is stored | [`seal`] |
//! | tell people something | [`outbox`] |
//! | test natively | [`testing`] |
//!
//! A wasm instance has one thread, so nothing here is `Send`.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]
#![warn(missing_docs)]

pub mod app;
mod auth;
mod client;
mod context;
mod cors;
pub mod db;
mod error;
#[cfg(any(target_arch = "wasm32", feature = "testing"))]
mod executor;
pub mod host;
mod log;
pub mod outbound;
pub mod outbox;
mod request;
mod reseal;
mod reserved;
mod response;
mod retry;
pub mod seal;
mod secret;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod wasm;

pub use auth::User;
pub use context::Context;
pub use error::{Error, Kind, Result};
pub use host::{Address, Connection, FetchOptions, FileOperation, Host, HostError};
pub use ironferry_json::{Raw, from_json, to_json};
pub use log::Level;
pub use request::Request;
pub use response::Response;
pub use retry::{Retry, status_error};
pub use secret::{Secret, Secrets};

/// Makes an `async fn(Request, Context) -> Result<Response>` the module's handler.
#[macro_export]
macro_rules! export {
    ($handle:path) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::wasm::wasm_bindgen;
            #[wasm_bindgen::prelude::wasm_bindgen(start, wasm_bindgen = $crate::wasm::wasm_bindgen)]
            pub fn ironferry_register() {
                $crate::wasm::register($crate::app::handler($handle));
            }
        };
    };
}
