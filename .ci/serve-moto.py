"""moto's server, with what its services leave out and the template's stack needs.

    serve-moto.py -p PORT

CloudFormation transforms SAM templates, and a change set makes a stack that has outputs, or changes nothing. moto cannot update most resources of the
template, so a change set with another template is refused; tables are updated here. ECS adds up the memory of containers only
where they state it: on Fargate they need not. A function answers what `POST /moto-api/static/lambda-simple/response` says it does.
"""

import json

from cfnlint.decode import cfn_yaml
from moto.cloudformation.models import CloudFormationBackend
from moto.core.config import default_user_config
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import Table
from moto.ecs.models import EC2ContainerServiceBackend
from moto.server import main

from sam_transform import for_moto, translated

EC2ContainerServiceBackend._calculate_task_resource_requirements = staticmethod(
    lambda _: {"CPU": 0, "MEMORY": 0, "PORTS": [], "PORTS_UDP": []}
)
default_user_config["lambda"]["use_docker"] = False


def update_table(cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name):
    """What CloudFormation does to a table, or refuses."""
    table, properties = original_resource, cloudformation_json["Properties"]
    if properties["KeySchema"] != table.schema or len(properties.get("LocalSecondaryIndexes", [])) != len(table.indexes):
        raise ValueError(f"{table.name} would be replaced by an empty table")
    wanted = {index["IndexName"]: index for index in properties.get("GlobalSecondaryIndexes", [])}
    present = {index.name for index in table.global_indexes}
    changes = [{"Create": index} for name, index in wanted.items() if name not in present]
    changes += [{"Delete": {"IndexName": name}} for name in present if name not in wanted]
    if len(changes) > 1:
        raise ValueError(f"Cannot perform more than one GSI creation or deletion in a single update of {table.name}")
    stream = properties.get("StreamSpecification")
    return dynamodb_backends[account_id][region_name].update_table(
        name=table.name,
        attr_definitions=properties["AttributeDefinitions"],
        global_index=changes,
        throughput=None,
        billing_mode=properties["BillingMode"],
        stream_spec=None if table.latest_stream_label else stream,
        deletion_protection_enabled=None,
        warm_throughput=None,
    )


Table.update_from_cloudformation_json = classmethod(update_table)


def transformed(template, parameters):
    if "AWS::Serverless" not in template:
        return template
    return json.dumps(for_moto(translated(json.loads(json.dumps(cfn_yaml.loads(template))), parameters)))


def transforming(method):
    def transform_first(self, *arguments, **named):
        # An update has a list of parameters, of which some stand for the value of before.
        parameters = named["parameters"] if isinstance(named["parameters"], dict) else {}
        return method(self, *arguments, **(named | {"template": transformed(named["template"], parameters)}))

    return transform_first


for name in ("create_stack", "create_change_set", "update_stack"):
    setattr(CloudFormationBackend, name, transforming(getattr(CloudFormationBackend, name)))


def execute_change_set(self, change_set_name, stack_name=None):
    change_set = next(made for made in self.change_sets.values() if change_set_name in (made.change_set_id, made.change_set_name))
    if change_set.change_set_type == "CREATE":
        stack = self.stacks.pop(change_set.stack_id)
        self.create_stack(name=stack.name, template=change_set.template, parameters=change_set.parameters)
    elif change_set.template != self.stacks[change_set.stack_id].template:
        raise ValueError("moto cannot update a stack to another template")
    else:
        self.stacks[change_set.stack_id].status = "UPDATE_COMPLETE"
    change_set.execution_status = "EXECUTE_COMPLETE"


CloudFormationBackend.execute_change_set = execute_change_set
main()
