//! What the parts of the harness cost by themselves. `cargo xtask bench` runs this after the ratios of the whole.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use gorgon::clock::Clock;
use gorgon::metrics::{Histogram, Metrics, Outcome, Recorder, Sample, Spans};
use gorgon::numbers::Ledger;

/// Durations as a fast task has them: some hundred nanoseconds, with a tail.
fn durations() -> impl Iterator<Item = u64> {
    (0_u64..).map(|i| 200 + i * 7_919 % 97 + if i % 1_000 == 0 { i % 100_000 } else { 0 })
}

fn sample(number: u64, ns: u64, spans: &Spans) -> Sample<'_> {
    let start_ns = number * 250;
    Sample {
        number,
        due_ns: None,
        start_ns,
        end_ns: start_ns + ns,
        outcome: Outcome::Ok,
        result: "SUCCESS",
        reason: None,
        spans,
        split: None,
    }
}

fn counted(operations: u64) -> Metrics {
    let mut recorder = Recorder::default();
    let spans = Spans::default();
    durations().zip(0..operations).for_each(|(ns, number)| recorder.record(&sample(number, ns, &spans)));
    recorder.take()
}

fn parts(c: &mut Criterion) {
    let clock = Clock::new();
    c.bench_function("clock: one reading", |b| b.iter(|| clock.elapsed_ns()));

    let (mut histogram, mut ns) = (Histogram::default(), durations());
    c.bench_function("histogram: record", |b| b.iter(|| histogram.record(ns.next().unwrap_or(0))));

    let (mut recorder, spans, mut ns) = (Recorder::default(), Spans::default(), durations().enumerate());
    c.bench_function("recorder: record", |b| {
        b.iter(|| {
            let (number, ns) = ns.next().unwrap_or_default();
            recorder.record(&sample(number as u64, ns, &spans));
        });
    });

    let delta = counted(1_000_000);
    c.bench_function("metrics: add a delta of a million operations", |b| {
        b.iter_batched_ref(|| delta.clone(), |whole| *whole += &delta, BatchSize::SmallInput);
    });
    c.bench_function("wire: write that delta", |b| b.iter(|| postcard::to_stdvec(black_box(&delta))));

    c.bench_function("ledger: lease and confirm", |b| {
        b.iter_batched_ref(
            || Ledger::new(0..1 << 40, 4),
            |ledger| {
                let leased = ledger.lease(1, 1_000);
                ledger.confirm(1, leased)
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, parts);
criterion_main!(benches);
