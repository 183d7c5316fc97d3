"""The main job as a user of boto3 writes it."""

import datetime
import http.server
import io
import json
import math
import pathlib
import tarfile
import threading
import time

import pytest
from botocore.exceptions import ClientError, WaiterError
from conftest import IMAGE, PICTURES, QUICKLY, channel

CLASSES = ["001.Disc", "002.Square", "003.Cross"]


def pictures(label):
    return sorted((PICTURES / "validation" / label).iterdir())


def steps(job):
    return [t["Status"] for t in job["SecondaryStatusTransitions"]]


def test_training(sm, s3, bucket, trained):
    assert trained["TrainingJobStatus"] == trained["SecondaryStatus"] == "Completed"
    assert steps(trained) == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    starts = [t["StartTime"] for t in trained["SecondaryStatusTransitions"]]
    assert starts == sorted(starts)
    assert trained["CreationTime"] <= trained["TrainingStartTime"] <= trained["TrainingEndTime"]
    assert trained["CreationTime"] > datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    assert trained["BillableTimeInSeconds"] >= 1
    metrics = {m["MetricName"]: m["Value"] for m in trained["FinalMetricDataList"]}
    assert metrics["validation:accuracy"] > 0.9 and metrics["train:loss"] > 0
    uri = trained["ModelArtifacts"]["S3ModelArtifacts"]
    assert uri == f"s3://{bucket}/out/trained/output/model.tar.gz"
    data = s3.get_object(Bucket=bucket, Key="out/trained/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert {"model.onnx", "model.json"} <= {m.name.removeprefix("./") for m in tar.getmembers()}
        assert json.load(tar.extractfile("model.json"))["labels"] == CLASSES


def test_name_is_taken(sm, job, trained):
    with pytest.raises(sm.exceptions.ResourceInUse, match="already exists"):
        sm.create_training_job(**job("trained"))


def test_cloud_image(sm, job):
    """The cloud's own image classification is the built-in algorithm here."""
    request = job("cloud-image", learning_rate="0.01", mini_batch_size="16", optimizer="sgd", momentum="0.9", num_classes="3")
    request["AlgorithmSpecification"]["TrainingImage"] = "811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1"
    sm.create_training_job(**request)
    sm.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName="cloud-image", WaiterConfig=QUICKLY)


def test_failure(sm, job):
    sm.create_training_job(**job("faulty", epochs="many"))
    with pytest.raises(WaiterError, match="terminal failure"):
        sm.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName="faulty", WaiterConfig=QUICKLY)
    faulty = sm.describe_training_job(TrainingJobName="faulty")
    assert faulty["TrainingJobStatus"] == "Failed"
    assert faulty["FailureReason"].startswith("AlgorithmError: ") and '"many"' in faulty["FailureReason"]


def test_stop(sm, job):
    sm.create_training_job(**job("stopped", epochs="10000"))
    while "Training" not in steps(sm.describe_training_job(TrainingJobName="stopped")):
        time.sleep(0.05)
    sm.stop_training_job(TrainingJobName="stopped")
    sm.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName="stopped", WaiterConfig=QUICKLY)
    stopped = sm.describe_training_job(TrainingJobName="stopped")
    assert stopped["TrainingJobStatus"] == stopped["SecondaryStatus"] == "Stopped"
    assert steps(stopped)[-2:] == ["Stopping", "Stopped"]


