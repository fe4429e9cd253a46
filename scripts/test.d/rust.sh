# shellcheck shell=bash
# The Rust side. `compile` builds everything once and the later steps only run it: each selects the whole
# workspace, because another selection would mean other features of the dependencies, and a second build.

step_fmt() { cargo fmt --all --check; }

step_clippy() { cargo clippy --locked --workspace --all-targets -- -D warnings; }

# The code that only the wasm modules have. Clippy needs rustup's standard library for that.
step_clippy_wasm() {
  if [[ -n ${IRONFERRY_WASM_RUSTC_PATH-} ]]; then
    echo "not checked: rustup has no $WASM_TARGET here"
    return
  fi
  local packages
  mapfile -t packages < <(wasm_packages)
  cargo clippy --locked --target "$WASM_TARGET" "${packages[@]}" -- -D warnings
}

# `--package=NAME` for each function; a crate and its function's folder have the same name.
wasm_packages() {
  local index
  for index in supabase/functions/*/index.ts tests/functions/*/index.ts examples/*/index.ts; do
    [[ -e $index ]] || continue
    echo "--package=$(basename "$(dirname "$index")")"
  done
}

step_compile() { cargo build --locked --workspace --bins --tests --examples; }

step_unit() {
  local folders targets
  # The command's own start stacks: they are the step `commands`.
  mapfile -t folders < <(find crates -mindepth 2 -maxdepth 2 -name tests -not -path crates/cli/tests)
  mapfile -t targets < <(test_targets "${folders[@]}")
  cargo test --locked --workspace --no-fail-fast --lib --bins --examples "${targets[@]}"
}

step_doctest() { cargo test --locked --workspace --no-fail-fast --doc; }

step_rustdoc() { RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --all-features --no-deps; }

# `--test=NAME` for each integration test in these folders.
test_targets() { # FOLDER…
  local folder test
  for folder; do
    for test in "$folder"/*.rs "$folder"/*/main.rs; do
      [[ -e $test ]] || continue
      test=${test%/main.rs}
      echo "--test=$(basename "$test" .rs)"
    done
  done
}
