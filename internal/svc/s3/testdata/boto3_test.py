"""What boto3 sees of the bucket service. Run by TestBoto3 against a server
that AWS_ENDPOINT_URL names; each test makes a bucket of its own."""

import base64
import hashlib
import io
import os
import time
import unittest
import urllib.error
import urllib.request
import uuid
import zlib

import boto3
import botocore.exceptions
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

MB = 1 << 20
ENDPOINT = os.environ["AWS_ENDPOINT_URL"]


def client(who="ROOT", region="us-east-1", **config):
    config.setdefault("retries", {"max_attempts": 1})
    config.setdefault("s3", {"addressing_style": "path"})
    return boto3.client("s3", endpoint_url=ENDPOINT, region_name=region, aws_access_key_id=who,
                        aws_secret_access_key=who.lower() + "-secret", config=Config(**config))


def code_of(error):
    return error.response["Error"]["Code"]


class Case(unittest.TestCase):
    def setUp(self):
        self.s3 = client()
        self.bucket = "test-" + uuid.uuid4().hex
        self.s3.create_bucket(Bucket=self.bucket)

    def fails(self, code, call, status=None, **kwargs):
        with self.assertRaises(botocore.exceptions.ClientError) as caught:
            call(**kwargs)
        self.assertEqual(code_of(caught.exception), code, caught.exception)
        if status:
            self.assertEqual(caught.exception.response["ResponseMetadata"]["HTTPStatusCode"], status)
        return caught.exception

    def put(self, key, body=b"x", **kwargs):
        return self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, **kwargs)

    def get(self, key, **kwargs):
        return self.s3.get_object(Bucket=self.bucket, Key=key, **kwargs)

    def body(self, key, **kwargs):
        return self.get(key, **kwargs)["Body"].read()


class Buckets(Case):
    def test_life(self):
        self.assertEqual(self.s3.head_bucket(Bucket=self.bucket)["BucketRegion"], "us-east-1")
        listed = {b["Name"]: b for b in self.s3.list_buckets()["Buckets"]}
        self.assertIn(self.bucket, listed)
        self.assertIsNone(self.s3.get_bucket_location(Bucket=self.bucket)["LocationConstraint"])
        self.assertNotIn("Status", self.s3.get_bucket_versioning(Bucket=self.bucket))
        self.put("a")
        self.fails("BucketNotEmpty", self.s3.delete_bucket, 409, Bucket=self.bucket)
        self.s3.delete_object(Bucket=self.bucket, Key="a")
        self.s3.delete_bucket(Bucket=self.bucket)
        self.fails("404", self.s3.head_bucket, 404, Bucket=self.bucket)
        with self.assertRaises(self.s3.exceptions.NoSuchBucket):
            self.s3.list_objects_v2(Bucket=self.bucket)
        with self.assertRaises(self.s3.exceptions.NoSuchBucket):
            self.put("a")
        self.fails("NoSuchBucket", self.s3.delete_bucket, 404, Bucket=self.bucket)

    def test_regions(self):
        west = client(region="us-west-2")
        name = "test-" + uuid.uuid4().hex
        self.fails("IllegalLocationConstraintException", west.create_bucket, 400, Bucket=name)
        where = {"LocationConstraint": "us-west-2"}
        west.create_bucket(Bucket=name, CreateBucketConfiguration=where)
        self.assertEqual(west.get_bucket_location(Bucket=name)["LocationConstraint"], "us-west-2")
        with self.assertRaises(west.exceptions.BucketAlreadyOwnedByYou):
            west.create_bucket(Bucket=name, CreateBucketConfiguration=where)
        self.s3.create_bucket(Bucket=self.bucket)  # again: no error in us-east-1
        self.fails("InvalidBucketName", self.s3.create_bucket, 400, Bucket="Not-Valid")

    def test_list_pages(self):
        prefix = "page-" + uuid.uuid4().hex[:8]
        names = [f"{prefix}-{i}" for i in range(5)]
        for n in names:
            self.s3.create_bucket(Bucket=n)
        pages = list(self.s3.get_paginator("list_buckets").paginate(Prefix=prefix, PaginationConfig={"PageSize": 2}))
        self.assertEqual([b["Name"] for p in pages for b in p["Buckets"]], names)
        self.assertEqual(len(pages), 3)

    def test_expected_owner(self):
        self.put("a", ExpectedBucketOwner="123456789012")
        self.fails("AccessDenied", self.s3.put_object, 403, Bucket=self.bucket, Key="a", ExpectedBucketOwner="999999999999")
        self.fails("403", self.s3.head_bucket, 403, Bucket=self.bucket, ExpectedBucketOwner="999999999999")

    def test_delete_with_unfinished_upload(self):
        self.s3.create_multipart_upload(Bucket=self.bucket, Key="k")
        self.s3.delete_bucket(Bucket=self.bucket)
        self.s3.create_bucket(Bucket=self.bucket)
        self.assertNotIn("Uploads", self.s3.list_multipart_uploads(Bucket=self.bucket))


