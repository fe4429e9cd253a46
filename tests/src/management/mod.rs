//! A simulated Management API: as much of `api.supabase.com` as the Supabase CLI 3.1.0 asks for when it lists,
//! deploys and deletes functions and sets secrets. Learnt by letting the CLI talk to a server that writes down what it hears.
//!
//! `upload` reads what the CLI uploads: the sources themselves, since the platform bundles them.

mod upload;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

pub use upload::Upload;

use crate::server::Server;

/// The only access token that it takes; the CLI wants this form.
pub const ACCESS_TOKEN: &str = "sbp_0123456789abcdef0123456789abcdef01234567";
/// The only project that it has.
pub const PROJECT: &str = "abcdefghijklmnopqrst";

/// A running server on 127.0.0.1, until it is dropped.
pub struct Management {
    server: Server,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    functions: BTreeMap<String, Function>,
    secrets: BTreeMap<String, String>,
    /// Requests that change something.
    writes: Vec<String>,
    /// What answers every deployment, in place of success.
    outage: bool,
    /// Who runs the functions, and is to hear what was set.
    runtime: Option<UnboundedSender<Vec<(String, String)>>>,
    /// Who is to hear what was deployed.
    uploads: Option<UnboundedSender<(String, Upload)>>,
}

#[derive(Deserialize)]
struct Secret {
    name: String,
    value: String,
}

