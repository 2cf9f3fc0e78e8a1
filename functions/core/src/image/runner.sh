# Runs one command and says how it ended.
# Fixed text: all that a user typed comes through the environment.
set -u
# One pipe for both outputs keeps their lines in order.
exec 2>&1
workspace=${RUNVOY_WORKSPACE:-/workspace}
timeout=${RUNVOY_TIMEOUT:-0}

say() { printf '### runvoy runner: %s\n' "$1"; }

# On a line of its own, whatever the command left unfinished; the log driver drops the empty line this may make.
finish() {
    printf '\n'
    say "command ended, exit code => $1"
    exit "$1"
}

# The user's variables as a file that a shell can read: each value in single quotes.
write_env_file() {
    for name in ${RUNVOY_ENV_NAMES:-}; do
        eval "value=\${$name-}"
        quoted=
        while case $value in *\'*) ;; *) false ;; esac; do
            quoted="$quoted${value%%\'*}'\\''"
            value=${value#*\'}
        done
        printf "%s='%s'\n" "$name" "$quoted$value"
    done
}

say "execution started by requestID => ${RUNVOY_REQUEST_ID:-}"
say "image ID => ${RUNVOY_IMAGE_ID:-}"
say "command => $RUNVOY_COMMAND"

cd "$workspace" || finish 1
if [ -n "${RUNVOY_ENV_NAMES:-}" ]; then
    (umask 077 && write_env_file >.env) || say "the file .env could not be written"
fi
if [ -n "${RUNVOY_HAS_GIT_REPO:-}" ]; then
    if ! cd -- "./repo/${RUNVOY_GIT_PATH:-.}"; then
        say "git_path ${RUNVOY_GIT_PATH:-.} is not a directory of the repository"
        finish 1
    fi
fi

# A session of its own, where the image can make one, lets a signal reach all that the command starts.
command=$RUNVOY_COMMAND
unset RUNVOY_COMMAND RUNVOY_ENV_NAMES RUNVOY_TIMEOUT
child= group= stopping= timed_out=
signal() {
    [ -z "$child" ] || kill -s "$1" -- "$group" 2>/dev/null || kill -s "$1" "$child" 2>/dev/null
}
stop() {
    stopping=yes
    signal TERM
}
time_out() {
    timed_out=yes
    say "the command has run for its ${timeout} seconds and is stopped"
    stop
    # What does not listen gets 10 seconds.
    (sleep 10 && signal KILL) >/dev/null 2>&1 &
}
trap stop TERM INT
trap time_out USR1
if command -v setsid >/dev/null 2>&1; then
    setsid /bin/sh -c "$command" &
    child=$!
    group=-$child
else
    /bin/sh -c "$command" &
    child=$!
    group=$child
fi
# A signal that came before there was anything to pass it on to.
[ -z "$stopping" ] || signal TERM

watchdog=
if [ "$timeout" -gt 0 ]; then
    (
        trap - INT USR1
        sleep "$timeout" &
        nap=$!
        trap 'kill "$nap"; exit 0' TERM
        wait "$nap"
        kill -s USR1 $$
    ) >/dev/null 2>&1 &
    watchdog=$!
fi

# A trapped signal ends `wait` early; only when the child is gone is the code the command's.
while :; do
    wait "$child" 2>/dev/null
    code=$?
    kill -0 "$child" 2>/dev/null || break
done

[ -z "$watchdog" ] || kill -s TERM "$watchdog" 2>/dev/null
if [ -n "$timed_out" ]; then
    finish 124
fi
finish "$code"