class Objects(Case):
    def test_keys(self):
        keys = ["a", "a//b", "conf", "conf/x", "/lead", "ä ö/日本", "100%", "a+b c", "q?x=1&y", "..", "../up", "tail/", "~", "<&>\"'", "\x01", "k" * 1024]
        for key in keys:
            self.put(key, key.encode())
        for key in keys:
            self.assertEqual(self.body(key), key.encode(), key)
        listed = [o["Key"] for o in self.s3.list_objects_v2(Bucket=self.bucket)["Contents"]]
        self.assertEqual(listed, sorted(keys, key=lambda k: k.encode()))
        self.fails("KeyTooLongError", self.s3.put_object, 400, Bucket=self.bucket, Key="k" * 1025, Body=b"")

    def test_metadata(self):
        expires = "Thu, 01 Dec 2033 16:00:00 GMT"
        put = self.put("k", b"hello", ContentType="image/jpeg", CacheControl="max-age=3", ContentDisposition="attachment",
                       ContentEncoding="gzip", ContentLanguage="de", Expires=expires, StorageClass="STANDARD_IA",
                       Metadata={"One": "1", "two-b": "zwei"}, Tagging="a=1&b=2",
                       ServerSideEncryption="aws:kms", SSEKMSKeyId="key-1")
        self.assertEqual(put["ETag"], '"5d41402abc4b2a76b9719d911017c592"')
        self.assertEqual((put["ServerSideEncryption"], put["SSEKMSKeyId"]), ("aws:kms", "key-1"))
        for got in (self.s3.head_object(Bucket=self.bucket, Key="k"), self.get("k")):
            want = dict(ContentType="image/jpeg", CacheControl="max-age=3", ContentDisposition="attachment", ContentEncoding="gzip",
                        ContentLanguage="de", StorageClass="STANDARD_IA", Metadata={"one": "1", "two-b": "zwei"}, ContentLength=5,
                        ETag=put["ETag"], AcceptRanges="bytes", ServerSideEncryption="aws:kms", SSEKMSKeyId="key-1")
            for name, value in want.items():
                self.assertEqual(got[name], value, name)
            self.assertEqual(got["ExpiresString"], expires)
            self.assertEqual(got["LastModified"].microsecond, 0)
        self.assertEqual(self.get("k")["TagCount"], 2)
        self.put("plain")
        plain = client(response_checksum_validation="when_required").get_object(Bucket=self.bucket, Key="plain")
        self.assertEqual(plain["ContentType"], "binary/octet-stream")
        for absent in ("StorageClass", "ServerSideEncryption", "TagCount", "CacheControl", "ChecksumCRC32"):
            self.assertNotIn(absent, plain)

    def test_missing(self):
        with self.assertRaises(self.s3.exceptions.NoSuchKey):
            self.get("nope")
        self.fails("404", self.s3.head_object, 404, Bucket=self.bucket, Key="nope")
        self.s3.delete_object(Bucket=self.bucket, Key="nope")

    def test_ranges(self):
        self.put("k", b"0123456789")
        for header, want, where in [("bytes=2-4", b"234", "2-4"), ("bytes=7-", b"789", "7-9"), ("bytes=-2", b"89", "8-9"), ("bytes=8-99", b"89", "8-9")]:
            got = self.get("k", Range=header)
            self.assertEqual((got["Body"].read(), got["ContentRange"]), (want, f"bytes {where}/10"))
            self.assertEqual(got["ResponseMetadata"]["HTTPStatusCode"], 206)
            self.assertEqual(self.s3.head_object(Bucket=self.bucket, Key="k", Range=header)["ContentLength"], len(want))
        e = self.fails("InvalidRange", self.get, 416, key="k", Range="bytes=10-")
        self.assertEqual(e.response["Error"]["ActualObjectSize"], "10")
        self.assertEqual(self.get("k", Range="bytes=1-2,4-5")["ResponseMetadata"]["HTTPStatusCode"], 200)

    def test_read_conditions(self):
        etag = self.put("k")["ETag"]
        when = self.s3.head_object(Bucket=self.bucket, Key="k")["LastModified"]
        self.get("k", IfMatch=etag, IfUnmodifiedSince=when)
        self.fails("PreconditionFailed", self.get, 412, key="k", IfMatch='"x"')
        self.fails("304", self.get, 304, key="k", IfNoneMatch=etag)
        self.fails("304", self.get, 304, key="k", IfModifiedSince=when)
        self.fails("412", self.s3.head_object, 412, Bucket=self.bucket, Key="k", IfMatch='"x"')

    def test_write_conditions(self):
        etag = self.put("k", b"1", IfNoneMatch="*")["ETag"]
        self.fails("PreconditionFailed", self.put, 412, key="k", body=b"2", IfNoneMatch="*")
        self.fails("PreconditionFailed", self.put, 412, key="k", body=b"2", IfMatch='"x"')
        self.fails("NoSuchKey", self.put, 404, key="none", body=b"2", IfMatch=etag)
        self.put("k", b"3", IfMatch=etag)
        self.assertEqual(self.body("k"), b"3")

    def test_checksums(self):
        data = b"checksummed"
        crc = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
        sha = base64.b64encode(hashlib.sha256(data).digest()).decode()
        self.assertEqual(self.put("crc", data)["ChecksumCRC32"], crc)
        self.assertEqual(self.put("sha", data, ChecksumAlgorithm="SHA256")["ChecksumSHA256"], sha)
        self.assertEqual(self.put("sha1", data, ChecksumAlgorithm="SHA1")["ChecksumType"], "FULL_OBJECT")
        got = self.get("sha", ChecksumMode="ENABLED")
        self.assertEqual((got["ChecksumSHA256"], got["ChecksumType"]), (sha, "FULL_OBJECT"))
        self.assertNotIn("ChecksumSHA256", self.get("sha", ChecksumMode="ENABLED", Range="bytes=0-1"))
        self.fails("BadDigest", self.put, 400, key="bad", body=data, ChecksumSHA256=base64.b64encode(bytes(32)).decode())
        self.fails("BadDigest", self.put, 400, key="bad", body=data, ContentMD5=base64.b64encode(bytes(16)).decode())
        self.fails("InvalidDigest", self.put, 400, key="bad", body=data, ContentMD5="x")
        self.fails("404", self.s3.head_object, 404, Bucket=self.bucket, Key="bad")
        old = client(request_checksum_calculation="when_required")
        old.put_object(Bucket=self.bucket, Key="none", Body=data)
        self.assertIn("ChecksumCRC64NVME", self.get("none", ChecksumMode="ENABLED"))

    def test_streams(self):
        data = os.urandom(3 * MB)
        self.s3.upload_fileobj(io.BytesIO(data), self.bucket, "k")
        out = io.BytesIO()
        self.s3.download_fileobj(self.bucket, "k", out)
        self.assertEqual(out.getvalue(), data)

    def test_refused(self):
        self.fails("AccessControlListNotSupported", self.put, 400, key="k", ACL="public-read")
        self.fails("InvalidStorageClass", self.put, 400, key="k", StorageClass="GLACIER")
        self.fails("InvalidArgument", self.get, 400, key="k", VersionId="abc")
        self.put("k", ACL="bucket-owner-full-control")

    def test_delete_many(self):
        keys = [f"d/{i:04}" for i in range(30)]
        for k in keys:
            self.put(k)
        got = self.s3.delete_objects(Bucket=self.bucket, Delete={"Objects": [{"Key": k} for k in keys[:20] + ["none"]]})
        self.assertEqual([d["Key"] for d in got["Deleted"]], keys[:20] + ["none"])
        got = self.s3.delete_objects(Bucket=self.bucket, Delete={"Objects": [{"Key": k} for k in keys[20:]], "Quiet": True})
        self.assertNotIn("Deleted", got)
        self.assertEqual(self.s3.list_objects_v2(Bucket=self.bucket)["KeyCount"], 0)
        many = {"Objects": [{"Key": str(i)} for i in range(1001)]}
        self.fails("MalformedXML", self.s3.delete_objects, 400, Bucket=self.bucket, Delete=many)

    def test_tagging(self):
        self.put("k")
        self.assertEqual(self.s3.get_object_tagging(Bucket=self.bucket, Key="k")["TagSet"], [])
        tags = [{"Key": "a", "Value": "1"}, {"Key": "ä", "Value": ""}]
        self.s3.put_object_tagging(Bucket=self.bucket, Key="k", Tagging={"TagSet": tags})
        self.assertEqual(self.s3.get_object_tagging(Bucket=self.bucket, Key="k")["TagSet"], tags)
        self.s3.delete_object_tagging(Bucket=self.bucket, Key="k")
        self.assertEqual(self.s3.get_object_tagging(Bucket=self.bucket, Key="k")["TagSet"], [])
        twice = {"TagSet": [tags[0], tags[0]]}
        self.fails("InvalidTag", self.s3.put_object_tagging, 400, Bucket=self.bucket, Key="k", Tagging=twice)
        self.fails("NoSuchKey", self.s3.get_object_tagging, 404, Bucket=self.bucket, Key="none")


