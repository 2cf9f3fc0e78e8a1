#!/usr/bin/env bash
# Deploys runvoy and looks after a deployed stack, with the AWS CLI and your credentials alone.
#
# Usage: stack.sh install [PARAMETER=VALUE…]   deploy the release beside this script, or update the stack to it
#        stack.sh create-admin EMAIL           create an admin, and print the link by which the key is claimed
#        stack.sh retry-failed                 send the events again that failed for good
#        stack.sh remove                       stop the running tasks and delete the stack; says what stays
#
# STACK (runvoy) names the stack, and BUCKET the bucket for the code, which `install` creates (runvoy-code-ACCOUNT-REGION).
# Parameters are those of the template; an update keeps the values of those that it is not given.
set -euo pipefail

stack=${STACK:-runvoy}
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

fail() {
    printf 'stack.sh: %s\n' "$1" >&2
    exit 1
}

usage() {
    sed -n '4,7s/^# //p' "$0" >&2
    exit 2
}

# Version 1 of the AWS CLI does not know AWS_REGION.
region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}
[ -n "$region" ] || fail "no region is set: set AWS_REGION"
export AWS_DEFAULT_REGION=$region

# output KEY: an output of the stack.
output() {
    aws cloudformation describe-stacks --stack-name "$stack" --output text \
        --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue"
}

