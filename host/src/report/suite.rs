//! The runs of a report at a glance: one row for each, or for all repetitions of it.

use std::collections::BTreeMap;

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

/// A row for each run of `report`, or for each run of a round, if all rounds are there.
pub fn rows(report: &Report) -> Vec<SuiteRow> {
    let repetitions = report.suite.as_ref().map_or(1, |suite| suite.repetitions.max(1) as usize);
    let is_whole = report.runs.len().is_multiple_of(repetitions) && !report.partial;
    let round = if is_whole { (report.runs.len() / repetitions).max(1) } else { report.runs.len().max(1) };
    let scaled: Vec<&str> = curves::scaling(report).iter().map(|of| of.task).collect();
    let (mut rows, mut bases) = (Vec::new(), BTreeMap::new());
    for first in 0..round.min(report.runs.len()) {
        let numbers: Vec<usize> = (first + 1..=report.runs.len()).step_by(round).collect();
        let runs: Vec<&RunReport> = numbers.iter().map(|number| &report.runs[number - 1]).collect();
        let task = report.runs[first].task.path.as_str();
        let mut row = row(numbers, &runs);
        let is_closed = report.runs[first].plan.load_model == ModelName::Closed;
        if is_closed && scaled.contains(&task) {
            let is_whole = runs.iter().all(|run| is_whole_run(run));
            let base = bases.entry(task).or_insert(row.throughput.filter(|_| is_whole));
            let compared = row.throughput.filter(|_| is_whole).zip(*base);
            row.scaling = compared.filter(|(_, (base, _))| *base > 0.0).map(|((rate, _), (base, _))| rate / base);
        }
        rows.push(row);
    }
    rows
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
    use crate::report::SuiteReport;
    use crate::report::tests::{environment, open_record, record};

    #[test]
    fn repetitions_are_one_row_and_shapes_are_compared() {
        let mut report = Report::new(environment(), &[record(1), record(4), record(1), record(4), open_record()]);
        for (run, rate) in report.runs.iter_mut().zip([100.0, 300.0, 120.0, 360.0, 50.0]) {
            run.throughput = Some(rate);
            run.operations.lost = 0;
            run.faults.clear();
        }
        let alone = rows(&report);
        assert_eq!(alone.iter().map(|row| row.numbers.clone()).collect::<Vec<_>>(), [[1], [2], [3], [4], [5]]);
        assert_eq!(
            alone.iter().map(|row| row.scaling).collect::<Vec<_>>(),
            [Some(1.0), Some(3.0), Some(1.2), Some(3.6), None]
        );
        // What was not whole is not compared, and nothing is compared with it.
        for (damaged, expected) in [(1, [Some(1.0), None, Some(1.2)]), (0, [None; 3])] {
            let mut report = report.clone();
            report.runs[damaged].operations.lost = 7;
            let scaling: Vec<_> = rows(&report).iter().take(3).map(|row| row.scaling).collect();
            assert_eq!(scaling, expected);
        }
        report.runs.pop();
        report.suite = Some(SuiteReport { name: None, description: None, repetitions: 2, pause_ns: 0 });
        let together = rows(&report);
        assert_eq!(together.iter().map(|row| row.numbers.clone()).collect::<Vec<_>>(), [[1, 3], [2, 4]]);
        let (mean, deviation) = together[0].throughput.unwrap();
        assert_eq!((mean, (deviation.unwrap() * 100.0).round()), (110.0, 1_414.0));
        assert_eq!(together[1].scaling, Some(3.0));
        // A round that is not whole would be compared with whole ones.
        report.partial = true;
        assert_eq!(rows(&report).len(), 4);
    }
}
