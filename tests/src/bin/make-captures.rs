//! Writes the synthetic captures that ship with the project into `tests/captures`.

use std::path::Path;

use anyhow::Result;
use ironferry_tests::captures;

fn main() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    std::fs::create_dir_all(&folder)?;
    for capture in captures::shipped() {
        let name = format!("{}_{}.dex", capture.serial, capture.dex_id);
        std::fs::write(folder.join(name), capture.body)?;
    }
    println!("wrote {} captures to {}", captures::shipped().len(), folder.display());
    Ok(())
}
