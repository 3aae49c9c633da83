//! Decides which rate to try next in the search for the highest one that keeps a promise.
//!
//! Pure: rates and their findings go in, the next rate comes out. The search doubles the rate until it breaks the
//! promise, then halves the gap on a logarithmic scale until it is narrow enough. It repeats a rate until two of its
//! probes agree, so that a single unlucky probe decides nothing.

use crate::report::find;
pub use crate::report::find::ProbeFinding;

/// Probes of one rate that must agree.
const AGREEING: usize = 2;

/// The state of a search.
#[derive(Clone, Debug)]
pub struct Search {
    from: f64,
    most: f64,
    precision: f64,
    probes: Vec<(f64, ProbeFinding)>,
}

/// The result of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bracket {
    /// The highest rate that kept the promise; `None` if no rate did.
    pub kept: Option<f64>,
    /// The lowest rate that broke it; `None` if no rate did.
    pub broken: Option<f64>,
    /// Whether `broken` was the limit of the machine that generated the load, not of the target.
    pub limited: bool,
}

impl From<Bracket> for find::Answer {
    fn from(answer: Bracket) -> Self {
        Self { rate: answer.kept, below: answer.broken, generator_limited: answer.limited }
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Try this rate.
    Probe(f64),
    /// The limit is known as precisely as possible.
    Found(Bracket),
}

/// The lowest rate that a search tries, in operations per second.
const LEAST: f64 = 0.1;

impl Search {
    /// A search that begins at `from` and tries at most `most`. It ends when the highest rate that kept the promise and
    /// the lowest one that broke it differ by at most `precision`, as a share.
    pub fn new(from: f64, most: f64, precision: f64) -> Self {
        Self { from: from.min(most), most, precision, probes: Vec::new() }
    }

    /// Records the finding of a probe at `rate`.
    pub fn tell(&mut self, rate: f64, finding: ProbeFinding) {
        self.probes.push((rate, finding));
    }

    /// What to do next.
    pub fn next(&self) -> Step {
        // The probes of the last rate do not agree yet.
        if let Some(&(rate, _)) = self.probes.last()
            && self.agreed(rate).is_none()
        {
            return Step::Probe(rate);
        }
        let kept = self.rates(|finding| finding == ProbeFinding::Kept).reduce(f64::max);
        let broken =
            self.rates(|finding| finding != ProbeFinding::Kept).filter(|&rate| kept.is_none_or(|kept| rate > kept));
        let broken = broken.reduce(f64::min);
        let limited = broken.is_some_and(|rate| self.agreed(rate) == Some(ProbeFinding::Limited));
        let found = Step::Found(Bracket { kept, broken, limited });
        match (kept, broken) {
            (None, None) => Step::Probe(self.from),
            (Some(kept), None) if kept >= self.most => found,
            (Some(kept), None) => Step::Probe((kept * 2.0).min(self.most)),
            (None, Some(broken)) if broken / 2.0 < LEAST => found,
            (None, Some(broken)) => Step::Probe(broken / 2.0),
            (Some(kept), Some(broken)) if broken / kept <= 1.0 + self.precision => found,
            (Some(kept), Some(broken)) => Step::Probe((kept * broken).sqrt()),
        }
    }

    /// The rates whose probes agree on a finding that satisfies `is_so`.
    fn rates(&self, is_so: impl Fn(ProbeFinding) -> bool) -> impl Iterator<Item = f64> {
        self.probes.iter().map(|&(rate, _)| rate).filter(move |&rate| self.agreed(rate).is_some_and(&is_so))
    }

    /// The finding that the probes of `rate` agree on.
    fn agreed(&self, rate: f64) -> Option<ProbeFinding> {
        let of = |is_so: fn(ProbeFinding) -> bool| {
            self.probes.iter().filter(|&&(probed, finding)| probed == rate && is_so(finding)).count()
        };
        let broken = of(|finding| finding != ProbeFinding::Kept);
        if of(|finding| finding == ProbeFinding::Kept) >= AGREEING {
            Some(ProbeFinding::Kept)
        } else if broken >= AGREEING {
            // A single probe that blames the target is enough.
            Some(if of(|finding| finding == ProbeFinding::Broken) > 0 {
                ProbeFinding::Broken
            } else {
                ProbeFinding::Limited
            })
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs a search; `keeps` is the finding of the i-th probe at a rate.
    fn search(from: f64, most: f64, mut keeps: impl FnMut(f64, usize) -> ProbeFinding) -> (Bracket, usize) {
        let mut search = Search::new(from, most, 0.03);
        for i in 0..1_000 {
            match search.next() {
                Step::Probe(rate) => search.tell(rate, keeps(rate, i)),
                Step::Found(answer) => return (answer, i),
            }
        }
        panic!("the search does not end");
    }

    #[test]
    fn a_search_ends_if_all_rates_keep_or_break_the_promise() {
        let (answer, probes) = search(10.0, 1_000.0, |_, _| ProbeFinding::Kept);
        assert_eq!((answer, probes), (Bracket { kept: Some(1_000.0), broken: None, limited: false }, 16));
        let (answer, _) = search(10.0, 1_000.0, |_, _| ProbeFinding::Broken);
        assert!(answer.kept.is_none() && answer.broken.is_some_and(|rate| rate < 0.2));
        let (answer, _) =
            search(10.0, 1e6, |rate, _| if rate < 700.0 { ProbeFinding::Kept } else { ProbeFinding::Limited });
        assert!(answer.limited && answer.kept.is_some_and(|rate| rate > 670.0));
    }

    proptest! {
        #[test]
        fn the_limit_is_found_although_one_probe_in_four_is_wrong(limit in 1.0..50_000.0_f64, wrong in 0..4_usize) {
            let mut probed: Vec<f64> = Vec::new();
            let (answer, probes) = search(10.0, 1e6, |rate, i| {
                let again = probed.contains(&rate);
                probed.push(rate);
                // Only the first probe of a rate can be wrong.
                let lies = !again && i % 4 == wrong;
                if (rate <= limit) == lies { ProbeFinding::Broken } else { ProbeFinding::Kept }
            });
            let (kept, broken) = (answer.kept.unwrap(), answer.broken.unwrap());
            prop_assert!(kept <= limit && limit < broken && broken / kept <= 1.03, "{kept} {limit} {broken}");
            prop_assert!(probes < 100, "{}", probes);
        }
    }
}
