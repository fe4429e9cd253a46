//! What callers see when a function cannot answer, with the statuses and codes of the hosted platform.
//!
//! Needs what `stack.rs` needs; says so and passes where it is missing.

mod project;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use ferry::stack::{Limits, Options, Stack};
use http::Response;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Answers by its path: with its own failure, never, or with a stream that falls silent.
const MOODY: &str = r#"
const never = new Promise(() => {});
Deno.serve(async (request) => {
  switch (new URL(request.url).pathname) {
    case "/moody/fails":
      return new Response("mine", { status: 503 });
    case "/moody/slow":
      await new Promise((done) => setTimeout(done, 2_000));
      console.log("went on");
      return new Response("too late");
    case "/moody/silent":
      return new Response(new ReadableStream({
        start: (stream) => stream.enqueue(new TextEncoder().encode("one")),
        pull: () => never,
      }));
    default:
      return new Response("well");
  }
});"#;

/// Uses what its path says.
const GREEDY: &str = r#"
const kept = [];
const keep = (megabytes) => { for (let n = 0; n < megabytes; n += 10) kept.push(new Uint8Array(10e6).fill(1)); };
const after = (ms) => new Promise((done) => setTimeout(done, ms));
addEventListener("beforeunload", (event) => console.log(`unload ${event.detail.reason}`));
Deno.serve(async (request) => {
  const path = new URL(request.url).pathname.slice("/greedy/".length);
  console.log(`begins ${path}`);
  switch (path) {
    case "never":
      await new Promise(() => {});
      break;
    case "forever":
      for (;;);
    case "burns":
      for (const start = performance.now(); performance.now() - start < 1_200;);
      break;
    case "leaves":
      EdgeRuntime.waitUntil(after(3_000).then(() => console.log("left job done")));
      break;
    case "buffers":
      keep(300);
      break;
    case "wasm": {
      // (module (memory (export "m") 4800))
      const code = [0, 97, 115, 109, 1, 0, 0, 0, 5, 4, 1, 0, 192, 37, 7, 5, 1, 1, 109, 2, 0];
      kept.push(new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(code))));
      break;
    }
    case "heap":
      for (;;) kept.push(new Array(1_000).fill(kept.length + 0.5));
    case "keeps":
      keep(150);
      break;
    case "throws":
      setTimeout(() => { throw new Error("unhandled"); });
      await new Promise(() => {});
  }
  return Response.json(Deno.pid);
});"#;

/// A stack with one more function, which is called without a token.
struct Site {
    stack: Stack,
    folder: PathBuf,
    function: String,
}

impl Site {
    async fn start(function: &str, code: &str, options: Options) -> Result<Self> {
        let functions = options.project.join("supabase/functions").join(function);
        std::fs::create_dir_all(&functions)?;
        std::fs::write(functions.join("index.ts"), code)?;
        let config = format!("[functions.{function}]\nverify_jwt = false\n");
        std::fs::write(options.project.join("supabase/config.toml"), config)?;
        let folder = options.project.clone();
        Ok(Self { stack: project::start(options).await?, folder, function: function.to_owned() })
    }

    async fn send(&self, method: &str, path: &str) -> Result<Response<Bytes>> {
        let url = format!("{}/functions/v1/{}{path}", self.stack.api_url(), self.function);
        project::call(method, &url, &[], "").await
    }

    /// Sends a request that takes long, and waits until the function has it.
    fn begin(&self, path: &str) -> impl Future<Output = Result<JoinHandle<Result<Response<Bytes>>>>> {
        let url = format!("{}/functions/v1/{}/{path}", self.stack.api_url(), self.function);
        let task = tokio::spawn(async move { project::call("POST", &url, &[], "").await });
        async move {
            self.logs(&format!("begins {path}")).await?;
            Ok(task)
        }
    }

    /// The process that answers now.
    async fn pid(&self) -> Result<Value> {
        let reply = self.send("POST", "/").await?;
        ensure!(reply.status() == 200, "{reply:?}");
        Ok(serde_json::from_slice(reply.body())?)
    }

