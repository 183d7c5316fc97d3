"""Checks of the wire layer with boto3; run by boto3_test.go with the endpoint as argument."""

import datetime
import io
import os
import socket
import ssl
import sys
import urllib.error
import urllib.request

import boto3
import botocore
import botocore.auth
from botocore.config import Config
from botocore.exceptions import ClientError

URL = sys.argv[1]
TLS = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"]) if URL.startswith("https:") else None

# Not every resolver knows that all of .localhost is this machine.
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *a, **k: resolve("127.0.0.1" if str(host).endswith("localhost") else host, *a, **k)

CHECKS = []


def open_url(what):
    return urllib.request.urlopen(what, context=TLS)


def check(f):
    CHECKS.append(f)
    return f


def client(name, url=URL, **kw):
    config = kw.pop("config", Config()).merge(Config(retries={"max_attempts": 1, "mode": "standard"}))
    return boto3.client(name, endpoint_url=url, config=config, **kw)


def fails(code, status, f, *args, **kw):
    try:
        f(*args, **kw)
    except ClientError as e:
        got = e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"]
        assert got == (code, status), (got, e)
        assert e.response["ResponseMetadata"]["RequestId"] or status == 404
        return e
    raise AssertionError("no error")


JOB = dict(
    TrainingJobName="job-1",
    AlgorithmSpecification={"TrainingImage": "musher/image-classification", "TrainingInputMode": "File"},
    RoleArn="arn:aws:iam::123456789012:role/trainer",
    OutputDataConfig={"S3OutputPath": "s3://bucket/out"},
    ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
    StoppingCondition={"MaxRuntimeInSeconds": 3600},
    HyperParameters={"epochs": "3", "learning_rate": "0.1", "unicode": "ünï \"q\""},
)

s3 = client("s3")
sm = client("sagemaker")
rt = client("sagemaker-runtime")
iam = client("iam")
sts = client("sts")

KEYS = ["plain", "a//b", "conf", "conf/x", "ünïcode/日本", "pct%2Fliteral", "plus+sign", "trailing/", "dot/./seg",
        "dot/../seg", "..", "sp ace", "q?mark&amp=1#frag", "tilde~(paren)*'!", "/leading", "//", "a=b;c", "back\\slash"]


@check
def objects_keep_their_exact_keys():
    for i, key in enumerate(KEYS):
        s3.put_object(Bucket="keys", Key=key, Body=f"body {i}".encode())
    for i, key in enumerate(KEYS):
        got = s3.get_object(Bucket="keys", Key=key)["Body"].read()
        assert got == f"body {i}".encode(), (key, got)
    listed = [o["Key"] for o in s3.list_objects_v2(Bucket="keys")["Contents"]]
    assert sorted(listed) == sorted(KEYS), listed


@check
def virtual_hosted_buckets_work():
    if TLS:
        return  # the test's certificate is for 127.0.0.1
    port = URL.rsplit(":", 1)[1]
    for host in ["localhost", "s3.localhost"]:
        virtual = client("s3", f"http://{host}:{port}", config=Config(s3={"addressing_style": "virtual"}))
        for key in KEYS:
            virtual.put_object(Bucket="vhost", Key=key, Body=host.encode())
            assert virtual.get_object(Bucket="vhost", Key=key)["Body"].read() == host.encode(), key
        assert s3.get_object(Bucket="vhost", Key="a//b")["Body"].read() == host.encode()
        assert len(virtual.list_objects_v2(Bucket="vhost", Prefix="conf")["Contents"]) == 2


