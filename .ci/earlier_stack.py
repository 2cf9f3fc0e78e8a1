"""The stack of the oldest version that can be upgraded, with what that version has written, and the way from it to today's."""

import base64
import copy
import json
import sqlite3
import tarfile
import tempfile

FIXTURES = "local-shim/tests/system/fixtures/"
LOCAL = "runvoy-local-"


def tables_of(template):
    return {name: resource for name, resource in template["Resources"].items() if resource["Type"] == "AWS::DynamoDB::Table"}


def short_name(resource):
    name = resource["Properties"]["TableName"]
    return (name["Fn::Sub"] if isinstance(name, dict) else name).removeprefix("${AWS::StackName}-")


def steps(template):
    """The templates of the tables, from the oldest one. CloudFormation makes one global index of a table in an update, so each step adds
    one index to each table that lacks some."""
    with open(FIXTURES + "tables-of-version-1.json") as file:
        oldest = {name.removeprefix(LOCAL): table for name, table in json.load(file).items()}
    has = {name: set(table["Indexes"]) for name, table in oldest.items()}
    is_oldest = True
    while True:
        step = copy.deepcopy(template)
        step["Resources"] = {name: resource for name, resource in tables_of(step).items() if short_name(resource) in has}
        step.pop("Outputs", None)
        complete = True
        for resource in step["Resources"].values():
            properties, before = resource["Properties"], oldest[short_name(resource)]
            properties["KeySchema"] = before["KeySchema"]
            indexes = properties.get("GlobalSecondaryIndexes", [])
            kept = [index for index in indexes if index["IndexName"] in has[short_name(resource)]]
            lacking = [index["IndexName"] for index in indexes if index not in kept]
            complete &= not lacking
            properties["GlobalSecondaryIndexes"] = kept
            if not kept:
                del properties["GlobalSecondaryIndexes"]
            keys = [key for part in [properties, *kept, *properties.get("LocalSecondaryIndexes", [])] for key in part["KeySchema"]]
            named = {key["AttributeName"] for key in keys}
            attributes = {one["AttributeName"]: one for one in before["AttributeDefinitions"] + properties["AttributeDefinitions"]}
            properties["AttributeDefinitions"] = [one for name, one in attributes.items() if name in named]
            # moto makes what reads a stream before it changes the stream's table.
            if is_oldest and not before.get("StreamViewType"):
                properties.pop("StreamSpecification", None)
            has[short_name(resource)] |= set(lacking[:1])
        yield step
        if complete:
            return
        is_oldest = False


def items():
    """What that version has written, by table."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(FIXTURES + "data-dir-of-version-1.tar.gz") as archive:
            database = next(name for name in archive.getnames() if name.endswith("/dynamodb.sqlite"))
            for suffix in ("", "-wal"):
                if database + suffix in archive.getnames():
                    archive.extract(database + suffix, folder, filter="data")
        connection = sqlite3.connect(f"{folder}/{database}")
        names = [name for (name,) in connection.execute("SELECT table_name FROM _tables")]
        return {
            name.removeprefix(LOCAL): [decoded(json.loads(item)) for (item,) in connection.execute(f'SELECT item_json FROM "{name}"')]
            for name in names
        }


def decoded(item):
    """The item with its binary values as bytes, as boto3 has them."""
    return {name: {"B": base64.b64decode(value["B"])} if "B" in value else value for name, value in item.items()}


def key_of(resource, item):
    return {key["AttributeName"]: item[key["AttributeName"]] for key in resource["Properties"]["KeySchema"]}
