//! The boundary between a module and its Deno shim: the only file that knows wasm-bindgen.
//!
//! Exports are synchronous. `begin` takes a request in, `resume` takes in the outcome of an
//! effect; both poll what became ready. In between, futures ask [`Shim`] for effects, each with a
//! number under which its outcome comes back. Bodies cross as bytes, heads as lines of text, and no
//! JavaScript object is wrapped on the way of a request. What nearly every head holds crosses by its
//! place ([`HEADERS`]) or as a flag ([`write_reply`]).

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_TYPE, ORIGIN,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
#[doc(hidden)]
pub use wasm_bindgen;
use wasm_bindgen::prelude::*;

use crate::app::{Handler, X_REQUEST_ID, answer};
use crate::auth::{APIKEY, X_SERVICE_KEY};
use crate::executor::{Executor, RequestId, Role};
use crate::host::{Address, Connection, FetchOptions, FileOperation, Future, Host, HostError, Signature};
use crate::response::CONTENT_TYPES;
use crate::{Response, Secrets};

#[wasm_bindgen]
extern "C" {
    /// `supabase/functions/_shared/effects.ts`. No method throws; each takes the number of its
    /// effect first, and the outcome comes back through [`resume`].
    pub type Shim;

    #[wasm_bindgen(method)]
    fn fetch(
        this: &Shim,
        effect: u32,
        head: &str,
        body: &[u8],
        timeout_ms: f64,
        max_body: f64,
        follow: bool,
        heads: bool,
    );
    #[wasm_bindgen(method)]
    fn sleep(this: &Shim, effect: u32, ms: f64);
    #[wasm_bindgen(method)]
    fn file(this: &Shim, effect: u32, operation: &str, path: &str, body: &[u8]);
    #[wasm_bindgen(method)]
    fn connect(this: &Shim, effect: u32, host: &str, port: u16, tls: bool, ca: &str);
    #[wasm_bindgen(method)]
    fn read(this: &Shim, effect: u32, socket: u32);
    #[wasm_bindgen(method)]
    fn write(this: &Shim, effect: u32, socket: u32, body: &[u8]);
    #[wasm_bindgen(method)]
    fn close(this: &Shim, socket: u32);
    #[wasm_bindgen(method)]
    fn verify(this: &Shim, effect: u32, algorithm: &str, jwk: &str, message: &[u8], signature: &[u8]);
    #[wasm_bindgen(method)]
    fn cancel(this: &Shim, effect: u32);
    #[wasm_bindgen(method)]
    fn respond(this: &Shim, request: RequestId, status: u16, flags: u32, head: Option<&str>, body: &[u8]);
    #[wasm_bindgen(method)]
    fn done(this: &Shim, request: RequestId);
    #[wasm_bindgen(method)]
    fn panicked(this: &Shim, message: &str);
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
}

/// What one instance holds.
#[derive(Default)]
struct Instance {
    executor: Executor,
    handler: RefCell<Option<Handler>>,
    shim: RefCell<Option<Rc<Shim>>>,
    secrets: RefCell<Rc<Secrets>>,
    /// Those under way; a few hundred at the most.
    effects: RefCell<Vec<Slot>>,
    next_effect: Cell<u32>,
}

