"""Holds the emulated AWS against moto: the same boto3 calls, good and bad, to both, and the answers compared.

    compare-with-moto.py OURS MOTO      (two endpoint URLs; the access key of the first is in the environment, moto takes any)

Errors must have the same code. Answers must agree in every field that both have, apart from what names accounts, times and
versions; what is listed in KNOWN differs for the reason given there. Ends with 1 if anything else does, or if an operation that is
emulated was not compared.
"""

import os
import pathlib
import re
import sys

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError

OURS, MOTO = sys.argv[1:]
# Values that are never the same twice, or name the account.
VOLATILE = {
    "ResponseMetadata", "arn", "Arn", "ARN", "taskDefinitionArn", "taskDefinitionArns", "registeredAt", "revision", "LastModifiedDate",
    "LastModifiedUser", "RoleId", "CreateDate", "TableArn", "TableId", "CreationDateTime", "Version", "taskRoleArn", "executionRoleArn",
    "ScannedCount", "ItemCount", "TableSizeBytes", "taskArn", "clusterArn", "taskArns", "createdAt", "startedAt", "stoppingAt", "stoppedAt", "version",
    "MessageId", "TopicArn", "SubscriptionArn", "Owner", "ScheduleArn", "CreationDate", "LastModificationDate",
}
KNOWN = {
    "dynamodb: a key of another type": "moto finds nothing; DynamoDB says ValidationException",
    "dynamodb: a query of no index": "moto says ResourceNotFoundException; DynamoDB says ValidationException",
    "ecs: a task that is not there": "moto leaves it out; ECS lists it among the failures, as MISSING",
    "ssm: a value that is too long": "moto takes values of more than 4 KB in the standard tier; SSM refuses them",
    "ecs: a size that Fargate does not have": "moto does not know Fargate's sizes",
    "ecs: an unknown dependency": "moto does not look at dependencies",
    "ecs: no essential container": "moto does not look for one",
    "ecs: a variable and a secret of one name": "moto does not compare names",
    "ecs: a task that is not there is stopped": "moto fails with a 500 for a cluster without tasks; ECS says InvalidParameterException",
    "ecs: a task is run": "moto's task runs at once; ECS's is PROVISIONING first",
    "ecs: a task is described": "moto knows nothing of a task's containers",
    "ecs: a task is stopped": "moto's has stopped at once; ECS's is being stopped",
    "apigatewaymanagementapi: a message to nobody": "moto has every connection; API Gateway says GoneException",
    "apigatewaymanagementapi: nobody is sent off": "moto has every connection; API Gateway says GoneException",
    "sqs: a message of no text": "moto takes it; SQS wants at least one character",
    "sqs: a message to no queue": "moto names the code of SQS's earlier protocol, which AWS adds in a header and the emulation does not",
    "sqs: two messages of one id": "moto names the code of SQS's earlier protocol, which AWS adds in a header and the emulation does not",
    "sqs: no messages": "moto names the code of SQS's earlier protocol, which AWS adds in a header and the emulation does not",
    "sns: a subject of two lines": "moto takes it; SNS says InvalidParameter",
    "scheduler: an expression that cannot be read": "moto takes any; EventBridge Scheduler says ValidationException",
    "scheduler: a group that is not there": "moto fails with a 500; EventBridge Scheduler says ResourceNotFoundException",
    "logs: a stream that is not there": "moto answers with no events; CloudWatch Logs says ResourceNotFoundException",
}


def client(service, endpoint):
    return boto3.client(
        service, endpoint_url=endpoint,
        config=Config(retries={"max_attempts": 1}, parameter_validation=False),
    )


def outcome(function, arguments):
    try:
        return "answer", function(**arguments)
    except ClientError as error:
        return "error", error.response["Error"]["Code"].split("#")[-1]
    except ParamValidationError as error:
        return "error", f"client side: {error}"


