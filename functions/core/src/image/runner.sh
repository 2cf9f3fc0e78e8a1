# Runs one command and prints how it ended.
#
# This text is fixed: everything that a user typed comes through the environment. The script's own variables begin with RUNVOY_,
# as no variable of a user does, so that the command gets its variables exactly as they were sent.
set -u
# A stop may be asked for at any time from here on. The first process of a container loses a signal that it does not catch. The other
# signals are caught so that none that the command sends ends this script: no program inherits a caught signal.
RUNVOY_STOPPING= RUNVOY_INTERRUPTED= RUNVOY_CHILD=
trap stop TERM INT
trap 'RUNVOY_INTERRUPTED=yes' HUP QUIT ALRM USR1 USR2
# One pipe for both outputs keeps their lines in order.
exec 2>&1
RUNVOY_LINE_END='
'
# Proves that the last line is this script's. No other program gets it.
RUNVOY_PROOF=${RUNVOY_NONCE:-}
unset RUNVOY_NONCE

signal() {
    [ -n "$RUNVOY_CHILD" ] || return 0
    if [ -n "$RUNVOY_SETSID" ]; then
        kill -s "$1" -- "-$RUNVOY_CHILD" 2>/dev/null || kill -s "$1" "$RUNVOY_CHILD" 2>/dev/null
    else
        kill -s "$1" "$RUNVOY_CHILD" 2>/dev/null
    fi
}
# The mark is for a command that is about to start and loses the signal.
stop() {
    RUNVOY_STOPPING=yes RUNVOY_INTERRUPTED=yes
    [ -n "$RUNVOY_CHILD" ] || return 0
    : >"$RUNVOY_STOP_MARK"
    signal TERM
}

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
    say "command ended, exit code => $1${RUNVOY_PROOF:+ nonce=$RUNVOY_PROOF}"
    exit "$1"
}