struct Slot {
    effect: u32,
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

/// What the shim reports of an effect.
struct Outcome {
    /// The HTTP status, 1 for any other success, 0 for a failure.
    status: u16,
    /// Response headers as lines, or what failed.
    head: String,
    body: Vec<u8>,
}

thread_local! {
    static INSTANCE: Instance = Instance::default();
}

/// Called by `export!` when the module is instantiated.
#[doc(hidden)]
pub fn register(handler: Handler) {
    INSTANCE.with(|instance| instance.handler.replace(Some(handler)));
}

/// Hands over the declared secrets, an object of strings, and the shim. Called once.
#[wasm_bindgen]
pub fn start(secrets: &JsValue, shim: Shim) {
    let shim = Rc::new(shim);
    // The message must leave before the trap: it is all that will be known of it.
    std::panic::set_hook(Box::new(|panic| {
        INSTANCE.with(|instance| {
            if let Ok(Some(shim)) = instance.shim.try_borrow().as_deref() {
                shim.panicked(&panic.to_string());
            }
        });
    }));
    let entries = js_sys::Object::entries(secrets.unchecked_ref());
    let secrets = entries.iter().filter_map(|entry| {
        let entry: js_sys::Array = entry.unchecked_into();
        Some((entry.get(0).as_string()?, entry.get(1).as_string()?))
    });
    INSTANCE.with(|instance| {
        instance.secrets.replace(Rc::new(Secrets::new(secrets)));
        instance.shim.replace(Some(shim));
    });
}

/// Takes a request in. The head's first line is `METHOD url`, then comes one for each of [`HEADERS`],
/// empty where the request has it not, then `name: value` lines.
#[wasm_bindgen]
pub fn begin(request: RequestId, head: String, body: Vec<u8>) {
    INSTANCE.with(|instance| {
        let host = instance.host(request);
        let Some(handler) = instance.handler.borrow().clone() else {
            return;
        };
        match read_request(head, body) {
            Some(incoming) => instance.executor.spawn(
                request,
                Role::Reply,
                Box::pin(async move {
                    let reply = answer(handler, host.clone(), incoming.into()).await;
                    host.respond(&reply);
                }),
            ),
            // Deno has parsed the URL, but the `http` crate accepts a little less.
            None => host.respond(&Response::text(400, "the URL cannot be read")),
        }
        instance.run();
    });
}

/// Takes in the outcome of an effect. One that was dropped meanwhile is ignored.
#[wasm_bindgen]
pub fn resume(effect: u32, status: u16, head: String, body: Vec<u8>) {
    INSTANCE.with(|instance| {
        if let Some(slot) = instance.effects.borrow_mut().iter_mut().find(|slot| slot.effect == effect) {
            slot.outcome = Some(Outcome { status, head, body });
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
        }
        instance.run();
    });
}

/// Polls what is still ready: after a trap, the tasks that stood behind the one that trapped.
#[wasm_bindgen]
pub fn turn() {
    INSTANCE.with(Instance::run);
}

/// The number of the task that was being polled when the instance trapped.
#[wasm_bindgen]
pub fn trapped_task() -> Option<u32> {
    INSTANCE.with(|instance| instance.executor.polled()).map(|(task, _, _)| task)
}

/// Its request.
#[wasm_bindgen]
pub fn trapped_request() -> Option<RequestId> {
    INSTANCE.with(|instance| instance.executor.polled()).map(|(_, request, _)| request)
}

/// Whether it is the request's reply, and not work beside it.
#[wasm_bindgen]
pub fn trapped_reply() -> bool {
    INSTANCE.with(|instance| instance.executor.polled()).is_some_and(|(_, _, reply)| reply)
}

/// What an instance holds at this moment, for whoever looks for a leak. In modules built with the
/// feature `inspect`.
#[cfg(feature = "inspect")]
#[derive(serde::Serialize)]
struct Inspection {
    tasks: usize,
    effects: usize,
    memory_bytes: usize,
}

/// The inspection as an object.
#[cfg(feature = "inspect")]
#[wasm_bindgen]
pub fn inspect() -> JsValue {
    let inspection = INSTANCE.with(|instance| Inspection {
        tasks: instance.executor.task_count(),
        effects: instance.effects.borrow().len(),
        memory_bytes: core::arch::wasm32::memory_size(0) * 65_536,
    });
    serde_wasm_bindgen::to_value(&inspection).unwrap_or(JsValue::NULL)
}

impl Instance {
    fn host(&self, request: RequestId) -> Rc<ShimHost> {
        let shim = self.shim.borrow().clone().expect("the shim calls start before begin");
        Rc::new(ShimHost { request, shim, secrets: self.secrets.borrow().clone() })
    }

    fn run(&self) {
        for request in self.executor.run() {
            if let Some(shim) = &*self.shim.borrow() {
                shim.done(request);
            }
        }
    }
}

/// The host of one request.
struct ShimHost {
    request: RequestId,
    shim: Rc<Shim>,
    secrets: Rc<Secrets>,
}

impl ShimHost {
    fn respond(&self, reply: &Response) {
        let (flags, head) = write_reply(reply.headers());
        let head = (!head.is_empty()).then_some(head.as_str());
        self.shim.respond(self.request, reply.status().as_u16(), flags, head, reply.body());
    }

