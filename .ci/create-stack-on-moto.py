"""Creates the stack of template.yaml on moto, after SAM's own transform, by upgrading that of the oldest version with what it has written,
and looks at what came of it.

    create-stack-on-moto.py MOTO VARIABLES      (an endpoint URL; a file, written: what the functions need to run on this stack)
"""

import io
import ipaddress
import itertools
import json
import os
import sys
import zipfile

import boto3

import earlier_stack
from sam_transform import for_moto, read, translated

MOTO = sys.argv[1]
os.environ["AWS_DEFAULT_REGION"] = "us-east-1"


def client(service):
    return boto3.client(service, endpoint_url=MOTO, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")


failures = []


def expect(what, holds, found):
    print(("as expected " if holds else "WRONG       ") + what + ("" if holds else f": {found}"))
    if not holds:
        failures.append(what)


template = translated(read("template.yaml"))
resources = template["Resources"]
kinds = [resource["Type"] for resource in resources.values()]
expect("two functions", kinds.count("AWS::Lambda::Function") == 2, kinds)
expect("one function URL, which authenticates by API key", [resource["Properties"]["AuthType"] for resource in resources.values() if resource["Type"] == "AWS::Lambda::Url"] == ["NONE"], kinds)
rules = [resource["Properties"] for resource in resources.values() if resource["Type"] == "AWS::Events::Rule"]
expect("a rule for task states, and schedules for reconcile and the sweep", sorted(rule.get("ScheduleExpression", "") for rule in rules) == ["", "rate(1 hour)", "rate(1 minute)"], rules)
pattern = next(rule["EventPattern"] for rule in rules if "EventPattern" in rule)
expect("only this cluster's tasks", pattern["detail"]["lastStatus"] == ["RUNNING", "STOPPED"] and "clusterArn" in pattern["detail"], pattern)
expect("a subscription of the tasks' log group", kinds.count("AWS::Logs::SubscriptionFilter") == 1, kinds)
expect("the streams of new viewers, of locks and of changes of status, and the queue of notifications", kinds.count("AWS::Lambda::EventSourceMapping") == 4, kinds)
mappings = [resource["Properties"] for resource in resources.values() if resource["Type"] == "AWS::Lambda::EventSourceMapping"]
expect("each mapping takes answers about single records", all(mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for mapping in mappings), mappings)
queue = resources["NotificationsQueue"]["Properties"]
expect("a message stays hidden while a function may handle it", queue["VisibilityTimeout"] > resources["EventProcessor"]["Properties"]["Timeout"], queue)
roles = {name: resource["Properties"] for name, resource in resources.items() if resource["Type"] == "AWS::IAM::Role"}
statements = [
    statement
    for role in roles.values() for policy in role.get("Policies", []) for statement in policy["PolicyDocument"]["Statement"]
]
actions = [action for statement in statements for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])]
expect("no action is a wildcard", not any("*" in action for action in actions), actions)



def holds(condition, values):
    """The value of a condition of a rule, for these values of what it refers to."""
    if not isinstance(condition, dict):
        return condition
    ((function, argument),) = condition.items()
    if function == "Ref":
        return values[argument]
    arguments = [holds(one, values) for one in argument]
    if function == "Fn::Not":
        return not arguments[0]
    return arguments[1] in arguments[0] if function == "Fn::Contains" else arguments[0] == arguments[1]


def refusals(**values):
    """The rules that refuse these values of parameters before anything is made."""
    values = {name: parameter.get("Default", "") for name, parameter in template["Parameters"].items()} | {"AWS::Region": "us-east-1"} | values
    rules = {name: rule for name, rule in template["Rules"].items() if holds(rule.get("RuleCondition", True), values)}
    return {name for name, rule in rules.items() if not all(holds(one["Assert"], values) for one in rule["Assertions"])}


expect("the template's defaults are taken", not refusals(), refusals())
for region in ("il-central-1", "ca-west-1", "ap-east-2"):
    found = refusals(**{"AWS::Region": region})
    expect(f"{region}, which has no function URLs, is refused", found == {"FunctionUrls"}, found)
for values, expected in [
    ({"SubnetIds": "subnet-1"}, {"SubnetsOfYours"}),
    ({"SecurityGroupIds": "sg-1"}, {"NetworkOfTheStack"}),
    ({"AssignPublicIp": "DISABLED"}, {"NetworkOfTheStack"}),
    ({"SubnetIds": "subnet-1", "SecurityGroupIds": "sg-1", "AssignPublicIp": "DISABLED"}, set()),
]:
    found = refusals(**values)
    expect(f"a network of {values}", found == expected, found)
with_kms = [name for name, resource in earlier_stack.tables_of(template).items() if resource["Properties"]["SSESpecification"] != {"SSEEnabled": {"Fn::If": ["HasTablesWithKms", True, False]}}]
expect("each table is encrypted with KMS if that is wanted, and only then", not with_kms, with_kms)