class Listings(Case):
    def test_pages(self):
        keys = sorted([f"a/{i:02}" for i in range(7)] + ["b", "c/1", "c/2", "d e"])
        for k in keys:
            self.put(k)
        for size in (1, 2, 3, 100):
            for op in ("list_objects", "list_objects_v2"):
                pages = self.s3.get_paginator(op).paginate(Bucket=self.bucket, PaginationConfig={"PageSize": size})
                self.assertEqual([o["Key"] for p in pages for o in p.get("Contents", [])], keys, (op, size))
                pages = list(self.s3.get_paginator(op).paginate(Bucket=self.bucket, Delimiter="/", PaginationConfig={"PageSize": size}))
                self.assertEqual([o["Key"] for p in pages for o in p.get("Contents", [])], ["b", "d e"], (op, size))
                self.assertEqual([c["Prefix"] for p in pages for c in p.get("CommonPrefixes", [])], ["a/", "c/"], (op, size))
        got = self.s3.list_objects_v2(Bucket=self.bucket, Prefix="a/", StartAfter="a/04", FetchOwner=True)
        self.assertEqual([o["Key"] for o in got["Contents"]], ["a/05", "a/06"])
        self.assertEqual(len(got["Contents"][0]["Owner"]["ID"]), 64)
        self.assertEqual((got["KeyCount"], got["IsTruncated"], got["MaxKeys"]), (2, False, 1000))
        self.assertEqual(self.s3.list_objects_v2(Bucket=self.bucket, MaxKeys=0)["KeyCount"], 0)
        self.fails("InvalidArgument", self.s3.list_objects_v2, 400, Bucket=self.bucket, ContinuationToken="?")
        self.assertEqual(self.s3.list_buckets(Prefix="no-such-prefix")["Buckets"], [])


