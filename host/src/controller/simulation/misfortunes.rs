//! What goes wrong in a simulated world, and what people do: when, to whom, for how long.

use std::time::Duration;

use fastrand::Rng;

use super::account::Trouble;
use crate::controller::Job;

/// What will happen, each list in the order of time. Workers are picked when it happens.
#[derive(Default)]
pub(super) struct Misfortunes {
    /// When somebody wants the run to stop.
    pub(super) stops: Vec<Duration>,
    /// When the controller dies.
    pub(super) crashes: Vec<Duration>,
    /// When a worker dies.
    pub(super) deaths: Vec<Duration>,
    /// When a worker stands still, and until when.
    pub(super) hangs: Vec<(Duration, Duration)>,
    /// When a worker stops listening.
    pub(super) deafness: Option<Duration>,
    /// When boxes die: they say nothing more, and their workers are gone.
    pub(super) box_deaths: Vec<(Duration, u32)>,
    /// When boxes leave in order.
    pub(super) box_leaves: Vec<(Duration, u32)>,
    /// The links of which boxes are cut, from when until when.
    pub(super) cuts: Vec<(u32, Duration, Duration)>,
    /// When the server is gone or full.
    pub(super) server: Option<Outage>,
}

/// A time in which the journal takes no entry.
pub(super) struct Outage {
    pub(super) from: Duration,
    pub(super) length: Duration,
    /// Whether the server is there and only has no room, so that boxes still say that they are there.
    pub(super) is_full: bool,
}

fn moment(chance: &mut Rng) -> Duration {
    Duration::from_millis(chance.u64(0..3_000))
}

/// In one of `one_in` worlds, at most so many moments.
fn moments(chance: &mut Rng, most: usize, one_in: u8) -> Vec<Duration> {
    let how_many = if chance.u8(0..one_in) == 0 { chance.usize(1..=most) } else { 0 };
    let mut moments: Vec<Duration> = (0..how_many).map(|_| moment(chance)).collect();
    moments.sort_unstable();
    moments
}

fn millis(chance: &mut Rng, of: &[u64]) -> Duration {
    Duration::from_millis(*chance.choice(of).expect("there are some"))
}

impl Misfortunes {
    /// Those of a run of `job`.
    pub(super) fn new(job: &Job, chance: &mut Rng) -> Self {
        let stops = moments(chance, 3, 4);
        let mut all = Self { crashes: moments(chance, 3, 3), deaths: moments(chance, 5, 2), ..Self::default() };
        for from in moments(chance, 2, 3) {
            // Some workers come back at about the time when they are given up.
            let late = chance.u64(20_500..22_500);
            let long = millis(chance, &[50, 2_000, 15_000, late, late, 60_000, u64::MAX]);
            all.hangs.push((from, from.saturating_add(long)));
        }
        // Operations of a deaf worker end only with the phase or by a stop, so the run needs one of the two.
        let has_end = job.phases().iter().all(|(_, plan)| plan.extent().duration().is_some()) || !stops.is_empty();
        all.deafness = (has_end && chance.u8(0..6) == 0).then(|| moment(chance));
        let boxes = job.spread.boxes.len() as u32;
        if boxes > 0 {
            all.box_deaths = moments(chance, 2, 4).into_iter().map(|at| (at, chance.u32(0..boxes))).collect();
            all.box_leaves = moments(chance, 1, 4).into_iter().map(|at| (at, chance.u32(0..boxes))).collect();
            for from in moments(chance, 3, 3) {
                let index = chance.u32(0..boxes);
                all.cuts.push((index, from, from + millis(chance, &[200, 3_000, 5_000, 7_000, 20_000])));
            }
            if chance.bool() {
                // While a run ends, patience is short.
                let stop = stops.get(1).or(stops.first()).filter(|_| chance.bool());
                let from = stop.copied().unwrap_or_else(|| moment(chance)) + Duration::from_millis(chance.u64(0..50));
                let length = millis(chance, &[200, 3_000, 3_000, 8_000, 20_000]);
                all.server = Some(Outage { from, length, is_full: chance.u8(0..3) == 0 });
            }
        }
        Self { stops, ..all }
    }

    /// What the account has to expect.
    pub(super) fn trouble(&self) -> Trouble {
        let is_cut = !self.cuts.is_empty() || !self.box_deaths.is_empty();
        // Workers end, or are given up, if they are heard of too late.
        let most = |of: &Outage| Duration::from_secs(if of.is_full { 1 } else { 9 });
        let is_away = self.server.as_ref().is_some_and(|of| of.length >= most(of));
        Trouble {
            stopped: !self.stops.is_empty(),
            died: is_away || is_cut || !self.deaths.is_empty() || !self.box_leaves.is_empty(),
            stuck: is_away || is_cut || !self.hangs.is_empty() || self.deafness.is_some(),
        }
    }
}
