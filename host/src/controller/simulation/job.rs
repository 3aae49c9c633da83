//! What a simulated world runs.

use std::num::NonZeroU32;
use std::time::Duration;

use fastrand::Rng;

use crate::controller::{Job, OnLoss, Spread};
use crate::plan::{
    Arrivals, Closed, Extent, Grants, HttpPlan, Limits, LoadModel, Open, Rate, RunPlan, RunSpec, Shape, Stage,
};
use crate::record::BoxFacts;
use crate::wire::Contact;

/// A random run: on one machine or over boxes, closed or open, with or without a warm-up, by number of operations
/// (sometimes fewer than threads) or by duration.
pub(super) fn job(chance: &mut Rng) -> Job {
    let boxes = if chance.bool() { 0 } else { chance.u32(1..=3) };
    let shape = Shape { boxes: boxes.max(1), processes: chance.u32(1..=4), threads: chance.u32(1..=3) };
    let load_model = if chance.bool() {
        LoadModel::Closed(Closed::default())
    } else {
        let rate = |rate| Rate::per_second(rate).expect("it is a rate");
        let from = rate(chance.f64() * 150.0 + 5.0);
        // At a lower rate the last operations would be due hours later.
        let to = if chance.bool() { 0.0 } else { chance.f64() * 100.0 + 5.0 };
        let stage = Stage { duration: Duration::from_millis(500), to: rate(to) };
        let stages = if chance.u8(0..4) == 0 { vec![stage] } else { Vec::new() };
        let arrivals = if chance.bool() { Arrivals::Constant } else { Arrivals::Poisson };
        LoadModel::Open(Open { arrivals, from, stages, max_in_flight: None })
    };
    let duration = Duration::from_millis(chance.u64(50..2_000));
    let operations = *chance.choice(&[1, 3, 10, 60, 250]).expect("there are some");
    let extent = match chance.u8(0..3) {
        0 => Extent::new(None, Some(duration)),
        1 => Extent::new(Some(operations), Some(duration)),
        _ => Extent::new(Some(operations), None),
    };
    let warmup = (chance.u8(0..3) == 0).then(|| {
        let (most, time) =
            if chance.bool() { (Some(chance.u64(1..40)), None) } else { (None, Some(Duration::from_millis(200))) };
        Extent::new(most, time).expect("it has an end")
    });
    let spec = RunSpec {
        operation: "operation".into(),
        shape,
        concurrency: NonZeroU32::MIN,
        extent: extent.expect("it has an end"),
        first: chance.u64(0..3) * 1_000,
        load_model,
        warmup,
        start_jitter: Duration::ZERO,
        seed: chance.u64(..),
        limits: Limits {
            timeout: Some(Duration::from_secs(1)),
            hook_timeout: Some(Duration::from_secs(1)),
            max_memory: 1 << 20,
            max_worker_memory: None,
            recycle: None,
        },
        expect: None,
        grants: Grants::default(),
        http: HttpPlan::default(),
        data: None,
        calls: None,
        traced: false,
    };
    let job = Job::example(RunPlan::try_from(spec).expect("it is a plan"));
    if boxes == 0 {
        return job;
    }
    let is_open = job.plan.load_model().open().is_some();
    let facts = |index| BoxFacts {
        name: format!("b{index}"),
        max_processes: shape.processes + chance.u32(0..3),
        ..BoxFacts::default()
    };
    let boxes = (0..boxes).map(facts).collect();
    let on_loss = match chance.u8(0..4) {
        0 if !is_open => OnLoss::Rerun,
        1 => OnLoss::Abort,
        _ => OnLoss::Skip,
    };
    let contact = Contact { lead: Duration::from_millis(200), ahead: Some(Duration::from_secs(6)), ..Contact::LOCAL };
    // The run may be one of many, as in a search, and a controller that took over before may open it.
    let epoch = chance.u32(0..3);
    Job { spread: Spread { boxes, contact, on_loss, epoch, by_box: chance.bool(), absent: None }, ..job }
}
