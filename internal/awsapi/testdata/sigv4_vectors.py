"""Writes sigv4.json: requests as botocore signs them, at a fixed time with AWS's example keys.

The output is checked in; run this only to add cases:  python3 sigv4_vectors.py > sigv4.json
"""

import datetime
import json
import time

import botocore.auth as auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

NOW = datetime.datetime(2026, 11, 22, 1, 2, 3, tzinfo=datetime.timezone.utc)
auth.get_current_datetime = lambda *a, **k: NOW.replace(tzinfo=None)
time.time = lambda: NOW.timestamp()
KEYS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
SESSION = Credentials(KEYS.access_key, KEYS.secret_key, "tok/en+=")
HOST = "http://127.0.0.1:4566"

CASES = [
    # name, signer, service, credentials, method, url, headers, body
    ("s3 get", auth.S3SigV4Auth, "s3", KEYS, "GET", "/bucket/key", {}, b""),
    ("s3 odd key", auth.S3SigV4Auth, "s3", KEYS, "GET", "/bucket/a//b/%C3%BC%20%2B%252F../~", {}, b""),
    ("s3 trailing slash and dots", auth.S3SigV4Auth, "s3", KEYS, "PUT", "/bucket/a/./b/../c/", {}, b"x"),
    ("s3 put", auth.S3SigV4Auth, "s3", SESSION, "PUT", "/bucket/key", {"Content-Type": "text/plain", "X-Amz-Meta-A": "b   c "}, b"hello"),
    ("s3 sub-resource", auth.S3SigV4Auth, "s3", KEYS, "POST", "/bucket?delete", {"Content-MD5": "ePbrFwvNFIRnzBrIv+T8Ag=="}, b"<Delete/>"),
    ("s3 query", auth.S3SigV4Auth, "s3", KEYS, "GET", "/bucket?list-type=2&prefix=a%2Fb%20c&delimiter=%2F&a-b=1&a=2", {}, b""),
    ("s3 session", auth.S3SigV4Auth, "s3", SESSION, "DELETE", "/bucket/key", {}, b""),
    ("sagemaker", auth.SigV4Auth, "sagemaker", KEYS, "POST", "/", {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "SageMaker.ListModels"}, b"{}"),
    ("iam", auth.SigV4Auth, "iam", SESSION, "POST", "/", {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}, b"Action=ListRoles&Version=2010-05-08"),
    ("runtime", auth.SigV4Auth, "sagemaker", KEYS, "POST", "/endpoints/a%20b/invocations", {"Content-Type": "image/jpeg"}, b"\xff\xd8"),
    ("s3 presigned", auth.S3SigV4QueryAuth, "s3", KEYS, "GET", "/bucket/%C3%BC/key?response-content-type=a%2Fb", {}, b""),
    ("s3 presigned session", auth.S3SigV4QueryAuth, "s3", SESSION, "PUT", "/bucket/key", {"X-Amz-Meta-A": "b"}, b""),
    ("sts presigned", auth.SigV4QueryAuth, "sts", KEYS, "GET", "/?Action=GetCallerIdentity&Version=2011-06-15", {}, b""),
    ("v2 presigned", auth.HmacV1QueryAuth, "s3", KEYS, "GET", "/bucket/%C3%BC/key?response-content-type=a%2Fb", {}, b""),
    ("v2 presigned put", auth.HmacV1QueryAuth, "s3", SESSION, "PUT", "/bucket/key", {"Content-Type": "text/plain", "X-Amz-Meta-A": "b"}, b""),
    ("v2 header", auth.HmacV1Auth, "s3", KEYS, "GET", "/bucket/key?uploads&prefix=x", {"X-Amz-Meta-A": "b"}, b""),
]

out = []
for name, signer, service, keys, method, path, headers, body in CASES:
    request = AWSRequest(method=method, url=HOST + path, headers=headers, data=body)
    if signer in (auth.HmacV1QueryAuth,):
        signer(keys, expires=3600).add_auth(request)
    elif signer in (auth.HmacV1Auth,):
        signer(keys).add_auth(request)
    elif signer in (auth.S3SigV4QueryAuth, auth.SigV4QueryAuth):
        signer(keys, service, "eu-west-1", expires=3600).add_auth(request)
    else:
        signer(keys, service, "eu-west-1").add_auth(request)
    prepared = request.prepare()
    text = lambda v: v.decode() if isinstance(v, bytes) else v
    sent = {k: text(v) for k, v in prepared.headers.items() if k.lower() != "content-length"}
    out.append({"name": name, "service": service, "method": method, "url": prepared.url, "headers": sent, "body": body.hex()})
print(json.dumps(out, indent=1, ensure_ascii=False))
