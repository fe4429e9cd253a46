# shellcheck shell=bash
# The Rust toolchain that rust-toolchain.toml pins.

what_rust() { echo "Rust $RUST_VERSION with clippy and rustfmt"; }

missing_rust() {
  local -x RUSTUP_AUTO_INSTALL=0
  if [[ $(rustc --version 2>/dev/null) != "rustc $RUST_VERSION "* ]]; then
    echo "Rust $RUST_VERSION"
    return
  fi
  cargo clippy --version &>/dev/null || echo "clippy for Rust $RUST_VERSION"
  cargo fmt --version &>/dev/null || echo "rustfmt for Rust $RUST_VERSION"
}

install_rust() {
  if ! command -v rustup; then
    echo "rustup is not installed. Install it, or put Rust $RUST_VERSION with clippy and rustfmt on the PATH."
    return 1
  fi
  timeout 900 rustup toolchain install "$RUST_VERSION" --profile minimal --component clippy,rustfmt && return
  echo "rustup could not download Rust $RUST_VERSION. Run this where it reaches its server, or name a"
  echo "mirror in RUSTUP_DIST_SERVER, or link a copy: rustup toolchain link $RUST_VERSION FOLDER"
  return 1
}
