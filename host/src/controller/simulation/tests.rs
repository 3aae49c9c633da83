//! The simulation as tests: it finds no violation, and it would find deliberate mistakes.

use std::time::Instant;

use super::super::mistakes::{self, Mistake};
use super::{Telling, run};

/// How many seeds the test suite runs; and within how many each deliberate mistake must be found.
const RUNS: u64 = 3_000;
const RUNS_TO_FIND: u64 = 10_000;

/// A number that `cargo xtask simulate` passes in the environment.
fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("`{name}={text}` is not a number")))
}

/// Runs `seed`, and panics with its story if something does not hold. Returns the number of entries.
fn assert_holds(seed: u64) -> usize {
    let told = run(seed, Telling::Verdict);
    if let Some(violation) = told.violation {
        let story = run(seed, Telling::Story).story.join("\n");
        panic!("{story}\n\nseed {seed}: {violation}");
    }
    told.entries
}

#[test]
fn the_controller_holds_in_simulated_worlds() {
    if let Some(seed) = given("GORGON_SIMULATE_SEED") {
        let told = run(seed, Telling::Story);
        println!("{}\n\nseed {seed}: {}", told.story.join("\n"), told.violation.as_deref().unwrap_or("all holds"));
        assert!(told.violation.is_none());
        return;
    }
    let (runs, begin) = (given("GORGON_SIMULATE_RUNS").unwrap_or(RUNS), Instant::now());
    let entries: usize = (0..runs).map(assert_holds).sum();
    println!("{runs} runs, {entries} entries, no violation, {:.1} s", begin.elapsed().as_secs_f64());
}

#[test]
fn every_deliberate_mistake_is_found() {
    for mistake in Mistake::ALL {
        mistakes::make(Some(mistake));
        let found = (0..RUNS_TO_FIND).find_map(|seed| Some((seed, run(seed, Telling::Verdict).violation?)));
        mistakes::make(None);
        let (seed, violation) = found.unwrap_or_else(|| panic!("{mistake:?} is not found in {RUNS_TO_FIND} runs"));
        println!("| {mistake:?} | {} | {violation} |", seed + 1);
    }
}
