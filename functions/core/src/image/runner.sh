# Runs one command and prints how it ended.
#
# This text is fixed: everything that a user typed comes through the environment. The script's own variables begin with RUNVOY_,
# as no variable of a user does, so that the command gets its variables exactly as they were sent.
set -u
# One pipe for both outputs keeps their lines in order.
exec 2>&1
RUNVOY_LINE_END='
'

# Each line of the text begins with the mark, so that none looks like a line of the command. Lines after the first are set off, so
# that none looks like the last line of a log.
say() {
    RUNVOY_MARK='### runvoy runner: ' RUNVOY_REST=$1
    while case $RUNVOY_REST in *"$RUNVOY_LINE_END"*) ;; *) false ;; esac; do
        printf '%s%s\n' "$RUNVOY_MARK" "${RUNVOY_REST%%"$RUNVOY_LINE_END"*}"
        RUNVOY_REST=${RUNVOY_REST#*"$RUNVOY_LINE_END"}
        RUNVOY_MARK='### runvoy runner: > '
    done
    printf '%s%s\n' "$RUNVOY_MARK" "$RUNVOY_REST"
}

# The last line stands on a line of its own, even if the command left one unfinished. The log driver drops the empty line that
# this may make.
finish() {
    printf '\n'
    say "command ended, exit code => $1"
    exit "$1"
}

# Prints the run's variables for a shell and for dotenv libraries. A value is in quotes only if it needs them.
print_env_file() {
    for RUNVOY_NAME in ${RUNVOY_ENV_NAMES:-}; do
        eval "RUNVOY_VALUE=\${$RUNVOY_NAME-}"
        case $RUNVOY_VALUE in
        *[!A-Za-z0-9_./:@%+,=-]*) ;;
        *) printf '%s=%s\n' "$RUNVOY_NAME" "$RUNVOY_VALUE" && continue ;;
        esac
        case $RUNVOY_VALUE in
        *\'*) ;;
        *) printf "%s='%s'\n" "$RUNVOY_NAME" "$RUNVOY_VALUE" && continue ;;
        esac
        case $RUNVOY_VALUE in
        *[\"\`\$\\]*) ;;
        *) printf '%s="%s"\n' "$RUNVOY_NAME" "$RUNVOY_VALUE" && continue ;;
        esac
        RUNVOY_QUOTED=
        while case $RUNVOY_VALUE in *\'*) ;; *) false ;; esac; do
            RUNVOY_QUOTED="$RUNVOY_QUOTED${RUNVOY_VALUE%%\'*}'\\''"
            RUNVOY_VALUE=${RUNVOY_VALUE#*\'}
        done
        printf "%s='%s'\n" "$RUNVOY_NAME" "$RUNVOY_QUOTED$RUNVOY_VALUE"
    done
}

# Writes the run's variables to .env in the command's directory. A repository's own .env keeps its lines, and the run's variables
# follow them.
write_env_file() {
    if [ -f .env ]; then
        say "the repository has a file .env: the run's variables are added at its end"
        cat .env >.env.runvoy && printf '\n' >>.env.runvoy && print_env_file >>.env.runvoy && mv -f .env.runvoy .env
    else
        print_env_file >.env
    fi
}

say "execution started by requestID => ${RUNVOY_REQUEST_ID:-}"
say "image ID => ${RUNVOY_IMAGE_ID:-}"
say "command => $RUNVOY_COMMAND"

cd "${RUNVOY_WORKSPACE:-/workspace}" || finish 1
if [ -n "${RUNVOY_HAS_GIT_REPO:-}" ]; then
    if ! cd -- "./repo/${RUNVOY_GIT_PATH:-.}"; then
        say "git_path ${RUNVOY_GIT_PATH:-.} is not a directory of the repository"
        finish 1
    fi
fi
if [ -n "${RUNVOY_ENV_NAMES:-}" ]; then
    (umask 077 && write_env_file) || say "the file .env could not be written"
fi

# Becomes the command. A shell starts background commands with SIGINT and SIGQUIT ignored (POSIX, "Asynchronous Lists"), and no
# shell can undo that, so another program restores the default, where the image has one that can. In a session of its own, where the
# image can make one, a signal reaches every process that the command starts. The command begins with a blank, because sh would
# take a leading - or + for its own options.
become_command() {
    set -- /bin/sh -ec " $RUNVOY_COMMAND"
    if env --default-signal=INT,QUIT true >/dev/null 2>&1; then
        set -- env --default-signal=INT,QUIT "$@"
    elif command -v perl >/dev/null 2>&1; then
        set -- perl -e '$SIG{INT} = $SIG{QUIT} = "DEFAULT"; exec { $ARGV[0] } @ARGV; exit 127' -- "$@"
    fi
    if [ -n "$RUNVOY_SETSID" ]; then
        set -- setsid "$@"
    fi
    unset RUNVOY_COMMAND RUNVOY_ENV_NAMES RUNVOY_TIMEOUT RUNVOY_SETSID RUNVOY_CHILD RUNVOY_STOPPING RUNVOY_TIMED_OUT
    exec "$@"
}

RUNVOY_SETSID= RUNVOY_CHILD= RUNVOY_STOPPING= RUNVOY_TIMED_OUT=
if command -v setsid >/dev/null 2>&1; then
    RUNVOY_SETSID=yes
fi

signal() {
    [ -n "$RUNVOY_CHILD" ] || return 0
    if [ -n "$RUNVOY_SETSID" ]; then
        kill -s "$1" -- "-$RUNVOY_CHILD" 2>/dev/null || kill -s "$1" "$RUNVOY_CHILD" 2>/dev/null
    else
        kill -s "$1" "$RUNVOY_CHILD" 2>/dev/null
    fi
}
stop() {
    RUNVOY_STOPPING=yes
    signal TERM
}
time_out() {
    RUNVOY_TIMED_OUT=yes
    say "the command has run for its ${RUNVOY_TIMEOUT} seconds and is stopped"
    stop
    # A command that does not end on SIGTERM gets 10 seconds.
    (sleep 10 && signal KILL) >/dev/null 2>&1 &
}
trap stop TERM INT
trap time_out USR1
(trap - TERM INT USR1 && become_command) &
RUNVOY_CHILD=$!
# The signal may have arrived before the command was started.
[ -z "$RUNVOY_STOPPING" ] || signal TERM

RUNVOY_WATCHDOG=
if [ "${RUNVOY_TIMEOUT:-0}" -gt 0 ]; then
    (
        trap - INT USR1
        sleep "$RUNVOY_TIMEOUT" &
        RUNVOY_NAP=$!
        trap 'kill "$RUNVOY_NAP"; exit 0' TERM
        wait "$RUNVOY_NAP"
        kill -s USR1 $$
    ) >/dev/null 2>&1 &
    RUNVOY_WATCHDOG=$!
fi

# A trapped signal ends `wait` early. The code is the command's only when the command has ended.
while :; do
    wait "$RUNVOY_CHILD" 2>/dev/null
    RUNVOY_CODE=$?
    kill -0 "$RUNVOY_CHILD" 2>/dev/null || break
done

[ -z "$RUNVOY_WATCHDOG" ] || kill -s TERM "$RUNVOY_WATCHDOG" 2>/dev/null
if [ -n "$RUNVOY_TIMED_OUT" ]; then
    finish 124
fi
finish "$RUNVOY_CODE"