@check
def object_headers_and_metadata_round_trip():
    out = s3.put_object(Bucket="b", Key="k", Body=b"0123456789", ContentType="image/jpeg", ContentEncoding="gzip",
                        Metadata={"breed": "affenpinscher", "two-words": "a  b"})
    assert out["ETag"] == '"781e5e245d69b566979b86e28d23f2c7"', out
    got = s3.get_object(Bucket="b", Key="k")
    assert got["Metadata"] == {"breed": "affenpinscher", "two-words": "a  b"}, got["Metadata"]
    assert got["ContentType"] == "image/jpeg" and got["ContentLength"] == 10 and got["ContentEncoding"] == "gzip", got
    assert got["LastModified"] == datetime.datetime(2026, 11, 22, 1, 2, 3, tzinfo=datetime.timezone.utc)
    part = s3.get_object(Bucket="b", Key="k", Range="bytes=2-4")
    assert part["ResponseMetadata"]["HTTPStatusCode"] == 206 and part["Body"].read() == b"234"
    assert s3.head_object(Bucket="b", Key="k")["ContentLength"] == 10
    head = part["ResponseMetadata"]["HTTPHeaders"]
    assert head["x-amz-id-2"] and len(head["x-amz-request-id"]) == 16


@check
def modelled_s3_errors_are_raised():
    try:
        s3.get_object(Bucket="b", Key="nope <&>")
        raise AssertionError
    except s3.exceptions.NoSuchKey as e:
        assert e.response["Error"]["Key"] == "nope <&>" and e.response["Error"]["Resource"] == "/b/nope <&>", e.response
    fails("404", 404, s3.head_object, Bucket="b", Key="nope")
    fails("NotImplemented", 501, s3.get_bucket_acl, Bucket="b")
    fails("NotImplemented", 501, s3.get_bucket_policy, Bucket="b")
    fails("NotImplemented", 501, s3.get_bucket_lifecycle_configuration, Bucket="b")
    fails("NotImplemented", 501, s3.delete_bucket, Bucket="b")
    e = fails("InvalidArgument", 400, s3.put_object, Bucket="b", Key="k", ACL="wrong")
    assert e.response["Error"]["ArgumentName"] == "x-amz-acl" and e.response["Error"]["ArgumentValue"] == "wrong", e.response
    fails("InvalidStorageClass", 400, s3.put_object, Bucket="b", Key="k", StorageClass="WRONG")


@check
def broken_handlers_are_internal_errors():
    for bucket in ["panics", "fails"]:
        e = fails("InternalError", 500, s3.create_bucket, Bucket=bucket)
        assert "fire" not in str(e) and "broken" not in str(e), e
        assert e.response["ResponseMetadata"]["RequestId"] in e.response["Error"]["Message"], e.response


@check
def xml_bodies_and_answers():
    assert s3.create_bucket(Bucket="new", CreateBucketConfiguration={"LocationConstraint": "mars-1"})["Location"] == "/new"
    assert client("s3", region_name="eu-west-1").get_bucket_location(Bucket="new")["LocationConstraint"] == "eu-west-1"
    assert s3.list_buckets()["Buckets"][0]["Name"] == "one"
    for key in ["x", "y<&>\"'", "ü"]:
        s3.put_object(Bucket="del", Key=key, Body=b"")
    out = s3.delete_objects(Bucket="del", Delete={"Objects": [{"Key": "x"}, {"Key": "y<&>\"'"}, {"Key": "ü"}]})
    assert [d["Key"] for d in out["Deleted"]] == ["x", "y<&>\"'", "ü"], out
    assert "Contents" not in s3.list_objects_v2(Bucket="del")
    s3.put_object(Bucket="b", Key="tagged", Body=b"")
    tags = [{"Key": "a", "Value": "1"}, {"Key": "b c", "Value": ""}]
    s3.put_object_tagging(Bucket="b", Key="tagged", Tagging={"TagSet": tags})
    assert s3.get_object_tagging(Bucket="b", Key="tagged")["TagSet"] == tags
    s3.put_object(Bucket="b", Key="source", Body=b"source")
    s3.copy_object(Bucket="b", Key="copy", CopySource="b/source")
    assert s3.get_object(Bucket="b", Key="copy")["Body"].read() == b"source"


@check
def multipart_uploads():
    big = bytes(range(256)) * 4096 * 9
    transfer = boto3.s3.transfer.TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    s3.upload_fileobj(io.BytesIO(big), "b", "big", Config=transfer)
    assert s3.get_object(Bucket="b", Key="big")["Body"].read() == big


