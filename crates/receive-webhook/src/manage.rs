//! Where owners make, list, change, rotate and remove their webhooks: with their own token, so that
//! row-level security decides what is theirs. An operator with a service key names the owner.
//!
//! A passphrase and a signing key are shown in the reply that made them, and never again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use ironferry::db::Database;
use ironferry::{Context, Error, Raw, Request, Response, Result, Secret};
use serde_json::{Value, json};

use crate::body::{self, Object, text};
use crate::rows::{secrets, settable, shown};
use crate::{alpaca, config, is_uuid, no_config};

/// `/receive-webhook/configs…`
pub(crate) async fn route(request: &Request, cx: &Context, rest: &str) -> Result<Response> {
    let owner = Owner::of(request, cx).await?;
    let (id, verb) = rest.split_once('/').unwrap_or((rest, ""));
    if !id.is_empty() && !is_uuid(id) {
        return Err(no_config());
    }
    match (request.method().as_str(), id, verb) {
        ("GET", "", "") => owner.list(cx).await,
        ("POST", "", "") => owner.create(request, cx).await,
        (_, "", _) => Err(Error::method_not_allowed("GET, POST")),
        ("GET", id, "") => owner.show(cx, id).await,
        ("PATCH" | "PUT", id, "") => owner.change(request, cx, id).await,
        ("DELETE", id, "") => owner.remove(cx, id).await,
        ("POST", id, "rotate") => owner.rotate(request, cx, id).await,
        (_, _, "") => Err(Error::method_not_allowed("GET, PATCH, PUT, DELETE")),
        (_, _, "rotate") => Err(Error::method_not_allowed("POST")),
        _ => Err(Error::not_found()),
    }
}

/// Whose webhooks are asked for.
pub(crate) struct Owner {
    /// None: a service that asks for all.
    user_id: Option<String>,
    is_service: bool,
}

impl Owner {
    pub(crate) async fn of(request: &Request, cx: &Context) -> Result<Self> {
        if cx.shows_service_key() || cx.require_service().is_ok() {
            cx.require_service()?;
            let user_id = request.query("user_id").filter(|id| !id.is_empty());
            if user_id.as_deref().is_some_and(|id| !is_uuid(id)) {
                return Err(Error::bad_request("user_id is not a UUID").code("INVALID_QUERY"));
            }
            return Ok(Self { user_id, is_service: true });
        }
        let user = cx.require_user().await?;
        Ok(Self { user_id: Some(user.id), is_service: false })
    }

    /// The owner; a service must name one.
    pub(crate) fn user_id(&self) -> Result<&str> {
        let named = self.user_id.as_deref();
        named.ok_or_else(|| Error::bad_request("whose? ?user_id= names the owner").code("INVALID_QUERY"))
    }

    pub(crate) fn db(&self, cx: &Context) -> Database {
        if self.is_service { cx.db() } else { cx.db_as_user() }
    }

