"""What the services refuse, as boto3 raises it."""

import datetime
from unittest import mock

import botocore.auth
import pytest
from botocore.exceptions import ClientError
from conftest import ACCOUNT, IMAGE, allow, client

CALLS = {
    "s3": lambda keys: client("s3", keys).list_buckets(),
    "iam": lambda keys: client("iam", keys).list_users(),
    "sts": lambda keys: client("sts", keys).get_caller_identity(),
    "sagemaker": lambda keys: client("sagemaker", keys).list_models(),
    "sagemaker-runtime": lambda keys: client("sagemaker-runtime", keys).invoke_endpoint(EndpointName="x", Body=b"x"),
}


def refused(call, *args, **kwargs):
    with pytest.raises(ClientError) as caught:
        call(*args, **kwargs)
    return caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"], caught.value.response["Error"]["Message"]


@pytest.mark.parametrize(
    "service, code, status",
    [
        ("s3", "InvalidAccessKeyId", 403),
        ("iam", "InvalidClientTokenId", 403),
        ("sts", "InvalidClientTokenId", 403),
        ("sagemaker", "UnrecognizedClientException", 400),
        ("sagemaker-runtime", "UnrecognizedClientException", 403),
    ],
)
def test_unknown_key(service, code, status):
    wrong = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "x" * 40}
    assert refused(CALLS[service], wrong)[:2] == (code, status)


@pytest.mark.parametrize(
    "service, code, status",
    [
        ("s3", "SignatureDoesNotMatch", 403),
        ("iam", "SignatureDoesNotMatch", 403),
        ("sts", "SignatureDoesNotMatch", 403),
        ("sagemaker", "InvalidSignatureException", 400),
        ("sagemaker-runtime", "InvalidSignatureException", 403),
    ],
)
def test_wrong_secret(new_user, service, code, status):
    keys = new_user(f"wrong-{service}")
    keys["aws_secret_access_key"] = "x" * 40
    assert refused(CALLS[service], keys)[:2] == (code, status)


@pytest.mark.parametrize("ahead", [-20, 20])
@pytest.mark.parametrize(
    "service, code",
    [
        ("s3", "RequestTimeTooSkewed"),
        ("iam", "SignatureDoesNotMatch"),
        ("sts", "SignatureDoesNotMatch"),
        ("sagemaker", "InvalidSignatureException"),
        ("sagemaker-runtime", "InvalidSignatureException"),
    ],
)
def test_clock_skew(service, code, ahead):
    wrong = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=ahead)
    with mock.patch.object(botocore.auth, "get_current_datetime", lambda remove_tzinfo=True: wrong.replace(tzinfo=None) if remove_tzinfo else wrong):
        got = refused(CALLS[service], None)
    assert got[0] == code
    if service != "s3":
        assert ("expired" if ahead < 0 else "not yet current") in got[2]


def test_no_rights(new_user, job):
    """A user without a policy may do nothing, and is told what was missing."""
    keys = new_user("nobody")
    for service, call, action in (
        ("s3", lambda c: c.list_buckets(), "s3:ListAllMyBuckets"),
        ("iam", lambda c: c.list_users(), "iam:ListUsers"),
        ("sagemaker", lambda c: c.list_models(), "sagemaker:ListModels"),
        ("sagemaker", lambda c: c.create_training_job(**job("never")), "sagemaker:CreateTrainingJob"),
        ("sagemaker", lambda c: c.describe_endpoint(EndpointName="x"), "sagemaker:DescribeEndpoint"),
        ("sagemaker-runtime", lambda c: c.invoke_endpoint(EndpointName="x", Body=b"x"), "sagemaker:InvokeEndpoint"),
    ):
        code, status, message = refused(call, client(service, keys))
        assert code == ("AccessDeniedException" if service.startswith("sagemaker") else "AccessDenied"), service
        assert f"arn:aws:iam::{ACCOUNT}:user/nobody is not authorized to perform: {action}" in message
    # Everybody may ask who they are.
    assert client("sts", keys).get_caller_identity()["Arn"].endswith(":user/nobody")


