# Prepares the workspace before the runner starts: clones the run's git repository.
#
# This text is fixed: everything that a user typed comes through the environment. The script's own variables begin with RUNVOY_, as
# no variable of a secret does.
set -u
# One pipe for both outputs keeps their lines in order.
exec 2>&1
# The first process of a container loses a signal that it does not catch.
trap 'exit 143' TERM INT
RUNVOY_DIR=${RUNVOY_WORKSPACE:-/workspace}
RUNVOY_REPO=${RUNVOY_GIT_REPO:-}
RUNVOY_REF=${RUNVOY_GIT_REF:-HEAD}

say() { printf '### runvoy sidecar: %s\n' "$1"; }

# Exit codes that runvoy turns into the reason of a failure.
RUNVOY_NOT_CLONED=65 RUNVOY_NO_ACCESS=77 RUNVOY_TIMED_OUT=124

# fail TEXT [CODE]
fail() {
    say "$1"
    exit "${2:-1}"
}

# The runner's image may run as another user than this container. Fargate makes the workspace writable for root only.
umask 000
if [ -z "${RUNVOY_WORKSPACE:-}" ]; then
    chmod 0777 "$RUNVOY_DIR"
fi
# The time limit of a run counts from here. The runner looks for the hundredths of a second since the machine's start.
if [ -r /proc/uptime ]; then
    read -r RUNVOY_START _ </proc/uptime
    RUNVOY_START=${RUNVOY_START%.*}${RUNVOY_START#*.}
else
    RUNVOY_START=$(date +%s)00
fi
printf '%s\n' "$RUNVOY_START" >"$RUNVOY_DIR/.runvoy-start"
if [ -z "$RUNVOY_REPO" ]; then
    exit 0
fi

# A token for a private repository, from the run's secrets.
RUNVOY_TOKEN=${GIT_TOKEN:-${GITHUB_TOKEN:-${GH_TOKEN:-${GITLAB_TOKEN:-}}}}
RUNVOY_USER=git
case $RUNVOY_TOKEN in
"${GITHUB_TOKEN:-}" | "${GH_TOKEN:-}") RUNVOY_USER=x-access-token ;;
"${GITLAB_TOKEN:-}") RUNVOY_USER=oauth2 ;;
esac