class Copies(Case):
    def copy(self, to, source, **kwargs):
        return self.s3.copy_object(Bucket=self.bucket, Key=to, CopySource={"Bucket": self.bucket, "Key": source}, **kwargs)

    def test_directives(self):
        self.put("a b+ä", b"data", ContentType="text/x", Metadata={"m": "1"}, Tagging="t=1")
        done = self.copy("copy", "a b+ä")
        self.assertEqual(done["CopyObjectResult"]["ETag"], f'"{hashlib.md5(b"data").hexdigest()}"')
        got = self.get("copy")
        self.assertEqual((got["Body"].read(), got["ContentType"], got["Metadata"], got["TagCount"]), (b"data", "text/x", {"m": "1"}, 1))
        self.copy("new", "a b+ä", MetadataDirective="REPLACE", Metadata={"n": "2"}, TaggingDirective="REPLACE", Tagging="u=1&v=2")
        got = self.get("new")
        self.assertEqual((got["ContentType"], got["Metadata"], got["TagCount"]), ("binary/octet-stream", {"n": "2"}, 2))
        self.s3.delete_object(Bucket=self.bucket, Key="a b+ä")
        self.assertEqual(self.body("copy"), b"data")

    def test_onto_itself(self):
        self.put("k", b"data")
        self.fails("InvalidRequest", self.copy, 400, to="k", source="k")
        self.copy("k", "k", MetadataDirective="REPLACE", Metadata={"n": "2"})
        got = self.get("k")
        self.assertEqual((got["Body"].read(), got["Metadata"]), (b"data", {"n": "2"}))

    def test_conditions(self):
        etag = self.put("k")["ETag"]
        self.copy("c", "k", CopySourceIfMatch=etag)
        self.fails("PreconditionFailed", self.copy, 412, to="c", source="k", CopySourceIfNoneMatch=etag)
        self.fails("PreconditionFailed", self.copy, 412, to="c", source="k", CopySourceIfMatch='"x"')
        self.fails("NoSuchKey", self.copy, 404, to="c", source="none")
        self.fails("NoSuchBucket", self.s3.copy_object, 404, Bucket=self.bucket, Key="c", CopySource="no-such-bucket-1/k")

    def test_of_parts(self):
        data = os.urandom(6 * MB)
        config = TransferConfig(multipart_threshold=MB, multipart_chunksize=5 * MB)
        self.s3.upload_fileobj(io.BytesIO(data), self.bucket, "parts", Config=config)
        done = self.copy("copy", "parts", ChecksumAlgorithm="SHA256")["CopyObjectResult"]
        self.assertEqual(done["ETag"], f'"{hashlib.md5(data).hexdigest()}"')
        self.assertEqual(done["ChecksumSHA256"], base64.b64encode(hashlib.sha256(data).digest()).decode())
        self.assertEqual(self.body("copy"), data)
        self.s3.copy({"Bucket": self.bucket, "Key": "parts"}, self.bucket, "managed", Config=config)
        self.assertEqual(self.body("managed"), data)


