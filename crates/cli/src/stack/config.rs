//! What the stack reads from `supabase/config.toml`, and the functions that are there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// `supabase/config.toml`, as far as it matters here. Other keys are the Supabase CLI's business.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Config {
    #[serde(default)]
    api: Api,
    #[serde(default)]
    functions: BTreeMap<String, FunctionConfig>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
struct Api {
    schemas: Vec<String>,
    extra_search_path: Vec<String>,
    max_rows: u32,
    auto_expose_new_tables: bool,
}

impl Default for Api {
    fn default() -> Self {
        let names = |names: [&str; 2]| names.map(str::to_owned).to_vec();
        Self {
            schemas: names(["public", "graphql_public"]),
            extra_search_path: names(["public", "extensions"]),
            max_rows: 1000,
            // The default of hosted projects since 2026-10-30.
            auto_expose_new_tables: false,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
struct FunctionConfig {
    enabled: bool,
    verify_jwt: bool,
    import_map: Option<PathBuf>,
    entrypoint: Option<PathBuf>,
    static_files: Vec<String>,
}

impl Default for FunctionConfig {
    fn default() -> Self {
        Self { enabled: true, verify_jwt: true, import_map: None, entrypoint: None, static_files: Vec::new() }
    }
}

/// One function to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) entrypoint: PathBuf,
    /// `deno.json` of its folder, or the import map that the configuration names.
    pub(crate) deno_config: Option<PathBuf>,
    pub(crate) import_map: Option<PathBuf>,
    /// Patterns of the files that it may read besides its modules.
    pub(crate) static_files: Vec<PathBuf>,
    pub(crate) verify_jwt: bool,
}

impl Config {
    /// Reads the file; a project without one has the defaults.
    pub(crate) fn read(project: &Path) -> Result<Self> {
        let path = project.join("supabase/config.toml");
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).with_context(|| format!("reading {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        Ok(toml::from_str(text)?)
    }

    /// Schemas that the REST server exposes.
    pub(crate) fn schemas(&self) -> String {
        // There is no GraphQL here, and the server refuses a schema that does not exist.
        let exposed: Vec<&str> = self
            .api
            .schemas
            .iter()
            .map(String::as_str)
            .filter(|schema| *schema != "graphql_public")
            .collect();
        exposed.join(",")
    }

    pub(crate) fn extra_search_path(&self) -> String {
        self.api.extra_search_path.join(",")
    }

    /// The most rows of one reply.
    pub(crate) fn max_rows(&self) -> u32 {
        self.api.max_rows
    }

    /// Returns whether the API roles get all privileges on each new object in `public`.
    pub(crate) fn exposes_new_tables(&self) -> bool {
        self.api.auto_expose_new_tables
    }

    /// The functions of the project, then those of `extra` folders, by name.
    pub(crate) fn functions(&self, project: &Path, extra: &[PathBuf]) -> Result<Vec<Function>> {
        let mut folders: Vec<PathBuf> = Vec::new();
        if let Ok(entries) = std::fs::read_dir(project.join("supabase/functions")) {
            folders.extend(entries.flatten().map(|entry| entry.path()).filter(|path| is_function(path)));
        }
        folders.sort();
        for folder in extra {
            let folder = project.join(folder);
            if !folder.join("index.ts").exists() {
                bail!("{} is no function: it has no index.ts", folder.display());
            }
            if folders.iter().any(|known| known.file_name() == folder.file_name()) {
                bail!("{} has the name of another function", folder.display());
            }
            folders.push(folder);
        }
        Ok(folders.iter().filter_map(|folder| self.function(project, folder)).collect())
    }

    fn function(&self, project: &Path, folder: &Path) -> Option<Function> {
        let name = folder.file_name()?.to_str()?.to_owned();
        let config = self.functions.get(&name).cloned().unwrap_or_else(|| FunctionConfig {
            // What is not deployed need not be in the configuration, and is there to be called.
            verify_jwt: folder.starts_with(project.join("supabase")),
            ..FunctionConfig::default()
        });
        let supabase = project.join("supabase");
        config.enabled.then(|| Function {
            name,
            entrypoint: config.entrypoint.map_or_else(|| folder.join("index.ts"), |path| supabase.join(path)),
            deno_config: ["deno.json", "deno.jsonc"]
                .map(|file| folder.join(file))
                .into_iter()
                .find(|path| path.exists()),
            import_map: config.import_map.map(|path| supabase.join(path)),
            static_files: config
                .static_files
                .iter()
                .map(|pattern| supabase.join(pattern.trim_start_matches("./")))
                .collect(),
            verify_jwt: config.verify_jwt,
        })
    }
}

/// The rule of the Supabase CLI: `^[A-Za-z][A-Za-z0-9_-]*$` with an `index.ts`.
fn is_function(folder: &Path) -> bool {
    let Some(name) = folder.file_name().and_then(|name| name.to_str()) else {
        return false;
    };
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-'))
        && folder.join("index.ts").exists()
}

/// Reads `NAME=value` lines: comments, `export`, and quotes are understood, nothing is expanded.
pub(crate) fn parse_env(text: &str) -> Vec<(String, String)> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
            Some((name.trim().to_owned(), unquote(value.trim())))
        })
        .collect()
}

