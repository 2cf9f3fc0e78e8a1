#!/bin/sh
# Installs the command line of a release: downloads the archive for this machine, compares its checksum, and puts the program into a folder.
#
# Usage: curl -LsSf URL/install.sh | sh       URL is that of the release's files
#
# RUNVOY_INSTALL_DIR     the folder of the program; ~/.local/bin if it is not set
# RUNVOY_VERSION         another version than that of this file, such as 1.2.3
# RUNVOY_DOWNLOAD_URL    another place with the same files, such as a mirror
set -eu

url=${RUNVOY_DOWNLOAD_URL:-@DOWNLOAD_URL@}

fail() {
    printf 'install: %s\n' "$1" >&2
    exit 1
}

if [ -n "${RUNVOY_VERSION:-}" ]; then
    case $RUNVOY_VERSION in
    *[!0-9.]* | .* | *. | *..*) fail "$RUNVOY_VERSION is no version: give three numbers such as 1.2.3" ;;
    esac
    url=${url%/*}/v$RUNVOY_VERSION
fi

have() { command -v "$1" >/dev/null 2>&1; }

# fetch FILE: into the scratch folder.
fetch() {
    if have curl; then
        curl --fail --silent --show-error --location --output "$scratch/$1" "$url/$1"
    elif have wget; then
        wget --quiet --output-document="$scratch/$1" "$url/$1"
    else
        fail "there is neither curl nor wget: install one of them"
    fi || fail "$url/$1 cannot be downloaded"
}

case $(uname -s) in
Linux) system=unknown-linux-musl ;;
Darwin) system=apple-darwin ;;
*) fail "there is no archive for $(uname -s); on Windows, take $url/install.ps1" ;;
esac
case $(uname -m) in
x86_64 | amd64) machine=x86_64 ;;
aarch64 | arm64) machine=aarch64 ;;
*) fail "there is no archive for the processor $(uname -m): build it with cargo install --path cli" ;;
esac
name=runvoy-$machine-$system
folder=${RUNVOY_INSTALL_DIR:-${HOME:-}/.local/bin}
[ "$folder" != /.local/bin ] || fail "HOME is not set: name a folder in RUNVOY_INSTALL_DIR"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fetch "$name.tar.gz"
fetch SHA256SUMS
expected=$(awk -v file="$name.tar.gz" '$2 == file { print $1 }' "$scratch/SHA256SUMS")
[ -n "$expected" ] || fail "$url/SHA256SUMS does not name $name.tar.gz"
if have sha256sum; then
    actual=$(sha256sum "$scratch/$name.tar.gz")
else
    actual=$(shasum -a 256 "$scratch/$name.tar.gz")
fi
[ "${actual%% *}" = "$expected" ] || fail "$name.tar.gz has another checksum than SHA256SUMS says: nothing was installed"

tar -xzf "$scratch/$name.tar.gz" -C "$scratch"
mkdir -p "$folder"
# Renamed in its folder, so that there is never half a program, and one that runs goes on.
cp "$scratch/$name/runvoy" "$folder/.runvoy.new"
chmod 755 "$folder/.runvoy.new"
mv -f "$folder/.runvoy.new" "$folder/runvoy"
printf '%s is installed: %s\n' "$("$folder/runvoy" --version)" "$folder/runvoy"
case :${PATH:-}: in
*:"$folder":*) ;;
*) printf 'The folder is not in your PATH. Add it: export PATH="%s:$PATH"\n' "$folder" ;;
esac
