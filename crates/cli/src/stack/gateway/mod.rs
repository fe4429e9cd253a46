//! The project's address: `/rest/v1` and `/functions/v1` with the hosted gateway's rules.

mod access;
mod forward;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
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
use super::logs::Log;
use super::process::Life;
use access::Refusal;

type Reply = Response<Either<Incoming, Full<Bytes>>>;

/// The hosted gateway gives up after that long without a reply.
pub(crate) const IDLE: Duration = Duration::from_secs(150);
/// How long a request waits for a function that is being started again.
const BOOT: Duration = Duration::from_secs(20);
/// And for one that has ended at its start already.
const BROKEN: Duration = Duration::from_secs(3);

/// How long the death of a process stays unnoticed at most.
const DEATH: Duration = Duration::from_millis(200);

/// Where one function is.
pub(crate) struct Route {
    pub(crate) port: u16,
    pub(crate) verify_jwt: bool,
    /// None while the function is stopped.
    pub(crate) life: Option<watch::Receiver<Life>>,
    /// The process that has been seen listening.
    pub(crate) listening: Arc<AtomicU32>,
    /// Requests under way.
    pub(crate) active: Arc<AtomicU32>,
    /// The worker of before, while it gets every other request, as during a change on the hosted platform.
    pub(crate) before: Option<Box<Route>>,
    /// Whose turn it is.
    pub(crate) turn: AtomicU32,
}

impl Route {
    /// The worker that this request goes to.
    fn pick(&self) -> &Route {
        match &self.before {
            Some(before) if self.turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) => before.pick(),
            _ => self,
        }
    }
}

/// Counts a request while it is under way.
struct Active(Arc<AtomicU32>);

impl Active {
    fn begin(count: &Arc<AtomicU32>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
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
            Ok(Ok(response)) => Ok(forward::received(response)),
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
        let name = call.trim_start_matches('/').split('/').next().unwrap_or_default();
        let (port, verify_jwt, life, listening, _active) = {
            let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
            let route = routes.get(name).ok_or_else(|| {
                refusal(
                    StatusCode::NOT_FOUND,
                    json!({"code": "NOT_FOUND", "message": "Requested function was not found"}),
                )
            })?;
            let worker = route.pick();
            // Under the lock: a worker that nobody is sent to any more has all its requests counted.
            let active = Active::begin(&worker.active);
            (worker.port, worker.verify_jwt, worker.life.clone(), Arc::clone(&worker.listening), active)
        };
        access::function_call(verify_jwt, request.method(), request.headers(), &self.keys)?;
        let mut life = life.ok_or_else(not_booted)?;
        boot(port, &mut life, &listening).await?;
        let query = request.uri().query().unwrap_or_default().to_owned();
        let target = target(call, &query)?;
        forward::prepare(&mut request, port, target, peer);
        match tokio::time::timeout(self.idle, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(forward::from_function(response)),
            Ok(Err(error)) => {
                // It is dying, most likely. The caller learns that when the supervisor knows it too,
                // so that a second try waits for the new process instead of meeting the old one.
                let _ = tokio::time::timeout(DEATH, life.changed()).await;
                // And where that takes longer, it is looked whether anybody listens.
                listening.store(0, Ordering::Relaxed);
                Err(if error.is_connect() { not_booted() } else { exited() })
            }
            Err(_) => Err(refusal(
                StatusCode::GATEWAY_TIMEOUT,
                json!({"code": "IDLE_TIMEOUT", "message": format!("Request idle timeout limit ({}s) reached", self.idle.as_secs())}),
            )),
        }
    }
}

/// Waits while the function is being started again; at once when it is known to listen.
async fn boot(port: u16, life: &mut watch::Receiver<Life>, listening: &AtomicU32) -> Result<(), Refusal> {
    let start = Instant::now();
    // The one that is dying, and those that were started.
    let mut deaf = Vec::new();
    loop {
        let now = *life.borrow_and_update();
        match now {
            Life::Stopped => return Err(not_booted()),
            Life::Running { pid } if listening.load(Ordering::Relaxed) == pid => return Ok(()),
            Life::Running { pid } if TcpStream::connect(("127.0.0.1", port)).await.is_ok() => {
                listening.store(pid, Ordering::Relaxed);
                return Ok(());
            }
            Life::Running { pid } if !deaf.contains(&pid) => deaf.push(pid),
            Life::Running { .. } | Life::Restarting => {}
        }
        if start.elapsed() > if deaf.len() > 2 { BROKEN } else { BOOT } {
            return Err(not_booted());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn not_booted() -> Refusal {
    refusal(
        StatusCode::SERVICE_UNAVAILABLE,
        json!({"code": "BOOT_ERROR", "message": "Function failed to start (please check logs)"}),
    )
}

fn exited() -> Refusal {
    refusal(
        StatusCode::INTERNAL_SERVER_ERROR,
        json!({"code": "WORKER_ERROR", "message": "Function exited due to an error (please check logs)"}),
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

fn refuse(refusal: &Refusal) -> Reply {
    reply(refusal.status, &refusal.body)
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
    async fn a_function_that_starts_slowly_is_waited_for_and_one_that_ends_each_time_is_not() {
        let listening = AtomicU32::new(0);

        let (_, mut life) = watch::channel(Life::Running { pid: 7 });
        let claim = Claim::any().expect("a port");
        let port = claim.port();
        let slow = async {
            tokio::time::sleep(BROKEN + Duration::from_millis(500)).await;
            TcpListener::bind(("127.0.0.1", port)).await.expect("the port is held")
        };
        let (booted, _listener) = tokio::join!(boot(port, &mut life, &listening), slow);
        assert!(booted.is_ok());
        assert_eq!(listening.load(Ordering::Relaxed), 7);

        let (tell, mut life) = watch::channel(Life::Restarting);
        let claim = Claim::any().expect("a port");
        let start = Instant::now();
        let breaking = async {
            for pid in 10.. {
                tell.send_replace(Life::Running { pid });
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            booted = boot(claim.port(), &mut life, &listening) => assert_eq!(booted, Err(not_booted())),
            () = breaking => {}
        }
        assert!(start.elapsed() < BOOT, "{:?}", start.elapsed());
    }
}
