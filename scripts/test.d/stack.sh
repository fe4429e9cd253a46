# shellcheck shell=bash
# On the local stack: the database's own tests, the rows of the crates, the linters of its code, and everything end to end.
# The stack has its state in a folder of this run, so that a developer's own one goes on undisturbed.

ferry() { "${CARGO_TARGET_DIR:-target}/debug/ferry" "$@"; }

# Runs a command with DB_URL of a stack that is started for it. No tick of pg_cron changes a count meanwhile.
on_stack() { # COMMAND…
  local state
  state=$(mktemp -d)
  # Else the database would be elsewhere, where its user comes in, and stay there.
  chmod 711 "$state"
  # shellcheck disable=SC2064
  trap "ferry --state '$state' down; rm -rf '$state'" EXIT
  ferry --state "$state" up --detach --any-ports --no-functions --no-jobs >"$state/up.log" 2>&1 || {
    cat "$state/up.log"
    return 1
  }
  DB_URL=$(ferry --state "$state" status --json | node -p 'JSON.parse(fs.readFileSync(0)).db_url') "$@"
}

step_pgtap() { on_stack pgtap; }

pgtap() { pg_prove --dbname "$DB_URL" --recurse --ext .sql supabase/tests; }

step_catalog() {
  released_chapters
  on_stack catalog
}

# The schema is what supabase/catalog.txt says, so that a change to a chapter changes what it is meant to and nothing else.
catalog() {
  local file=supabase/catalog.txt new
  new=$(mktemp)
  psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --file supabase/tests/support/catalog.psql "$DB_URL" >"$new"
  if [[ -n ${WRITE_CATALOG-} ]]; then
    cat "$new" >"$file"
  elif ! diff --unified=0 --show-function-line='^[a-z]' "$file" "$new"; then
    echo "The schema differs from $file. Is that intended? Then: WRITE_CATALOG=1 scripts/test catalog"
    return 1
  fi
  rm "$new"
}

# A migration that a tagged release contains is never changed: projects have applied it. Until there is a release, each
# object has one definition.
released_chapters() {
  local release
  if ! release=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null); then
    if grep -nE '^(create or replace|drop|alter (function|view)|alter table .* (add|drop|alter|rename)) ' supabase/migrations/*.sql; then
      echo "These lines change what a chapter defines: edit the definition in its chapter."
      return 1
    fi
    return 0
  fi
  git diff --exit-code --stat --diff-filter=DMR "$release" -- supabase/migrations || {
    echo "These migrations are part of $release: leave them as they are and add a new one."
    return 1
  }
}

step_rows() { on_stack rows; }

# What the crates name of the schema is what the migrations make.
rows() { ferry gen types --password-in-url --db-url "$DB_URL" --check --part crates/*/rows.toml; }

step_sql_lint() { on_stack sql_lint; }

# plpgsql_check on every function, then what the platform's dashboard advises: RLS, indexes, search paths.
sql_lint() {
  export PGSSLMODE=disable
  supabase db lint --remote="$DB_URL" --schema public,private --level warning --fail-on warning
  supabase db advisors --remote="$DB_URL" --level warn --fail-on warn
}

# Everything end to end; each test starts the stack that it needs.
step_e2e() { stories tests/tests; }

# Those of the command. The longest waits for two ticks of a real pg_cron.
step_commands() { stories crates/cli/tests; }

stories() { # FOLDER
  local targets
  mapfile -t targets < <(test_targets "$1")
  # They wait more than they work, for pg_cron above all.
  cargo test --locked --workspace --no-fail-fast "${targets[@]}" -- --test-threads=4
}
