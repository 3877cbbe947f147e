# What the scripts share: where the repository is, who builds, what root is needed for. Sourced, not run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

need_root() {
    [ "$(id -u)" = 0 ] || { echo "$0 needs root (it makes network namespaces): sudo $0" >&2; exit 1; }
}

# Under sudo the toolchain is the caller's, and so are the files that it writes.
builder=${SUDO_USER:-root}
if [ "$(id -u)" = 0 ] && [ "$builder" != root ]; then
    builder_home=$(getent passwd "$builder" | cut -d: -f6)
    export CARGO_HOME=${CARGO_HOME:-$builder_home/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$builder_home/.rustup}
    export PATH="$CARGO_HOME/bin:$PATH"
    as_builder() { runuser -u "$builder" -- "$@"; }
else
    export PATH="${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:$PATH"
    as_builder() { "$@"; }
fi

need_rust() {
    command -v cargo >/dev/null || { echo "cargo is not installed; see https://rustup.rs" >&2; exit 1; }
}
