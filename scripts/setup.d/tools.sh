# shellcheck shell=bash
# Tools that Cargo builds, kept in the cache by version: built once for all clones.

what_wasm_bindgen() { echo "wasm-bindgen-cli $WASM_BINDGEN_VERSION, as in Cargo.lock"; }
missing_wasm_bindgen() { missing_tool "wasm-bindgen-cli-$WASM_BINDGEN_VERSION/bin/wasm-bindgen"; }
install_wasm_bindgen() { quickly cargo_tool wasm-bindgen-cli "$WASM_BINDGEN_VERSION"; }

what_wasm_pack() { echo "wasm-pack $WASM_PACK_VERSION"; }
missing_wasm_pack() { missing_tool "wasm-pack-$WASM_PACK_VERSION/bin/wasm-pack"; }
install_wasm_pack() { quickly cargo_tool wasm-pack "$WASM_PACK_VERSION"; }

what_postrust() { echo "postrust-server $POSTRUST_VERSION"; }
missing_postrust() { missing_tool "postrust-server-$POSTRUST_VERSION/bin/postrust"; }
# The feature keeps columns in the order of the table, as PostgREST does.
install_postrust() { cargo_tool postrust-server "$POSTRUST_VERSION" --features compat-key-order; }

missing_tool() { [[ -x $IRONFERRY_TOOLS/$1 ]] || echo "$(basename "$1") in $IRONFERRY_TOOLS"; }

# For tools that work for a second at a time: building them fast is worth more than fast tools.
quickly() { CARGO_PROFILE_RELEASE_OPT_LEVEL=1 "$@"; }

# Installs beside the final folder and moves it there: a killed run leaves nothing half done.
cargo_tool() { # NAME VERSION [OPTION…]
  local name=$1 version=$2 final=$IRONFERRY_TOOLS/$1-$2 partial=$IRONFERRY_TOOLS/.partial-$1
  shift 2
  rm -rf "$partial"
  export CARGO_TARGET_DIR=$IRONFERRY_CACHE/build/target
  # Second try: a registry mirror can lack a version that the tool's own lock file names.
  cargo install "$name" --version "=$version" --root "$partial" --locked "$@" ||
    cargo install "$name" --version "=$version" --root "$partial" "$@"
  rm -rf "$final"
  mv "$partial" "$final"
}