def differences(ours, moto, where=""):
    if isinstance(ours, dict) and isinstance(moto, dict):
        for key in ours.keys() & moto.keys() - VOLATILE:
            yield from differences(ours[key], moto[key], f"{where}.{key}")
    elif isinstance(ours, list) and isinstance(moto, list):
        if ours and all(isinstance(entry, dict) and entry.keys() == {"key", "value"} for entry in ours + moto):
            # Tags are in no order.
            ours, moto = (sorted(tags, key=lambda tag: tag["key"]) for tags in (ours, moto))
        if len(ours) != len(moto):
            yield f"{where}: {len(ours)} entries, moto has {len(moto)}"
        for at, (one, other) in enumerate(zip(ours, moto)):
            yield from differences(one, other, f"{where}[{at}]")
    elif ours != moto and not (ours in (None, "") and moto in (None, "")):
        yield f"{where}: {ours!r}, moto has {moto!r}"


failures, compared = [], []


def compare(name, service, operation, both=lambda endpoint: {}, **arguments):
    """`both` gives the arguments that differ between the two, the ids of what each has made. Returns the answers."""
    compared.append((service, operation))
    (kind, ours), (moto_kind, moto) = (
        outcome(getattr(client(service, endpoint), operation), {**arguments, **both(endpoint)}) for endpoint in (OURS, MOTO)
    )
    title = f"{service}: {name}"
    if (kind, moto_kind) == ("answer", "answer"):
        found = list(differences(ours, moto))
    else:
        found = [] if (kind, ours) == (moto_kind, moto) else [f"{kind} {str(ours)[:200]!r}, moto: {moto_kind} {str(moto)[:200]!r}"]
    if found and title in KNOWN:
        print(f"known   {title}: {KNOWN[title]}")
    elif found:
        failures.append(title)
        print(f"DIFFERS {title}: {'; '.join(found)}")
    else:
        print(f"same    {title}")
    return {OURS: ours, MOTO: moto}


def prepare_moto():
    """Gives moto what the stack has."""
    ours, moto = client("dynamodb", OURS), client("dynamodb", MOTO)
    for name in ours.list_tables()["TableNames"]:
        table = ours.describe_table(TableName=name)["Table"]
        indexes = {
            kind: [{key: index[key] for key in ("IndexName", "KeySchema", "Projection")} for index in table[kind]]
            for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes") if table.get(kind)
        }
        moto.create_table(
            TableName=name, KeySchema=table["KeySchema"], AttributeDefinitions=table["AttributeDefinitions"],
            BillingMode="PAY_PER_REQUEST", **indexes,
        )
    client("ecs", MOTO).create_cluster(clusterName="runvoy-local")
    client("logs", MOTO).create_log_group(logGroupName="/runvoy/runvoy-local/tasks")
    client("iam", MOTO).create_role(RoleName="runvoy-local-TaskRole", AssumeRolePolicyDocument="{}")


