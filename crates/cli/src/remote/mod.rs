//! A running project as its operator's commands see it: where it is, with which keys, and how to ask
//! it. `ferry sales` reads the database this way; commands that call functions use the same.
//!
//! ```no_run
//! # async fn example(place: &ferry::remote::Place) -> anyhow::Result<()> {
//! use ferry::remote::{Method, Remote, Target};
//!
//! let remote = Remote::find(&Target::default(), place)?;
//! let health = remote.function(Method::GET, "collect-dex/health", None).await?.success()?;
//! let machines: Vec<serde_json::Value> =
//!     remote.select("machines", 20, |query| query.select("case_serial").eq("status", "active")).await?;
//! # Ok(()) }
//! ```

mod database;
mod error;
mod keys;
mod postgres;
mod reply;
mod settings;
mod variables;

use std::time::Duration;

use anyhow::Context as _;
pub use error::RemoteError;
pub use keys::Key;
pub use postgres::{DatabaseTarget, connect};
pub use reply::Reply;
pub use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use serde_json::Value;
pub use settings::{Place, Target};
use url::Url;
pub(crate) use variables::{Settings, Source, Variables, read_file, unquoted_ampersands};

/// The gateway gives a function 150 s; it shall be the one that says so.
const ANSWER_WITHIN: Duration = Duration::from_secs(160);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// A project that can be asked.
#[derive(Clone, Debug)]
pub struct Remote {
    url: Url,
    service: Option<Key>,
    secret: Option<Key>,
    client: reqwest::Client,
    answer_within: Duration,
}

impl Remote {
    /// Finds the project that the command line, the environment, `.env` or a running local stack
    /// names, in this order. Nothing is sent yet.
    ///
    /// # Errors
    /// When none of them names one, or a setting cannot be understood: wrong usage.
    pub fn find(target: &Target, place: &Place) -> Result<Self, RemoteError> {
        Self::of(settings::find(target, place)?)
    }

    /// The project at this address, shown this service key.
    ///
    /// # Errors
    /// When it is no address.
    pub(crate) fn at(url: &str, key: &str) -> Result<Self, RemoteError> {
        Self::of(settings::at(url, key)?)
    }

    /// The project at this address, of which only [`Remote::open_function`] is asked.
    ///
    /// # Errors
    /// When it is no address.
    pub(crate) fn without_key(url: &str) -> Result<Self, RemoteError> {
        Self::of(settings::without_key(url)?)
    }

    fn of(settings: settings::Settings) -> Result<Self, RemoteError> {
        let settings::Settings { url, service, secret } = settings;
        let mut client = reqwest::Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .user_agent(concat!("ferry/", env!("CARGO_PKG_VERSION")))
            // A redirect would carry the keys to wherever it points.
            .redirect(Policy::none());
        if is_this_machine(&url) {
            client = client.no_proxy();
        }
        let client =
            client.build().map_err(|error| RemoteError::Setting(format!("no HTTP client: {error}")))?;
        Ok(Self { url, service, secret, client, answer_within: ANSWER_WITHIN })
    }

    /// Where the project is: `https://abc.supabase.co/`.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The same project, asked with less or more patience than 160 s.
    #[must_use]
    pub fn patient_for(mut self, answer_within: Duration) -> Self {
        self.answer_within = answer_within;
        self
    }

    /// Calls a function as a service. `path` begins with the function's name and may have a query:
    /// `token-manager/tokens?limit=5`. The reply may be a refusal; [`Reply::success`] makes an error
    /// of one.
    ///
    /// # Errors
    /// When there is no key, no answer, or the key is refused (401).
    pub async fn function(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, RemoteError> {
        let key = self.service.as_ref().or(self.secret.as_ref()).ok_or_else(keys::none)?;
        let mut headers = HeaderMap::new();
        key.put_for_functions(&mut headers)?;
        let path = path.trim_start_matches('/');
        let url = self.address(&format!("functions/v1/{path}"))?;
        let mut request = self.client.request(method, url).headers(headers);
        if let Some(body) = body {
            request = request.json(body);
        }
        let name = path.split(['?', '/']).next().unwrap_or(path);
        self.send(request, key, name).await
    }

    /// Calls a function that checks for itself who asks. Any reply is one, also a refusal.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn open_function(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: &'static str,
    ) -> Result<Reply, RemoteError> {
        let url = self.address(&format!("functions/v1/{path}"))?;
        let mut request = self.client.request(method, url).headers(headers);
        if !body.is_empty() {
            request = request.body(body);
        }
        self.reply(request, path.split(['?', '/']).next().unwrap_or(path)).await
    }

    fn address(&self, path: &str) -> Result<Url, RemoteError> {
        let base = self.url.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}/{path}"))
            .map_err(|error| RemoteError::Setting(format!("{base}/{path} is no address: {error}")))
    }

    async fn send(
        &self,
        request: reqwest::RequestBuilder,
        key: &Key,
        who: &str,
    ) -> Result<Reply, RemoteError> {
        let reply = self.reply(request, who).await?;
        if reply.status == 401 {
            return Err(RemoteError::KeyRefused { key: key.to_string(), problem: reply.problem() });
        }
        Ok(reply)
    }

    async fn reply(&self, request: reqwest::RequestBuilder, who: &str) -> Result<Reply, RemoteError> {
        let failed = |error: reqwest::Error| RemoteError::of(&error, &self.url, self.answer_within);
        let response = request.timeout(self.answer_within).send().await.map_err(failed)?;
        reply::read(response, who).await.map_err(failed)
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn header(text: &str, key: &str) -> Result<HeaderValue, RemoteError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| RemoteError::Setting(format!("{key} holds characters that no key has")))?;
    value.set_sensitive(true);
    Ok(value)
}

fn bearer(key: &Key) -> Result<(reqwest::header::HeaderName, HeaderValue), RemoteError> {
    Ok((AUTHORIZATION, header(&format!("Bearer {}", key.value()), key.name())?))
}

/// Runs what a command asks of a project, on this thread.
///
/// # Errors
/// Those of the work.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("starting to ask")?.block_on(work)
}
