//! The functions of a project as their deployment sees them: folder, shim, `verify_jwt`, secrets.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// A function of `supabase/functions`.
#[derive(Debug)]
pub(super) struct Shim {
    pub(super) name: String,
    folder: PathBuf,
    /// None where `config.toml` leaves it to the platform's default.
    pub(super) verify_jwt: Option<bool>,
    /// The secrets that its `index.ts` names, besides those that the platform sets.
    pub(super) secrets: Vec<String>,
    /// Those of them in its list `OPTIONAL`: what they open is not for every project.
    optional: Vec<String>,
}

impl Shim {
    /// Its source.
    pub(super) fn index(&self) -> PathBuf {
        self.folder.join("index.ts")
    }

    /// Whether the function cannot do without: by its name it opens or seals something. Others have defaults.
    pub(super) fn needs(&self, secret: &str) -> bool {
        ["_KEY", "_KEYS", "_SECRET", "_TOKEN", "_PASSWORD"].iter().any(|end| secret.ends_with(end))
            && self.secrets.iter().any(|name| name == secret)
            && !self.optional.iter().any(|name| name == secret)
    }

    /// The digest of the source of its packed module; `None` where nothing is packed.
    pub(super) fn source(&self) -> Option<String> {
        let [glue, _] = self.module();
        let glue = std::fs::read_to_string(glue).ok()?;
        let (_, rest) = glue.split_once("\nexport const source = \"")?;
        Some(rest.split_once('"')?.0.to_owned())
    }

    /// What `scripts/build` packs of its module, the glue and the module itself.
    pub(super) fn module(&self) -> [PathBuf; 2] {
        let name = self.name.replace('-', "_");
        ["ts", "json"].map(|kind| self.folder.join(format!("wasm/{name}.{kind}")))
    }
}

/// All of them that are not disabled, by name.
pub(super) fn read(project: &Path) -> Result<Vec<Shim>> {
    let config = project.join("supabase/config.toml");
    let config = std::fs::read_to_string(&config).with_context(|| format!("reading {}", config.display()))?;
    let config: toml::Table = config.parse().context("supabase/config.toml cannot be understood")?;
    let set = |name: &str, key: &str| config.get("functions")?.get(name)?.get(key)?.as_bool();
    let mut shims = Vec::new();
    for entry in
        std::fs::read_dir(project.join("supabase/functions")).context("reading supabase/functions")?
    {
        let folder = entry?.path();
        let Some(name) = folder.file_name().and_then(|name| name.to_str()).map(str::to_owned) else {
            continue;
        };
        let Ok(index) = std::fs::read_to_string(folder.join("index.ts")) else { continue };
        if set(&name, "enabled") != Some(false) {
            shims.push(Shim {
                verify_jwt: set(&name, "verify_jwt"),
                secrets: named(&index),
                optional: list(&index, "OPTIONAL").map(literals).unwrap_or_default(),
                folder,
                name,
            });
        }
    }
    shims.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(shims)
}

/// The names in `secrets: […]`, and in lists that are spread into it as they are. Lists that are mapped give
/// settings, which have defaults or stand for one another.
fn named(index: &str) -> Vec<String> {
    let Some(list) = index.split_once("secrets: [").and_then(|(_, rest)| rest.split(']').next()) else {
        return Vec::new();
    };
    let mut names = literals(list);
    for spread in list.split("...").skip(1) {
        let name: String = spread.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if name == "SERVICE" {
            names.push("SERVICE_API_KEY".to_owned());
        } else if let Some(literal) = self::list(index, &name) {
            names.extend(literals(literal));
        }
    }
    names.retain(|name| !name.starts_with("SUPABASE_"));
    names.sort();
    names.dedup();
    names
}

/// What stands in `const NAME = […]`, unless it is mapped.
fn list<'i>(index: &'i str, name: &str) -> Option<&'i str> {
    let (_, rest) = index.split_once(&format!("const {name} = ["))?;
    let (literal, after) = rest.split_once(']')?;
    (!after.trim_start().starts_with(".map")).then_some(literal)
}

fn literals(list: &str) -> Vec<String> {
    let is_name = |text: &&str| {
        text.len() > 1
            && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    };
    list.split('"').skip(1).step_by(2).filter(is_name).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shims_secrets_are_read_off_its_text() {
        let index = "const LIMITS = [\"PAUSE\", \"TOKEN\"].map((name) => `X_${name}`);\nconst SEALS = [\"ENCRYPTION_KEYS\"];\n\
                     Deno.serve(handler(module, {\n  secrets: [...SERVICE, ...LIMITS, ...SEALS, \"SITE_URL\",\n \
                     \"SUPABASE_JWKS\"],\n  headers: [\"x-run-id\"], }));";
        assert_eq!(named(index), ["ENCRYPTION_KEYS", "SERVICE_API_KEY", "SITE_URL"]);
        assert_eq!(named("Deno.serve(() => new Response());"), [""; 0]);
    }

    #[test]
    fn what_opens_something_is_needed_unless_the_shim_calls_it_optional() {
        let index =
            "const OPTIONAL = [\"BROKER_API_KEY\"];\nsecrets: [...SERVICE, ...OPTIONAL, \"SITE_URL\"],";
        let shim = Shim {
            name: "one".to_owned(),
            folder: PathBuf::new(),
            verify_jwt: None,
            secrets: named(index),
            optional: list(index, "OPTIONAL").map(literals).unwrap_or_default(),
        };
        assert_eq!(shim.secrets, ["BROKER_API_KEY", "SERVICE_API_KEY", "SITE_URL"]);
        let needed: Vec<_> = shim.secrets.iter().filter(|name| shim.needs(name)).collect();
        assert_eq!(needed, ["SERVICE_API_KEY"]);
    }
}
