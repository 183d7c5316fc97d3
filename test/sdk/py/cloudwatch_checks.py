"""CloudWatch as boto3 users call it, with whichever boto3 this Python has.

The environment: AWS_* for the server's root user, PREFIX for namespaces that
nobody else uses. Prints the protocol that this boto3 speaks. Plain asserts, no
pytest: a distribution's Python may have boto3 alone.
"""

import datetime
import math
import os

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

PREFIX = os.environ["PREFIX"]
NOW = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0)
MINUTE = datetime.timedelta(minutes=1)

# Old ones do not know AWS_ENDPOINT_URL.
cw = boto3.client("cloudwatch", endpoint_url=os.environ["AWS_ENDPOINT_URL"], config=Config(retries={"max_attempts": 0}))
sent = []  # headers of requests
cw.meta.events.register("before-send.cloudwatch", lambda request, **_: sent.append(request.headers) and None)


def header(name):
    value = sent[-1].get(name)
    return value.decode() if isinstance(value, bytes) else value


def refused(code, status, says, call, **kwargs):
    try:
        call(**kwargs)
    except ClientError as e:
        error = e.response["Error"]
        assert (error["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"]) == (code, status), e
        assert says in error["Message"], e
        return e
    raise AssertionError(f"{code} was expected")


def statistics(name, statistics=(), extended=(), period=60, namespace=PREFIX, **more):
    more.setdefault("StartTime", NOW - 10 * MINUTE)
    more.setdefault("EndTime", NOW + MINUTE)
    for key, value in ("Statistics", statistics), ("ExtendedStatistics", extended):
        if value:
            more[key] = list(value)
    out = cw.get_metric_statistics(Namespace=namespace, MetricName=name, Period=period, **more)
    assert out["Label"] == name
    return sorted(out["Datapoints"], key=lambda p: p["Timestamp"])


def test_put_and_statistics():
    dimensions = [{"Name": "TrainingJobName", "Value": "job-1"}, {"Name": "Host", "Value": "algo-1"}]
    for value in 1, 2, 3, 10:
        cw.put_metric_data(
            Namespace=PREFIX,
            MetricData=[{"MetricName": "loss", "Dimensions": dimensions, "Timestamp": NOW - 5 * MINUTE, "Value": value, "Unit": "Count"}],
        )
    every = ["SampleCount", "Average", "Sum", "Minimum", "Maximum"]
    (point,) = statistics("loss", every, Dimensions=dimensions[::-1])
    assert point == {"Timestamp": NOW - 5 * MINUTE, "SampleCount": 4, "Average": 4, "Sum": 16, "Minimum": 1, "Maximum": 10, "Unit": "Count"}
    (point,) = statistics("loss", extended=["p50", "p99.9"], Dimensions=dimensions)
    assert point["ExtendedStatistics"] == {"p50": 2, "p99.9": 10} and "Sum" not in point
    assert statistics("loss", ["Sum"]) == [], "without dimensions it is another metric"
    assert statistics("loss", ["Sum"], Dimensions=dimensions, Unit="Seconds") == []
    assert len(statistics("loss", ["Sum"], Dimensions=dimensions, Unit="Count")) == 1


def test_forms_of_values():
    at = NOW - 3 * MINUTE
    cw.put_metric_data(
        Namespace=PREFIX,
        MetricData=[
            {"MetricName": "forms", "Timestamp": at, "Values": [1.5, 2.5, 4], "Counts": [2, 1, 1]},
            {"MetricName": "forms", "Timestamp": at, "Values": [0.5]},
            {"MetricName": "set", "Timestamp": at, "StatisticValues": {"SampleCount": 4, "Sum": 10, "Minimum": 1, "Maximum": 4}},
            {"MetricName": "set", "Timestamp": at, "Value": 20},
        ],
    )
    (point,) = statistics("forms", ["SampleCount", "Sum"])
    assert (point["SampleCount"], point["Sum"], point["Unit"]) == (5, 10, "None")
    (point,) = statistics("forms", extended=["p0", "p50", "p100"])
    assert point["ExtendedStatistics"] == {"p0": 0.5, "p50": 1.5, "p100": 4}
    (point,) = statistics("set", ["SampleCount", "Sum", "Minimum", "Maximum"])
    assert [point[k] for k in ("SampleCount", "Sum", "Minimum", "Maximum")] == [5, 30, 1, 20]
    assert statistics("set", extended=["p50"]) == [], "what was in the set is not known"


def test_high_resolution():
    start = NOW - 2 * MINUTE
    cw.put_metric_data(
        Namespace=PREFIX,
        MetricData=[
            {"MetricName": name, "Timestamp": start + datetime.timedelta(seconds=s), "Value": s, "StorageResolution": resolution}
            for s in range(0, 60, 5)
            for name, resolution in (("fine", 1), ("coarse", 60))
        ],
    )
    window = {"StartTime": start, "EndTime": start + MINUTE}
    assert [p["Sum"] for p in statistics("fine", ["Sum"], period=1, **window)] == list(range(0, 60, 5))
    assert [p["Sum"] for p in statistics("fine", ["Sum"], period=10, **window)] == [5, 25, 45, 65, 85, 105]
    assert [p["Sum"] for p in statistics("fine", ["Sum"], period=60, **window)] == [330]
    assert statistics("coarse", ["Sum"], period=10, **window) == []
    assert [p["Sum"] for p in statistics("coarse", ["Sum"], **window)] == [330]


