# shellcheck shell=bash
# On the local stack: the database's own tests, its functions' linter, and the end-to-end tests.
stop_stack() { :; }
step_pgtap() { echo "todo"; return 1; }
step_sql_lint() { step_pgtap; }
step_e2e() {
  local targets
  mapfile -t targets < <(test_targets tests/tests)
  if ((${#targets[@]} == 0)); then
    echo "There are no end-to-end tests in tests/tests."
    return 1
  fi
  cargo test --locked --workspace --no-fail-fast "${targets[@]}"
}