ranges = [ipaddress.ip_network(cidr) for zone in template["Mappings"]["Zones"].values() for cidr in zone.values()]
overlaps = [(one, other) for one, other in itertools.combinations(ranges, 2) if one.overlaps(other)]
expect("a subnet in another zone can be made beside the old one", not overlaps and len(ranges) == 14, overlaps or ranges)
vpc = ipaddress.ip_network(template["Resources"]["Vpc"]["Properties"]["CidrBlock"])
expect("each range is in the VPC", all(one.subnet_of(vpc) for one in ranges), ranges)
for subnet, zone, cidr in (("SubnetA", "FirstZone", "CidrA"), ("SubnetB", "SecondZone", "CidrB")):
    found = resources[subnet]["Properties"]["CidrBlock"]
    expect(f"the range of {subnet} follows its zone", found == {"Fn::FindInMap": ["Zones", {"Ref": zone}, cidr]}, found)

template = for_moto(template)
client("s3").create_bucket(Bucket="code")
archive = io.BytesIO()
with zipfile.ZipFile(archive, "w") as code:
    code.writestr("bootstrap", "")
client("s3").put_object(Bucket="code", Key="code.zip", Body=archive.getvalue())
cloudformation = client("cloudformation")
dynamodb = client("dynamodb")
before, *between = earlier_stack.steps(template)
cloudformation.create_stack(StackName="runvoy", TemplateBody=json.dumps(before), Capabilities=["CAPABILITY_IAM"])
written = earlier_stack.items()
tables_before = {earlier_stack.short_name(resource): resource for resource in before["Resources"].values()}
for name, items in written.items():
    for item in items:
        dynamodb.put_item(TableName=f"runvoy-{name}", Item=item)
filled = {name for name in tables_before if written.get(name)}
for step in [*between, template]:
    cloudformation.update_stack(StackName="runvoy", TemplateBody=json.dumps(step), Capabilities=["CAPABILITY_IAM"])
kept = {
    name: [dynamodb.get_item(TableName=f"runvoy-{name}", Key=earlier_stack.key_of(tables_before[name], item)).get("Item") for item in items]
    for name, items in written.items()
}
expect("each table of an earlier version keeps its items through the upgrade", kept == written, {name for name in written if kept[name] != written[name]})
expect("most tables of the earlier version had items", len(filled) >= 7, filled)
stack = cloudformation.describe_stacks(StackName="runvoy")["Stacks"][0]
expect("the stack is upgraded", stack["StackStatus"] == "UPDATE_COMPLETE", stack)
outputs = {output["OutputKey"] for output in stack.get("Outputs", [])}
expect("its outputs name what clients need", {"WebSocketUrl", "EventProcessor"} <= outputs, outputs)

tables = set(dynamodb.list_tables()["TableNames"])
named = {f"runvoy-{name}" for name in ("executions", "execution-logs", "log-heads", "requests", "playbooks", "locks", "audit", "users", "api-keys", "claims", "images", "secrets", "websocket-connections", "websocket-tokens", "notifications", "deliveries", "schedules")}
expect("the tables", named <= tables, tables)
for name in sorted(named):
    table = dynamodb.describe_table(TableName=name)["Table"]
    expect(f"{name} is paid by request", table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST", table)
    expect(f"{name} has no key of KMS, each use of which is billed", table.get("SSEDescription", {}).get("Status") != "ENABLED", table)
stream = dynamodb.describe_table(TableName="runvoy-websocket-connections")["Table"].get("StreamSpecification", {})
expect("the stream shows which viewer is handed over", stream.get("StreamViewType") == "NEW_IMAGE", stream)
stream = dynamodb.describe_table(TableName="runvoy-executions")["Table"].get("StreamSpecification", {})
expect("the stream shows the status before a change", stream.get("StreamViewType") == "NEW_AND_OLD_IMAGES", stream)
indexes = {index["IndexName"] for index in dynamodb.describe_table(TableName="runvoy-executions")["Table"]["GlobalSecondaryIndexes"]}
expect("executions have their indexes", indexes == {"by-started-at", "by-status", "by-created-by", "by-image", "by-playbook", "by-created-by-request", "by-modified-by-request", "by-idempotency-key"}, indexes)
expect("the cluster is there", client("ecs").describe_clusters(clusters=["runvoy"])["clusters"], None)
groups = {group["logGroupName"] for group in client("logs").describe_log_groups()["logGroups"]}
expect("log groups are there", {"/runvoy/runvoy/tasks", "/runvoy/runvoy/orchestrator", "/runvoy/runvoy/event-processor"} <= groups, groups)

variables = [function["Environment"]["Variables"] for function in client("lambda").list_functions()["Functions"]]
expect("no function has an endpoint or a key of its own", not any(name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID") for each in variables for name in each), variables)

# The template says so of its VPC; moto leaves it out, and then cannot run a task there.
for vpc in client("ec2").describe_vpcs(Filters=[{"Name": "cidr", "Values": ["10.0.0.0/16"]}])["Vpcs"]:
    client("ec2").modify_vpc_attribute(VpcId=vpc["VpcId"], EnableDnsHostnames={"Value": True})
variables = variables[0] | {
    # moto cannot resolve the reference to the WebSocket API.
    "RUNVOY_WEBSOCKET_API_ENDPOINT": MOTO,
    "AWS_ENDPOINT_URL": MOTO,
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}
with open(sys.argv[2], "w") as file:
    file.writelines(f"{name}={value}\n" for name, value in variables.items())
sys.exit(bool(failures))
