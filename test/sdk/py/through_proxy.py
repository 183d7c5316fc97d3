"""What a client does that knows Amazon's addresses only, and the server as its
proxy: no endpoint is named anywhere. A plain program, for any Python that has
boto3, however old; it exits with 0 if all is well.

Arguments: the name of a bucket to make, and the server's ca.pem.
"""

import hashlib
import http.client
import io
import json
import os
import ssl
import sys
import urllib.parse
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

bucket, authority = sys.argv[1:]
region = os.environ["AWS_DEFAULT_REGION"]
assert "AWS_ENDPOINT_URL" not in os.environ


def client(service, **more):
    return boto3.client(service, config=Config(retries={"max_attempts": 0}), **more)


def is_equal(got, want):
    assert got == want, f"{got!r}, want {want!r}"


# The addresses that the SageMaker SDK hard-wires, and the one of no region.
for host in [f"sts.{region}.amazonaws.com", "sts.us-east-1.amazonaws.com", "sts.amazonaws.com"]:
    is_equal(client("sts", endpoint_url="https://" + host).get_caller_identity()["Account"], "123456789012")

# A role, what it may do, and what it does.
iam = client("iam")
trust = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root", "Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
name = "role-" + bucket
role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))["Role"]
allowed = {"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": f"arn:aws:s3:::{bucket}/*"}
iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))
simulated = iam.simulate_principal_policy(PolicySourceArn=role["Arn"], ActionNames=["s3:PutObject", "s3:GetObject"], ResourceArns=[f"arn:aws:s3:::{bucket}/*"])
is_equal([r["EvalDecision"] for r in simulated["EvaluationResults"]], ["allowed", "implicitDeny"])
session = client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="session")["Credentials"]
keys = {"aws_access_key_id": session["AccessKeyId"], "aws_secret_access_key": session["SecretAccessKey"], "aws_session_token": session["SessionToken"]}
is_equal(client("sts", **keys).get_caller_identity()["Arn"], f"arn:aws:sts::123456789012:assumed-role/{name}/session")

# Names of buckets before names of hosts; the path in other styles, too.
s3 = client("s3")
hosts = set()
s3.meta.events.register("before-send.s3.*", lambda request, **_: hosts.add(urllib.parse.urlsplit(request.url).hostname))
s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
body = os.urandom(50_000_000)
for key in ["photo 1+ä.jpg", "a/b/../c//d?e#f"]:
    s3.put_object(Bucket=bucket, Key=key, Body=io.BytesIO(body))
    got = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    is_equal(hashlib.sha256(got).digest(), hashlib.sha256(body).digest())
s3.upload_fileobj(io.BytesIO(body), bucket, "in parts")
is_equal(s3.head_object(Bucket=bucket, Key="in parts")["ContentLength"], len(body))
is_equal(s3.list_objects_v2(Bucket=bucket)["KeyCount"], 3)
assert any(h.startswith(bucket + ".s3.") for h in hosts), hosts
path_style = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
is_equal(path_style.list_objects_v2(Bucket=bucket)["KeyCount"], 3)
try:
    client("s3", **keys).get_object(Bucket=bucket, Key="in parts")
    raise AssertionError("the role reads")
except ClientError as e:
    is_equal(e.response["Error"]["Code"], "AccessDenied")
url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "photo 1+ä.jpg"})
with urllib.request.urlopen(url) as answer:  # finds proxy and certificates in the environment
    is_equal(len(answer.read()), len(body))

# The services that a host names by another name than the API's.
is_equal(client("sagemaker").list_training_jobs()["TrainingJobSummaries"], [])
try:
    client("sagemaker-runtime").invoke_endpoint(EndpointName="none", Body=b"x")
    raise AssertionError("an endpoint answers that there is not")
except ClientError as e:
    is_equal(e.response["Error"]["Code"], "ValidationError")

# Certificates as newer Pythons check them: to the letter.
strict = ssl.create_default_context(cafile=authority)
strict.verify_flags |= ssl.VERIFY_X509_STRICT
proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
for host in ["sts.amazonaws.com", bucket + ".s3.eu-west-1.amazonaws.com", f"127.0.0.1:{proxy.port}"]:
    connection = http.client.HTTPSConnection(proxy.hostname, proxy.port, context=strict)
    connection.set_tunnel(host)
    connection.request("GET", "/healthz")
    is_equal(connection.getresponse().read(), b"ok\n")