# invoke FILE: sends the event in a file to the event processor. Its answer is in the file `answer`. Fails if the event does.
invoke() {
    # `fileb` means the same to version 1 and version 2 of the AWS CLI.
    [ "$(aws lambda invoke --function-name "$function" --payload "fileb://$1" --query FunctionError --output text "$directory/answer")" = None ]
}

install() {
    cd "$(dirname "$0")"
    [ -f orchestrator.zip ] || fail "there is no orchestrator.zip beside this script; take a release's archive, or deploy the sources with 'just deploy'"
    local account bucket
    account=$(aws sts get-caller-identity --query Account --output text)
    bucket=${BUCKET:-runvoy-code-$account-$region}
    if ! aws s3api head-bucket --bucket "$bucket" >/dev/null 2>&1; then
        echo "Creating the bucket $bucket"
        # us-east-1 is the one region that cannot be named here.
        local place=()
        [ "$region" = us-east-1 ] || place=(--create-bucket-configuration "LocationConstraint=$region")
        aws s3api create-bucket --bucket "$bucket" "${place[@]}" >/dev/null
        aws s3api put-public-access-block --bucket "$bucket" --public-access-block-configuration \
            BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
    fi
    aws cloudformation package --template-file template.yaml --s3-bucket "$bucket" --s3-prefix "$stack" \
        --output-template-file "$directory/packaged.yaml" >/dev/null
    local parameters=()
    [ $# = 0 ] || parameters=(--parameter-overrides "$@")
    aws cloudformation deploy --template-file "$directory/packaged.yaml" --stack-name "$stack" --s3-bucket "$bucket" --s3-prefix "$stack" \
        --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND --no-fail-on-empty-changeset "${parameters[@]}"
    printf '\nThe API and the console are at %s\nThe first admin:\n  %s create-admin you@example.com\n' "$(output ApiUrl)" "$0"
}

create_admin() {
    [[ ${1:-} =~ ^[^[:space:]\"\\]+@[^[:space:]\"\\]+$ ]] || fail "usage: stack.sh create-admin EMAIL"
    function=$(output EventProcessor)
    printf '{"source": "runvoy", "detail-type": "Create Admin", "detail": {"email": "%s"}}' "$1" >"$directory/event"
    invoke "$directory/event" || { cat "$directory/answer" >&2; exit 1; }
    local link
    link=$(sed -n 's/.*"claim_url" *: *"\([^"]*\)".*/\1/p' "$directory/answer")
    [ -n "$link" ] || { cat "$directory/answer" >&2; exit 1; }
    # A page of the console takes it, or `runvoy claim LINK`: within 15 minutes, once.
    printf '%s\n' "$link"
}

# field NAME: a field of the message in the file `body`, which is JSON.
field() { sed -n "s/.*\"$1\" *: *\"\{0,1\}\([^\",}]*\).*/\1/p" "$directory/body" | head -1; }

# event_of_message: the event that the message in the file `body` is about, in the file `event`. A failed event is its own message. The
# message about failed records of a stream says only where they are, for as long as the stream keeps them, which is a day.
event_of_message() {
    grep -q DDBStreamBatchInfo "$directory/body" || { cp "$directory/body" "$directory/event"; return; }
    local iterator
    iterator=$(aws dynamodbstreams get-shard-iterator --stream-arn "$(field streamArn)" --shard-id "$(field shardId)" \
        --shard-iterator-type AT_SEQUENCE_NUMBER --sequence-number "$(field startSequenceNumber)" --query ShardIterator --output text) &&
        aws dynamodbstreams get-records --shard-iterator "$iterator" --limit "$(field batchSize)" \
            --query '{Records: Records}' --output json >"$directory/event"
}

# next_message QUEUE: a message of the queue in the file `body`, and in `receipt` what deletes it. Fails if there is none.
next_message() {
    # A message that is not deleted comes back when its time has passed: longer than the function may take.
    aws sqs receive-message --queue-url "$1" --visibility-timeout 180 --wait-time-seconds 2 --output text \
        --query 'Messages[0].[ReceiptHandle, Body]' >"$directory/message" ||
        fail "the queue of failed events cannot be read"
    receipt=$(head -1 "$directory/message" | cut -f 1)
    [ -n "$receipt" ] && [ "$receipt" != None ] || return 1
    cut -f 2- "$directory/message" >"$directory/body"
}

retry_failed() {
    local queue sent=0 failed=0 receipt
    queue=$(output FailedEventsQueue)
    function=$(output EventProcessor)
    while next_message "$queue"; do
        # Records of a stream that failed are named in the answer.
        if event_of_message && invoke "$directory/event" && ! grep -q itemIdentifier "$directory/answer"; then
            aws sqs delete-message --queue-url "$queue" --receipt-handle "$receipt"
            sent=$((sent + 1))
        else
            failed=$((failed + 1))
            printf 'failed again: %s\n%s\n' "$(head -c 300 "$directory/body")" "$(head -c 300 "$directory/answer" 2>/dev/null)" >&2
        fi
    done
    printf '%s sent again, %s failed again and kept in the queue\n' "$sent" "$failed"
    [ "$failed" = 0 ]
}

remove() {
    local api tasks task
    api=$(output Orchestrator)
    if [ "${YES:-}" != 1 ]; then
        printf 'This stops every running task and deletes the stack %s with its tables and logs. Type its name to go on: ' "$stack"
        read -r answer
        [ "$answer" = "$stack" ] || fail "nothing was changed"
    fi
    # A cluster with tasks cannot be deleted. Without invocations the API starts no new ones; the event processor still records their ends.
    aws lambda put-function-concurrency --function-name "$api" --reserved-concurrent-executions 0 >/dev/null
    while tasks=$(aws ecs list-tasks --cluster "$stack" --desired-status RUNNING --query 'taskArns[]' --output text) && [ -n "$tasks" ] && [ "$tasks" != None ]; do
        for task in $tasks; do
            printf 'Stopping %s\n' "${task##*/}"
            aws ecs stop-task --cluster "$stack" --task "$task" --reason "the stack is being removed" >/dev/null
        done
        for task in $tasks; do
            aws ecs wait tasks-stopped --cluster "$stack" --tasks "$task"
        done
    done
    aws cloudformation delete-stack --stack-name "$stack"
    aws cloudformation wait stack-delete-complete --stack-name "$stack"
    cat <<END
The stack $stack is deleted. These stay, because you cannot make them again:
- the tables, as backups for 35 days:    aws dynamodb list-backups --backup-type SYSTEM
- the values of secrets:                 aws ssm describe-parameters --parameter-filters Key=Name,Option=BeginsWith,Values=/$stack/secrets
- the keys of notifications:             the same below /$stack/notifications
- their topics for mails:                aws sns list-topics, those named $stack-notification-...
- their KMS key, "Secrets of $stack", at 1 USD a month:  aws kms schedule-key-deletion --key-id ...
And without a cost: task definitions (runvoy-image-${stack}_...), and the code of releases in the bucket that install created.
END
}

command=${1:-}
[ $# = 0 ] || shift
case $command in
install) install "$@" ;;
create-admin) create_admin "$@" ;;
retry-failed) retry_failed ;;
remove) remove ;;
*) usage ;;
esac
