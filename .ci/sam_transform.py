"""What CloudFormation makes of a SAM template before it creates anything: SAM's own transform."""

import json
import os

from cfnlint.decode import cfn_yaml
from samtranslator.public.translator import ManagedPolicyLoader
from samtranslator.translator.transform import transform

# What moto does not know, and nothing that is looked at on moto depends on.
UNKNOWN_TO_MOTO = {"AWS::Lambda::Permission", "AWS::Lambda::Url", "AWS::SNS::Subscription", "AWS::Scheduler::ScheduleGroup"}


# SAM asks for it, and the templates say nothing of it.
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")


class NoManagedPolicies(ManagedPolicyLoader):
    def __init__(self):
        super().__init__(None)

    def load(self):
        return {}


def read(path):
    return json.loads(json.dumps(cfn_yaml.load(path)))


def translated(template, values=None):
    """The template without SAM's types, for these values of parameters. The code of a function that is still to be built is a placeholder."""
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            if resource["Properties"]["CodeUri"] == ".":
                resource["Properties"]["CodeUri"] = {"Bucket": "code", "Key": "code.zip"}
            resource.pop("Metadata", None)
    parameters = {name: parameter.get("Default", "") for name, parameter in template["Parameters"].items()}
    return transform(template, parameters | (values or {}), NoManagedPolicies())


def for_moto(template):
    """The translated template without what moto does not know, and with a placeholder for each attribute of that."""
    resources = template["Resources"]
    removed = {name for name, resource in resources.items() if resource["Type"] in UNKNOWN_TO_MOTO}
    template["Resources"] = {name: resource for name, resource in resources.items() if name not in removed}
    # moto makes a placeholder of a rule, and then finds no assertions in it.
    template.pop("Rules", None)

    def known(value):
        if isinstance(value, dict):
            if "Fn::GetAtt" in value and value["Fn::GetAtt"][0] in removed:
                return "https://removed.example.com/"
            return {key: known(entry) for key, entry in value.items()}
        return [known(entry) for entry in value] if isinstance(value, list) else value

    return known(template)
