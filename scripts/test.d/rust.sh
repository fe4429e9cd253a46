# shellcheck shell=bash
# The Rust side. `compile` builds everything once and the later steps only run it: each selects the whole
# workspace, because another selection would mean other features of the dependencies, and a second build.

step_fmt() { cargo fmt --all --check; }

step_clippy() { cargo clippy --locked --workspace --all-targets -- -D warnings; }

step_compile() { cargo build --locked --workspace --bins --tests --examples; }

step_unit() {
  local targets
  mapfile -t targets < <(test_targets crates/*/tests)
  cargo test --locked --workspace --no-fail-fast --lib --bins --examples "${targets[@]}"
}

step_doctest() { cargo test --locked --workspace --no-fail-fast --doc; }

step_rustdoc() { RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps; }

# `--test NAME` for each integration test in these folders.
test_targets() { # FOLDER…
  local folder test
  for folder; do
    for test in "$folder"/*.rs "$folder"/*/main.rs; do
      [[ -e $test ]] || continue
      test=${test%/main.rs}
      printf -- '--test\n%s\n' "$(basename "$test" .rs)"
    done
  done
}
