//! One value of an environment file, replaced: everything else stays as it is, letter by letter.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use crate::stack::keys::{hex, random};

/// Writes the file with another value in it: whole or not at all, with its mode and owner.
pub(super) fn replace(path: &Path, name: &str, value: &str) -> Result<()> {
    // A link stays one.
    let path = path.canonicalize().with_context(|| format!("finding {}", path.display()))?;
    let told = || format!("writing {}", path.display());
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let new = edited(&text, name, value).with_context(|| path.display().to_string())?;
    let old = fs::metadata(&path).with_context(told)?;
    // `.env.*` is what git ignores too.
    let draft = path.with_file_name(format!(".env.ferry-{}", hex(&random::<8>())));
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(new.as_bytes())?;
        let ours = file.metadata()?;
        if (ours.uid(), ours.gid()) != (old.uid(), old.gid()) {
            std::os::unix::fs::chown(&draft, Some(old.uid()), Some(old.gid()))?;
        }
        fs::set_permissions(&draft, fs::Permissions::from_mode(old.mode() & 0o7777))?;
        file.sync_all()
    };
    let written = write().with_context(told).and_then(|()| {
        ensure!(fs::read_to_string(&path)? == text, "{} was changed meanwhile: run again", path.display());
        fs::rename(&draft, &path).with_context(told)
    });
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}

/// The text with another value of this name: in the last line that sets it, as readers take that.
fn edited(text: &str, name: &str, value: &str) -> Result<String> {
    let mut start = 0;
    let mut found = None;
    for line in text.split_inclusive('\n') {
        if let Some(at) = value_in(line, name) {
            found = Some((start + at, start + line.trim_end_matches(['\n', '\r']).len()));
        }
        start += line.len();
    }
    let Some((from, to)) = found else { bail!("there is no {name}") };
    let old = &text[from..to];
    // A key is letters, digits and some marks; only what somebody chose himself needs quotes.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=:,._-".contains(&byte);
    let quote = match old.bytes().next() {
        Some(quote @ (b'"' | b'\'')) => char::from(quote).to_string(),
        _ if value.bytes().all(is_plain) => String::new(),
        _ => "'".to_owned(),
    };
    let comment = match (&*quote, old.bytes().next()) {
        (_, Some(first @ (b'"' | b'\''))) => {
            old[1..].split_once(char::from(first)).map_or("", |(_, rest)| rest)
        }
        _ => old.find(" #").map_or("", |at| &old[at..]),
    };
    let new = format!("{}{quote}{value}{quote}{comment}{}", &text[..from], &text[to..]);
    // Read again as every reader reads it: what would not come out right is not written.
    let expected: Vec<(String, String)> = read(text)?
        .into_iter()
        .map(|(known, was)| if known == name { (known, None) } else { (known, Some(was)) })
        .map(|(known, was)| (known, was.unwrap_or_else(|| value.to_owned())))
        .collect();
    let mut now = read(&new)?;
    for (known, is) in &mut now {
        // Earlier lines of the same name do not count.
        if known == name {
            value.clone_into(is);
        }
    }
    let last = read(&new)?.into_iter().rfind(|(known, _)| known == name).map(|(_, is)| is);
    ensure!(
        now == expected && last.as_deref() == Some(value),
        "the line of {name} cannot be replaced without changing more: write it as {name}=value, without quotes"
    );
    Ok(new)
}

/// Where the value begins, when the line sets this name.
fn value_in(line: &str, name: &str) -> Option<usize> {
    let bare = line.trim_start();
    let bare = bare.strip_prefix("export ").map_or(bare, str::trim_start);
    let after = bare.strip_prefix(name)?.trim_start().strip_prefix('=')?.trim_start_matches([' ', '\t']);
    Some(line.len() - after.len())
}

fn read(text: &str) -> Result<Vec<(String, String)>> {
    // Its own message would quote the line, and with it perhaps a key.
    dotenvy::from_read_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| anyhow::anyhow!("a line is not of the form NAME=value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_changes_and_nothing_else() {
        for (before, after) in [
            ("KEY=old\n", "KEY=new+1/2=,k2:x\n"),
            (
                "# KEY=no\nA=1 # one\n\nexport KEY='old' # mine\r\nB=\"2\"",
                "# KEY=no\nA=1 # one\n\nexport KEY='new+1/2=,k2:x' # mine\r\nB=\"2\"",
            ),
            ("KEY=first\nKEY = \"old\"\nKEYS=other\n", "KEY=first\nKEY = \"new+1/2=,k2:x\"\nKEYS=other\n"),
            ("KEY=old # by hand\nMY_KEY=a", "KEY=new+1/2=,k2:x # by hand\nMY_KEY=a"),
        ] {
            assert_eq!(edited(before, "KEY", "new+1/2=,k2:x").expect("it can be replaced"), after);
        }
        assert_eq!(edited("KEY=a", "KEY", "old $HOME#,new").expect("quoted"), "KEY='old $HOME#,new'");
    }

    #[test]
    fn what_would_not_come_out_right_is_not_written() {
        for text in ["OTHER=1", "KEY='two\nlines'\n", "KEY=\"a\"b\n"] {
            assert!(edited(text, "KEY", "new").is_err(), "{text}");
        }
        let refused = edited("KEY=topsecret", "KEY", "it's").expect_err("no quote fits").to_string();
        assert!(!refused.contains("topsecret"), "{refused}");
    }

    #[test]
    fn the_file_keeps_its_mode_and_a_link_its_target() {
        let folder = std::env::temp_dir().join(format!("ferry-envfile-{}", hex(&random::<6>())));
        fs::create_dir_all(&folder).expect("a folder");
        let (file, link) = (folder.join("production.env"), folder.join(".env"));
        fs::write(&file, "A=1\nKEY=old\n").expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("set");
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        replace(&link, "KEY", "new").expect("replaced");
        assert_eq!(fs::read_to_string(&file).expect("read"), "A=1\nKEY=new\n");
        assert_eq!(fs::metadata(&file).expect("there").mode() & 0o7777, 0o640);
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read_dir(&folder).expect("read").count(), 2, "no draft is left");
        fs::remove_dir_all(folder).expect("removed");
    }
}