def dynamodb():
    table = "runvoy-local-executions"
    key = {"execution_id": {"S": "moto-1"}}
    item = {**key, "status": {"S": "RUNNING"}, "listing": {"S": "moto"}, "started_key": {"S": "2026#1"}, "n": {"N": "1"}, "b": {"BOOL": True}}
    compare("an item is put", "dynamodb", "put_item", TableName=table, Item=item)
    compare("the same under a condition", "dynamodb", "put_item", TableName=table, Item=item, ConditionExpression="attribute_not_exists(execution_id)")
    compare("an item is read", "dynamodb", "get_item", TableName=table, Key=key, ConsistentRead=True)
    compare("no item is read", "dynamodb", "get_item", TableName=table, Key={"execution_id": {"S": "none"}})
    compare("no table", "dynamodb", "get_item", TableName="none", Key=key)
    compare("a key of another type", "dynamodb", "get_item", TableName=table, Key={"execution_id": {"N": "1"}})
    compare("a key that is missing", "dynamodb", "put_item", TableName=table, Item={"status": {"S": "x"}})
    compare("an update", "dynamodb", "update_item", TableName=table, Key=key, UpdateExpression="SET #s = :s ADD n :one", ReturnValues="ALL_NEW",
            ExpressionAttributeNames={"#s": "status"}, ExpressionAttributeValues={":s": {"S": "SUCCEEDED"}, ":one": {"N": "1"}})
    compare("an update whose condition fails", "dynamodb", "update_item", TableName=table, Key=key, UpdateExpression="SET #s = :s",
            ConditionExpression="#s = :s", ExpressionAttributeNames={"#s": "status"}, ExpressionAttributeValues={":s": {"S": "RUNNING"}})
    compare("an expression that cannot be read", "dynamodb", "update_item", TableName=table, Key=key, UpdateExpression="SET")
    compare("a query of an index", "dynamodb", "query", TableName=table, IndexName="by-started-at", KeyConditionExpression="listing = :l",
            ExpressionAttributeValues={":l": {"S": "moto"}}, ScanIndexForward=False)
    compare("a query without results", "dynamodb", "query", TableName=table, IndexName="by-status", KeyConditionExpression="#s = :s",
            ExpressionAttributeNames={"#s": "status"}, ExpressionAttributeValues={":s": {"S": "none"}})
    compare("a query of no index", "dynamodb", "query", TableName=table, IndexName="none", KeyConditionExpression="a = :a", ExpressionAttributeValues={":a": {"S": "x"}})
    compare("a batch is read", "dynamodb", "batch_get_item", RequestItems={table: {"Keys": [key]}})
    compare("a batch is written", "dynamodb", "batch_write_item", RequestItems={table: [{"PutRequest": {"Item": {"execution_id": {"S": "moto-2"}}}}]})
    put = {"Put": {"TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(execution_id)"}}
    compare("a transaction that is cancelled", "dynamodb", "transact_write_items", TransactItems=[put])
    fine = {"Put": {"TableName": table, "Item": {"execution_id": {"S": "moto-3"}}}}
    compare("a transaction", "dynamodb", "transact_write_items", TransactItems=[fine])
    compare("a whole table is read", "dynamodb", "scan", TableName=table, FilterExpression="listing = :l", ExpressionAttributeValues={":l": {"S": "moto"}})
    compare("a transaction that reads", "dynamodb", "transact_get_items", TransactItems=[{"Get": {"TableName": table, "Key": key}}])
    compare("a table is described", "dynamodb", "describe_table", TableName="runvoy-local-claims")
    compare("no table is described", "dynamodb", "describe_table", TableName="none")
    compare("tables are listed", "dynamodb", "list_tables")
    for name in ("moto-1", "moto-2", "moto-3"):
        compare(f"{name} is deleted", "dynamodb", "delete_item", TableName=table, Key={"execution_id": {"S": name}}, ReturnValues="ALL_OLD")


def ssm():
    name = "/runvoy-local/secrets/moto"
    tags = [{"Key": "Application", "Value": "runvoy"}]
    compare("a parameter is put", "ssm", "put_parameter", Name=name, Value="v", Type="SecureString", Tags=tags)
    compare("it is there already", "ssm", "put_parameter", Name=name, Value="v", Type="SecureString")
    compare("it is overwritten", "ssm", "put_parameter", Name=name, Value="w", Type="SecureString", Overwrite=True)
    compare("tags and overwrite", "ssm", "put_parameter", Name=name, Value="w", Type="SecureString", Overwrite=True, Tags=tags)
    compare("it is read", "ssm", "get_parameter", Name=name, WithDecryption=True)
    compare("none is read", "ssm", "get_parameter", Name="/none")
    below = [{"Key": "Path", "Option": "Recursive", "Values": ["/runvoy-local/secrets"]}]
    compare("all below a path", "ssm", "describe_parameters", ParameterFilters=below)
    compare("its tags", "ssm", "list_tags_for_resource", ResourceType="Parameter", ResourceId=name)
    compare("another tag", "ssm", "add_tags_to_resource", ResourceType="Parameter", ResourceId=name, Tags=[{"Key": "ManagedBy", "Value": "runvoy"}])
    compare("its tags again", "ssm", "list_tags_for_resource", ResourceType="Parameter", ResourceId=name)
    compare("tags of what is not there", "ssm", "list_tags_for_resource", ResourceType="Parameter", ResourceId="/none")
    compare("a value that is too long", "ssm", "put_parameter", Name="/runvoy-local/secrets/long", Value="x" * 4097, Type="SecureString")
    compare("a name that begins with aws", "ssm", "put_parameter", Name="/aws/x", Value="x", Type="String")
    compare("a type that is missing", "ssm", "put_parameter", Name="/runvoy-local/secrets/untyped", Value="x", Overwrite=False)
    compare("it is deleted", "ssm", "delete_parameter", Name=name)
    compare("it is deleted again", "ssm", "delete_parameter", Name=name)