def query(id, name, stat="Sum", period=60, **more):
    return {"Id": id, "MetricStat": {"Metric": {"Namespace": PREFIX, "MetricName": name, "Dimensions": []}, "Period": period, "Stat": stat}, **more}


def test_data():
    data = [{"MetricName": name, "Timestamp": NOW - i * MINUTE, "Value": i} for name in ("a", "b") for i in range(5)]
    cw.put_metric_data(Namespace=PREFIX, MetricData=data)
    window = {"StartTime": NOW - 10 * MINUTE, "EndTime": NOW + MINUTE}
    queries = [query("a", "a"), query("none", "none"), query("p", "b", "p90", period=300, Label="top")]
    out = cw.get_metric_data(MetricDataQueries=queries, **window)
    a, none, p = out["MetricDataResults"]
    assert (a["Id"], a["Label"], a["StatusCode"]) == ("a", "a", "Complete")
    assert a["Timestamps"] == [NOW - i * MINUTE for i in range(5)] and a["Values"] == [0, 1, 2, 3, 4]
    assert none["Timestamps"] == none["Values"] == []
    assert p["Label"] == "top" and p["Values"] == [0, 4]
    pages = list(cw.get_paginator("get_metric_data").paginate(MetricDataQueries=queries, ScanBy="TimestampAscending", MaxDatapoints=2, **window))
    values = {}
    for page in pages:
        for result in page["MetricDataResults"]:
            values.setdefault(result["Id"], []).extend(result["Values"])
    assert len(pages) == 4 and values == {"a": [4, 3, 2, 1, 0], "none": [], "p": [4, 0]}, (len(pages), values)


def test_list():
    dimensions = [{"Name": "i", "Value": "ü & <b>"}]
    data = [{"MetricName": "n", "Value": 1}, {"MetricName": "n", "Value": 1, "Dimensions": dimensions}, {"MetricName": "m", "Value": 1}]
    cw.put_metric_data(Namespace=PREFIX + "/List", MetricData=data)
    listed = [(m["MetricName"], m["Dimensions"]) for page in cw.get_paginator("list_metrics").paginate(Namespace=PREFIX + "/List") for m in page["Metrics"]]
    assert sorted(listed, key=str) == [("m", []), ("n", []), ("n", dimensions)]
    found = cw.list_metrics(Namespace=PREFIX + "/List", MetricName="n", Dimensions=[{"Name": "i"}], RecentlyActive="PT3H")["Metrics"]
    assert found == [{"Namespace": PREFIX + "/List", "MetricName": "n", "Dimensions": dimensions}]


def test_large_request():
    """New clients compress what is larger than 10 KB."""
    data = [{"MetricName": "large", "Timestamp": NOW - MINUTE, "Values": [i * 0.25 + j for j in range(150)], "Unit": "Milliseconds"} for i in range(30)]
    cw.put_metric_data(Namespace=PREFIX, MetricData=data)
    (point,) = statistics("large", ["SampleCount", "Maximum"])
    assert (point["SampleCount"], point["Maximum"]) == (4500, 29 * 0.25 + 149)
    (point,) = statistics("large", extended=["p50"])
    assert math.isclose(point["ExtendedStatistics"]["p50"], 78, rel_tol=0.1), point


def test_errors():
    datum = {"MetricName": "m", "Value": 1}
    refused("InvalidParameterValue", 400, "AWS/EC2", cw.put_metric_data, Namespace="AWS/EC2", MetricData=[datum])
    refused("InvalidParameterCombination", 400, "mutually exclusive", cw.put_metric_data, Namespace=PREFIX, MetricData=[{**datum, "Values": [1]}])
    refused("MissingParameter", 400, "MetricData.member.1.Value", cw.put_metric_data, Namespace=PREFIX, MetricData=[{"MetricName": "m"}])
    e = refused("ValidationError", 400, "does not evaluate expressions yet", cw.get_metric_data,
                MetricDataQueries=[{"Id": "e", "Expression": "a*2"}], StartTime=NOW - MINUTE, EndTime=NOW)
    assert e.response["Error"].get("Type", "Sender") == "Sender"
    refused("ValidationError", 400, "1 validation error detected: Value 'Eons' at 'metricData.1.member.unit'", cw.put_metric_data,
            Namespace=PREFIX, MetricData=[{**datum, "Unit": "Eons"}])
    refused("InvalidNextToken", 400, "NextToken", cw.list_metrics, NextToken="x")
    try:
        cw.put_metric_data(Namespace="AWS/EC2", MetricData=[datum])
    except cw.exceptions.InvalidParameterValueException:
        pass
    # An operation that exists, and that Musher does not answer, says so.
    try:
        cw.describe_alarms()
    except ClientError as e:
        assert "Musher does not support cloudwatch:DescribeAlarms yet" in str(e), e


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            if name == "test_large_request":
                compressed = any((h.get("Content-Encoding") or b"") in (b"gzip", "gzip") for h in sent)
    target = (header("X-Amz-Target") or "").split(".")[0]
    protocol = "json" if target == "GraniteServiceVersion20100801" else "cbor" if header("smithy-protocol") else "query"
    if protocol == "json":
        assert header("x-amzn-query-mode") == "true"
    print(protocol, "compressed" if compressed else "plain")
