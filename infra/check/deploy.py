"""Deploys CloudFormation templates to an emulator in this process, and looks at what is there: deploy.py TEMPLATE…

The emulator knows nothing of SAM, so the template must be transformed. Types that it passes over are listed here, so
that no others are. Of a bucket's rules, a table's TTL and what may end in a dead-letter queue it takes no note.
"""

import io
import json
import logging
import os
import sys
import warnings
import zipfile
from pathlib import Path

os.environ |= {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
}
# Without endpoints of the environment, which lead elsewhere.
for name in [name for name in os.environ if name.startswith("AWS_ENDPOINT_URL")]:
    del os.environ[name]

import boto3  # noqa: E402
from moto import mock_aws  # noqa: E402

# It tells of each type that it passes over, each time.
logging.disable(logging.WARNING)
warnings.simplefilter("ignore")

# Types that the emulator passes over.
NOT_MADE = {
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::ApiMapping",
    "AWS::ApiGatewayV2::DomainName",
    "AWS::ApiGatewayV2::Integration",
    "AWS::ApiGatewayV2::Route",
    "AWS::ApiGatewayV2::Stage",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::IAM::RolePolicy",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::S3::BucketPolicy",
    "AWS::SQS::QueuePolicy",
}
TIMEOUTS = {"Submit": 29, "Records": 29, "Status": 29, "Download": 29, "Worker": 900, "Notify": 60, "Sweeper": 300}


def check(holds: bool, what: str) -> None:
    if not holds:
        raise SystemExit(f"not as it should be: {what}")


def code_buckets(template: dict) -> None:
    """The code that functions name, where they name it."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("bootstrap", "")
    s3 = boto3.client("s3")
    for resource in template["Resources"].values():
        code = resource["Properties"].get("Code") if resource["Type"] == "AWS::Lambda::Function" else None
        if code:
            bucket = code["S3Bucket"]
            if isinstance(bucket, dict):
                bucket = bucket["Fn::Sub"].replace("${AWS::AccountId}", "123456789012")
                bucket = bucket.replace("${AWS::Region}", "us-east-1")
                code["S3Bucket"] = bucket
            s3.create_bucket(Bucket=bucket)
            s3.put_object(Bucket=bucket, Key=code["S3Key"], Body=archive.getvalue())


def deploy(template: dict) -> dict[str, dict]:
    """The stack's resources by logical id."""
    # The version of CDK's bootstrap stack is looked up in an account that has one.
    template.get("Parameters", {}).pop("BootstrapVersion", None)
    template.pop("Rules", None)
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(
        StackName="willcall", TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"]
    )
    status = cloudformation.describe_stacks(StackName="willcall")["Stacks"][0]["StackStatus"]
    check(status == "CREATE_COMPLETE", f"the stack is {status}")
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName="willcall")
    return {found["LogicalResourceId"]: found for page in pages for found in page["StackResourceSummaries"]}


def main(path: str) -> None:
    template = json.loads(Path(path).read_text())
    code_buckets(template)
    made = deploy(template)

    unconditional = {
        name: resource["Type"]
        for name, resource in template["Resources"].items()
        if resource.get("Condition") in (None, "IsTraced")
    }
    missing = {kind for name, kind in unconditional.items() if name not in made}
    check(missing <= NOT_MADE, f"{sorted(missing - NOT_MADE)} were not made")

    def physical(kind: str) -> list[str]:
        return [found["PhysicalResourceId"] for found in made.values() if found["ResourceType"] == kind]

    lambdas = boto3.client("lambda")
    for name in physical("AWS::Lambda::Function"):
        function = lambdas.get_function_configuration(FunctionName=name)
        expected = next(timeout for part, timeout in TIMEOUTS.items() if f"{part}Function" in name)
        check(function["Timeout"] == expected, f"the time-out of {name}")
        variables = function["Environment"]["Variables"]
        for variable in ("WILLCALL_TABLE", "WILLCALL_BUCKET", "WILLCALL_QUEUE_URL", "WILLCALL_NOTIFY_QUEUE_URL"):
            check(bool(variables.get(variable)), f"{variable} of {name}")
    sources = lambdas.list_event_source_mappings()["EventSourceMappings"]
    check(len(sources) == 4, "every queue is consumed, and its dead letters too")

    (table,) = physical("AWS::DynamoDB::Table")
    dynamodb = boto3.client("dynamodb")
    found = dynamodb.describe_table(TableName=table)["Table"]
    check([key["AttributeName"] for key in found["KeySchema"]] == ["pk", "sk"], "the table's keys")
    check([index["IndexName"] for index in found["GlobalSecondaryIndexes"]] == ["due"], "the table's index")

    sqs = boto3.client("sqs")
    queues = {}
    for url in sqs.list_queues()["QueueUrls"]:
        queues[url.rsplit("/", 1)[1]] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    names = {"willcall-jobs", "willcall-jobs-dead", "willcall-notify", "willcall-notify-dead"}
    check(set(queues) == names, "the queues")
    check(queues["willcall-jobs"]["VisibilityTimeout"] == "5400", "visibility of jobs")
    for name in ("willcall-jobs", "willcall-notify"):
        redrive = json.loads(queues[name]["RedrivePolicy"])
        check(redrive["deadLetterTargetArn"] == queues[f"{name}-dead"]["QueueArn"], f"where {name} ends")

    (bucket,) = physical("AWS::S3::Bucket")
    boto3.client("s3").head_bucket(Bucket=bucket)
    print(f"{path}: {len(made)} of {len(unconditional)} resources made and looked at")


if __name__ == "__main__":
    for path in sys.argv[1:]:
        with mock_aws():
            main(path)