def refused(url, status, text):
    try:
        open_url(url)
    except urllib.error.HTTPError as e:
        body = e.read()
        assert e.code == status and text in body, (e, body)
        return
    raise AssertionError(url)


@check
def presigned_urls_of_both_versions():
    for version in ["s3", "s3v4"]:
        c = client("s3", config=Config(signature_version=version))
        for key in ["plain", "a//b", "ünï +%2F"]:
            put = c.generate_presigned_url("put_object", dict(Bucket="pre", Key=key, ContentType="text/x", Metadata={"m": "v"}))
            request = urllib.request.Request(put, data=version.encode(), method="PUT", headers={"Content-Type": "text/x"})
            request.add_header("x-amz-meta-m", "v")
            assert open_url(request).status == 200
            get = c.generate_presigned_url("get_object", dict(Bucket="pre", Key=key, ResponseContentType="text/y"))
            with open_url(get) as answer:
                assert answer.read() == version.encode() and answer.headers["Content-Type"] == "text/y"
                assert answer.headers["x-amz-meta-m"] == "v"
        get = c.generate_presigned_url("get_object", dict(Bucket="pre", Key="plain"))
        refused(get.replace("plain", "other"), 403, b"SignatureDoesNotMatch")
        refused(get.replace("AKIAIOSFODNN7EXAMPLE", "AKIAUNKNOWN"), 403, b"InvalidAccessKeyId")
    refused(client("s3", config=Config(signature_version="s3")).generate_presigned_url(
        "get_object", dict(Bucket="pre", Key="plain"), ExpiresIn=-20), 403, b"Request has expired")
    refused(client("s3", config=Config(signature_version="s3v4")).generate_presigned_url(
        "get_object", dict(Bucket="pre", Key="plain"), ExpiresIn=604801), 400, b"AuthorizationQueryParametersError")
    head = client("s3").generate_presigned_url("head_object", dict(Bucket="pre", Key="plain"))
    assert open_url(urllib.request.Request(head, method="HEAD")).status == 200


@check
def json_errors_are_raised():
    assert sm.create_training_job(**JOB)["TrainingJobArn"].endswith("training-job/job-1")
    try:
        sm.create_training_job(**JOB)
        raise AssertionError
    except sm.exceptions.ResourceInUse as e:
        assert "unique" in e.response["Error"]["Message"] and e.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    try:
        sm.describe_training_job(TrainingJobName="nope")
        raise AssertionError
    except sm.exceptions.ResourceNotFound as e:
        assert len(e.response["ResponseMetadata"]["RequestId"]) == 36
    e = fails("UnknownOperationException", 400, sm.list_notebook_instances)
    assert "Musher does not support sagemaker:ListNotebookInstances yet" in str(e)


@check
def json_values_round_trip():
    job = sm.describe_training_job(TrainingJobName="job-1")
    assert job["HyperParameters"] == JOB["HyperParameters"], job["HyperParameters"]
    assert job["CreationTime"].astimezone(datetime.timezone.utc) == datetime.datetime(
        2026, 11, 22, 1, 2, 3, 456000, tzinfo=datetime.timezone.utc), job["CreationTime"]
    assert job["FinalMetricDataList"][0]["Value"] == 0.1234
    assert "VpcConfig" not in job and "Environment" not in job and job["ResourceConfig"] == JOB["ResourceConfig"], job
    assert sm.list_training_jobs()["TrainingJobSummaries"] == []
    sm.delete_model(ModelName="m")


