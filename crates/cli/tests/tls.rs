//! `sslmode` as a hosted database asks for it: a server with a certificate of its own authority.

mod ferry;
mod project;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ::ferry::stack::{Options, Stack};
use anyhow::{Result, ensure};
use tokio_postgres::NoTls;

use ferry::{Folder, Ran, ferry_with};

fn openssl(folder: &Path, arguments: &[&str]) -> Result<()> {
    let run = Command::new("openssl").args(arguments).current_dir(folder).output()?;
    ensure!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    Ok(())
}

/// An authority, and a certificate of it for this name or address.
fn certificates(folder: &Path, name: &str) -> Result<()> {
    openssl(
        folder,
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=authority",
            "-keyout",
            "ca.key",
            "-out",
            "ca.crt",
        ],
    )?;
    openssl(
        folder,
        &[
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=server",
            "-keyout",
            "server.key",
            "-out",
            "server.csr",
        ],
    )?;
    std::fs::write(folder.join("names"), format!("subjectAltName = {name}\n"))?;
    openssl(
        folder,
        &[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "names",
            "-out",
            "server.crt",
        ],
    )
}

/// Gives the server its certificate, and encrypted connections.
async fn encrypt(stack: &Stack, folder: &Path) -> Result<()> {
    let (admin, connection) = tokio_postgres::connect(&stack.admin_db_url(), NoTls).await?;
    tokio::spawn(connection);
    let data: String = admin.query_one("show data_directory", &[]).await?.try_get(0)?;
    let data = PathBuf::from(data);
    let owner = std::fs::metadata(&data)?;
    for file in ["server.crt", "server.key"] {
        let to = data.join(file);
        std::fs::copy(folder.join(file), &to)?;
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600))?;
        std::os::unix::fs::chown(&to, Some(owner.uid()), Some(owner.gid()))?;
    }
    admin.batch_execute("alter system set ssl = on").await?;
    admin.batch_execute("select pg_reload_conf()").await?;
    // The server takes it over when it comes to it.
    let start = Instant::now();
    while ask(format!("{}?sslmode=require", stack.db_url())).await.code != 0 {
        anyhow::ensure!(start.elapsed() < Duration::from_mins(1), "no encrypted connection is taken");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn ask(url: String) -> Ran {
    let run = move || ferry_with(&["inspect", "connections"], b"", &[("DATABASE_URL", &url)]);
    tokio::task::spawn_blocking(run).await.expect("it ran")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_checked_as_far_as_it_was_asked_for() -> Result<()> {
    let Some(options) = project::options()? else { return Ok(()) };
    if Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: openssl is not installed");
        return Ok(());
    }
    let folder = Folder(options.project.clone());
    certificates(&folder.0, "DNS:localhost")?;
    let stack = Stack::start(Options { functions: false, migrate: false, ..options }).await?;
    let by_address = stack.db_url();
    let by_name = by_address.replace("127.0.0.1", "localhost");
    let plain = ask(format!("{by_address}?sslmode=require")).await;
    assert_eq!((plain.code, plain.err.contains("TLS")), (1, true), "the server offers none yet: {plain:?}");

    encrypt(&stack, &folder.0).await?;
    let authority = format!("sslrootcert={}", folder.0.join("ca.crt").display());
    let answers = [
        (format!("{by_address}?sslmode=disable"), true),
        (format!("{by_address}?sslmode=prefer"), true),
        (format!("{by_address}?sslmode=require"), true),
        (format!("{by_address}?sslmode=verify-ca&{authority}"), true),
        (format!("{by_name}?sslmode=verify-full&{authority}"), true),
        // Another name than the certificate's, and an authority that nobody here knows.
        (format!("{by_address}?sslmode=verify-full&{authority}"), false),
        (format!("{by_name}?sslmode=verify-full"), false),
        (format!("{by_name}?sslmode=verify-ca"), false),
    ];
    for (url, is_fine) in answers {
        let ran = ask(url.clone()).await;
        assert_eq!(ran.code == 0, is_fine, "{url}: {ran:?}");
        assert!(is_fine || ran.err.contains("certificate"), "{url}: {ran:?}");
    }
    stack.stop().await;
    Ok(())
}
