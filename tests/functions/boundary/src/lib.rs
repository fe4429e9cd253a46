//! A function that exercises every path of the boundary between wasm and its shim: bodies and
//! headers both ways, every effect, every way to crash. Not deployed.

mod crash;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join_all, join3};
use http::header::{CONTENT_TYPE, HeaderName};
use ironferry::{
    Address, Context, Error, FetchOptions, FileOperation, HostError, Level, Request, Response, Result,
};
use serde_json::{Value, json};

ironferry::export!(handle);

/// Routes below `/boundary`.
pub async fn handle(request: Request, cx: Context) -> Result<Response> {
    match (request.method().as_str(), request.route()) {
        ("POST", "/echo") => echo(&request),
        ("POST", "/json") => Response::json(200, &request.json::<Value>()?),
        ("GET", "/headers") => headers(&request),
        ("GET", "/secret") => Response::json(200, &cx.secret(&name(&request)).map(ironferry::Secret::expose)),
        ("GET", "/leak") => {
            Err(Error::internal(format!("the key is {}", cx.require_secret("TEST_KEY")?.expose())))
        }
        ("GET", "/time") => Response::json(200, &cx.now().unix_timestamp()),
        ("GET", "/uuid") => Response::json(200, &cx.uuid()),
        ("GET", "/service") => cx.require_service().and_then(|()| Response::json(200, &"service")),
        ("GET", "/user") => Response::json(200, &cx.require_user().await?.id),
        ("GET", "/fetch") => fetch(&request, &cx).await,
        ("GET", "/fan") => fan(&request, &cx).await,
        ("GET", "/within") => within(&request, &cx).await,
        ("GET", "/sleep") => sleep(&request, &cx).await,
        ("GET", "/background") => background(&request, &cx),
        ("GET", "/file") => file(&cx).await,
        ("GET", "/socket") => socket(&request, &cx).await,
        ("GET", "/crash") => crash::crash(&request, &cx).await,
        ("GET", "/isolated") => isolated(request, cx).await,
        ("GET", "/rows") => rows(&cx).await,
        (_, "/echo" | "/json") => Err(Error::method_not_allowed("POST")),
        _ => Err(Error::not_found()),
    }
}

fn name(request: &Request) -> String {
    request.query("name").unwrap_or_default()
}

fn echo(request: &Request) -> Result<Response> {
    let kind = request.headers().get(CONTENT_TYPE).cloned();
    let kind = kind.unwrap_or_else(|| http::HeaderValue::from_static("application/octet-stream"));
    Ok(Response::new(request.query_or("status", 200)?, kind, request.body().clone()))
}

fn headers(request: &Request) -> Result<Response> {
    let shown: serde_json::Map<_, _> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let seen = HeaderName::from_static("x-seen");
    Ok(Response::json(200, &shown)?.header(seen, http::HeaderValue::from_static("yes")))
}

async fn fetch(request: &Request, cx: &Context) -> Result<Response> {
    let url = request.query("url").unwrap_or_default();
    let options = FetchOptions {
        timeout: Duration::from_millis(request.query_or("timeout", 5_000)?),
        max_body: request.query_or("max", 1_000_000)?,
        follow_redirects: request.query_or("follow", true)?,
        reply_headers: request.query_or("headers", true)?,
    };
    let method = request.query_or("method", http::Method::GET)?;
    let body = request.query("body").unwrap_or_default();
    let asked =
        http::Request::builder().method(method).uri(url).header("x-asked", "yes").body(Bytes::from(body))?;
    let reply = match cx.fetch_with(asked, options).await {
        Ok(reply) => json!({
            "status": reply.status().as_u16(),
            "cookies": reply.headers().get_all("set-cookie").iter().filter_map(|one| one.to_str().ok()).collect::<Vec<_>>(),
            "location": reply.headers().get("location").and_then(|one| one.to_str().ok()),
            "body": String::from_utf8_lossy(reply.body()),
        }),
        Err(error) => json!({ "failed": error.to_string() }),
    };
    Response::json(200, &reply)
}