# Credentials in the URL are between :// and the @ of its authority.
RUNVOY_URL_CREDENTIALS= RUNVOY_PLACE=
case $RUNVOY_REPO in
*://*)
    RUNVOY_AUTHORITY=${RUNVOY_REPO#*://}
    RUNVOY_AUTHORITY=${RUNVOY_AUTHORITY%%/*}
    case $RUNVOY_AUTHORITY in
    *@*) RUNVOY_URL_CREDENTIALS=${RUNVOY_AUTHORITY%@*} ;;
    esac
    RUNVOY_PLACE=${RUNVOY_REPO%%://*}://${RUNVOY_AUTHORITY##*@}
    ;;
esac

RUNVOY_CREDENTIALS_FILE=$RUNVOY_DIR/.git-credentials

# Prints a text without the credentials.
redact() {
    RUNVOY_TEXT=$1
    for RUNVOY_MASKED in "$RUNVOY_URL_CREDENTIALS" "$RUNVOY_TOKEN"; do
        [ -n "$RUNVOY_MASKED" ] || continue
        RUNVOY_CLEAN=
        while case $RUNVOY_TEXT in *"$RUNVOY_MASKED"*) ;; *) false ;; esac; do
            RUNVOY_CLEAN="$RUNVOY_CLEAN${RUNVOY_TEXT%%"$RUNVOY_MASKED"*}***"
            RUNVOY_TEXT=${RUNVOY_TEXT#*"$RUNVOY_MASKED"}
        done
        RUNVOY_TEXT=$RUNVOY_CLEAN$RUNVOY_TEXT
    done
    printf '%s\n' "$RUNVOY_TEXT"
}

attempt() {
    "$@" >>"$RUNVOY_OUTPUT" 2>&1
}

# Clones the repository and checks the ref out.
clone() {
    trap - TERM INT
    say "cloning $(redact "$RUNVOY_REPO") at $(redact "$RUNVOY_REF")"
    command -v git >/dev/null 2>&1 || fail "the image of this container has no git: see the parameter SidecarImage of the stack"

    export GIT_TERMINAL_PROMPT=0 GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
    RUNVOY_OUTPUT=$RUNVOY_DIR/.git-output
    # A token goes to the repository's own host, and over an encrypted connection, except within this machine.
    case $RUNVOY_PLACE in
    https://* | http://localhost | http://localhost:* | http://127.0.0.1 | http://127.0.0.1:*) ;;
    *) RUNVOY_TOKEN= ;;
    esac
    if [ -n "$RUNVOY_TOKEN" ]; then
        # git asks this helper for the credentials. They are in no argument, no URL and no file.
        export RUNVOY_TOKEN RUNVOY_USER GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=credential.helper GIT_CONFIG_VALUE_0=
        export GIT_CONFIG_KEY_1="credential.$RUNVOY_PLACE.helper"
        export GIT_CONFIG_VALUE_1='!f() { [ "$1" = get ] && printf "username=%s\npassword=%s\n" "$RUNVOY_USER" "$RUNVOY_TOKEN"; }; f'
    fi
    RUNVOY_URL=$RUNVOY_REPO RUNVOY_STORED=
    case $RUNVOY_PLACE%$RUNVOY_URL_CREDENTIALS in
    http*%?*)
        # git shows a URL in the arguments of its own programs, and a user without a password may be a token, too.
        RUNVOY_URL=$RUNVOY_PLACE${RUNVOY_REPO#*://"$RUNVOY_AUTHORITY"}
        case $RUNVOY_URL_CREDENTIALS in
        *:*) RUNVOY_STORED=$RUNVOY_URL_CREDENTIALS ;;
        *) [ -n "$RUNVOY_TOKEN" ] || RUNVOY_STORED=$RUNVOY_URL_CREDENTIALS: ;;
        esac
        ;;
    esac
    if [ -n "$RUNVOY_STORED" ]; then
        # git reads the credentials from a file of this container's user. It takes a token of the run's secrets from the helper above.
        (umask 077 && printf '%s\n' "${RUNVOY_REPO%%://*}://$RUNVOY_STORED@${RUNVOY_AUTHORITY##*@}" >"$RUNVOY_CREDENTIALS_FILE") ||
            fail "the workspace could not be prepared"
        export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=credential.helper GIT_CONFIG_VALUE_0=
        export GIT_CONFIG_KEY_1=credential.helper GIT_CONFIG_VALUE_1="store --file=$RUNVOY_CREDENTIALS_FILE"
    fi
    : >"$RUNVOY_OUTPUT"
    attempt git init --quiet "$RUNVOY_DIR/repo" &&
        attempt git -C "$RUNVOY_DIR/repo" remote add origin "$RUNVOY_URL" ||
        fail "the workspace could not be prepared"

    # Fetch one commit where the server allows it, and all commits where it does not or the ref is an abbreviated commit.
    if attempt git -C "$RUNVOY_DIR/repo" fetch --quiet --depth 1 origin "$RUNVOY_REF"; then
        RUNVOY_TARGET=FETCH_HEAD
    else
        attempt git -C "$RUNVOY_DIR/repo" fetch --quiet --tags origin '+refs/heads/*:refs/remotes/origin/*' &&
            RUNVOY_TARGET=$(git -C "$RUNVOY_DIR/repo" rev-parse --quiet --verify --end-of-options "$RUNVOY_REF^{commit}" 2>/dev/null) ||
            RUNVOY_TARGET=
    fi
    if [ -z "$RUNVOY_TARGET" ] ||
        ! attempt git -C "$RUNVOY_DIR/repo" -c advice.detachedHead=false checkout --quiet "$RUNVOY_TARGET"; then
        RUNVOY_REFUSED=
        while IFS= read -r RUNVOY_LINE || [ -n "$RUNVOY_LINE" ]; do
            redact "$RUNVOY_LINE"
            case $RUNVOY_LINE in
            *"could not read Username"* | *"Authentication failed"* | *"terminal prompts disabled"*) RUNVOY_REFUSED=yes ;;
            esac
        done <"$RUNVOY_OUTPUT"
        rm -f "$RUNVOY_OUTPUT"
        if [ -n "$RUNVOY_REFUSED" ] && [ -z "$RUNVOY_TOKEN$RUNVOY_URL_CREDENTIALS" ]; then
            fail "the repository asks for credentials: run with a secret whose key_name is GITHUB_TOKEN, GITLAB_TOKEN or GIT_TOKEN" "$RUNVOY_NO_ACCESS"
        fi
        fail "the repository could not be cloned: check the URL, the ref $(redact "$RUNVOY_REF") and the access" "$RUNVOY_NOT_CLONED"
    fi
    rm -f "$RUNVOY_OUTPUT"
    # The command does not see credentials that the URL contained.
    git -C "$RUNVOY_DIR/repo" remote remove origin
    say "checked out $(git -C "$RUNVOY_DIR/repo" rev-parse HEAD)"
}

# Ends the clone at the time limit. The exit code tells whether that has happened.
keep_time() {
    RUNVOY_NAP= RUNVOY_FIRED=0
    trap 'kill "$RUNVOY_NAP" 2>/dev/null; exit "$RUNVOY_FIRED"' TERM
    # If the clone has ended already, the signal may have come before the trap was set.
    [ ! -e "$RUNVOY_DIR/.runvoy-cloned" ] || exit 0
    sleep "$RUNVOY_TIMEOUT" >/dev/null 2>&1 &
    RUNVOY_NAP=$!
    wait "$RUNVOY_NAP"
    RUNVOY_FIRED=$RUNVOY_TIMED_OUT
    kill -s TERM "$RUNVOY_CLONE" 2>/dev/null
    exit "$RUNVOY_FIRED"
}

clone &
RUNVOY_CLONE=$!
RUNVOY_WATCHDOG=
if [ "${RUNVOY_TIMEOUT:-0}" -gt 0 ]; then
    keep_time &
    RUNVOY_WATCHDOG=$!
fi
wait "$RUNVOY_CLONE" 2>/dev/null
RUNVOY_CODE=$?
rm -f "$RUNVOY_CREDENTIALS_FILE"
if [ -n "$RUNVOY_WATCHDOG" ]; then
    : >"$RUNVOY_DIR/.runvoy-cloned"
    kill -s TERM "$RUNVOY_WATCHDOG" 2>/dev/null
    wait "$RUNVOY_WATCHDOG" 2>/dev/null
    RUNVOY_RULED=$?
    rm -f "$RUNVOY_DIR/.runvoy-cloned"
    [ "$RUNVOY_RULED" -ne "$RUNVOY_TIMED_OUT" ] ||
        fail "the time limit of $RUNVOY_TIMEOUT seconds passed while the repository was being cloned" "$RUNVOY_TIMED_OUT"
fi
exit "$RUNVOY_CODE"