fn unquote(value: &str) -> String {
    if let Some(inner) = value.strip_prefix('\'').and_then(|rest| rest.split('\'').next()) {
        return inner.to_owned();
    }
    if let Some(rest) = value.strip_prefix('"') {
        let end = rest.rfind('"').unwrap_or(rest.len());
        return rest[..end].replace("\\n", "\n").replace("\\\"", "\"");
    }
    value.split(" #").next().unwrap_or_default().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_the_clis_defaults() {
        let config = Config::parse("[functions.open]\nverify_jwt = false\n[db]\nport = 1\n").expect("valid");
        assert_eq!(config.schemas(), "public");
        assert_eq!(config.extra_search_path(), "public,extensions");
        assert_eq!(config.max_rows(), 1000);
        assert!(!config.functions["open"].verify_jwt);
        assert!(FunctionConfig::default().verify_jwt && FunctionConfig::default().enabled);
    }

    #[test]
    fn functions_are_folders_with_an_index_that_are_not_disabled() {
        let project = std::env::temp_dir().join(format!("ferry-config-{}", std::process::id()));
        let functions = project.join("supabase/functions");
        for name in ["collect", "off", "_shared", "empty"] {
            std::fs::create_dir_all(functions.join(name)).expect("a folder");
            if name != "empty" {
                std::fs::write(functions.join(name).join("index.ts"), "").expect("a file");
            }
        }
        let static_files = "[functions.collect]\nstatic_files = [\"./functions/collect/*.html\"]";
        let config =
            Config::parse(&format!("[functions.off]\nenabled = false\n{static_files}")).expect("valid");
        let found = config.functions(&project, &[]).expect("functions");
        assert_eq!(found.iter().map(|function| function.name.as_str()).collect::<Vec<_>>(), ["collect"]);
        assert!(found[0].verify_jwt);
        assert_eq!(found[0].static_files, [functions.join("collect/*.html")]);
        assert!(config.functions(&project, &["nowhere".into()]).is_err());
        std::fs::remove_dir_all(project).expect("removed");
    }

    #[test]
    fn environment_files_may_have_comments_quotes_and_export() {
        let text =
            "# settings\nA=1\nexport B = \"two # three\\nfour\"\nC='x=y'\nD=plain # note\n\nE=\nbroken\n";
        let expected = [("A", "1"), ("B", "two # three\nfour"), ("C", "x=y"), ("D", "plain"), ("E", "")];
        let parsed = parse_env(text);
        assert_eq!(parsed, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
