"""CloudWatch Logs as the SageMaker SDK and others use it.

Run by the Go tests with several versions of boto3: python logs.py
"""

import os
import time

import boto3
from botocore.exceptions import ClientError

logs = boto3.client("logs", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
GROUP, STREAM = "/aws/sagemaker/TrainingJobs", "job/algo-1-1700000000"


def read_on(token, start_time):
    """What is new, as the SageMaker SDK polls for it: until a page is empty."""
    new = []
    while True:
        kwargs = {"nextToken": token} if token else {}
        page = logs.get_log_events(logGroupName=GROUP, logStreamName=STREAM, startTime=start_time, startFromHead=True, **kwargs)
        token = page["nextForwardToken"]
        if not page["events"]:
            return new, token
        new += page["events"]


def put(*lines):
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": line} for line in lines]
    return logs.put_log_events(logGroupName=GROUP, logStreamName=STREAM, logEvents=events, sequenceToken="anything")


try:
    logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="job/", orderBy="LogStreamName", limit=1)
    raise AssertionError("a missing group has streams")
except ClientError as e:
    assert e.response["Error"]["Code"] == "ResourceNotFoundException", e

logs.create_log_group(logGroupName=GROUP)
logs.create_log_stream(logGroupName=GROUP, logStreamName=STREAM)
streams = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="job/", orderBy="LogStreamName", limit=1)
assert [s["logStreamName"] for s in streams["logStreams"]] == [STREAM], streams
assert "nextToken" not in streams and "lastEventTimestamp" not in streams["logStreams"][0], streams

events, token = read_on(None, 0)
assert events == []
assert "rejectedLogEventsInfo" not in put("one", "two")
events, token = read_on(token, 0)
assert [e["message"] for e in events] == ["one", "two"], events
put("three, im März")
events, again = read_on(token, events[0]["timestamp"])
assert [e["message"] for e in events] == ["three, im März"], events
assert read_on(again, 0) == ([], again)

found = []
for page in logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP, logStreamNamePrefix="job/", PaginationConfig={"PageSize": 1}):
    found += [e["message"] for e in page["events"]]
assert found == ["one", "two", "three, im März"], found
found = logs.filter_log_events(logGroupName=GROUP, filterPattern='?one ?"im März"', logStreamNames=[STREAM], interleaved=True)["events"]
assert [e["message"] for e in found] == ["one", "three, im März"] and len({e["eventId"] for e in found}) == 2, found

old = logs.put_log_events(logGroupName=GROUP, logStreamName=STREAM, logEvents=[{"timestamp": 1, "message": "old"}])
assert old["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}, old
logs.put_retention_policy(logGroupName=GROUP, retentionInDays=7)
group = logs.describe_log_groups(logGroupNamePrefix="/aws/")["logGroups"][0]
assert group["retentionInDays"] == 7 and group["arn"].endswith(":log-group:" + GROUP + ":*"), group
logs.delete_log_group(logGroupName=GROUP)
assert logs.describe_log_groups()["logGroups"] == []
print("boto3", boto3.__version__, "reads and writes logs")
