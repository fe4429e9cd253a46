//! Writes the synthetic captures that ship with the project into `tests/captures`.

use std::path::Path;

use anyhow::Result;
use ironferry_tests::captures;

fn main() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    std::fs::create_dir_all(&folder)?;
    // What an earlier builder made goes, or it would be served too.
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "dex") {
            std::fs::remove_file(path)?;
        }
    }
    let captures = captures::shipped();
    for capture in &captures {
        let name = format!("{}_{}.dex", capture.serial, capture.dex_id);
        std::fs::write(folder.join(name), capture.bytes())?;
    }
    println!("{} captures in {}", captures.len(), folder.display());
    Ok(())
}