@check
def validation_says_what_is_wrong():
    loose = client("sagemaker", config=Config(parameter_validation=False))
    e = fails("ValidationException", 400, loose.create_training_job, **{**JOB, "TrainingJobName": "my_job"})
    want = ("1 validation error detected: Value 'my_job' at 'trainingJobName' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
    assert e.response["Error"]["Message"] == want, e
    bad = {**JOB, "OutputDataConfig": {}, "ResourceConfig": {"InstanceType": "toaster", "InstanceCount": -1, "VolumeSizeInGB": 1}}
    del bad["TrainingJobName"]
    text = fails("ValidationException", 400, loose.create_training_job, **bad).response["Error"]["Message"]
    assert text.startswith("4 validation errors detected: Value null at 'trainingJobName' failed to satisfy constraint: Member must not be null; "), text
    assert "Value null at 'outputDataConfig.s3OutputPath'" in text and "Value 'toaster' at 'resourceConfig.instanceType'" in text, text
    assert "Value '-1' at 'resourceConfig.instanceCount' failed to satisfy constraint: Member must have value greater than or equal to 0" in text, text
    fails("SerializationException", 400, loose.create_training_job, **{**JOB, "TrainingJobName": 5})
    q = client("iam", config=Config(parameter_validation=False))
    e = fails("ValidationError", 400, q.create_role, RoleName="bad name", AssumeRolePolicyDocument="{}")
    assert "at 'roleName'" in str(e), e
    r = client("sagemaker-runtime", config=Config(parameter_validation=False))
    fails("ValidationError", 400, r.invoke_endpoint, EndpointName="bad_name", Body=b"")


@check
def query_protocol():
    doc = '{"Version":"2012-10-17"}'
    role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=doc, Tags=[{"Key": "k", "Value": "v w"}, {"Key": "l", "Value": ""}])["Role"]
    assert role["CreateDate"].microsecond == 456000 and role["Tags"] == [{"Key": "k", "Value": "v w"}, {"Key": "l", "Value": ""}], role
    assert role["AssumeRolePolicyDocument"] == {"Version": "2012-10-17"}
    assert iam.list_roles()["Roles"] == []
    for f, args, cls in [
        (iam.get_role, dict(RoleName="nope"), iam.exceptions.NoSuchEntityException),
        (iam.create_role, dict(RoleName="taken", AssumeRolePolicyDocument=doc), iam.exceptions.EntityAlreadyExistsException),
        (sts.assume_role, dict(RoleArn="arn:aws:iam::123456789012:role/r", RoleSessionName="s1", Policy="{<&>}"), sts.exceptions.MalformedPolicyDocumentException),
    ]:
        try:
            f(**args)
            raise AssertionError(f)
        except cls as e:
            assert e.response["Error"]["Message"] and e.response["ResponseMetadata"]["RequestId"], e.response
    fails("InvalidAction", 400, iam.list_groups)
    assert sts.get_caller_identity()["Arn"] == "arn:aws:iam::123456789012:root"
    got = sts.assume_role(RoleArn="arn:aws:iam::123456789012:role/r", RoleSessionName="s1")["Credentials"]
    assert got["SessionToken"] == "t<&>", got


@check
def runtime_passes_bytes_through():
    body = bytes(range(256)) * 40000
    out = rt.invoke_endpoint(EndpointName="dogs", Body=body, ContentType="image/jpeg", CustomAttributes="top-k=5")
    assert out["Body"].read() == body[::-1] and out["ContentType"] == "image/jpeg" and out["CustomAttributes"] == "top-k=5", out
    assert out["InvokedProductionVariant"] == "AllTraffic"
    try:
        rt.invoke_endpoint(EndpointName="broken", Body=b"x")
        raise AssertionError
    except rt.exceptions.ModelError as e:
        assert e.response["OriginalStatusCode"] == 400 and e.response["OriginalMessage"] == 'bad "image"', e.response
        assert e.response["ResponseMetadata"]["HTTPStatusCode"] == 424
    try:
        rt.invoke_endpoint(EndpointName="missing", Body=b"x")
        raise AssertionError
    except rt.exceptions.ValidationError as e:
        assert "not found" in str(e)
    fails("UnknownOperationException", 404, rt.invoke_endpoint_async, EndpointName="e", InputLocation="s3://b/k")


