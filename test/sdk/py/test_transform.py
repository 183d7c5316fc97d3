"""Batch transform of photos as a user of boto3 writes it."""

import json

import pytest
from conftest import IMAGE, PICTURES, QUICKLY


@pytest.fixture(scope="module")
def model(sm, role, trained):
    container = {"Image": IMAGE, "ModelDataUrl": trained["ModelArtifacts"]["S3ModelArtifacts"]}
    sm.create_model(ModelName="to-transform", ExecutionRoleArn=role, PrimaryContainer=container)
    return "to-transform"


def test_photos(sm, s3, bucket, model):
    """Every photo gets the class of its folder, under the folder's name."""
    sm.create_transform_job(
        TransformJobName="photos",
        ModelName=model,
        MaxConcurrentTransforms=2,
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/data/validation"}},
            "ContentType": "application/x-image",
        },
        TransformOutput={"S3OutputPath": f"s3://{bucket}/classes/", "Accept": "application/json"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 2},
    )
    sm.get_waiter("transform_job_completed_or_stopped").wait(TransformJobName="photos", WaiterConfig=QUICKLY)
    job = sm.describe_transform_job(TransformJobName="photos")
    assert job["TransformJobStatus"] == "Completed" and "FailureReason" not in job
    assert job["DataProcessing"] == {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"}
    assert job["CreationTime"] <= job["TransformStartTime"] <= job["TransformEndTime"]

    photos = {p.relative_to(PICTURES / "validation").as_posix() for p in (PICTURES / "validation").rglob("*") if p.is_file()}
    outputs = s3.list_objects_v2(Bucket=bucket, Prefix="classes/")["Contents"]
    assert {o["Key"] for o in outputs} == {f"classes/{photo}.out" for photo in photos}
    labels = sorted(p.name for p in (PICTURES / "validation").iterdir())
    right = 0
    for photo in photos:
        (scores,) = json.loads(s3.get_object(Bucket=bucket, Key=f"classes/{photo}.out")["Body"].read())
        assert len(scores) == len(labels)
        right += labels[scores.index(max(scores))] == photo.split("/")[0]
    assert right > 0.9 * len(photos)
    assert [j["TransformJobName"] for j in sm.list_transform_jobs(NameContains="photo")["TransformJobSummaries"]] == ["photos"]
