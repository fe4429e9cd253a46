//! The project's address: `/rest/v1` and `/functions/v1` with the hosted gateway's rules.

mod access;
mod forward;
mod relay;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::HeaderName;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::keys::Keys;
use super::limits::{Active, Reason, Traffic};
use super::logs::Log;
use super::process::Life;
use access::Refusal;
use relay::Relay;

type Reply = Response<Either<Relay, Full<Bytes>>>;

/// The header in which the hosted gateway repeats the code of an error.
const ERROR_CODE: HeaderName = HeaderName::from_static("sb-error-code");

/// The methods with which the hosted platform calls a function.
const METHODS: [Method; 6] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// The hosted gateway gives up after that long without a reply.
pub(crate) const IDLE: Duration = Duration::from_secs(150);
/// How long a request waits for a worker, as on the hosted platform.
const BOOT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long the death of a process stays unnoticed at most, on a busy machine.
const DEATH: Duration = Duration::from_secs(2);

/// Where one function is.
pub(crate) struct Route {
    pub(crate) port: u16,
    pub(crate) verify_jwt: bool,
    /// None while the function is stopped.
    pub(crate) life: Option<watch::Receiver<Life>>,
    pub(crate) traffic: Arc<Traffic>,
    /// The worker of before, while it gets every other request, as during a change on the hosted platform.
    pub(crate) before: Option<Box<Route>>,
    /// Whose turn it is.
    pub(crate) turn: AtomicU32,
}

impl Route {
    /// The worker that this request goes to.
    fn pick(&self) -> &Route {
        match &self.before {
            Some(before) if before.traffic.is_retired() => self,
            Some(before) if self.turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) => before.pick(),
            _ => self,
        }
    }
}

/// A worker that listens, for one request.
struct Place {
    port: u16,
    pid: u32,
    life: watch::Receiver<Life>,
    active: Active,
}

/// The functions by name; parts come and go.
pub(crate) type Routes = Arc<Mutex<BTreeMap<String, Route>>>;

/// All that a request needs.
pub(crate) struct Gateway {
    pub(crate) keys: Keys,
    pub(crate) rest_port: u16,
    pub(crate) routes: Routes,
    pub(crate) idle: Duration,
    pub(crate) log: Arc<Log>,
    pub(crate) client: Client<HttpConnector, Incoming>,
}

/// A client that sends requests on as they come.
pub(crate) fn client() -> Client<HttpConnector, Incoming> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector)
}

