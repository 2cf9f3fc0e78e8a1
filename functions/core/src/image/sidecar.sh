# Prepares the workspace before the runner starts: clones the git repository, if the run names one.
# Fixed text: all that a user typed comes through the environment.
set -u
# One pipe for both outputs keeps their lines in order.
exec 2>&1
umask 077
workspace=${RUNVOY_WORKSPACE:-/workspace}
repo=${RUNVOY_GIT_REPO:-}
ref=${RUNVOY_GIT_REF:-HEAD}

say() { printf '### runvoy sidecar: %s\n' "$1"; }

# A token in the URL stands between :// and the @ of its authority; it is never printed.
case $repo in
*://*)
    authority=${repo#*://}
    authority=${authority%%/*}
    case $authority in
    *@*) credentials=${authority%@*} ;;
    *) credentials= ;;
    esac
    ;;
*) credentials= ;;
esac
redact() {
    text=$1
    if [ -n "$credentials" ]; then
        clean=
        while case $text in *"$credentials"*) ;; *) false ;; esac; do
            clean="$clean${text%%"$credentials"*}***"
            text=${text#*"$credentials"}
        done
        text=$clean$text
    fi
    printf '%s\n' "$text"
}

fail() {
    say "$1"
    exit 1
}

if [ -z "$repo" ]; then
    exit 0
fi
say "cloning $(redact "$repo") at $(redact "$ref")"
command -v git >/dev/null 2>&1 || apk add --no-cache --quiet git || fail "git could not be installed"

export GIT_TERMINAL_PROMPT=0 GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
log=$workspace/.git-output
attempt() {
    "$@" >>"$log" 2>&1
}
: >"$log"
attempt git init --quiet "$workspace/repo" &&
    attempt git -C "$workspace/repo" remote add origin "$repo" ||
    fail "the workspace could not be prepared"

# One commit deep where the server allows it; all of it where the ref is an abbreviated commit or the server refuses.
if attempt git -C "$workspace/repo" fetch --quiet --depth 1 origin "$ref"; then
    target=FETCH_HEAD
else
    attempt git -C "$workspace/repo" fetch --quiet --tags origin '+refs/heads/*:refs/remotes/origin/*' &&
        target=$(git -C "$workspace/repo" rev-parse --quiet --verify --end-of-options "$ref^{commit}" 2>/dev/null) ||
        target=
fi
if [ -z "$target" ] || ! attempt git -C "$workspace/repo" -c advice.detachedHead=false checkout --quiet "$target"; then
    while IFS= read -r line || [ -n "$line" ]; do
        redact "$line"
    done <"$log"
    rm -f "$log"
    fail "the repository could not be cloned: check the URL, the ref $(redact "$ref") and the access"
fi
rm -f "$log"
# The credentials have done their work; the command does not see them.
git -C "$workspace/repo" remote remove origin
say "checked out $(git -C "$workspace/repo" rev-parse HEAD)"
