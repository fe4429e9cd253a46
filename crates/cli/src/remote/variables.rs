//! Variables of the environment and of `.env`.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::Path;

use super::{Place, RemoteError};

/// Where a setting was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Environment,
    EnvFile,
    LocalStack,
    Command,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Environment => "from the environment",
            Source::EnvFile => "from .env",
            Source::LocalStack => "of the local stack",
            Source::Command => "as it is kept",
        })
    }
}

/// The environment first, then `.env`, which is read when it is needed.
pub(crate) struct Variables<'a> {
    environment: &'a HashMap<String, String>,
    file: Option<HashMap<String, String>>,
    project: Option<&'a Path>,
}

impl<'a> Variables<'a> {
    pub(crate) fn of(place: &'a Place) -> Self {
        Self { environment: &place.environment, file: None, project: place.project.as_deref() }
    }

    /// An empty variable is none.
    pub(crate) fn get(&mut self, name: &str) -> Result<Option<(String, Source)>, RemoteError> {
        let set = |found: Option<&String>| found.filter(|value| !value.trim().is_empty()).cloned();
        if let Some(value) = set(self.environment.get(name)) {
            return Ok(Some((value, Source::Environment)));
        }
        Ok(set(self.file()?.get(name)).map(|value| (value, Source::EnvFile)))
    }

    fn file(&mut self) -> Result<&HashMap<String, String>, RemoteError> {
        let read = match self.file.take() {
            Some(file) => file,
            None => self.project.map_or_else(|| Ok(HashMap::new()), |at| read_file(&at.join(".env")))?,
        };
        Ok(self.file.insert(read))
    }
}

/// The settings of a project as its operator has them: the environment, then `.env`.
pub(crate) struct Settings<'a>(Variables<'a>);

impl<'a> Settings<'a> {
    pub(crate) fn of(place: &'a Place) -> Self {
        Self(Variables::of(place))
    }

    /// # Errors
    /// When `.env` cannot be understood.
    pub(crate) fn get(&mut self, name: &str) -> Result<Option<String>, RemoteError> {
        Ok(self.0.get(name)?.map(|(value, _)| value))
    }

    /// All names of `.env`. Those of the environment are not all the project's.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub(crate) fn names_of_file(&mut self) -> Result<BTreeSet<String>, RemoteError> {
        Ok(self.0.file()?.keys().cloned().collect())
    }
}

/// A file of `NAME=value`, without touching the environment of this process. A missing one is empty.
pub(crate) fn read_file(path: &Path) -> Result<HashMap<String, String>, RemoteError> {
    let failure = |reason: String| RemoteError::Setting(format!("{}: {reason}", path.display()));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(failure(error.to_string())),
    };
    dotenvy::from_read_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        // Its own message would quote the line, and with it perhaps a key.
        .map_err(|error| match error {
            dotenvy::Error::LineParse(line, _) => {
                let number = text.find(line.trim_end()).map_or(1, |at| text[..at].lines().count() + 1);
                failure(format!("line {number} is not of the form NAME=value"))
            }
            _ => failure("it cannot be understood".to_owned()),
        })
}
