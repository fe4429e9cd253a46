//! Where the project is and what opens it: flags, then the environment, then `.env`, then a local
//! stack that runs.

use std::collections::HashMap;
use std::path::PathBuf;

use url::Url;

use super::RemoteError;
use super::keys::{self, Key};
use super::variables::{Source, Variables, read_file};
use crate::stack::keys::Keys;
use crate::stack::state::Folder;

/// Which project a command asks.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Target {
    /// The project's address [default: SUPABASE_URL of the environment or of .env, or a running local stack]
    #[arg(long, value_name = "URL", help_heading = "Which project")]
    pub url: Option<String>,
    /// Ask the local stack of `ferry up`, whatever else is set
    #[arg(long, conflicts_with = "url", help_heading = "Which project")]
    pub local: bool,
}

/// Where to look for settings.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The project's folder, which may have an `.env`.
    pub project: Option<PathBuf>,
    /// Where its local stack keeps its state.
    pub stack: Option<Folder>,
    /// The environment. Of the process, unless a test brings its own.
    pub environment: HashMap<String, String>,
}

impl Place {
    /// A project and its state folder, with the environment of this process.
    pub fn new(project: Option<PathBuf>, stack: Option<Folder>) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { project, stack, environment }
    }
}

/// Everything that is needed to ask.
pub(super) struct Settings {
    pub(super) url: Url,
    pub(super) service: Option<Key>,
    pub(super) secret: Option<Key>,
}

pub(super) fn find(target: &Target, place: &Place) -> Result<Settings, RemoteError> {
    if target.local {
        return local(place)?.ok_or_else(|| {
            RemoteError::Setting("no local stack is running; `ferry up --detach` starts one".to_owned())
        });
    }
    let mut set = Variables::of(place);
    let url = match &target.url {
        Some(url) => Some(url.clone()),
        None => set.get("SUPABASE_URL")?.map(|(url, _)| url),
    };
    let Some(url) = url else {
        return local(place)?.ok_or_else(|| {
            RemoteError::Setting(
                "which project? Give --url, or set SUPABASE_URL in the environment or in .env of the project, \
                 or start a local stack with `ferry up --detach`"
                    .to_owned(),
            )
        });
    };
    let url = address(&url)?;
    let service = keys::service(set.get(keys::SERVICE)?);
    let secret = keys::secret(|name| set.get(name))?;
    if service.is_none() && secret.is_none() {
        return Err(keys::none());
    }
    Ok(Settings { url, service, secret })
}

/// A project by its address, and a service key that a command has.
pub(super) fn at(url: &str, key: &str) -> Result<Settings, RemoteError> {
    let service = Some(Key::new(keys::SERVICE, Source::Command, key.to_owned()));
    Ok(Settings { url: address(url)?, service, secret: None })
}

/// A project by its address alone.
pub(super) fn without_key(url: &str) -> Result<Settings, RemoteError> {
    Ok(Settings { url: address(url)?, service: None, secret: None })
}