    /// Starts an effect and gives the future of its outcome.
    fn effect(&self, start: impl FnOnce(&Shim, u32)) -> Effect {
        let id = INSTANCE.with(|instance| {
            let id = instance.next_effect.get();
            instance.next_effect.set(id.wrapping_add(1));
            instance.effects.borrow_mut().push(Slot { effect: id, outcome: None, waker: None });
            id
        });
        start(&self.shim, id);
        Effect { id, shim: self.shim.clone() }
    }
}

struct Effect {
    id: u32,
    shim: Rc<Shim>,
}

impl std::future::Future for Effect {
    type Output = Result<Outcome, HostError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        INSTANCE.with(|instance| {
            let mut effects = instance.effects.borrow_mut();
            let Some(index) = effects.iter().position(|slot| slot.effect == self.id) else {
                return Poll::Ready(Err(HostError::Failed("the effect is over".into())));
            };
            let Some(outcome) = effects[index].outcome.take() else {
                effects[index].waker = Some(cx.waker().clone());
                return Poll::Pending;
            };
            effects.swap_remove(index);
            Poll::Ready(match (outcome.status, outcome.head.as_str()) {
                (0, "timeout") => Err(HostError::Timeout),
                (0, "too large") => Err(HostError::TooLarge),
                (0, "not found") => Err(HostError::NotFound),
                (0, _) => Err(HostError::Failed(outcome.head)),
                _ => Ok(outcome),
            })
        })
    }
}

impl Drop for Effect {
    fn drop(&mut self) {
        let waiting = INSTANCE.with(|instance| {
            let mut effects = instance.effects.borrow_mut();
            let index = effects.iter().position(|slot| slot.effect == self.id)?;
            Some(effects.swap_remove(index))
        });
        if waiting.is_some_and(|slot| slot.outcome.is_none()) {
            self.shim.cancel(self.id);
        }
    }
}

impl Host for ShimHost {
    fn now_ms(&self) -> f64 {
        js_sys::Date::now()
    }

    fn elapsed_ms(&self) -> f64 {
        performance_now()
    }

    fn random(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the runtime has a source of randomness");
    }

    fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    fn log(&self, line: &str) {
        web_sys::console::log_1(&line.into());
    }

    fn fetch(
        &self,
        request: http::Request<Bytes>,
        options: FetchOptions,
    ) -> Future<Result<http::Response<Bytes>, HostError>> {
        let mut head = format!("{} {}\n", request.method(), request.uri());
        head.push_str(&write_headers(request.headers()));
        #[allow(clippy::cast_precision_loss)] // a limit above 2^53 bytes is no limit
        let effect = self.effect(|shim, id| {
            let (timeout, limit) = (millis(options.timeout), options.max_body as f64);
            let (follow, heads) = (options.follow_redirects, options.reply_headers);
            shim.fetch(id, &head, request.body(), timeout, limit, follow, heads);
        });
        Box::pin(async move {
            let outcome = effect.await?;
            let mut reply = http::Response::new(Bytes::from(outcome.body));
            *reply.status_mut() = http::StatusCode::from_u16(outcome.status)
                .map_err(|_| HostError::Failed(format!("status {} does not exist", outcome.status)))?;
            let head = Bytes::from(outcome.head);
            read_headers(lines(&head), &head, reply.headers_mut());
            Ok(reply)
        })
    }

    fn sleep(&self, duration: Duration) -> Future<()> {
        let effect = self.effect(|shim, id| shim.sleep(id, millis(duration)));
        Box::pin(async move {
            let _ = effect.await;
        })
    }

    fn spawn(&self, work: Future<()>, on_lost: Box<dyn FnOnce()>) {
        INSTANCE.with(|instance| instance.executor.spawn(self.request, Role::Beside(on_lost), work));
    }

    fn file(&self, operation: FileOperation) -> Future<Result<Bytes, HostError>> {
        let effect = self.effect(|shim, id| match &operation {
            FileOperation::Read(path) => shim.file(id, "read", path, &[]),
            FileOperation::Write(path, body) => shim.file(id, "write", path, body),
            FileOperation::Remove(path) => shim.file(id, "remove", path, &[]),
            FileOperation::List(path) => shim.file(id, "list", path, &[]),
        });
        Box::pin(async move { Ok(effect.await?.body.into()) })
    }

    fn connect(&self, address: Address) -> Future<Result<Box<dyn Connection>, HostError>> {
        let ca = address.ca.unwrap_or_default();
        let effect = self.effect(|shim, id| shim.connect(id, &address.host, address.port, address.tls, &ca));
        let host = ShimHost { request: self.request, shim: self.shim.clone(), secrets: self.secrets.clone() };
        Box::pin(async move {
            let number = effect.await?.head.parse();
            let number = number.map_err(|_| HostError::Failed("the shim gave no socket".into()))?;
            let socket: Box<dyn Connection> = Box::new(Socket { number, host });
            Ok(socket)
        })
    }