def ecs():
    def definition(**changes):
        runner = {"name": "runner", "image": "ubuntu", "essential": True, "entryPoint": ["/bin/sh", "-c"], "command": ["true"], **changes}
        return {"family": "runvoy-moto", "cpu": "256", "memory": "512", "networkMode": "awsvpc",
                "requiresCompatibilities": ["FARGATE"], "containerDefinitions": [runner], "tags": [{"key": "a", "value": "b"}]}

    compare("a definition is registered", "ecs", "register_task_definition", **definition())
    compare("it is described", "ecs", "describe_task_definition", taskDefinition="runvoy-moto", include=["TAGS"])
    compare("a revision is described", "ecs", "describe_task_definition", taskDefinition="runvoy-moto:1")
    compare("none is described", "ecs", "describe_task_definition", taskDefinition="none")
    compare("families", "ecs", "list_task_definition_families", familyPrefix="runvoy-moto", status="ACTIVE")
    compare("revisions", "ecs", "list_task_definitions", familyPrefix="runvoy-moto")
    compare("a size that Fargate does not have", "ecs", "register_task_definition", **{**definition(), "cpu": "300"})
    compare("an unknown dependency", "ecs", "register_task_definition", **definition(dependsOn=[{"containerName": "none", "condition": "SUCCESS"}]))
    compare("no essential container", "ecs", "register_task_definition", **definition(essential=False))
    both = {"environment": [{"name": "A", "value": "1"}], "secrets": [{"name": "A", "valueFrom": "arn:aws:ssm:us-east-1:000000000000:parameter/a"}]}
    compare("a variable and a secret of one name", "ecs", "register_task_definition", **definition(**both))
    compare("a task of no definition", "ecs", "run_task", cluster="runvoy-local", taskDefinition="none", launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": {"subnets": ["subnet-1"]}})
    compare("tasks of no cluster", "ecs", "list_tasks", cluster="none")
    compare("tasks of no family", "ecs", "list_tasks", cluster="runvoy-local", family="none")
    compare("tasks started by nobody", "ecs", "list_tasks", cluster="runvoy-local", startedBy="nobody")
    compare("a task that is not there", "ecs", "describe_tasks", cluster="runvoy-local", tasks=["0" * 32])
    compare("a task that is not there is stopped", "ecs", "stop_task", cluster="runvoy-local", task="0" * 32)
    image = {"key": "DockerImage", "value": "ubuntu"}
    arns = {endpoint: client("ecs", endpoint).describe_task_definition(taskDefinition="runvoy-moto:1")["taskDefinition"]["taskDefinitionArn"] for endpoint in (OURS, MOTO)}
    compare("it is tagged", "ecs", "tag_resource", lambda endpoint: {"resourceArn": arns[endpoint]}, tags=[image])
    compare("its tags are shown", "ecs", "describe_task_definition", taskDefinition="runvoy-moto:1", include=["TAGS"])
    compare("what is not there is tagged", "ecs", "tag_resource", resourceArn=f"{arns[OURS]}000", tags=[image])
    ec2 = client("ec2", MOTO)
    subnet = ec2.describe_subnets()["Subnets"][0]
    ec2.modify_vpc_attribute(VpcId=subnet["VpcId"], EnableDnsHostnames={"Value": True})
    network = {"subnets": [subnet["SubnetId"]], "securityGroups": [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]]}
    tasks = compare("a task is run", "ecs", "run_task", cluster="runvoy-local", taskDefinition="runvoy-moto:1", launchType="FARGATE", count=1,
                    networkConfiguration={"awsvpcConfiguration": network}, tags=[image])
    ids = {endpoint: answer["tasks"][0]["taskArn"].rsplit("/")[-1] for endpoint, answer in tasks.items()}
    compare("a task is described", "ecs", "describe_tasks", lambda endpoint: {"tasks": [ids[endpoint]]}, cluster="runvoy-local", include=["TAGS"])
    compare("a task is stopped", "ecs", "stop_task", lambda endpoint: {"task": ids[endpoint]}, cluster="runvoy-local", reason="enough")
    compare("it is deregistered", "ecs", "deregister_task_definition", taskDefinition="runvoy-moto:1")
    compare("no revision any more", "ecs", "list_task_definitions", familyPrefix="runvoy-moto")