def test_resources(new_user, sm, trained):
    """Rights on one job are no rights on another."""
    arn = f"arn:aws:sagemaker:*:{ACCOUNT}:training-job/"
    c = client("sagemaker", new_user("reader", allow("sagemaker:Describe*", arn + "tr*"), {"Effect": "Deny", "Action": "*", "Resource": arn + "treasure"}))
    assert c.describe_training_job(TrainingJobName="trained")["TrainingJobStatus"] == "Completed"
    assert refused(c.describe_training_job, TrainingJobName="other")[0] == "AccessDeniedException"
    code, _, message = refused(c.describe_training_job, TrainingJobName="treasure")
    assert code == "AccessDeniedException" and "explicit deny" in message


def test_pass_role(new_user, role, job):
    """Whoever starts a job needs the right to hand over its role."""
    c = client("sagemaker", new_user("starter", allow("sagemaker:*")))
    model = {"ModelName": "never", "ExecutionRoleArn": role, "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": "s3://pictures/x.tar.gz"}}
    for call, kwargs in ((c.create_training_job, job("never")), (c.create_model, model)):
        code, _, message = refused(call, **kwargs)
        assert code == "AccessDeniedException" and f"iam:PassRole on resource: {role}" in message
    only = {"Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}}
    c = client("sagemaker", new_user("passer", allow("sagemaker:*"), allow("iam:PassRole", role, **only)))
    c.create_model(**model | {"ModelName": "passed"})
    c.delete_model(ModelName="passed")
    only["Condition"]["StringEquals"]["iam:PassedToService"] = "lambda.amazonaws.com"
    c = client("sagemaker", new_user("lambdist", allow("sagemaker:*"), allow("iam:PassRole", role, **only)))
    assert refused(c.create_model, **model)[0] == "AccessDeniedException"


def unchecked(service):
    """A client that sends what its model forbids."""
    return client(service, parameter_validation=False)


def test_invalid_members(job):
    sm = unchecked("sagemaker")
    for change, says in (
        ({"TrainingJobName": "no spaces please"}, "trainingJobName"),
        ({"TrainingJobName": "x" * 64}, "length less than or equal to 63"),
        ({"RoleArn": "trainer"}, "roleArn"),
        ({"ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": -1}}, "volumeSizeInGB"),
        ({"AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "Osmosis"}}, "trainingInputMode"),
        ({"AlgorithmSpecification": {"TrainingImage": "someone/elses:1", "TrainingInputMode": "File"}}, "someone/elses:1"),
        ({"OutputDataConfig": {"S3OutputPath": "/tmp/out"}}, "s3OutputPath"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "maxRuntimeInSeconds"),
        ({"StoppingCondition": None}, "toppingCondition"),
        ({"InputDataConfig": []}, "inputDataConfig"),
    ):
        request = {k: v for k, v in (job("invalid") | change).items() if v is not None}
        code, status, message = refused(sm.create_training_job, **request)
        assert (code, status) == ("ValidationException", 400) and says.lower() in message.lower(), (change, message)


def test_several_faults_at_once():
    code, _, message = refused(unchecked("sagemaker").list_models, MaxResults=1000, SortBy="Beauty")
    assert code == "ValidationException" and message.startswith("2 validation errors detected")


def test_unknown_operation():
    """An operation that exists, and that Musher does not answer, says so."""
    code, status, message = refused(client("sagemaker").list_notebook_instances)
    assert status in (400, 501) and "ListNotebookInstances" in message, (code, message)


def test_missing(sm):
    for call, name, code, says in (
        (sm.describe_training_job, "TrainingJobName", "ValidationException", "Requested resource not found"),
        (sm.stop_training_job, "TrainingJobName", "ValidationException", "Requested resource not found"),
        (sm.describe_model, "ModelName", "ValidationException", "Could not find model"),
        (sm.delete_model, "ModelName", "ValidationException", "Could not find model"),
        (sm.describe_endpoint_config, "EndpointConfigName", "ValidationException", "Could not find endpoint configuration"),
        (sm.delete_endpoint, "EndpointName", "ValidationException", "Could not find endpoint"),
    ):
        got = refused(call, **{name: "none"})
        assert got[:2] == (code, 400) and says in got[2]
    for call in sm.describe_hyper_parameter_tuning_job, sm.stop_hyper_parameter_tuning_job, sm.list_training_jobs_for_hyper_parameter_tuning_job:
        with pytest.raises(sm.exceptions.ResourceNotFound):
            call(HyperParameterTuningJobName="none")