    async fn list(&self, cx: &Context) -> Result<Response> {
        let mut query = self.db(cx).from(shown::TABLE).select(shown::COLUMNS).order("created_at,id");
        if let Some(user_id) = &self.user_id {
            query = query.eq(shown::USER_ID, user_id);
        }
        let rows = query.fetch_text().await?;
        Ok(passed_on(br#"{"success":true,"configs":"#, &rows))
    }

    async fn show(&self, cx: &Context, id: &str) -> Result<Response> {
        let row = self.row(cx, id).await?;
        Ok(passed_on(br#"{"success":true,"config":"#, row.get().as_bytes()))
    }

    /// The row as it came; 404 for one that is not there or not the owner's.
    async fn row(&self, cx: &Context, id: &str) -> Result<Raw> {
        let query = self.db(cx).from(shown::TABLE).select(shown::COLUMNS).eq(shown::ID, id);
        query.fetch_optional().await?.ok_or_else(no_config)
    }

    async fn create(&self, request: &Request, cx: &Context) -> Result<Response> {
        let user_id = self.user_id()?;
        let id = cx.uuid();
        let mut input = body::object(request.header("content-type"), request.body())?;
        let mut made = Made { passphrase: Some(passphrase(cx, &mut input)?), ..Made::default() };
        let mut row = changes(cx, &id, &mut input, &mut made)?;
        set(&mut row, shown::ID, &id.as_str().into())?;
        set(&mut row, shown::USER_ID, &user_id.into())?;
        set(&mut row, shown::WEBHOOK_URL, &url(cx, &id).into())?;
        if let Some(passphrase) = &made.passphrase {
            set(
                &mut row,
                secrets::SECURITY_TOKEN,
                &crate::verify::hashed(passphrase.expose()).expose().into(),
            )?;
        }
        self.db(cx).from(shown::TABLE).insert(&row).execute().await.map_err(unfit)?;
        Ok(made.reply(201, &self.row(cx, &id).await?))
    }

    async fn change(&self, request: &Request, cx: &Context, id: &str) -> Result<Response> {
        let mut input = body::object(request.header("content-type"), request.body())?;
        let mut made = Made::default();
        let row = changes(cx, id, &mut input, &mut made)?;
        self.update(cx, id, &row).await?;
        Ok(made.reply(200, &self.row(cx, id).await?))
    }

    /// A new passphrase; the old one is refused from now on.
    async fn rotate(&self, request: &Request, cx: &Context, id: &str) -> Result<Response> {
        let mut input = if request.body().is_empty() {
            Object::new()
        } else {
            body::object(request.header("content-type"), request.body())?
        };
        let passphrase = passphrase(cx, &mut input)?;
        let mut row = Object::new();
        set(&mut row, secrets::SECURITY_TOKEN, &crate::verify::hashed(passphrase.expose()).expose().into())?;
        self.update(cx, id, &row).await?;
        Ok(Made { passphrase: Some(passphrase), ..Made::default() }.reply(200, &self.row(cx, id).await?))
    }

    async fn update(&self, cx: &Context, id: &str, row: &Object) -> Result<()> {
        self.row(cx, id).await?;
        if row.is_empty() {
            return Err(Error::bad_request(format!(
                "nothing to change; there are {}",
                settable::NAMES.join(", ")
            ))
            .code("INVALID_PAYLOAD"));
        }
        self.db(cx).from(shown::TABLE).update(row).eq(shown::ID, id).execute().await.map_err(unfit)
    }

    async fn remove(&self, cx: &Context, id: &str) -> Result<Response> {
        self.row(cx, id).await?;
        self.db(cx).from(shown::TABLE).delete().eq(shown::ID, id).execute().await?;
        Response::json(200, &json!({ "success": true, "id": id }))
    }
}

/// Secrets that were made by this request.
#[derive(Default)]
struct Made {
    passphrase: Option<Secret>,
    hmac_secret: Option<Secret>,
}

impl Made {
    fn reply(&self, status: u16, row: &Raw) -> Response {
        let mut body = format!(r#"{{"success":true,"config":{}"#, row.get());
        for (name, secret) in [("security_token", &self.passphrase), ("hmac_secret", &self.hmac_secret)] {
            if let Some(secret) = secret {
                body.extend([",\"", name, "\":", &body::quoted(secret.expose())]);
            }
        }
        body.push('}');
        Response::new(status, HeaderValue::from_static("application/json"), body)
    }
}

/// The row's columns that the input names. Secrets are sealed for this row.
fn changes(cx: &Context, id: &str, input: &mut Object, made: &mut Made) -> Result<Object> {
    let mut row = Object::new();
    for (column, secret) in [
        (secrets::ALPACA_API_KEY_SEALED, "alpaca_api_key"),
        (secrets::ALPACA_API_SECRET_SEALED, "alpaca_api_secret"),
    ] {
        let Some(raw) = input.remove(secret) else { continue };
        let sealed = match text(raw.get()) {
            Some(value) => config::seal(cx, id, secret, &Secret::new(value))?.into(),
            None => Value::Null,
        };
        set(&mut row, column, &sealed)?;
    }
    if let Some(raw) = input.remove("hmac") {
        if raw.get() == "true" {
            let secret = random(cx);
            let sealed = config::seal(cx, id, "hmac_secret", &secret)?;
            set(&mut row, secrets::HMAC_SECRET_SEALED, &sealed.into())?;
            made.hmac_secret = Some(secret);
        } else {
            set(&mut row, secrets::HMAC_SECRET_SEALED, &Value::Null)?;
            set(&mut row, settable::HMAC_REQUIRED, &false.into())?;
        }
    }
    if let Some(url) = input.get(settable::ALPACA_API_URL).and_then(|raw| text(raw.get())) {
        alpaca::check_url(cx, &url)?;
    }
    for (name, value) in std::mem::take(input) {
        // As the front end of the earlier system writes it.
        let name = if name == "isActive" { settable::IS_ACTIVE.to_owned() } else { name };
        if !settable::NAMES.contains(&name.as_str()) {
            let message =
                format!("{name}: there is no such setting; there are {}", settable::NAMES.join(", "));
            return Err(Error::bad_request(message).code("INVALID_PAYLOAD"));
        }
        row.insert(name, value);
    }
    Ok(row)
}

pub(crate) fn set(row: &mut Object, name: &str, value: &Value) -> Result<()> {
    let raw =
        Raw::of(value).map_err(|problem| Error::internal("a value could not be written").source(problem))?;
    row.insert(name.to_owned(), raw);
    Ok(())
}

/// The passphrase that the input brings, 6 to 255 characters, or a new one.
fn passphrase(cx: &Context, input: &mut Object) -> Result<Secret> {
    match input.remove("security_token").and_then(|raw| text(raw.get())) {
        None => Ok(random(cx)),
        Some(own) if (6..=255).contains(&own.chars().count()) => Ok(Secret::new(own)),
        Some(_) => {
            Err(Error::bad_request("security_token must have 6 to 255 characters").code("INVALID_PAYLOAD"))
        }
    }
}

fn random(cx: &Context) -> Secret {
    Secret::new(URL_SAFE_NO_PAD.encode(cx.random::<32>()))
}

fn url(cx: &Context, id: &str) -> String {
    let base = cx.secret("SUPABASE_URL").map_or("", Secret::expose).trim_end_matches('/');
    format!("{base}/functions/v1/receive-webhook/{id}")
}

fn passed_on(before: &[u8], rows: &[u8]) -> Response {
    Response::new(200, HeaderValue::from_static("application/json"), [before, rows, b"}"].concat())
}

/// What a check of the table says of a value is the caller's to mend.
pub(crate) fn unfit(error: Error) -> Error {
    let Some(problem) = error.database() else { return error };
    match problem.code.as_str() {
        "23502" | "23514" | "22P02" | "22003" | "22007" | "22023" | "PGRST204" | "42804" => {
            Error::bad_request(format!("a setting has a value that it cannot have: {}", problem.message))
                .code("INVALID_PAYLOAD")
        }
        "23503" => Error::bad_request("there is no such user").code("INVALID_PAYLOAD"),
        _ => error,
    }
}