class Multipart(Case):
    def start(self, **kwargs):
        return self.s3.create_multipart_upload(Bucket=self.bucket, Key="k", **kwargs)["UploadId"]

    def part(self, upload, number, data, **kwargs):
        return self.s3.upload_part(Bucket=self.bucket, Key="k", UploadId=upload, PartNumber=number, Body=data, **kwargs)["ETag"]

    def complete(self, upload, *parts, **kwargs):
        listed = [{"PartNumber": n, "ETag": e} for n, e in parts]
        return self.s3.complete_multipart_upload(Bucket=self.bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": listed}, **kwargs)

    def test_transfer(self):
        data = os.urandom(21 * MB)
        config = TransferConfig(multipart_threshold=8 * MB, multipart_chunksize=8 * MB)
        self.s3.upload_fileobj(io.BytesIO(data), self.bucket, "k", Config=config, ExtraArgs={"ContentType": "a/b", "Metadata": {"m": "1"}})
        head = self.s3.head_object(Bucket=self.bucket, Key="k", ChecksumMode="ENABLED")
        md5s = b"".join(hashlib.md5(data[i:i + 8 * MB]).digest() for i in range(0, len(data), 8 * MB))
        self.assertEqual(head["ETag"], f'"{hashlib.md5(md5s).hexdigest()}-3"')
        self.assertEqual((head["ContentType"], head["Metadata"]), ("a/b", {"m": "1"}))
        out = io.BytesIO()
        self.s3.download_fileobj(self.bucket, "k", out, Config=config)
        self.assertEqual(out.getvalue(), data)
        got = self.get("k", PartNumber=3)
        self.assertEqual((got["Body"].read(), got["PartsCount"]), (data[16 * MB:], 3))
        self.assertEqual(self.body("k", Range=f"bytes={8 * MB - 3}-{8 * MB + 2}"), data[8 * MB - 3:8 * MB + 3])
        self.fails("InvalidPartNumber", self.get, 416, key="k", PartNumber=4)

    def test_checksum_types(self):
        a, b = os.urandom(5 * MB), b"tail"
        for algorithm, kind in (("CRC32", "COMPOSITE"), ("CRC32", "FULL_OBJECT"), ("SHA256", "COMPOSITE"), ("CRC64NVME", "FULL_OBJECT")):
            upload = self.start(ChecksumAlgorithm=algorithm, ChecksumType=kind)
            try:
                etags = [self.part(upload, 1, a, ChecksumAlgorithm=algorithm), self.part(upload, 2, b, ChecksumAlgorithm=algorithm)]
            except botocore.exceptions.MissingDependencyException:
                continue  # CRC64NVME needs awscrt
            parts = self.s3.list_parts(Bucket=self.bucket, Key="k", UploadId=upload)
            self.assertEqual((parts["ChecksumAlgorithm"], parts["ChecksumType"]), (algorithm, kind))
            listed = [{"PartNumber": p["PartNumber"], "ETag": p["ETag"], "Checksum" + algorithm: p["Checksum" + algorithm]} for p in parts["Parts"]]
            done = self.s3.complete_multipart_upload(Bucket=self.bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": listed})
            got = done["Checksum" + algorithm]
            if (algorithm, kind) == ("CRC32", "FULL_OBJECT"):
                self.assertEqual(got, base64.b64encode(zlib.crc32(a + b).to_bytes(4, "big")).decode())
            if (algorithm, kind) == ("SHA256", "COMPOSITE"):
                both = hashlib.sha256(a).digest() + hashlib.sha256(b).digest()
                self.assertEqual(got, base64.b64encode(hashlib.sha256(both).digest()).decode() + "-2")
            self.assertEqual(self.get("k", ChecksumMode="ENABLED")["ChecksumType"], kind)
            del etags
        self.fails("InvalidRequest", self.start, 400, ChecksumAlgorithm="SHA1", ChecksumType="FULL_OBJECT")
        upload = self.start(ChecksumAlgorithm="SHA256")
        etag = self.part(upload, 1, b, ChecksumAlgorithm="SHA256")
        with self.assertRaises(botocore.exceptions.ClientError) as caught:
            self.complete(upload, (1, etag), ChecksumSHA256=base64.b64encode(bytes(32)).decode())
        self.assertEqual(code_of(caught.exception), "BadDigest")

    def test_errors(self):
        upload = self.start()
        small = self.part(upload, 1, b"small")
        tail = self.part(upload, 2, b"tail")
        for code, parts in (("EntityTooSmall", [(1, small), (2, tail)]), ("InvalidPartOrder", [(2, tail), (1, small)]),
                            ("InvalidPart", [(1, tail)]), ("InvalidPart", [(3, tail)])):
            with self.assertRaises(botocore.exceptions.ClientError) as caught:
                self.complete(upload, *parts)
            self.assertEqual(code_of(caught.exception), code)
        self.fails("InvalidArgument", self.s3.upload_part, 400, Bucket=self.bucket, Key="k", UploadId=upload, PartNumber=10001, Body=b"")
        self.fails("NoSuchUpload", self.s3.upload_part, 404, Bucket=self.bucket, Key="other", UploadId=upload, PartNumber=1, Body=b"")
        self.s3.abort_multipart_upload(Bucket=self.bucket, Key="k", UploadId=upload)
        for call in (self.s3.abort_multipart_upload, self.s3.list_parts):
            with self.assertRaises(self.s3.exceptions.NoSuchUpload):
                call(Bucket=self.bucket, Key="k", UploadId=upload)

    def test_again(self):
        upload = self.start()
        old = self.part(upload, 1, b"old")
        new = self.part(upload, 1, b"new")
        unused = self.part(upload, 7, b"unused")
        self.assertNotEqual(old, new)
        first = self.complete(upload, (1, new))
        second = self.complete(upload, (1, new))  # the answer got lost
        self.assertEqual(first["ETag"], second["ETag"])
        self.assertEqual(self.body("k"), b"new")
        with self.assertRaises(self.s3.exceptions.NoSuchUpload):
            self.complete(upload, (7, unused))
        self.put("k", b"replaced")
        with self.assertRaises(self.s3.exceptions.NoSuchUpload):
            self.complete(upload, (1, new))
        self.assertEqual(self.body("k"), b"replaced")

    def test_conditional_complete(self):
        self.put("k")
        upload = self.start()
        etag = self.part(upload, 1, b"x")
        with self.assertRaises(botocore.exceptions.ClientError) as caught:
            self.complete(upload, (1, etag), IfNoneMatch="*")
        self.assertEqual(code_of(caught.exception), "PreconditionFailed")
        self.complete(upload, (1, etag))

    def test_part_copy(self):
        data = os.urandom(6 * MB)
        self.put("source", data)
        upload = self.start()
        source = {"Bucket": self.bucket, "Key": "source"}
        args = dict(Bucket=self.bucket, Key="k", UploadId=upload, CopySource=source)
        one = self.s3.upload_part_copy(PartNumber=1, **args)["CopyPartResult"]["ETag"]
        two = self.s3.upload_part_copy(PartNumber=2, CopySourceRange="bytes=10-19", **args)["CopyPartResult"]["ETag"]
        self.fails("InvalidArgument", self.s3.upload_part_copy, 400, PartNumber=3, CopySourceRange="bytes=0-99999999", **args)
        self.complete(upload, (1, one), (2, two))
        self.assertEqual(self.body("k"), data + data[10:20])

    def test_listings(self):
        ids = {}
        for key in ("a/1", "a/2", "b", "b", "c"):
            ids.setdefault(key, []).append(self.s3.create_multipart_upload(Bucket=self.bucket, Key=key)["UploadId"])
        flat = [(k, i) for k in sorted(ids) for i in ids[k]]
        for size in (1, 2, 1000):
            pages = self.s3.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, PaginationConfig={"PageSize": size})
            self.assertEqual([(u["Key"], u["UploadId"]) for p in pages for u in p.get("Uploads", [])], flat, size)
        got = self.s3.list_multipart_uploads(Bucket=self.bucket, Delimiter="/")
        self.assertEqual([p["Prefix"] for p in got["CommonPrefixes"]], ["a/"])
        self.assertEqual(len(got["Uploads"]), 3)
        args = dict(Bucket=self.bucket, Key="c", UploadId=ids["c"][0])
        for n in (3, 1, 10000):
            self.s3.upload_part(PartNumber=n, Body=b"%d" % n, **args)
        pages = list(self.s3.get_paginator("list_parts").paginate(PaginationConfig={"PageSize": 2}, **args))
        self.assertEqual([p["PartNumber"] for page in pages for p in page["Parts"]], [1, 3, 10000])
        self.assertEqual(len(pages), 2)


class Presigned(Case):
    def fetch(self, url, data=None, method="GET", headers={}):
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data=data, method=method, headers=headers)) as r:
                return r.status, dict(r.headers), r.read()
        except urllib.error.HTTPError as e:
            return e.code, dict(e.headers), e.read()

    def test_urls(self):
        for version in ("s3", "s3v4"):  # SigV2 is boto3's default in us-east-1
            s3 = client(signature_version=version)
            params = {"Bucket": self.bucket, "Key": "a b/ä"}
            url = s3.generate_presigned_url("put_object", Params=params | {"ContentType": "text/up"})
            status, _, body = self.fetch(url, b"via url", "PUT", {"Content-Type": "text/up"})
            self.assertEqual(status, 200, (version, body))
            params["ResponseContentType"] = "text/x"
            params["ResponseContentDisposition"] = 'attachment; filename="x y"'
            status, headers, body = self.fetch(s3.generate_presigned_url("get_object", Params=params))
            self.assertEqual((status, body, headers["Content-Type"]), (200, b"via url", "text/x"), version)
            self.assertEqual(headers["Content-Disposition"], 'attachment; filename="x y"')
            url = s3.generate_presigned_url("get_object", Params=params)
            self.assertEqual(self.fetch(url.replace("text%2Fx", "text%2Fy"))[0], 403, version)
            self.assertEqual(self.fetch(url, headers={"Range": "bytes=0-2"})[2], b"via")
            url = s3.generate_presigned_url("get_object", Params=params, ExpiresIn=1)
            time.sleep(2.1)
            status, _, body = self.fetch(url)
            self.assertEqual(status, 403, version)
            self.assertIn(b"expired", body)


