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

# Exit codes of failures.
RUNVOY_NOT_CLONED=65 RUNVOY_NO_FOLDER=66 RUNVOY_NO_ACCESS=77 RUNVOY_TIMED_OUT=124

# fail TEXT [CODE]
#
# The text becomes the reason of the run's failure.
fail() {
    say "failed => $1"
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
# The token that no line shows, also where git does not get it.
RUNVOY_SECRET=$RUNVOY_TOKEN

# Prints a text without the credentials.
redact() {
    RUNVOY_TEXT=$1
    for RUNVOY_MASKED in "$RUNVOY_URL_CREDENTIALS" "$RUNVOY_SECRET"; do
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

RUNVOY_LINE_END='
'
# The lines of the commands that have failed, and the line of the last one that says why.
RUNVOY_SAID= RUNVOY_WHY=

# Prints the first line of a text that says why git has failed.
find_why() {
    printf '%s\n' "$1" | while IFS= read -r RUNVOY_LINE; do
        case $RUNVOY_LINE in
        'fatal: '* | 'error: '*) printf '%s\n' "$RUNVOY_LINE" && exit ;;
        esac
    done
}

# Runs git, and keeps the end of its lines if it fails. They are in no file, because the disk may be full. A process that git has started
# may write after the exit code.
attempt() {
    RUNVOY_LINES=$({ "$@" 2>&1; printf '\n%s%s\n' "$RUNVOY_CODE_MARK" "$?"; } | tail -c 16384)
    RUNVOY_REST=${RUNVOY_LINES##*"$RUNVOY_CODE_MARK"}$RUNVOY_LINE_END
    RUNVOY_CODE=${RUNVOY_REST%%"$RUNVOY_LINE_END"*}
    case $RUNVOY_CODE in
    0) return 0 ;;
    '' | *[!0-9]*) RUNVOY_CODE=1 ;;
    esac
    RUNVOY_LINES=${RUNVOY_LINES%"$RUNVOY_CODE_MARK"*}$RUNVOY_LINE_END${RUNVOY_REST#*"$RUNVOY_LINE_END"}
    RUNVOY_SAID=$RUNVOY_SAID$RUNVOY_LINES$RUNVOY_LINE_END
    RUNVOY_WHY=$(find_why "$RUNVOY_LINES")
    return "$RUNVOY_CODE"
}
RUNVOY_CODE_MARK='git has ended with '
RUNVOY_REFUSED='fatal: Authentication failed'

# Fails unless the command's folder is one of the repository's. A repository can have links that lead anywhere.
check_path() {
    RUNVOY_ROOT=$(cd -- "$RUNVOY_DIR/repo" && pwd -P)
    RUNVOY_INSIDE=$(cd -- "$RUNVOY_DIR/repo/${RUNVOY_GIT_PATH:-.}" 2>/dev/null && pwd -P) ||
        fail "the repository has no folder $RUNVOY_GIT_PATH at $(redact "$RUNVOY_REF"): check git_path" "$RUNVOY_NO_FOLDER"
    case $RUNVOY_INSIDE/ in
    "$RUNVOY_ROOT"/*) ;;
    *) fail "the folder $RUNVOY_GIT_PATH leads out of the repository: check git_path" "$RUNVOY_NO_FOLDER" ;;
    esac
}

# Clones the repository and checks the ref out.
clone() {
    trap - TERM INT
    say "cloning $(redact "$RUNVOY_REPO") at $(redact "$RUNVOY_REF")"
    command -v git >/dev/null 2>&1 || fail "the image of this container has no git: see the parameter SidecarImage of the stack"

    # git's lines are in English.
    export LC_ALL=C GIT_TERMINAL_PROMPT=0 GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
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
    attempt git init --quiet "$RUNVOY_DIR/repo" &&
        attempt git -C "$RUNVOY_DIR/repo" remote add origin "$RUNVOY_URL" ||
        fail "the workspace could not be prepared: $(redact "$RUNVOY_WHY")"

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
        printf '%s' "$RUNVOY_SAID" | while IFS= read -r RUNVOY_LINE; do
            # A server's text must not look like a line of runvoy's own.
            case $RUNVOY_LINE in
            '') ;;
            '###'*) redact " $RUNVOY_LINE" ;;
            *) redact "$RUNVOY_LINE" ;;
            esac
        done
        case $RUNVOY_SAID in
        *"could not read Username"* | *"Authentication failed"* | *"terminal prompts disabled"*)
            [ -n "$RUNVOY_TOKEN$RUNVOY_URL_CREDENTIALS" ] ||
                fail "the repository asks for credentials: check its URL, or run with a secret whose key_name is GITHUB_TOKEN, GITLAB_TOKEN or GIT_TOKEN" "$RUNVOY_NO_ACCESS"
            ;;
        esac
        # git forgets credentials that were refused, and says of the next attempt that there are none.
        case $RUNVOY_SAID in
        *"$RUNVOY_REFUSED"*)
            RUNVOY_WHY=$RUNVOY_REFUSED${RUNVOY_SAID#*"$RUNVOY_REFUSED"}
            RUNVOY_WHY=${RUNVOY_WHY%%"$RUNVOY_LINE_END"*}
            ;;
        esac
        fail "the repository could not be cloned: $(redact "${RUNVOY_WHY:-check the URL, the ref $RUNVOY_REF and the access}")" "$RUNVOY_NOT_CLONED"
    fi
    check_path
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
