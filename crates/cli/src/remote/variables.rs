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

/// The lines of an environment file, by number and name, whose URL has an `&` outside quotes. `ferry` reads them as
/// they are meant; a shell that sources the file takes the `&` for the end of a command that it runs in the
/// background, and sets nothing.
pub(crate) fn unquoted_ampersands(path: &Path) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let found = text.lines().enumerate().filter_map(|(index, line)| {
        let line = line.trim_start();
        let (name, value) = line.strip_prefix("export ").unwrap_or(line).trim_start().split_once('=')?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_url = value.contains("://") && name.chars().all(is_name);
        (is_url && is_outside_quotes(value, '&')).then(|| (index + 1, name.to_owned()))
    });
    found.collect()
}

/// Whether a shell would see the character, before a comment and outside its quotes.
fn is_outside_quotes(value: &str, wanted: char) -> bool {
    let mut quote = None;
    let mut before = ' ';
    for c in value.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if before == '\\' => before = ' ',
            None if c == wanted => return true,
            None if c == '#' && before.is_whitespace() => return false,
            None if matches!(c, '\'' | '"') => quote = Some(c),
            None => before = c,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ampersand_that_a_shell_would_see_is_found() {
        let path = std::env::temp_dir().join(format!("ferry-ampersand-{}.env", std::process::id()));
        let text = "# URL=https://a.test?a=1&b=2\nA=https://a.test?a=1&b=2\nB='https://a.test?a=1&b=2'\n\
                    export C = x\nexport D=postgres://u@a.test/x?a=1\"&\"b=2&c=3\nE=https://a.test?a=1\\&b=2\n\
                    F=https://a.test # this & that\nG=a&b\nH=\"https://a.test?a=1&b=2\" # & more\n";
        std::fs::write(&path, text).expect("written");
        let found = unquoted_ampersands(&path);
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(found, [(2, "A".to_owned()), (5, "D".to_owned())]);
    }
}