class Access(Case):
    def test_missing_key_is_a_secret(self):
        self.put("k", b"data")
        reader, lister = client("READER"), client("LISTER")
        self.assertEqual(reader.get_object(Bucket=self.bucket, Key="k")["Body"].read(), b"data")
        self.fails("AccessDenied", reader.get_object, 403, Bucket=self.bucket, Key="none")
        self.fails("403", reader.head_object, 403, Bucket=self.bucket, Key="none")
        self.fails("NoSuchKey", lister.get_object, 404, Bucket=self.bucket, Key="none")
        self.fails("AccessDenied", reader.list_objects_v2, 403, Bucket=self.bucket)
        lister.list_objects_v2(Bucket=self.bucket)
        self.fails("AccessDenied", reader.put_object, 403, Bucket=self.bucket, Key="k", Body=b"")
        self.fails("AccessDenied", lister.delete_object, 403, Bucket=self.bucket, Key="k")
        self.fails("AccessDenied", lister.list_buckets, 403)

    def test_delete_many(self):
        for key in ("tmp/1", "keep/1"):
            self.put(key)
        pruner = client("PRUNER")
        got = pruner.delete_objects(Bucket=self.bucket, Delete={"Objects": [{"Key": "tmp/1"}, {"Key": "keep/1"}]})
        self.assertEqual([d["Key"] for d in got["Deleted"]], ["tmp/1"])
        self.assertEqual([(e["Key"], e["Code"]) for e in got["Errors"]], [("keep/1", "AccessDenied")])
        self.body("keep/1")

    def test_copy_needs_both(self):
        self.put("k")
        source = {"Bucket": self.bucket, "Key": "k"}
        for who in ("READER", "WRITER"):
            self.fails("AccessDenied", client(who).copy_object, 403, Bucket=self.bucket, Key="c", CopySource=source)

    def test_wrong_keys(self):
        self.fails("InvalidAccessKeyId", client("NOBODY").list_buckets, 403)


if __name__ == "__main__":
    unittest.main()