/// A deployed function.
#[derive(Clone, Debug)]
pub struct Function {
    /// 1 at first.
    pub version: u64,
    /// What was uploaded last.
    pub upload: Upload,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Management {
    /// Starts it, with these secrets set.
    pub async fn start(secrets: &[(&str, &str)]) -> Result<Self> {
        let secrets = secrets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let shared = Arc::new(Mutex::new(Shared { secrets, ..Shared::default() }));
        let answering = Arc::clone(&shared);
        let server = Server::start(move |request| std::future::ready(serve(&request, &answering))).await?;
        Ok(Self { server, shared })
    }

    /// What the CLI reads through `SUPABASE_PROFILE` to come here.
    pub fn profile(&self) -> String {
        let url = self.server.url();
        format!(
            "name: simulated\napi_url: {url}\ndashboard_url: {url}\ndocs_url: {url}\nproject_host: 127.0.0.1\n"
        )
    }

    /// A function that was deployed.
    pub fn function(&self, name: &str) -> Option<Function> {
        lock(&self.shared).functions.get(name).cloned()
    }

    /// The value of a function secret.
    pub fn secret(&self, name: &str) -> Option<String> {
        lock(&self.shared).secrets.get(name).cloned()
    }

    /// Has these functions deployed.
    pub fn deployed(&self, names: &[&str]) {
        let metadata = json!({ "verify_jwt": false, "entrypoint_path": "index.ts" });
        let function = Function { version: 1, upload: Upload { metadata, ..Upload::default() } };
        lock(&self.shared).functions.extend(names.iter().map(|name| ((*name).to_owned(), function.clone())));
    }

    /// Takes a deployed function away.
    pub fn remove(&self, name: &str) {
        lock(&self.shared).functions.remove(name);
    }

    /// Tells from now on which secrets were set. As on the platform, the answer does not wait for the functions
    /// to have them.
    pub fn changes(&self) -> UnboundedReceiver<Vec<(String, String)>> {
        let (runtime, changes) = unbounded_channel();
        lock(&self.shared).runtime = Some(runtime);
        changes
    }

    /// Tells from now on which functions were deployed.
    pub fn uploads(&self) -> UnboundedReceiver<(String, Upload)> {
        let (sender, uploads) = unbounded_channel();
        lock(&self.shared).uploads = Some(sender);
        uploads
    }

    /// The requests that changed something: `POST /v1/projects/…/functions/deploy?slug=collect-dex`.
    pub fn writes(&self) -> Vec<String> {
        lock(&self.shared).writes.clone()
    }

    /// Makes deployments fail, or succeed again.
    pub fn set_outage(&self, outage: bool) {
        lock(&self.shared).outage = outage;
    }
}

fn serve(request: &Request<Bytes>, shared: &Mutex<Shared>) -> Response<Bytes> {
    let token = request.headers().get("authorization");
    if token.is_none_or(|value| value != &format!("Bearer {ACCESS_TOKEN}")) {
        return answer(StatusCode::UNAUTHORIZED, &json!({"message": "Unauthorized"}));
    }
    let mut shared = lock(shared);
    if request.method() != Method::GET {
        shared.writes.push(format!("{} {}", request.method(), request.uri()));
    }
    let Some(path) = request.uri().path().strip_prefix(&format!("/v1/projects/{PROJECT}")) else {
        return answer(StatusCode::NOT_FOUND, &json!({"message": "Project not found"}));
    };
    let slug =
        request.uri().query().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("slug=")));
    match (request.method(), path, slug) {
        (&Method::GET, "", _) => {
            answer(StatusCode::OK, &json!({"id": PROJECT, "ref": PROJECT, "name": "simulated"}))
        }
        (&Method::GET, "/functions", _) => {
            let listed: Vec<Value> = shared.functions.iter().map(|(slug, one)| describe(slug, one)).collect();
            answer(StatusCode::OK, &json!(listed))
        }
        (&Method::GET, "/secrets", _) => {
            let digest = |value: &str| format!("{:x}", Sha256::digest(value));
            let listed: Vec<Value> = shared
                .secrets
                .iter()
                .map(|(name, value)| json!({"name": name, "value": digest(value)}))
                .collect();
            answer(StatusCode::OK, &json!(listed))
        }
        (&Method::POST, "/secrets", _) => match serde_json::from_slice::<Vec<Secret>>(request.body()) {
            Ok(secrets) if secrets.iter().any(is_refused) => {
                answer(StatusCode::BAD_REQUEST, &json!({"message": "a secret is not acceptable"}))
            }
            Ok(secrets) => {
                let set: Vec<_> = secrets.into_iter().map(|one| (one.name, one.value)).collect();
                shared.secrets.extend(set.iter().cloned());
                if let Some(runtime) = &shared.runtime {
                    // Whoever listened may have gone.
                    let _ = runtime.send(set);
                }
                answer(StatusCode::CREATED, &Value::Null)
            }
            Err(error) => answer(StatusCode::BAD_REQUEST, &json!({"message": error.to_string()})),
        },
        (&Method::POST, "/functions/deploy", Some(_)) if shared.outage => answer(
            StatusCode::BAD_REQUEST,
            &json!({"message": "Failed to bundle the function (reason: simulated)"}),
        ),
        (&Method::POST, "/functions/deploy", Some(slug)) => {
            let kind = request
                .headers()
                .get("content-type")
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default();
            match upload::read(kind, request.body()) {
                Ok(upload) => {
                    if let Some(uploads) = &shared.uploads {
                        // Whoever listened may have gone.
                        let _ = uploads.send((slug.to_owned(), upload.clone()));
                    }
                    let version = shared.functions.get(slug).map_or(0, |known| known.version) + 1;
                    let function = Function { version, upload };
                    let described = describe(slug, &function);
                    shared.functions.insert(slug.to_owned(), function);
                    answer(StatusCode::CREATED, &described)
                }
                Err(error) => answer(StatusCode::BAD_REQUEST, &json!({"message": format!("{error:#}")})),
            }
        }
        (&Method::DELETE, path, _) if path.starts_with("/functions/") => {
            match shared.functions.remove(path.trim_start_matches("/functions/")) {
                Some(_) => answer(StatusCode::OK, &Value::Null),
                None => answer(StatusCode::NOT_FOUND, &json!({"message": "Function not found"})),
            }
        }
        _ => {
            answer(StatusCode::NOT_FOUND, &json!({"message": format!("no {} {path} here", request.method())}))
        }
    }
}

/// The platform's rules for one secret.
fn is_refused(secret: &Secret) -> bool {
    secret.name.starts_with("SUPABASE_") || secret.name.len() > 256 || secret.value.len() > 48 * 1_024
}

fn describe(slug: &str, function: &Function) -> Value {
    json!({
        "id": format!("id-{slug}"), "slug": slug, "name": slug, "status": "ACTIVE", "version": function.version,
        "created_at": 1_795_000_000_000_u64, "updated_at": 1_795_000_000_000_u64,
        "verify_jwt": function.upload.metadata["verify_jwt"], "entrypoint_path": function.upload.metadata["entrypoint_path"],
    })
}

fn answer(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}
