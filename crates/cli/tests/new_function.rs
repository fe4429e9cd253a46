//! `ferry new`: what it makes, and the names that it refuses. That all of it works, the tutorial's test shows.

mod ferry;

use ferry::{Folder, Ran, ferry};

/// As much of a project as `ferry new` looks at.
fn project() -> Folder {
    let folder = Folder::new();
    folder.file("crates/collect-dex/Cargo.toml", "");
    folder.file("Cargo.lock", "[[package]]\nname = \"serde\"\n");
    folder.file("supabase/config.toml", "[functions.disabled-one]\nenabled = false");
    folder.file("supabase/migrations/29991231235959_late.sql", "");
    folder.file("supabase/tests/50-schedules.sql", "");
    folder
}

fn new(folder: &Folder, name: &str) -> Ran {
    ferry(&["--project", folder.path(), "new", "--", name])
}

#[test]
fn a_function_is_made_of_files_that_know_each_other() {
    let folder = project();
    let ran = new(&folder, "greet-guests");
    assert_eq!(ran.code, 0, "{ran:?}");
    let read = |path: &str| {
        std::fs::read_to_string(folder.0.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    assert!(
        read("supabase/config.toml")
            .ends_with("enabled = false\n\n[functions.greet-guests]\nverify_jwt = false\n")
    );
    assert!(read("supabase/functions/greet-guests/index.ts").contains("./wasm/greet_guests.ts"));
    assert!(read("crates/greet-guests/src/lib.rs").contains("rpc(\"greet_guests_greet\""));
    assert!(
        read("supabase/migrations/29991231235960_greet_guests.sql").contains("public.greet_guests_greet(")
    );
    assert!(read("supabase/tests/51-greet-guests.sql").contains("greet_guests_names"));
    for path in ["crates/greet-guests/Cargo.toml", "crates/greet-guests/tests/greet_guests.rs"] {
        assert!(!read(path).contains("{{"), "{path} has a hole");
    }
    let again = new(&folder, "greet-guests");
    assert_eq!((again.code, again.err.contains("exists already")), (2, true), "{again:?}");
}

#[test]
fn bad_names_and_taken_ones_are_refused_and_leave_nothing() {
    let folder = project();
    for name in
        ["Greet", "greet_guests", "../greet", "2fast", "", "collect-dex", "serde", "test", "disabled-one"]
    {
        let ran = new(&folder, name);
        assert_eq!(ran.code, 2, "{name:?}: {ran:?}");
        assert!(!ran.err.is_empty());
    }
    assert!(!folder.0.join("supabase/functions").exists(), "nothing was made");
    let elsewhere = Folder::new();
    elsewhere.file("supabase/config.toml", "");
    assert_eq!(new(&elsewhere, "greet-guests").code, 2);
}

#[test]
fn what_cannot_be_finished_is_undone() {
    let folder = project();
    // A file where a folder is wanted.
    folder.file("supabase/functions", "");
    let ran = new(&folder, "greet-guests");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(!folder.0.join("crates/greet-guests/src/lib.rs").exists());
    let config = std::fs::read_to_string(folder.0.join("supabase/config.toml")).expect("kept");
    assert!(!config.contains("greet-guests"));
}
