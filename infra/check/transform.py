"""Writes a SAM template as the CloudFormation template that AWS makes of it: transform.py TEMPLATE OUTPUT.

Nothing is uploaded: what CodeUri names is taken to lie in a bucket already.
"""

import json
import os
import sys
from pathlib import Path

from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

def packaged(template: dict) -> dict:
    """As `sam package` leaves it."""
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if "CodeUri" in properties:
            key = Path(properties["CodeUri"]).parent.name + ".zip"
            properties["CodeUri"] = {"Bucket": "code", "Key": key}
    return template


class NoPolicies:
    """Managed policies by name; the template names none."""

    @staticmethod
    def load() -> dict:
        return {}


def main(source: str, target: str) -> None:
    # No call is made; the translator only wants to know where it would be.
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    template = packaged(yaml_parse(Path(source).read_text()))
    transformed = transform(template, {}, NoPolicies())
    Path(target).write_text(json.dumps(transformed, indent=2) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
