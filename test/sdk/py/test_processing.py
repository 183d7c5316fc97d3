"""A processing job as a user of boto3 writes it."""

import pytest
from botocore.exceptions import ClientError
from conftest import QUICKLY

SCRIPT = b"""
import os, sys
rows = open("/opt/ml/processing/input/data/rows.csv").read().split()
cut = int(len(rows) * float(sys.argv[1]))
for name, part in ("train", rows[:cut]), ("test", rows[cut:]):
    open("/opt/ml/processing/%s/rows.csv" % name, "w").write(" ".join(part))
"""


def test_processing(sm, s3, bucket, role):
    s3.put_object(Bucket=bucket, Key="processing/split.py", Body=SCRIPT)
    s3.put_object(Bucket=bucket, Key="processing/rows.csv", Body=b"a b c d e")

    def source(name, key):
        return {
            "InputName": name,
            "S3Input": {"S3Uri": f"s3://{bucket}/processing/{key}", "LocalPath": f"/opt/ml/processing/input/{name}", "S3DataType": "S3Prefix", "S3InputMode": "File"},
        }

    def output(name):
        return {"OutputName": name, "S3Output": {"S3Uri": f"s3://{bucket}/split/{name}", "LocalPath": f"/opt/ml/processing/{name}", "S3UploadMode": "EndOfJob"}}

    request = {
        "ProcessingJobName": "split",
        "AppSpecification": {"ImageUri": "python:3.11", "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/split.py"], "ContainerArguments": ["0.6"]},
        "RoleArn": role,
        "ProcessingInputs": [source("code", "split.py"), source("data", "rows.csv")],
        "ProcessingOutputConfig": {"Outputs": [output("train"), output("test")]},
        "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5}},
    }
    try:
        sm.create_processing_job(**request)
    except ClientError as e:
        if "mount namespaces" in str(e):
            pytest.skip(str(e))
        raise
    sm.get_waiter("processing_job_completed_or_stopped").wait(ProcessingJobName="split", WaiterConfig=QUICKLY)
    job = sm.describe_processing_job(ProcessingJobName="split")
    assert job["ProcessingJobStatus"] == "Completed"
    assert job["CreationTime"] <= job["ProcessingStartTime"] <= job["ProcessingEndTime"]
    parts = [s3.get_object(Bucket=bucket, Key=f"split/{name}/rows.csv")["Body"].read() for name in ("train", "test")]
    assert parts == [b"a b c", b"d e"]
    assert [j["ProcessingJobName"] for j in sm.list_processing_jobs(NameContains="split")["ProcessingJobSummaries"]] == ["split"]
    with pytest.raises(sm.exceptions.ResourceInUse, match="already exists"):
        sm.create_processing_job(**request)