@pytest.fixture(scope="module")
def tuned(sm, job):
    base = job("unused")
    sm.create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName="tuned",
        HyperParameterTuningJobConfig={
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "validation:loss"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": {
                "ContinuousParameterRanges": [{"Name": "learning_rate", "MinValue": "0.0001", "MaxValue": "0.1", "ScalingType": "Logarithmic"}],
                "IntegerParameterRanges": [{"Name": "mini_batch_size", "MinValue": "8", "MaxValue": "32", "ScalingType": "Auto"}],
                "CategoricalParameterRanges": [{"Name": "optimizer", "Values": ["sgd", "adamw"]}],
            },
        },
        TrainingJobDefinition={
            "StaticHyperParameters": {"epochs": "5"},
            **{k: base[k] for k in ("AlgorithmSpecification", "RoleArn", "InputDataConfig", "OutputDataConfig", "ResourceConfig", "StoppingCondition")},
        },
    )
    for _ in range(1200):
        described = sm.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="tuned")
        if described["HyperParameterTuningJobStatus"] not in ("InProgress", "Stopping"):
            return described
        time.sleep(0.1)
    pytest.fail("the tuning job does not end")


def trials(sm, **order):
    pages = sm.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job")
    return [s for page in pages.paginate(HyperParameterTuningJobName="tuned", PaginationConfig={"PageSize": 3}, **order) for s in page["TrainingJobSummaries"]]


