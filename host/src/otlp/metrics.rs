//! The figures of runs as OTLP metrics: sums and histograms from the beginning of each run.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};

use super::{number, resource, scope, text};
use crate::report::curves;
use crate::report::{Report, RunReport, Summary, words};

/// The figures of all runs of `report`.
pub(super) fn request(report: &Report) -> ExportMetricsServiceRequest {
    let runs: Vec<Run<'_>> = report.runs.iter().enumerate().map(|(i, run)| Run::new(i, run)).collect();
    let metrics = vec![
        sum("gorgon.operations", "Operations that ended, by result and outcome.", "{operation}", &runs, results),
        sum("gorgon.offered", "Operations that were due.", "{operation}", &runs, |of| {
            vec![of.point(of.run.operations.offered)]
        }),
        sum("gorgon.dropped", "Operations that were due and never started.", "{operation}", &runs, |of| {
            vec![of.point(of.run.operations.dropped)]
        }),
        sum("gorgon.lost", "Operations that were handed out and never confirmed.", "{operation}", &runs, |of| {
            vec![of.point(of.run.operations.lost)]
        }),
        histogram("gorgon.latency", "How long operations took.", &runs, |of| {
            vec![of.durations(&of.run.latency_ns, Vec::new())]
        }),
        histogram("gorgon.span.duration", "How long the spans of operations took.", &runs, |of| {
            let spans = of.run.spans.iter();
            spans.map(|span| of.durations(&span.latency_ns, vec![text("gorgon.span", span.name.raw())])).collect()
        }),
    ];
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }];
    let resource = Some(resource(None, Some(report)));
    let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }
}

/// A run, with what its points have in common.
struct Run<'a> {
    run: &'a RunReport,
    attributes: Vec<KeyValue>,
    from: u64,
    until: u64,
}

impl<'a> Run<'a> {
    fn new(i: usize, run: &'a RunReport) -> Self {
        let attributes = vec![number("gorgon.run", i as u64 + 1), text("gorgon.run.name", &words::short(run))];
        let from = humantime::parse_rfc3339(&run.started_at).ok();
        let from = from.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
        let from = u64::try_from(from.as_nanos()).unwrap_or(u64::MAX);
        Self { run, attributes, from, until: from.saturating_add(run.elapsed_ns) }
    }

    fn point(&self, value: u64) -> NumberDataPoint {
        NumberDataPoint {
            attributes: self.attributes.clone(),
            start_time_unix_nano: self.from,
            time_unix_nano: self.until,
            value: Some(Value::AsInt(i64::try_from(value).unwrap_or(i64::MAX))),
            ..NumberDataPoint::default()
        }
    }

    fn durations(&self, of: &Summary, more: Vec<KeyValue>) -> HistogramDataPoint {
        let (bounds, counts) = curves::buckets(of);
        let seconds = |ns: u64| ns as f64 / 1e9;
        HistogramDataPoint {
            attributes: self.attributes.iter().cloned().chain(more).collect(),
            start_time_unix_nano: self.from,
            time_unix_nano: self.until,
            count: counts.iter().sum(),
            sum: Some(of.sum() as f64 / 1e9),
            bucket_counts: counts,
            explicit_bounds: bounds.into_iter().map(seconds).collect(),
            min: of.min.map(seconds),
            max: of.max.map(seconds),
            ..HistogramDataPoint::default()
        }
    }
}

fn results(of: &Run<'_>) -> Vec<NumberDataPoint> {
    let point = |result: &crate::report::ResultReport| {
        let mut point = of.point(result.operations);
        point.attributes.push(text("gorgon.result", result.result.raw()));
        point.attributes.push(text("gorgon.outcome", &words::outcome(result.outcome).replace(' ', "_")));
        point
    };
    of.run.results.iter().map(point).collect()
}

fn sum(
    name: &str,
    description: &str,
    unit: &str,
    runs: &[Run<'_>],
    points: impl Fn(&Run<'_>) -> Vec<NumberDataPoint>,
) -> Metric {
    let data = Data::Sum(Sum {
        data_points: runs.iter().flat_map(points).collect(),
        aggregation_temporality: AggregationTemporality::Cumulative.into(),
        is_monotonic: true,
    });
    metric(name, description, unit, data)
}

fn histogram(
    name: &str,
    description: &str,
    runs: &[Run<'_>],
    points: impl Fn(&Run<'_>) -> Vec<HistogramDataPoint>,
) -> Metric {
    let data = Data::Histogram(Histogram {
        data_points: runs.iter().flat_map(points).collect(),
        aggregation_temporality: AggregationTemporality::Cumulative.into(),
    });
    metric(name, description, "s", data)
}

fn metric(name: &str, description: &str, unit: &str, data: Data) -> Metric {
    Metric {
        name: name.into(),
        description: description.into(),
        unit: unit.into(),
        data: Some(data),
        ..Metric::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{environment, record};

    #[test]
    fn every_operation_is_in_one_bucket() {
        let report = Report::new(environment(), &[record(1), record(4)]);
        let request = request(&report);
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        let Some(Data::Histogram(latency)) = &metrics.iter().find(|of| of.name == "gorgon.latency").unwrap().data
        else {
            panic!("a histogram")
        };
        for (point, run) in latency.data_points.iter().zip(&report.runs) {
            assert_eq!(point.count, run.latency_ns.count);
            assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
            // They took 100 to 120 µs; the histogram has some of the shortest just below.
            let place = point.explicit_bounds.iter().position(|&bound| bound > 1.1e-4).unwrap();
            assert!(point.bucket_counts[place] + 10 > point.count, "{:?}", point.bucket_counts);
        }
        let Some(Data::Sum(operations)) = &metrics[0].data else { panic!("a sum") };
        let counted: i64 =
            operations.data_points.iter().map(|of| if let Some(Value::AsInt(n)) = of.value { n } else { 0 }).sum();
        assert_eq!(counted as u64, report.total.operations.completed);
    }
}