fn address(text: &str) -> Result<Url, RemoteError> {
    let url = Url::parse(text.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.filter(|url| url.has_host() && url.username().is_empty() && url.password().is_none());
    url.ok_or_else(|| {
        RemoteError::Setting(format!("{text:?} is no project's address; one is like https://abc.supabase.co"))
    })
}

/// The stack of `ferry up` in this project. Its keys go nowhere else, and no others go to it.
fn local(place: &Place) -> Result<Option<Settings>, RemoteError> {
    let Some((folder, state)) = place.stack.as_ref().and_then(|folder| Some((folder, folder.running()?)))
    else {
        return Ok(None);
    };
    let keys = Keys::load_or_create(&folder.keys())
        .map_err(|error| RemoteError::Setting(format!("the keys of the local stack: {error:#}")))?;
    // `supabase/functions/.env` may set the functions another key than the stack's own.
    let service = functions_own_key(place)?.unwrap_or(keys.service_api_key);
    let key = |name, value| Some(Key::new(name, Source::LocalStack, value));
    Ok(Some(Settings {
        url: address(&state.api_url)?,
        service: keys::service(Some((service, Source::LocalStack))),
        secret: key("SUPABASE_SECRET_KEY", keys.secret),
    }))
}

fn functions_own_key(place: &Place) -> Result<Option<String>, RemoteError> {
    let Some(project) = &place.project else { return Ok(None) };
    let file = read_file(&project.join("supabase/functions/.env"))?;
    Ok(file.get(keys::SERVICE).filter(|key| !key.is_empty()).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::state::{ProcessId, State};

    fn place(environment: &[(&str, &str)]) -> Place {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Place { environment: environment.iter().map(owned).collect(), ..Place::default() }
    }

    /// A project folder with this `.env`.
    fn with_file(name: &str, env: &str, environment: &[(&str, &str)]) -> Place {
        let project = std::env::temp_dir().join(format!("ferry-remote-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&project).expect("a folder");
        std::fs::write(project.join(".env"), env).expect("written");
        Place { project: Some(project), ..place(environment) }
    }

    fn failure(target: &Target, place: &Place) -> String {
        let error = find(target, place).err().expect("it is refused");
        assert!(error.is_usage());
        error.to_string()
    }

    #[test]
    fn flags_go_before_the_environment_and_that_before_the_file() {
        let env = "SUPABASE_URL=https://file.test\nSUPABASE_SECRET_KEY=sb_secret_file\nSERVICE_API_KEY=' one, two'\n";
        let place = with_file("order", env, &[("SUPABASE_SECRET_KEY", "sb_secret_environment")]);
        let found = find(&Target::default(), &place).expect("all is set");
        assert_eq!(found.url.as_str(), "https://file.test/");
        let secret = found.secret.expect("a secret key");
        assert_eq!(
            (secret.value(), secret.to_string()),
            ("sb_secret_environment", "SUPABASE_SECRET_KEY (from the environment)".to_owned())
        );
        let service = found.service.expect("a service key");
        assert_eq!((service.value(), service.to_string()), ("one", "SERVICE_API_KEY (from .env)".to_owned()));
        let flag = Target { url: Some("http://127.0.0.1:9/".to_owned()), local: false };
        assert_eq!(find(&flag, &place).expect("a URL").url.as_str(), "http://127.0.0.1:9/");
        assert_eq!(std::env::var("SUPABASE_SECRET_KEY").ok(), None, "our own environment stays as it is");
        std::fs::remove_dir_all(place.project.expect("a folder")).expect("removed");
    }

    #[test]
    fn the_new_keys_are_a_dictionary_and_the_default_one_is_taken() {
        let url = ("SUPABASE_URL", "https://a.test");
        let keys = ("SUPABASE_SECRET_KEYS", r#"{"a": "sb_secret_a", "default": "sb_secret_d"}"#);
        let legacy = ("SUPABASE_SERVICE_ROLE_KEY", "eyJ.legacy");
        let found = find(&Target::default(), &place(&[url, keys, legacy])).expect("all is set");
        assert_eq!(found.secret.expect("a key").value(), "sb_secret_d");
        let found = find(&Target::default(), &place(&[url, legacy])).expect("all is set");
        assert_eq!(found.secret.expect("a key").value(), "eyJ.legacy");
        let broken = place(&[url, ("SUPABASE_SECRET_KEYS", "sb_secret_bare"), legacy]);
        let told = failure(&Target::default(), &broken);
        assert!(told.contains("SUPABASE_SECRET_KEYS") && !told.contains("sb_secret_bare"), "{told}");
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        assert!(failure(&Target::default(), &place(&[])).contains("SUPABASE_URL"));
        assert!(failure(&Target { local: true, ..Target::default() }, &place(&[])).contains("ferry up"));
        let url = ("SUPABASE_URL", "https://a.test");
        assert!(failure(&Target::default(), &place(&[url])).contains("SUPABASE_SECRET_KEY"));
        for url in ["abc.supabase.co", "ftp://a.test", "https://user:word@a.test", "https://"] {
            assert!(
                failure(&Target::default(), &place(&[("SUPABASE_URL", url)])).contains("address"),
                "{url}"
            );
        }
    }

    #[test]
    fn a_broken_line_of_the_file_is_named_by_its_number_alone() {
        let place = with_file("broken", "A=1\nSERVICE_API_KEY=\"topsecret\n", &[]);
        let told = failure(&Target::default(), &place);
        assert!(told.contains("line 2") && !told.contains("topsecret"), "{told}");
        std::fs::remove_dir_all(place.project.expect("a folder")).expect("removed");
    }

    /// A stack that runs, as far as its state file tells: this process is its supervisor.
    fn with_stack(mut place: Place) -> (Place, Keys) {
        let path = place.project.as_ref().expect("a project").join(".ferry");
        std::fs::create_dir_all(&path).expect("a folder");
        let folder = Folder::at(path);
        let state = State {
            supervisor: ProcessId::own(),
            ready: true,
            api_url: "http://127.0.0.1:54321".to_owned(),
            db_url: String::new(),
            redis_url: String::new(),
            parts: Vec::new(),
        };
        folder.write(&state).expect("written");
        let keys = Keys::load_or_create(&folder.keys()).expect("keys");
        place.stack = Some(folder);
        (place, keys)
    }

    #[test]
    fn a_local_stack_is_asked_when_it_is_wanted_or_nothing_else_is_set() {
        let (place, keys) = with_stack(with_file("local", "", &[]));
        let found = find(&Target::default(), &place).expect("the stack");
        assert_eq!(found.url.as_str(), "http://127.0.0.1:54321/");
        let (service, secret) = (found.service.expect("a key"), found.secret.expect("a key"));
        assert_eq!((service.value(), secret.value()), (&*keys.service_api_key, &*keys.secret));
        assert_eq!(secret.to_string(), "SUPABASE_SECRET_KEY (of the local stack)");

        let hosted = [("SUPABASE_URL", "https://a.test"), ("SUPABASE_SECRET_KEY", "sb_secret_hosted")];
        let hosted = Place { environment: self::place(&hosted).environment, ..place };
        let found = find(&Target::default(), &hosted).expect("the hosted one");
        assert_eq!((found.url.as_str(), found.service.is_none()), ("https://a.test/", true));
        let wanted = find(&Target { local: true, ..Target::default() }, &hosted).expect("the stack");
        assert_eq!(wanted.secret.expect("a key").value(), keys.secret, "the hosted key goes nowhere else");

        let functions = hosted.project.as_ref().expect("a project").join("supabase/functions");
        std::fs::create_dir_all(&functions).expect("folders");
        std::fs::write(functions.join(".env"), "SERVICE_API_KEY=set\n").expect("written");
        let found = find(&Target { local: true, ..Target::default() }, &hosted).expect("the stack");
        assert_eq!(found.service.expect("a key").value(), "set");
        std::fs::remove_dir_all(hosted.project.expect("a folder")).expect("removed");
    }

    #[test]
    fn keys_are_not_printed() {
        let place = place(&[("SUPABASE_URL", "https://a.test"), ("SERVICE_API_KEY", "topsecret")]);
        let remote = super::super::Remote::find(&Target::default(), &place).expect("all is set");
        assert!(!format!("{remote:?}").contains("topsecret"), "{remote:?}");
    }
}
