// Package cloudwatch keeps measurements: CloudWatch metrics, in the three
// protocols that its clients speak (awsapi does those).
//
// # Operations
//
//	data     PutMetricData GetMetricStatistics GetMetricData
//	metrics  ListMetrics
//
// Metric math, Metrics Insights and statistics beyond SampleCount, Average,
// Sum, Minimum, Maximum and pNN are refused with an error that says so; alarms,
// dashboards and pictures of graphs are not here. Work of this process puts its
// measurements with Service.Put.
//
// # What is kept
//
// A measurement goes into the summary of its metric, period and unit: how many,
// sum, least, greatest, and which values came how often. The last is what
// percentiles need. It is exact up to maxValues different values; beyond, equal
// are those that differ by a percent (or two, or four, as many as it takes), so
// a busy metric costs no more than a quiet one with many values.
//
//	              3 h             15 d            63 d             455 d
//	seconds ───────▶ minutes ───────▶ 5 minutes ─────▶ hours ─────────▶ gone
//	   ▲                ▲
//	StorageResolution 1 │ all others
//
// Sweep moves summaries up as they come of age. A query does not see whether it
// has: what is of age counts as moved, so a period that is no multiple of the
// next step finds nothing in it, as in the real service.
package cloudwatch