def test_tuning(sm, tuned):
    assert tuned["HyperParameterTuningJobStatus"] == "Completed"
    assert tuned["TrainingJobStatusCounters"] == {"Completed": 4, "InProgress": 0, "RetryableError": 0, "NonRetryableError": 0, "Stopped": 0}
    assert tuned["ObjectiveStatusCounters"] == {"Succeeded": 4, "Pending": 0, "Failed": 0}
    ranked = trials(sm, SortBy="FinalObjectiveMetricValue", SortOrder="Ascending")
    losses = [t["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for t in ranked]
    assert len(losses) == 4 and losses == sorted(losses)
    assert tuned["BestTrainingJob"]["TrainingJobName"] == ranked[0]["TrainingJobName"]
    for trial in ranked:
        values = trial["TunedHyperParameters"]
        assert set(values) == {"learning_rate", "mini_batch_size", "optimizer"}
        assert 0.0001 <= float(values["learning_rate"]) <= 0.1 and 8 <= int(values["mini_batch_size"]) <= 32
        described = sm.describe_training_job(TrainingJobName=trial["TrainingJobName"])
        assert described["TuningJobArn"] == tuned["HyperParameterTuningJobArn"]
        assert described["HyperParameters"]["epochs"] == "5"


@pytest.fixture(scope="module")
def endpoint(sm, trained, role):
    sm.create_model(ModelName="best", ExecutionRoleArn=role, PrimaryContainer={"Image": IMAGE, "ModelDataUrl": trained["ModelArtifacts"]["S3ModelArtifacts"]})
    for name, count in ("one", 1), ("two", 2):
        variant = {"VariantName": "all", "ModelName": "best", "InstanceType": "ml.m5.large", "InitialInstanceCount": count}
        sm.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sm.create_endpoint(EndpointName="pictures", EndpointConfigName="one")
    sm.get_waiter("endpoint_in_service").wait(EndpointName="pictures", WaiterConfig=QUICKLY)
    return "pictures"


def check(answer, label):
    (logp,) = answer
    assert len(logp) == len(CLASSES) and abs(sum(map(math.exp, logp)) - 1) < 1e-4
    assert CLASSES[max(range(len(logp)), key=logp.__getitem__)] == label


def ask(runtime, body, content_type, **more):
    out = runtime.invoke_endpoint(EndpointName="pictures", Body=body, ContentType=content_type, **more)
    assert out["ContentType"].startswith("application/json") and out["InvokedProductionVariant"] == "all"
    return json.loads(out["Body"].read())


@pytest.mark.parametrize("label", CLASSES)
def test_predict_bytes(runtime, endpoint, label):
    for path in pictures(label):
        check(ask(runtime, path.read_bytes(), "application/x-image"), label)


def test_predict_url(runtime, s3, bucket, endpoint):
    key = "data/validation/002.Square/" + pictures("002.Square")[0].name
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
    check(ask(runtime, json.dumps({"url": url}), "application/json"), "002.Square")


def test_predict_listed_address(runtime, endpoint):
    """The operator of this server lists the loopback address."""

    class Folder(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(PICTURES))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Folder) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{web.server_port}/validation/"
        instances = [{"url": base + label + "/" + pictures(label)[1].name} for label in CLASSES]
        answer = ask(runtime, json.dumps({"instances": instances}), "application/json")
        for logp, label in zip(answer["predictions"], CLASSES, strict=True):
            check([logp], label)
        with pytest.raises(runtime.exceptions.ModelError) as caught:
            ask(runtime, json.dumps({"url": base + "none.jpg"}), "application/json")
        assert caught.value.response["OriginalStatusCode"] == 424
        web.shutdown()


def test_predict_verbose(runtime, endpoint):
    body = pictures("003.Cross")[0].read_bytes()
    answer = ask(runtime, body, "image/jpeg", Accept="application/json; verbose")
    assert answer["labels"] == CLASSES and answer["predictions"][0]["label"] == "003.Cross"
    assert answer["predictions"][0]["probability"] == pytest.approx(math.exp(answer["predictions"][0]["log_probability"]), rel=1e-4)
    check([answer["log_probabilities"]], "003.Cross")
    answer = ask(runtime, body, "image/jpeg", CustomAttributes="top_k=1")
    assert len(answer["predictions"]) == 1


def test_model_error(runtime, endpoint):
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        ask(runtime, b"no picture", "image/jpeg")
    response = caught.value.response
    assert response["Error"]["Code"] == "ModelError" and response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["OriginalStatusCode"] == 400 and "error" in json.loads(response["OriginalMessage"])
    assert response["LogStreamArn"].startswith("arn:aws:logs:")


def test_update_endpoint(sm, runtime, endpoint):
    sm.update_endpoint(EndpointName=endpoint, EndpointConfigName="two")
    assert sm.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] in ("Updating", "InService")
    sm.get_waiter("endpoint_in_service").wait(EndpointName=endpoint, WaiterConfig=QUICKLY)
    described = sm.describe_endpoint(EndpointName=endpoint)
    assert described["EndpointConfigName"] == "two"
    assert described["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    check(ask(runtime, pictures("001.Disc")[0].read_bytes(), "application/x-image"), "001.Disc")


def test_lists(sm, trained, tuned, endpoint):
    wanted = {
        "list_training_jobs": ("TrainingJobSummaries", "TrainingJobName", "trained"),
        "list_hyper_parameter_tuning_jobs": ("HyperParameterTuningJobSummaries", "HyperParameterTuningJobName", "tuned"),
        "list_models": ("Models", "ModelName", "best"),
        "list_endpoint_configs": ("EndpointConfigs", "EndpointConfigName", "one"),
        "list_endpoints": ("Endpoints", "EndpointName", "pictures"),
    }
    for operation, (rows, key, name) in wanted.items():
        pages = list(sm.get_paginator(operation).paginate(PaginationConfig={"PageSize": 1}))
        names = [row[key] for page in pages for row in page[rows]]
        assert name in names and len(names) == len(set(names)), operation
        assert all(len(page[rows]) <= 1 for page in pages), operation


def test_delete(sm, runtime, endpoint):
    """Runs last: it takes the endpoint away."""
    sm.delete_endpoint(EndpointName=endpoint)
    sm.get_waiter("endpoint_deleted").wait(EndpointName=endpoint, WaiterConfig=QUICKLY)
    with pytest.raises(ClientError, match="not found") as caught:
        ask(runtime, b"x", "image/jpeg")
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    for name in "one", "two":
        sm.delete_endpoint_config(EndpointConfigName=name)
    sm.delete_model(ModelName="best")
    for call, kwargs in (
        (sm.describe_endpoint, {"EndpointName": endpoint}),
        (sm.describe_endpoint_config, {"EndpointConfigName": "one"}),
        (sm.describe_model, {"ModelName": "best"}),
    ):
        with pytest.raises(ClientError, match="Could not find") as caught:
            call(**kwargs)
        assert caught.value.response["Error"]["Code"] == "ValidationException"
