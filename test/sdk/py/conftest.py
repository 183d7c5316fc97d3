"""Clients of the server that the Go test has started, and things on it.

The environment: AWS_* for the server's root user, PICTURES a folder with
train/ and validation/ of class folders.
"""

import json
import os
import pathlib

import boto3
import pytest
from botocore.config import Config

PICTURES = pathlib.Path(os.environ["PICTURES"])
IMAGE = "musher/image-classification"
ACCOUNT = "123456789012"
# Waiters of boto3 ask every half minute; here things are quick.
QUICKLY = {"Delay": 1, "MaxAttempts": 120}


def client(service, keys=None, **config):
    config.setdefault("retries", {"max_attempts": 0})
    if service == "s3":
        config.setdefault("s3", {"addressing_style": "path"})
    return boto3.client(service, config=Config(**config), **(keys or {}))


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


TRUST = document({"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"})


@pytest.fixture(scope="session")
def s3():
    return client("s3")


@pytest.fixture(scope="session")
def sm():
    return client("sagemaker")


@pytest.fixture(scope="session")
def runtime():
    return client("sagemaker-runtime")


@pytest.fixture(scope="session")
def iam():
    return client("iam")


@pytest.fixture(scope="session")
def bucket(s3):
    """A bucket with the pictures in it."""
    s3.create_bucket(Bucket="pictures", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    for path in filter(pathlib.Path.is_file, PICTURES.rglob("*")):
        s3.upload_file(str(path), "pictures", "data/" + path.relative_to(PICTURES).as_posix())
    return "pictures"


@pytest.fixture(scope="session")
def role(iam):
    arn = iam.create_role(RoleName="trainer", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    iam.put_role_policy(RoleName="trainer", PolicyName="rights", PolicyDocument=document(allow("s3:*")))
    return arn


@pytest.fixture(scope="session")
def new_user(iam):
    """Makes a user with these statements and gives its keys."""

    def make(name, *statements):
        iam.create_user(UserName=name)
        if statements:
            iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=document(*statements))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}

    return make


def channel(bucket, name):
    uri = f"s3://{bucket}/data/{name}"
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}}}


@pytest.fixture(scope="session")
def job(bucket, role):
    """The request for a small training job."""

    def request(name, **hyperparameters):
        return {
            "TrainingJobName": name,
            "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            "RoleArn": role,
            "HyperParameters": {"epochs": "10", **hyperparameters},
            "InputDataConfig": [channel(bucket, "train"), channel(bucket, "validation")],
            "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/out/"},
            "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        }

    return request


@pytest.fixture(scope="session")
def trained(sm, job):
    """A completed training job, as described."""
    sm.create_training_job(**job("trained"))
    sm.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName="trained", WaiterConfig=QUICKLY)
    return sm.describe_training_job(TrainingJobName="trained")