@check
def credentials_are_checked():
    table = {
        "s3": ("list_buckets", ("InvalidAccessKeyId", 403), ("SignatureDoesNotMatch", 403), ("AccessDenied", 403), ("ExpiredToken", 400)),
        "sagemaker": ("list_training_jobs", ("UnrecognizedClientException", 400), ("InvalidSignatureException", 400), ("AccessDeniedException", 400), ("ExpiredTokenException", 400)),
        "iam": ("list_roles", ("InvalidClientTokenId", 403), ("SignatureDoesNotMatch", 403), ("AccessDenied", 403), ("ExpiredToken", 403)),
        "sts": ("get_caller_identity", ("InvalidClientTokenId", 403), ("SignatureDoesNotMatch", 403), ("AccessDenied", 403), None),
    }
    for name, (op, unknown, wrong, denied, expired) in table.items():
        fails(*unknown, getattr(client(name, aws_access_key_id="AKIAUNKNOWN", aws_secret_access_key="x"), op))
        fails(*wrong, getattr(client(name, aws_secret_access_key="wrong", aws_access_key_id="AKIAIOSFODNN7EXAMPLE"), op))
        e = fails(*denied, getattr(client(name, aws_access_key_id="AKIADENIEDDENIEDDENI", aws_secret_access_key="denied"), op))
        assert "is not authorized to perform" in str(e)
        if expired:
            fails(*expired, getattr(client(name, aws_access_key_id="ASIAOVER", aws_secret_access_key="x", aws_session_token="t"), op))
    unsigned = Config(signature_version=botocore.UNSIGNED)
    fails("AccessDenied", 403, client("s3", config=unsigned).list_buckets)
    fails("MissingAuthenticationTokenException", 400, client("sagemaker", config=unsigned).list_training_jobs)
    fails("MissingAuthenticationToken", 403, client("iam", config=unsigned).list_roles)
    fails("MissingAuthenticationTokenException", 403, client("sagemaker-runtime", config=unsigned).invoke_endpoint, EndpointName="e", Body=b"")


@check
def clocks_may_not_differ_much():
    real = botocore.auth.get_current_datetime
    try:
        for minutes, s3_code, other in [(-20, "RequestTimeTooSkewed", True), (20, "RequestTimeTooSkewed", True), (-7, None, True)]:
            botocore.auth.get_current_datetime = lambda *a, **k: real(*a, **k) + datetime.timedelta(minutes=minutes)
            if s3_code:
                fails(s3_code, 403, client("s3").list_buckets)
            else:
                client("s3").list_buckets()
            fails("InvalidSignatureException", 400, client("sagemaker").list_training_jobs)
            fails("SignatureDoesNotMatch", 403, client("iam").list_roles)
    finally:
        botocore.auth.get_current_datetime = real


@check
def chunked_uploads_with_trailers():
    # Over TLS, uploads are aws-chunked: every put above was. Here the body does not fit one chunk.
    big = os.urandom(3 << 20)
    s3.put_object(Bucket="b", Key="chunked", Body=io.BytesIO(big), ContentEncoding="br")
    got = s3.get_object(Bucket="b", Key="chunked")
    assert got["Body"].read() == big and got["ContentEncoding"] == "br", got


@check
def damaged_bodies_are_refused():
    fails("BadDigest", 400, s3.put_object, Bucket="b", Key="damaged", Body=b"x", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg==")
    fails("InvalidDigest", 400, s3.put_object, Bucket="b", Key="damaged", Body=b"x", ContentMD5="short")
    fails("BadDigest", 400, s3.put_object, Bucket="b", Key="damaged", Body=b"x", ChecksumCRC32="AAAAAA==")
    fails("404", 404, s3.head_object, Bucket="b", Key="damaged")
    for algorithm in ["CRC32", "SHA1", "SHA256"]:
        s3.put_object(Bucket="b", Key="sum", Body=b"hello", ChecksumAlgorithm=algorithm)
        assert s3.get_object(Bucket="b", Key="sum")["Body"].read() == b"hello"


for f in CHECKS:
    try:
        f()
    except Exception:
        print("FAILED:", f.__name__)
        raise
print(f"{len(CHECKS)} checks passed with boto3 {boto3.__version__}")