    /// Waits until the function's log has this text.
    async fn logs(&self, text: &str) -> Result<String> {
        let start = Instant::now();
        loop {
            let log = std::fs::read_to_string(self.stack.log(&self.function))?;
            if log.contains(text) {
                return Ok(log);
            }
            ensure!(start.elapsed() < Duration::from_mins(1), "no {text:?} in {log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn end(self) -> Result<()> {
        self.stack.stop().await;
        Ok(std::fs::remove_dir_all(self.folder)?)
    }
}

/// Status, the code in the header, and the code in the body, of a refusal.
fn refusal(response: &Response<Bytes>) -> (u16, String, Value) {
    let header = response.headers().get("sb-error-code").and_then(|code| code.to_str().ok());
    let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    (response.status().as_u16(), header.unwrap_or_default().to_owned(), body["code"].clone())
}

fn refused(status: u16, code: &str) -> (u16, String, Value) {
    (status, code.to_owned(), json!(code))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_refuses_with_the_statuses_and_codes_of_the_hosted_one() -> Result<()> {
    let Some(options) = project::options()? else { return Ok(()) };
    let site = Site::start("moody", MOODY, options).await?;
    let functions = format!("{}/functions/v1", site.stack.api_url());
    let nowhere = project::call("POST", &format!("{functions}/nowhere"), &[], "").await?;
    assert_eq!(refusal(&nowhere), refused(404, "NOT_FOUND"));
    let locked = project::call("POST", &format!("{functions}/locked"), &[], "").await?;
    assert_eq!(refusal(&locked), refused(401, "UNAUTHORIZED_NO_AUTH_HEADER"));
    let forged = [("authorization", "Bearer mine")];
    let forged = project::call("POST", &format!("{functions}/locked"), &forged, "").await?;
    assert_eq!(refusal(&forged), refused(401, "UNAUTHORIZED_INVALID_JWT_FORMAT"));

    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let reply = site.send(method, "").await?;
        assert_eq!((reply.status().as_u16(), reply.headers().get("sb-error-code")), (200, None), "{method}");
    }
    assert_eq!(site.send("HEAD", "").await?.status(), 405);
    assert_eq!(refusal(&site.send("PROPFIND", "").await?), refused(405, "METHOD_NOT_ALLOWED"));

    let own = site.send("GET", "/fails").await?;
    assert_eq!((own.status().as_u16(), &own.body()[..]), (503, &b"mine"[..]));
    assert_eq!(refusal(&own).1, "EDGE_FUNCTION_ERROR");
    site.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_function_is_given_up_on_and_runs_on_and_a_silent_stream_ends() -> Result<()> {
    let Some(options) = project::options()? else { return Ok(()) };
    let options = Options { idle_timeout: Duration::from_secs(1), ..options };
    let site = Site::start("moody", MOODY, options).await?;
    assert_eq!(refusal(&site.send("GET", "/slow").await?), refused(504, "IDLE_TIMEOUT"));
    site.logs("went on").await?;
    let silent = site.send("GET", "/silent").await?;
    assert_eq!((silent.status().as_u16(), &silent.body()[..]), (200, &b"one"[..]));
    site.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_burns_cpu_is_killed_with_all_its_requests_and_another_serves_the_next() -> Result<()> {
    let Some(options) = project::options()? else { return Ok(()) };
    let site = Site::start("greedy", GREEDY, options).await?;
    let first = site.pid().await?;
    let waiting = site.begin("never").await?;
    let burning = site.send("POST", "/forever").await?;
    assert_eq!(refusal(&burning), refused(546, "WORKER_RESOURCE_LIMIT"));
    assert_eq!(refusal(&waiting.await??), refused(546, "WORKER_RESOURCE_LIMIT"));
    assert_ne!(site.pid().await?, first);
    site.logs("worker ended: cpu; CPU 2").await?;
    site.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_at_the_soft_limit_finishes_its_work_and_another_serves_the_next() -> Result<()> {
    let Some(options) = project::options()? else { return Ok(()) };
    // Whatever the machine does besides, this much CPU time is used within the time that it burns.
    let limits =
        Limits { cpu_soft: Duration::from_millis(100), cpu_hard: Duration::from_mins(1), ..Limits::HOSTED };
    let site = Site::start("greedy", GREEDY, Options { limits: Some(limits), ..options }).await?;
    let first = site.pid().await?;
    assert_eq!(site.send("POST", "/leaves").await?.status(), 200);
    let burnt = site.send("POST", "/burns").await?;
    assert_eq!(
        (burnt.status().as_u16(), serde_json::from_slice::<Value>(burnt.body())?),
        (200, first.clone())
    );
    let start = Instant::now();
    while site.pid().await? == first {
        ensure!(start.elapsed() < Duration::from_mins(1), "the worker still takes requests");
    }
    let log = site.logs("worker ended: cpu; CPU ").await?;
    let place = |text| log.find(text).map_or(usize::MAX, |place| place);
    assert!(place("left job done") < place("worker ended: cpu"), "{log}");
    assert!(place("unload cpu") < place("worker ended: cpu"), "{log}");
    site.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_of_every_kind_is_limited() -> Result<()> {
    let Some(options) = project::options()? else { return Ok(()) };
    let site = Site::start("greedy", GREEDY, options).await?;
    for kind in ["/buffers", "/wasm", "/heap"] {
        let first = site.pid().await?;
        assert_eq!(refusal(&site.send("POST", kind).await?), refused(546, "WORKER_RESOURCE_LIMIT"), "{kind}");
        assert_ne!(site.pid().await?, first);
    }
    let log = site.logs("worker ended: memory").await?;
    assert_eq!(log.matches("worker ended: memory").count(), 3, "{log}");

    // Half of it is too much for a worker that has nothing to do.
    let kept = site.send("POST", "/keeps").await?;
    assert_eq!(kept.status(), 200);
    site.logs("unload early_drop").await?;
    site.logs("worker ended: early_drop").await?;
    assert_ne!(site.pid().await?, serde_json::from_slice::<Value>(kept.body())?);
    site.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_lives_as_long_as_the_wall_clock_allows_from_its_first_request() -> Result<()> {
    let Some(options) = project::options()? else { return Ok(()) };
    let limits = Limits { wall_clock: Duration::from_secs(2), ..Limits::HOSTED };
    let site = Site::start("greedy", GREEDY, Options { limits: Some(limits), ..options }).await?;
    let first = site.pid().await?;
    site.logs("worker ended: early_drop").await?;
    assert_ne!(site.pid().await?, first);
    let never = site.send("POST", "/never").await?;
    assert_eq!(refusal(&never), refused(546, "WORKER_RESOURCE_LIMIT"));
    site.logs("unload wall_clock").await?;
    site.logs("worker ended: wall_clock").await?;
    site.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unhandled_error_ends_the_worker_and_all_its_requests() -> Result<()> {
    let Some(options) = project::options()? else { return Ok(()) };
    let site = Site::start("greedy", GREEDY, options).await?;
    let first = site.pid().await?;
    let waiting = site.begin("never").await?;
    assert_eq!(refusal(&site.send("POST", "/throws").await?), refused(500, "WORKER_ERROR"));
    assert_eq!(refusal(&waiting.await??), refused(500, "WORKER_ERROR"));
    assert_ne!(site.pid().await?, first);
    site.logs("worker ended: error (exit code 1); CPU").await?;
    site.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_does_not_load_is_told_from_one_that_throws() -> Result<()> {
    for (code, refusal_of_it) in [
        ("import \"./nowhere.ts\";", refused(503, "BOOT_ERROR")),
        ("throw new Error(\"at the top\");", refused(500, "WORKER_ERROR")),
    ] {
        let Some(options) = project::options()? else { return Ok(()) };
        let site = Site::start("broken", code, options).await?;
        assert_eq!(refusal(&site.send("POST", "").await?), refusal_of_it, "{code}");
        site.end().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_limits_a_worker_uses_what_it_wants() -> Result<()> {
    let Some(options) = project::options()? else { return Ok(()) };
    let site = Site::start("greedy", GREEDY, Options { limits: None, ..options }).await?;
    let first = site.pid().await?;
    for path in ["/buffers", "/wasm"] {
        assert_eq!(site.send("POST", path).await?.status(), 200);
    }
    assert_eq!(site.pid().await?, first);
    site.end().await
}