# Prints the run's variables for a shell and for dotenv libraries. A value is in quotes only if it needs them. Libraries take a
# backslash before a single quote for a part of the value, so a value that ends with a backslash is in double quotes.
print_env_file() {
    for RUNVOY_NAME in ${RUNVOY_ENV_NAMES:-}; do
        eval "RUNVOY_VALUE=\${$RUNVOY_NAME-}"
        case $RUNVOY_VALUE in
        *[!A-Za-z0-9_./:@%+,=-]*) ;;
        *) printf '%s=%s\n' "$RUNVOY_NAME" "$RUNVOY_VALUE" && continue ;;
        esac
        case $RUNVOY_VALUE in
        *\'* | *\\) ;;
        *) printf "%s='%s'\n" "$RUNVOY_NAME" "$RUNVOY_VALUE" && continue ;;
        esac
        RUNVOY_QUOTED=
        while case $RUNVOY_VALUE in *[\"\`\$\\]*) ;; *) false ;; esac; do
            RUNVOY_HEAD=${RUNVOY_VALUE%%[\"\`\$\\]*}
            RUNVOY_VALUE=${RUNVOY_VALUE#"$RUNVOY_HEAD"}
            RUNVOY_REST=${RUNVOY_VALUE#?}
            RUNVOY_QUOTED=$RUNVOY_QUOTED$RUNVOY_HEAD\\${RUNVOY_VALUE%"$RUNVOY_REST"}
            RUNVOY_VALUE=$RUNVOY_REST
        done
        printf '%s="%s"\n' "$RUNVOY_NAME" "$RUNVOY_QUOTED$RUNVOY_VALUE"
    done
}

# Writes the run's variables to .env in the command's directory. A repository's own .env keeps its lines, and the run's variables
# follow them.
write_env_file() {
    # A repository can have links of these names, which lead anywhere. They are replaced, and never written through.
    [ ! -d .env ] && rm -f .env.runvoy && [ ! -e .env.runvoy ] || return 1
    if [ -f .env ] && [ ! -L .env ]; then
        say "the repository has a file .env: the run's variables are added at its end"
        cat .env >.env.runvoy && printf '\n' >>.env.runvoy || return 1
    fi
    print_env_file >>.env.runvoy && mv -f .env.runvoy .env
}

# Reads the hundredths of a second since the machine's start, which all containers of a task share, into RUNVOY_CLOCK.
read_clock() {
    RUNVOY_CLOCK=
    if [ -r /proc/uptime ]; then
        read -r RUNVOY_CLOCK _ </proc/uptime
        RUNVOY_CLOCK=${RUNVOY_CLOCK%.*}${RUNVOY_CLOCK#*.}
    else
        RUNVOY_CLOCK=$(date +%s)00
    fi
}

# Reads the hundredths of a second that are left of the time limit into RUNVOY_LEFT. The limit counts from the start of the first
# container, which leaves the time of its start in the workspace.
read_time_left() {
    read_clock
    RUNVOY_FIRST=
    if [ -f .runvoy-start ]; then
        read -r RUNVOY_FIRST <.runvoy-start
        rm -f .runvoy-start
    fi
    RUNVOY_LEFT=$((RUNVOY_TIMEOUT * 100 - RUNVOY_CLOCK + ${RUNVOY_FIRST:-$RUNVOY_CLOCK}))
    [ "$RUNVOY_LEFT" -gt 0 ] || RUNVOY_LEFT=1
}

# Reads the hundredths of a second until the deadline, in seconds since 1970, into RUNVOY_LEFT, if they are fewer than those of the
# time limit.
read_deadline() {
    RUNVOY_NOW=$(date +%s 2>/dev/null)
    if [ -z "$RUNVOY_NOW" ]; then
        say "the image has no date, so the deadline is not kept"
        return
    fi
    RUNVOY_REST=$(((RUNVOY_DEADLINE - RUNVOY_NOW) * 100))
    [ "$RUNVOY_REST" -gt 0 ] || RUNVOY_REST=1
    if [ -z "$RUNVOY_LEFT" ] || [ "$RUNVOY_REST" -lt "$RUNVOY_LEFT" ]; then
        RUNVOY_LEFT=$RUNVOY_REST
        RUNVOY_LIMIT="the deadline of the run has passed, and the command"
    fi
}

say "execution started by requestID => ${RUNVOY_REQUEST_ID:-}"
say "image ID => ${RUNVOY_IMAGE_ID:-}"
say "command => $RUNVOY_COMMAND"

RUNVOY_FOLDER=${RUNVOY_WORKSPACE:-/workspace}
# Without a repository, no other container has made the workspace. The image's user may not be allowed to make it at the root.
if [ -z "${RUNVOY_HAS_GIT_REPO:-}" ]; then
    for RUNVOY_FOLDER in "$RUNVOY_FOLDER" "${TMPDIR:-/tmp}/workspace" "${HOME:-/tmp}/workspace"; do
        mkdir -p "$RUNVOY_FOLDER" 2>/dev/null && [ -w "$RUNVOY_FOLDER" ] && break
    done
fi
RUNVOY_STOP_MARK=$RUNVOY_FOLDER/.runvoy-stop
RUNVOY_CHILD_FILE=$RUNVOY_FOLDER/.runvoy-child
RUNVOY_CODE_FILE=$RUNVOY_FOLDER/.runvoy-code
cd "$RUNVOY_FOLDER" || finish 1
RUNVOY_LEFT=
RUNVOY_LIMIT="the command has run for its ${RUNVOY_TIMEOUT:=0} seconds and"
[ "$RUNVOY_TIMEOUT" -eq 0 ] || read_time_left
[ -z "${RUNVOY_DEADLINE:-}" ] || read_deadline
rm -f .runvoy-start
if [ -n "${RUNVOY_HAS_GIT_REPO:-}" ]; then
    # The sidecar has seen that the repository has the folder.
    if ! cd -- "./repo/${RUNVOY_GIT_PATH:-.}"; then
        say "the image's user cannot enter the folder ${RUNVOY_GIT_PATH:-.} of the repository"
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
#
# A signal that arrives between the fork and the reset of the traps is lost. The mark that it leaves is looked for after the reset.
become_command() {
    trap - TERM INT HUP QUIT ALRM USR1 USR2
    [ ! -e "$RUNVOY_STOP_MARK" ] || exit 143
    set -- /bin/sh -ec " $RUNVOY_COMMAND"
    if env --default-signal=INT,QUIT true >/dev/null 2>&1; then
        set -- env --default-signal=INT,QUIT "$@"
    elif command -v perl >/dev/null 2>&1; then
        set -- perl -e '$SIG{INT} = $SIG{QUIT} = "DEFAULT"; exec { $ARGV[0] } @ARGV; exit 127' -- "$@"
    fi
    if [ -n "$RUNVOY_SETSID" ]; then
        set -- setsid "$@"
    fi
    unset RUNVOY_COMMAND RUNVOY_ENV_NAMES RUNVOY_TIMEOUT RUNVOY_DEADLINE
    # The command finds the workspace without the file.
    while [ -e "$RUNVOY_CHILD_FILE" ]; do :; done
    exec "$@"
}

# Waits for this many hundredths of a second. Not every sleep takes a fraction.
nap() {
    RUNVOY_HUNDREDTHS=$(($1 % 100))
    [ "$RUNVOY_HUNDREDTHS" -ge 10 ] || RUNVOY_HUNDREDTHS=0$RUNVOY_HUNDREDTHS
    sleep "$(($1 / 100)).$RUNVOY_HUNDREDTHS" >/dev/null 2>&1 &
    RUNVOY_NAP=$!
    wait "$RUNVOY_NAP" && return
    sleep "$((($1 + 99) / 100))" >/dev/null 2>&1 &
    RUNVOY_NAP=$!
    wait "$RUNVOY_NAP"
}

# Stops the command at its time limit. The exit code tells whether that has happened. A command that does not end on SIGTERM gets 10
# seconds.
keep_time() {
    RUNVOY_NAP= RUNVOY_FIRED=0
    trap 'kill "$RUNVOY_NAP" 2>/dev/null; exit "$RUNVOY_FIRED"' TERM
    trap - INT HUP QUIT ALRM USR1 USR2
    # If the command has ended already, the signal may have come before the trap was set.
    [ ! -s "$RUNVOY_CODE_FILE" ] || exit 0
    nap "$RUNVOY_LEFT"
    RUNVOY_FIRED=$RUNVOY_TIMED_OUT
    say "$RUNVOY_LIMIT is stopped"
    stop
    nap 1000
    signal KILL
    exit "$RUNVOY_FIRED"
}
# An exit code that the shell uses for nothing else.
RUNVOY_TIMED_OUT=99

RUNVOY_SETSID=
if command -v setsid >/dev/null 2>&1; then
    RUNVOY_SETSID=yes
fi

# Starts the command and notes its process id and its exit code. It catches no signal and ignores them, because some shells lose the
# code of a process that ends while a signal is caught.
keep_command() {
    trap '' TERM INT HUP QUIT ALRM USR1 USR2
    become_command &
    # On a disk that is full, the command runs on, and its output has no line of this shell.
    printf '%s\n' "$!" 2>/dev/null >"$RUNVOY_CHILD_FILE" || rm -f "$RUNVOY_CHILD_FILE"
    wait "$!"
    RUNVOY_CODE=$?
    printf '%s\n' "$RUNVOY_CODE" 2>/dev/null >"$RUNVOY_CODE_FILE"
    exit "$RUNVOY_CODE"
}

[ -z "$RUNVOY_STOPPING" ] || finish 143
: >"$RUNVOY_CHILD_FILE"
keep_command &
RUNVOY_KEEPER=$!
# The id is there within a millisecond.
while [ -e "$RUNVOY_CHILD_FILE" ] && [ ! -s "$RUNVOY_CHILD_FILE" ] && kill -0 "$RUNVOY_KEEPER" 2>/dev/null; do :; done
[ ! -s "$RUNVOY_CHILD_FILE" ] || read -r RUNVOY_CHILD <"$RUNVOY_CHILD_FILE"
rm -f "$RUNVOY_CHILD_FILE"
# The signal may have arrived before the command was started.
[ -z "$RUNVOY_STOPPING" ] || stop

RUNVOY_WATCHDOG=
if [ -n "$RUNVOY_LEFT" ]; then
    keep_time &
    RUNVOY_WATCHDOG=$!
fi

# A caught signal ends `wait` early.
while :; do
    RUNVOY_INTERRUPTED=
    wait "$RUNVOY_KEEPER" 2>/dev/null
    RUNVOY_CODE=$?
    [ -n "$RUNVOY_INTERRUPTED" ] || break
done
if [ -s "$RUNVOY_CODE_FILE" ]; then
    read -r RUNVOY_CODE <"$RUNVOY_CODE_FILE"
fi
RUNVOY_RULED=0
if [ -n "$RUNVOY_WATCHDOG" ]; then
    kill -s TERM "$RUNVOY_WATCHDOG" 2>/dev/null
    wait "$RUNVOY_WATCHDOG" 2>/dev/null
    RUNVOY_RULED=$?
fi
rm -f "$RUNVOY_CODE_FILE" "$RUNVOY_STOP_MARK"
[ "$RUNVOY_RULED" -ne "$RUNVOY_TIMED_OUT" ] || finish 124
finish "$RUNVOY_CODE"