    fn verify(&self, signature: Signature) -> Future<Result<bool, HostError>> {
        let Signature { algorithm, jwk, message, signature } = signature;
        let effect = self.effect(|shim, id| shim.verify(id, &algorithm, &jwk, &message, &signature));
        Box::pin(async move { Ok(effect.await?.head == "true") })
    }
}

struct Socket {
    number: u32,
    host: ShimHost,
}

impl Connection for Socket {
    fn read(&mut self) -> Future<Result<Bytes, HostError>> {
        let effect = self.host.effect(|shim, id| shim.read(id, self.number));
        Box::pin(async move { Ok(effect.await?.body.into()) })
    }

    fn write(&mut self, bytes: Bytes) -> Future<Result<(), HostError>> {
        let effect = self.host.effect(|shim, id| shim.write(id, self.number, &bytes));
        Box::pin(async move { effect.await.map(drop) })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.host.shim.close(self.number);
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// The names that the SDK reads, in the order in which their values cross. `HEADERS` of `serve.ts` is the same.
const HEADERS: [HeaderName; 8] = [
    X_REQUEST_ID,
    AUTHORIZATION,
    APIKEY,
    X_SERVICE_KEY,
    CONTENT_TYPE,
    ACCEPT,
    ORIGIN,
    ACCESS_CONTROL_REQUEST_METHOD,
];

/// What is read shares the memory of the head.
fn read_request(head: String, body: Vec<u8>) -> Option<http::Request<Bytes>> {
    let head = Bytes::from(head);
    let mut lines = lines(&head);
    let first = lines.next()?;
    let space = first.iter().position(|byte| *byte == b' ')?;
    let mut request = http::Request::new(Bytes::from(body));
    *request.method_mut() = Method::from_bytes(&first[..space]).ok()?;
    *request.uri_mut() = Uri::from_maybe_shared(head.slice_ref(&first[space + 1..])).ok()?;
    let headers = request.headers_mut();
    headers.reserve(HEADERS.len());
    for (name, value) in HEADERS.iter().zip(&mut lines).filter(|(_, value)| !value.is_empty()) {
        if let Ok(value) = HeaderValue::from_maybe_shared(head.slice_ref(value)) {
            headers.append(name, value);
        }
    }
    read_headers(lines, &head, headers);
    Some(request)
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|byte| *byte == b'\n')
}

fn read_headers<'a>(lines: impl Iterator<Item = &'a [u8]>, head: &Bytes, headers: &mut HeaderMap) {
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let value = head.slice_ref(&line[(colon + 2).min(line.len())..]);
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_maybe_shared(value))
        {
            headers.append(name, value);
        }
    }
}

/// Any origin may read the reply.
const ANY_ORIGIN: u32 = 1;
/// A content type of [`CONTENT_TYPES`]: its place there, from 1, above the first bit.
const CONTENT_TYPE_SHIFT: u32 = 1;

/// What crosses of a reply's headers: as flags what nearly every reply says, the others as lines. The
/// request's id is not among them, which the shim knows.
fn write_reply(headers: &HeaderMap) -> (u32, String) {
    let (mut flags, mut head) = (0, String::new());
    for (name, value) in headers {
        let Ok(text) = value.to_str() else { continue };
        let known = CONTENT_TYPES.iter().zip(1..).find(|(known, _)| *known == value);
        match known {
            Some((_, place)) if name == CONTENT_TYPE => flags |= place << CONTENT_TYPE_SHIFT,
            _ if name == ACCESS_CONTROL_ALLOW_ORIGIN && text == "*" => flags |= ANY_ORIGIN,
            _ if name == X_REQUEST_ID => {}
            _ => write_header(&mut head, name, text),
        }
    }
    (flags, head)
}

fn write_headers(headers: &HeaderMap) -> String {
    let mut head = String::new();
    for (name, value) in headers {
        if let Ok(text) = value.to_str() {
            write_header(&mut head, name, text);
        }
    }
    head
}

fn write_header(head: &mut String, name: &HeaderName, value: &str) {
    head.push_str(name.as_str());
    head.push_str(": ");
    head.push_str(value);
    head.push('\n');
}