/// Many fetches at once; gives how many succeeded.
async fn fan(request: &Request, cx: &Context) -> Result<Response> {
    let (url, times) = (request.query("url").unwrap_or_default(), request.query_or("times", 10)?);
    let asked =
        (0..times).map(|_| async { cx.fetch(http::Request::get(&url).body(Bytes::new()).ok()?).await.ok() });
    Response::json(200, &join_all(asked).await.into_iter().flatten().count())
}

/// Drops a fetch that takes too long, which must abort it.
async fn within(request: &Request, cx: &Context) -> Result<Response> {
    let asked = http::Request::get(request.query("url").unwrap_or_default()).body(Bytes::new())?;
    let limit = Duration::from_millis(request.query_or("ms", 50)?);
    let outcome = cx.within(limit, cx.fetch(asked)).await;
    Response::json(200, &(outcome.err() == Some(HostError::Timeout)))
}

async fn sleep(request: &Request, cx: &Context) -> Result<Response> {
    cx.sleep(Duration::from_millis(request.query_or("ms", 50)?)).await;
    Response::json(200, &"awake")
}

fn background(request: &Request, cx: &Context) -> Result<Response> {
    let (later, ms) = (cx.clone(), request.query_or("ms", 50)?);
    let crashes = request.query("crash").is_some();
    cx.wait_until(async move {
        later.sleep(Duration::from_millis(ms)).await;
        assert!(!crashes, "a panic in the background, on purpose");
        later.log(Level::Info, "boundary.background", json!({ "done": true }));
    });
    Response::json(202, &"accepted")
}

/// Runs a crash beside a sleep; gives the code of the one and that the other woke.
async fn isolated(request: Request, cx: Context) -> Result<Response> {
    let (inside, beside) = (cx.clone(), cx.clone());
    let crashes = cx.isolated(async move { crash::crash(&request, &inside).await });
    let sleeps = cx.isolated(async move { beside.sleep(Duration::from_millis(30)).await });
    let (ended, slept) = futures_util::future::join(crashes, sleeps).await;
    let code = ended.map_or_else(|error| error.as_code().to_owned(), |_| "none".to_owned());
    Response::json(200, &json!({ "code": code, "slept": slept.is_ok() }))
}

async fn file(cx: &Context) -> Result<Response> {
    let folder = format!("/tmp/ironferry-boundary-{}", cx.request_id());
    let path = format!("{folder}/kept");
    cx.file(FileOperation::Write(path.clone(), Bytes::from_static(b"kept"))).await?;
    // Two writes and a read between them, all started at once: each has its turn.
    let large = Bytes::from(vec![b'x'; 4_000_000]);
    let (first, read, last) = join3(
        cx.file(FileOperation::Write(path.clone(), large.clone())),
        cx.file(FileOperation::Read(path.clone())),
        cx.file(FileOperation::Write(path.clone(), Bytes::from_static(b"kept"))),
    )
    .await;
    first.and(last)?;
    let whole = read? == large;
    let kept = cx.file(FileOperation::Read(path.clone())).await?;
    let listed = cx.file(FileOperation::List(folder.clone())).await?;
    cx.file(FileOperation::Remove(path.clone())).await?;
    let gone = cx.file(FileOperation::Read(path)).await;
    cx.file(FileOperation::Remove(folder)).await?;
    let [kept, listed] = [kept, listed].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Response::json(
        200,
        &json!({ "kept": kept, "listed": listed, "whole": whole, "gone": gone == Err(HostError::NotFound) }),
    )
}

/// Writes a line and gives back what comes until the other side closes.
async fn socket(request: &Request, cx: &Context) -> Result<Response> {
    let address = Address {
        host: "127.0.0.1".into(),
        port: request.query_or("port", 0)?,
        tls: request.query_or("tls", false)?,
        ca: request.query("ca"),
    };
    let mut socket = cx.connect(address).await?;
    socket.write(Bytes::from_static(b"ping\n")).await?;
    let mut heard = Vec::new();
    loop {
        match socket.read().await? {
            bytes if bytes.is_empty() => break,
            bytes => heard.extend_from_slice(&bytes),
        }
    }
    Response::json(200, &String::from_utf8_lossy(&heard))
}

async fn rows(cx: &Context) -> Result<Response> {
    let rows: Vec<Value> = cx.db().from("machines").select("id").eq("status", "active").fetch().await?;
    Response::json(200, &rows)
}
