//! The runs of a report at a glance: one row for each, or for all repetitions of it.

use super::curves::{self, median};
use super::{ModelName, Report, RunReport, words};
use crate::fault::{Fault, FaultKind};

/// A row: a run, or its repetitions.
#[derive(Clone, Debug, PartialEq)]
pub struct SuiteRow {
    /// The numbers of the runs that it stands for, from 1.
    pub numbers: Vec<usize>,
    /// What was run.
    pub name: String,
    /// In which shape.
    pub shape: String,
    /// Completed operations.
    pub operations: u64,
    /// The share of them that was not ok; `None` without operations.
    pub not_ok: Option<f64>,
    /// Operations that were lost.
    pub lost: u64,
    /// Operations per second: the mean, and the standard deviation if there are several runs.
    pub throughput: Option<(f64, Option<f64>)>,
    /// How many times the throughput of the first row of the same task; `None` if it has one shape, or a given rate, or
    /// if one of the two is not what its shape says: operations or boxes were missing.
    pub scaling: Option<f64>,
    /// The median of the runs' medians, in nanoseconds.
    pub p50: Option<u64>,
    /// The median of the runs' 99th percentiles, in nanoseconds.
    pub p99: Option<u64>,
}

/// A row for each run of `report`, with its repetitions. A run that did not reach the end of its plan is none.
pub fn rows(report: &Report) -> Vec<SuiteRow> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (i, run) in report.runs.iter().enumerate() {
        let is_repetition = |group: &&mut Vec<usize>| {
            let first = &report.runs[group[0]];
            let is_alike = curves::is_same_job(first, run) && curves::shape(first) == curves::shape(run);
            let of_length = |run: &RunReport| (run.plan.operations, run.plan.duration_ns, run.plan.first);
            is_alike
                && of_length(first) == of_length(run)
                && !report.is_run_partial(i)
                && !report.is_run_partial(group[0])
        };
        match groups.iter_mut().find(is_repetition) {
            Some(group) => group.push(i),
            None => groups.push(vec![i]),
        }
    }
    let scaled: Vec<&RunReport> = curves::scaling(report).iter().map(|of| of.first).collect();
    let runs = |group: &Vec<usize>| group.iter().map(|i| &report.runs[*i]).collect::<Vec<_>>();
    // What a row is compared by; `None` if one of its runs was damaged.
    let measured = |group: &Vec<usize>| {
        let rates = runs(group).into_iter().map(|run| run.throughput.filter(|_| is_whole_run(run)));
        rates.collect::<Option<Vec<f64>>>().map(|rates| rates.iter().sum::<f64>() / rates.len() as f64)
    };
    let row = |group: &Vec<usize>| {
        let run = &report.runs[group[0]];
        let is_scaled = scaled.iter().any(|of| curves::is_same_job(of, run));
        let is_closed = run.plan.load_model == ModelName::Closed;
        // The first one of the same job.
        let base = groups.iter().find(|other| curves::is_same_job(&report.runs[other[0]], run));
        let scaling = measured(group).zip(base.and_then(measured)).filter(|(_, base)| *base > 0.0);
        let scaling = scaling.map(|(rate, base)| rate / base).filter(|_| is_closed && is_scaled);
        SuiteRow { scaling, ..self::row(group.iter().map(|i| i + 1).collect(), &runs(group)) }
    };
    groups.iter().map(row).collect()
}

/// Whether a run had everything that its shape says until its end.
fn is_whole_run(run: &RunReport) -> bool {
    let is_change = |fault: &Fault| {
        let changes = [FaultKind::BoxAbsent, FaultKind::BoxLeft, FaultKind::BoxLost];
        fault.is_incomplete() || changes.contains(&fault.kind)
    };
    run.operations.lost == 0 && !run.faults.iter().any(is_change)
}

fn row(numbers: Vec<usize>, runs: &[&RunReport]) -> SuiteRow {
    let rates: Vec<f64> = runs.iter().filter_map(|run| run.throughput).collect();
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    let deviation = (rates.len() > 1).then(|| {
        let squares: f64 = rates.iter().map(|rate| (rate - mean).powi(2)).sum();
        (squares / (rates.len() - 1) as f64).sqrt()
    });
    let middle = |of: &dyn Fn(&RunReport) -> Option<u64>| {
        median(runs.iter().filter_map(|run| of(run)).map(|ns| ns as f64).collect()).map(|ns| ns as u64)
    };
    let operations = runs.iter().map(|run| run.operations.completed).sum();
    let not_ok: u64 = runs.iter().map(|run| run.operations.not_ok()).sum();
    SuiteRow {
        numbers,
        name: words::run_name(runs[0]).to_owned(),
        shape: curves::shape(runs[0]),
        lost: runs.iter().map(|run| run.operations.lost).sum(),
        operations,
        not_ok: curves::share(not_ok, operations),
        throughput: (!rates.is_empty()).then_some((mean, deviation)),
        scaling: None,
        p50: middle(&|run| run.latency_ns.p50),
        p99: middle(&|run| run.latency_ns.p99),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{environment, open_record, record};

    #[test]
    fn repetitions_are_one_row_and_shapes_are_compared() {
        let mut report = Report::new(environment(), &[record(1), record(4), record(1), record(4), open_record()]);
        for (run, rate) in report.runs.iter_mut().zip([100.0, 300.0, 120.0, 360.0, 50.0]) {
            run.throughput = Some(rate);
            run.operations.lost = 0;
            run.faults.clear();
        }
        let together = rows(&report);
        let numbers = |rows: &[SuiteRow]| rows.iter().map(|row| row.numbers.clone()).collect::<Vec<_>>();
        assert_eq!(numbers(&together), [vec![1, 3], vec![2, 4], vec![5]]);
        assert_eq!(together.iter().map(|row| row.scaling).collect::<Vec<_>>(), [Some(1.0), Some(3.0), None]);
        let (mean, deviation) = together[0].throughput.unwrap();
        assert_eq!((mean, (deviation.unwrap() * 100.0).round()), (110.0, 1_414.0));
        // What was not whole is not compared, and nothing is compared with it.
        for (damaged, expected) in [(1, [Some(1.0), None]), (0, [None; 2])] {
            let mut report = report.clone();
            report.runs[damaged].operations.lost = 7;
            let scaling: Vec<_> = rows(&report).iter().take(2).map(|row| row.scaling).collect();
            assert_eq!(scaling, expected);
        }
        // Runs that differ in what they get are not compared either.
        let mut other = report.clone();
        other.runs[1].name = Some("other".into());
        other.runs[3].plan.args = vec!["x".into()];
        assert_eq!(numbers(&rows(&other)), [vec![1, 3], vec![2], vec![4], vec![5]]);
        assert!(rows(&other).iter().all(|row| row.scaling.is_none()));
        // What was stopped is no repetition of what was not.
        (report.partial, report.runs[3].partial) = (true, Some(true));
        assert_eq!(numbers(&rows(&report)), [vec![1, 3], vec![2], vec![4], vec![5]]);
    }
}
