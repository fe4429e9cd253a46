# shellcheck shell=bash
# The scripts, the wasm modules and their shims.

step_shell() {
  local scripts
  mapfile -t scripts < <(find .ci scripts -type f ! -name '*.ts' ! -name '*.md')
  shellcheck --external-sources "${scripts[@]}"
  echo "${#scripts[@]} scripts are clean"
}

# What these look at is written in deno.json.
step_typescript() {
  deno fmt --check
  deno lint
}

step_build() { scripts/build; }

step_bundle() { deno run --allow-read scripts/bundle.ts check; }

# After the build: the shims import what it generates.
step_types() {
  local sources
  mapfile -t sources < <(find supabase/functions crates/cli/src/stack/runtime scripts tests benches -name '*.ts' -not -path '*/wasm/*')
  deno check "${sources[@]}"
}

step_boundary() { deno test --no-lock --allow-all tests/boundary; }

# What functions on the local stack meet instead of Deno's own API.
step_runtime() { deno test --no-lock --allow-all tests/runtime; }

# Deno 2.1 has the V8 and the API level of the hosted runtime, which checks no types either; `types` does.
step_boundary_hosted() { deno-2.1 test --no-lock --no-check --allow-all tests/boundary; }
