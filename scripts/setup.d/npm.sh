# shellcheck shell=bash
# The tools that come from npm: Deno (two versions), the Supabase CLI, and wasm-opt of binaryen.

what_npm() { echo "Deno, Deno 2.1, Supabase CLI and wasm-opt, as package-lock.json pins them"; }

npm_pins() { cat package.json package-lock.json | sha256sum | cut -c1-16; }

missing_npm() {
  if ! command -v npm >/dev/null; then
    echo "npm (Node.js 20 or later)"
    return
  fi
  local tool
  for tool in deno deno-2.1 supabase wasm-opt; do
    [[ -x node_modules/.bin/$tool ]] || echo "$tool"
  done
  [[ $(cat node_modules/.ironferry 2>/dev/null) == "$(npm_pins)" ]] || echo "the pinned versions"
}

install_npm() {
  rm -f node_modules/.ironferry
  npm ci --ignore-scripts --include=optional --no-audit --no-fund
  link_deno deno
  link_deno deno-2.1
  npm_pins >node_modules/.ironferry
}

# npm's `deno` is a Node script around the real program. Link that: it takes signals, and starts faster.
link_deno() { # PACKAGE
  local version binary
  version=$(node -p "require('./node_modules/$1/package.json').version")
  for binary in node_modules/"$1"/node_modules/@deno/*/deno node_modules/@deno/*/deno; do
    if [[ -x $binary && $("$binary" --version 2>/dev/null) == "deno $version "* ]]; then
      ln -sfn "../${binary#node_modules/}" "node_modules/.bin/$1"
      return
    fi
  done
  echo "no build of Deno $version runs on this machine"
  return 1
}
