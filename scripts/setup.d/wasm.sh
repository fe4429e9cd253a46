# shellcheck shell=bash
# The standard library for wasm32-unknown-unknown: rustup's, else one built with Debian's compiler.

what_wasm() {
  local from=rustup
  if [[ -n ${IRONFERRY_WASM_RUSTC_PATH-} || ${IRONFERRY_WASM_TOOLCHAIN-} == debian ]]; then from="Debian's rustc-web"; fi
  echo "$WASM_TARGET from $from"
}

missing_wasm() {
  if [[ -n ${IRONFERRY_WASM_RUSTC_PATH-} ]]; then return; fi
  if [[ ${IRONFERRY_WASM_TOOLCHAIN-} == debian ]]; then
    echo "std for wasm, built with Debian's rustc-web"
  else
    ironferry_rustup_has_wasm || echo "Rust's $WASM_TARGET"
  fi
}

install_wasm() {
  local from=${IRONFERRY_WASM_TOOLCHAIN:-auto} packages=(rustc-web rust-web-src rust-web-llvm lld-22)
  if [[ $from != debian ]]; then
    timeout 120 rustup target add "$WASM_TARGET" && return
    if [[ $from == rustup ]]; then return 1; fi
    echo "rustup could not get it; trying Debian's compiler"
  fi
  if ! dpkg-query -W "${packages[@]}" &>/dev/null; then
    apt_ready "${packages[@]}"
    apt_install "${packages[@]}"
  fi
  build_debian_std "$(dirname "$(ironferry_debian_wasm)")"
}

# Compiles std and lays a sysroot around it, which plain cargo and wasm-pack's own check accept.
build_debian_std() { # FOLDER
  local final=$1 work=$IRONFERRY_CACHE/build/std partial=$IRONFERRY_TOOLS/.partial-rustc-wasm libraries
  libraries=$partial/lib/rustlib/$WASM_TARGET/lib
  rm -rf "$work" "$partial"
  mkdir -p "$work/src" "$partial/bin" "$libraries"
  printf '[package]\nname = "std-for-wasm"\nedition = "2024"\n[workspace]\n' >"$work/Cargo.toml"
  echo '#![no_std]' >"$work/src/lib.rs"
  (
    cd "$work" || exit
    # Outside the repository rustup would not see rust-toolchain.toml.
    export RUSTUP_TOOLCHAIN=$RUST_VERSION
    # embed-bitcode: without it a later build with `lto` finds no bitcode in std.
    export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS='-C embed-bitcode=yes' CARGO_TARGET_DIR=$work/target
    cargo build --release --target "$WASM_TARGET" -Z build-std=std,panic_abort
  )
  cp "$work/target/$WASM_TARGET"/release/deps/lib*.rlib "$libraries"
  rm "$libraries"/libstd_for_wasm-*
  ln -s /usr/lib/rustlib/* "$partial/lib/rustlib/"
  wrap_debian_rustc "$final" "$partial/bin"
  rm -rf "$final"
  mv "$partial" "$final"
}

wrap_debian_rustc() { # SYSROOT FOLDER
  printf '#!/bin/sh\nexec /usr/bin/rustc --sysroot="%s" "$@"\n' "$1" >"$2/rustc"
  # Older rustups put their own rustc back in front of the PATH; RUSTC stands above that.
  printf '#!/bin/sh\nRUSTC="%s" exec "%s" "$@"\n' "$1/bin/rustc" "$(command -v cargo)" >"$2/cargo"
  chmod +x "$2/rustc" "$2/cargo"
}
