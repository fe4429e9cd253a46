//! What callers see when a function cannot answer, with the statuses and codes of the hosted platform.
//!
//! Needs what `stack.rs` needs; says so and passes where it is missing.

mod project;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use ferry::stack::{Options, Stack};
use http::Response;
use serde_json::{Value, json};

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

    /// Waits until the function's log has this text.
    async fn logs(&self, text: &str) -> Result<()> {
        let start = Instant::now();
        loop {
            let log = std::fs::read_to_string(self.stack.log(&self.function))?;
            if log.contains(text) {
                return Ok(());
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