def logs():
    group = "/runvoy/runvoy-local/tasks"
    compare("no group", "logs", "filter_log_events", logGroupName="/none")
    compare("a time without lines", "logs", "filter_log_events", logGroupName=group, startTime=4_102_444_800_000)
    compare("a stream that is not there", "logs", "filter_log_events", logGroupName=group, logStreamNames=["none"])
    compare("a limit that is too high", "logs", "filter_log_events", logGroupName=group, limit=10_001)


def iam():
    compare("a role", "iam", "get_role", RoleName="runvoy-local-TaskRole")
    compare("no role", "iam", "get_role", RoleName="none")


def api_gateway():
    compare("a message to nobody", "apigatewaymanagementapi", "post_to_connection", ConnectionId="nobody=", Data=b"x")
    compare("nobody is sent off", "apigatewaymanagementapi", "delete_connection", ConnectionId="nobody=")


def sqs():
    theirs = client("sqs", MOTO).create_queue(QueueName="moto")["QueueUrl"]
    urls = {OURS: os.environ["RUNVOY_NOTIFICATIONS_QUEUE"], MOTO: theirs}

    def queue(endpoint):
        return {"QueueUrl": urls[endpoint]}

    compare("a message is sent", "sqs", "send_message", queue, MessageBody="one", DelaySeconds=900)
    compare("a message of no text", "sqs", "send_message", queue, MessageBody="")
    compare("a message to no queue", "sqs", "send_message", lambda endpoint: {"QueueUrl": f"{urls[endpoint]}-none"}, MessageBody="x")
    compare("a delay that is too long", "sqs", "send_message", queue, MessageBody="x", DelaySeconds=901)
    compare("messages are sent", "sqs", "send_message_batch", queue, Entries=[{"Id": "a", "MessageBody": "two", "DelaySeconds": 900}])
    compare("two messages of one id", "sqs", "send_message_batch", queue, Entries=[{"Id": "a", "MessageBody": "x"}, {"Id": "a", "MessageBody": "y"}])
    compare("no messages", "sqs", "send_message_batch", queue, Entries=[])
    compare("none is there yet", "sqs", "receive_message", queue, MaxNumberOfMessages=1)
    compare("more than ten", "sqs", "receive_message", queue, MaxNumberOfMessages=11)
    compare("a handle of nothing is deleted", "sqs", "delete_message", queue, ReceiptHandle="none")
    compare("a handle of nothing is hidden", "sqs", "change_message_visibility", queue, ReceiptHandle="none", VisibilityTimeout=1)
    compare("a time that is too long", "sqs", "change_message_visibility", queue, ReceiptHandle="none", VisibilityTimeout=43_201)