/// Serves until it is dropped, with all its connections.
pub(crate) async fn serve(listener: TcpListener, gateway: Arc<Gateway>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => { connections.spawn(connection(stream, peer, Arc::clone(&gateway))); }
                // Out of file descriptors, most likely: let some requests end.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, gateway: Arc<Gateway>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let gateway = Arc::clone(&gateway);
        async move { Ok::<_, Infallible>(gateway.answer(request, peer.ip()).await) }
    });
    // A client that goes away is no news.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl Gateway {
    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Reply {
        let start = Instant::now();
        let line = format!("{} {}", request.method(), request.uri().path());
        let reply = self.route(request, peer).await.unwrap_or_else(|refusal| refuse(&refusal));
        self.log.line(&format!("{line} {} {} ms", reply.status().as_u16(), start.elapsed().as_millis()));
        reply
    }

    async fn route(&self, request: Request<Incoming>, peer: IpAddr) -> Result<Reply, Refusal> {
        let path = request.uri().path();
        if let Some(rest) = below(path, "/rest/v1") {
            let rest = rest.to_owned();
            return self.rest(request, &rest, peer).await;
        }
        if let Some(call) = below(path, "/functions/v1") {
            let call = call.to_owned();
            return self.function(request, &call, peer).await;
        }
        match path {
            "/auth/v1/.well-known/jwks.json" => Ok(reply(StatusCode::OK, &self.keys.jwks())),
            _ => {
                Err(refusal(StatusCode::NOT_FOUND, json!({"message": "no Route matched with those values"})))
            }
        }
    }

    async fn rest(&self, mut request: Request<Incoming>, path: &str, peer: IpAddr) -> Result<Reply, Refusal> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let in_query = query.split('&').find_map(|pair| pair.strip_prefix("apikey="));
        if request.method() != Method::OPTIONS {
            let token = access::rest_token(request.headers(), in_query, &self.keys)?;
            let value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
                refusal(StatusCode::BAD_REQUEST, json!({"message": "malformed Authorization header"}))
            })?;
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let passed: Vec<&str> =
            query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("apikey=")).collect();
        let target = target(path, &passed.join("&"))?;
        forward::prepare(&mut request, self.rest_port, target, peer);
        match tokio::time::timeout(self.idle, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(forward::received(response.map(Relay::of_service))),
            Ok(Err(error)) => {
                self.log.line(&format!("the REST server did not answer: {:#}", anyhow::Error::from(error)));
                Err(refusal(
                    StatusCode::BAD_GATEWAY,
                    json!({"message": "An invalid response was received from the upstream server"}),
                ))
            }
            Err(_) => Err(refusal(
                StatusCode::GATEWAY_TIMEOUT,
                json!({"message": "The upstream server is timing out"}),
            )),
        }
    }

    async fn function(
        &self,
        mut request: Request<Incoming>,
        call: &str,
        peer: IpAddr,
    ) -> Result<Reply, Refusal> {
        if !METHODS.contains(request.method()) {
            return Err(coded(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "Method not allowed"));
        }
        let name = call.trim_start_matches('/').split('/').next().unwrap_or_default();
        let verify_jwt = self.with_route(name, |route| route.verify_jwt)?;
        access::function_call(verify_jwt, request.method(), request.headers(), &self.keys)?;
        let Place { port, pid, mut life, active } = self.place(name).await?;
        active.traffic().set_used();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let target = target(call, &query)?;
        forward::prepare(&mut request, port, target, peer);
        forward::empty_unreadable(request.headers_mut());
        // A task of its own: neither a client that hangs up nor a gateway that gives up stops the function.
        let exchange = tokio::spawn({
            let client = self.client.clone();
            async move { (client.request(request).await, active) }
        });
        match tokio::time::timeout(self.idle, exchange).await {
            Ok(Ok((Ok(response), active))) => {
                Ok(forward::from_function(response.map(|body| Relay::of_function(body, self.idle, active))))
            }
            Ok(Ok((Err(error), active))) => {
                // It is dying, most likely. The caller learns that when the supervisor knows it too,
                // so that a second try waits for the new process instead of meeting the old one.
                let death = life.wait_for(|life| *life != Life::Running { pid });
                let _ = tokio::time::timeout(DEATH, death).await;
                Err(match active.traffic().end_of(pid) {
                    Some(reason) => ended(reason),
                    None if error.is_connect() => not_booted(),
                    None => exited(),
                })
            }
            Ok(Err(_)) => Err(exited()),
            Err(_) => {
                let message = format!("Request idle timeout limit ({}s) reached", self.idle.as_secs());
                Err(coded(StatusCode::GATEWAY_TIMEOUT, "IDLE_TIMEOUT", &message))
            }
        }
    }

    fn with_route<T>(&self, name: &str, look: impl FnOnce(&Route) -> T) -> Result<T, Refusal> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let route = routes.get(name);
        route
            .map(look)
            .ok_or_else(|| coded(StatusCode::NOT_FOUND, "NOT_FOUND", "Requested function was not found"))
    }

    /// Waits for a worker that takes new requests.
    async fn place(&self, name: &str) -> Result<Place, Refusal> {
        let start = Instant::now();
        loop {
            let (port, life, active) = self.with_route(name, |route| {
                let worker = route.pick();
                // Under the lock: a worker that nobody is sent to any more has all its requests counted.
                (worker.port, worker.life.clone(), worker.traffic.begin())
            })?;
            if !active.traffic().is_retired() {
                let mut life = life.ok_or_else(not_booted)?;
                match boot(port, &mut life, active.traffic(), start).await {
                    // Replaced while the request waited.
                    Err(_) if active.traffic().is_retired() => {}
                    booted => return Ok(Place { port, pid: booted?, life, active }),
                }
            }
            drop(active);
            if start.elapsed() > BOOT {
                return Err(not_booted());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Waits while the function is being started again, and returns its process; at once when that is known to listen.
async fn boot(
    port: u16,
    life: &mut watch::Receiver<Life>,
    traffic: &Traffic,
    start: Instant,
) -> Result<u32, Refusal> {
    // Processes that ran meanwhile without listening.
    let mut deaf = Vec::new();
    loop {
        let now = *life.borrow_and_update();
        match now {
            Life::Stopped => return Err(not_booted()),
            Life::Running { pid } if traffic.has_listened(pid) => return Ok(pid),
            Life::Running { pid } if TcpStream::connect(("127.0.0.1", port)).await.is_ok() => {
                traffic.set_listening(pid);
                return Ok(pid);
            }
            Life::Running { pid } if !deaf.contains(&pid) => deaf.push(pid),
            Life::Running { .. } | Life::Restarting => {}
        }
        // Those that were started meanwhile and could not.
        match deaf.iter().find_map(|pid| traffic.end_of(*pid)) {
            None | Some(Reason::Termination) => {}
            Some(reason) => return Err(ended(reason)),
        }
        if start.elapsed() > BOOT {
            return Err(not_booted());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Answers a request whose worker has ended.
fn ended(reason: Reason) -> Refusal {
    match reason {
        Reason::Boot => not_booted(),
        Reason::Cpu | Reason::Memory | Reason::WallClock => coded(
            StatusCode::from_u16(546).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            "WORKER_RESOURCE_LIMIT",
            "Function failed due to not having enough compute resources (please check logs)",
        ),
        Reason::EarlyDrop | Reason::Termination | Reason::Error => exited(),
    }
}

fn not_booted() -> Refusal {
    coded(StatusCode::SERVICE_UNAVAILABLE, "BOOT_ERROR", "Function failed to start (please check logs)")
}

fn exited() -> Refusal {
    coded(
        StatusCode::INTERNAL_SERVER_ERROR,
        "WORKER_ERROR",
        "Function exited due to an error (please check logs)",
    )
}

/// What follows a prefix that ends at a slash or with the path.
fn below<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn target(path: &str, query: &str) -> Result<PathAndQuery, Refusal> {
    let path = if path.is_empty() { "/" } else { path };
    let text = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    PathAndQuery::try_from(text)
        .map_err(|_| refusal(StatusCode::BAD_REQUEST, json!({"message": "malformed URL"})))
}

fn refusal(status: StatusCode, body: Value) -> Refusal {
    Refusal { status, body }
}

/// Refuses a call of a function, in the hosted platform's form.
fn coded(status: StatusCode, code: &str, message: &str) -> Refusal {
    refusal(status, json!({"code": code, "message": message}))
}

fn refuse(refusal: &Refusal) -> Reply {
    let mut reply = reply(refusal.status, &refusal.body);
    if let Some(code) = refusal.body["code"].as_str().and_then(|code| HeaderValue::try_from(code).ok()) {
        reply.headers_mut().insert(ERROR_CODE, code);
    }
    reply
}

/// A reply by the gateway itself, readable by a page of any origin.
fn reply(status: StatusCode, body: &Value) -> Reply {
    let mut response = Response::new(Either::Right(Full::from(body.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::ports::Claim;

    #[test]
    fn a_prefix_ends_at_a_slash() {
        assert_eq!(below("/rest/v1/companies", "/rest/v1"), Some("/companies"));
        assert_eq!(below("/rest/v1", "/rest/v1"), Some(""));
        assert_eq!(below("/rest/v10/companies", "/rest/v1"), None);
    }

    #[tokio::test]
    async fn a_function_that_starts_slowly_is_waited_for_and_one_that_cannot_is_not() {
        let traffic = Traffic::default();
        let (_tell, mut life) = watch::channel(Life::Running { pid: 7 });
        let claim = Claim::any().expect("a port");
        let port = claim.port();
        let slow = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            TcpListener::bind(("127.0.0.1", port)).await.expect("the port is held")
        };
        let (booted, _listener) = tokio::join!(boot(port, &mut life, &traffic, Instant::now()), slow);
        assert_eq!(booted, Ok(7));
        assert!(traffic.has_listened(7));

        let refusals =
            [(Reason::Boot, not_booted()), (Reason::Error, exited()), (Reason::Cpu, ended(Reason::Cpu))];
        for (reason, refusal) in refusals {
            // One that served and died, and one that is started for this request.
            let claim = Claim::any().expect("a port");
            traffic.end(7, Reason::Error);
            let (tell, mut life) = watch::channel(Life::Restarting);
            let breaking = async {
                tell.send_replace(Life::Running { pid: 8 });
                tokio::time::sleep(LOOK_EVERY * 4).await;
                traffic.end(8, reason);
                tell.send_replace(Life::Restarting);
            };
            let booted = boot(claim.port(), &mut life, &traffic, Instant::now());
            assert_eq!(tokio::join!(booted, breaking).0, Err(refusal));
        }
    }
}