def sns():
    arns = compare("a topic is made", "sns", "create_topic", Name="runvoy-local-moto")

    def topic(endpoint):
        return {"TopicArn": arns[endpoint]["TopicArn"]}

    compare("a topic of no name", "sns", "create_topic", Name="a b")
    compare("an address subscribes", "sns", "subscribe", topic, Protocol="email", Endpoint="a@example.com")
    compare("its subscriptions", "sns", "list_subscriptions_by_topic", topic)
    compare("a message is published", "sns", "publish", topic, Subject="s", Message="m")
    compare("a subject of two lines", "sns", "publish", topic, Subject="a\nb", Message="m")
    compare("a message to no topic", "sns", "publish", lambda endpoint: {"TopicArn": arns[endpoint]["TopicArn"] + "-none"}, Message="m")
    compare("the topic is deleted", "sns", "delete_topic", topic)
    compare("no topic is deleted", "sns", "delete_topic", topic)


def scheduler():
    client("scheduler", MOTO).create_schedule_group(Name="runvoy-local")
    target = {"Arn": os.environ["RUNVOY_SCHEDULE_TARGET_ARN"], "RoleArn": os.environ["RUNVOY_SCHEDULE_ROLE_ARN"], "Input": "{}"}
    schedule = {
        "Name": "moto", "GroupName": "runvoy-local", "ScheduleExpression": "cron(0 0 1 1 ? 2099)", "FlexibleTimeWindow": {"Mode": "OFF"},
        "ScheduleExpressionTimezone": "Europe/Berlin", "Target": target, "State": "DISABLED",
    }
    compare("a schedule is made", "scheduler", "create_schedule", **schedule)
    compare("it is there already", "scheduler", "create_schedule", **schedule)
    compare("it is shown", "scheduler", "get_schedule", Name="moto", GroupName="runvoy-local")
    compare("none is shown", "scheduler", "get_schedule", Name="none", GroupName="runvoy-local")
    compare("an expression that cannot be read", "scheduler", "create_schedule", **{**schedule, "Name": "bad", "ScheduleExpression": "cron(x)"})
    compare("a group that is not there", "scheduler", "create_schedule", **{**schedule, "GroupName": "none"})
    compare("it is changed", "scheduler", "update_schedule", **{**schedule, "ScheduleExpression": "rate(5 minutes)"})
    compare("none is changed", "scheduler", "update_schedule", **{**schedule, "Name": "none"})
    compare("schedules are listed", "scheduler", "list_schedules", GroupName="runvoy-local", NamePrefix="moto")
    compare("it is deleted", "scheduler", "delete_schedule", Name="moto", GroupName="runvoy-local")
    compare("it is deleted again", "scheduler", "delete_schedule", Name="moto", GroupName="runvoy-local")


def emulated():
    """Every operation that is emulated, as the sources name them."""
    here = pathlib.Path(__file__).parent.parent / "local-shim/src/aws"
    services = {
        "dynamodb": "dynamodb/mod.rs", "ssm": "ssm.rs", "ecs": "ecs/mod.rs", "logs": "logs/mod.rs",
        "sqs": "sqs/mod.rs", "sns": "sns.rs", "scheduler": "scheduler/mod.rs",
    }
    for service, source in services.items():
        for operation in re.findall(r'^ +"([A-Z]\w+)" => (?:run|self|\{)', (here / source).read_text(), re.MULTILINE):
            yield service, xform_name(operation)
    yield from [("iam", "get_role"), ("apigatewaymanagementapi", "post_to_connection"), ("apigatewaymanagementapi", "delete_connection")]


prepare_moto()
for service in (dynamodb, ssm, ecs, logs, iam, api_gateway, sqs, sns, scheduler):
    service()
print(f"{len(compared)} calls of {len(set(compared))} operations compared, {len(failures)} differ without a known reason")
left_out = sorted(set(emulated()) - set(compared))
if left_out:
    print(f"emulated and not compared: {left_out}")
sys.exit(bool(failures or left_out))
