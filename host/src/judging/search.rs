//! Which rate to try next, to find the highest one that keeps a promise.
//!
//! Pure: rates and what came of them go in, the next rate comes out. Steps up by doubling until a rate breaks the
//! promise, then halves the gap, in ratio, until it is narrow enough. A rate is tried until two of its probes agree, so
//! that one unlucky probe decides nothing.

use crate::report::find;
pub use crate::report::find::Finding;

/// Probes of one rate that must agree.
const AGREEING: usize = 2;

/// A search that goes on.
#[derive(Clone, Debug)]
pub struct Search {
    from: f64,
    most: f64,
    precision: f64,
    probes: Vec<(f64, Finding)>,
}

/// What is known at the end of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// The highest rate that kept the promise; `None` where none did.
    pub kept: Option<f64>,
    /// The lowest rate that did not; `None` where none was tried that did not.
    pub broken: Option<f64>,
    /// Whether that was because the machine that made the load could not make more.
    pub limited: bool,
}

impl From<Answer> for find::Answer {
    fn from(answer: Answer) -> Self {
        Self { rate: answer.kept, below: answer.broken, generator_limited: answer.limited }
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// Try this rate.
    Probe(f64),
    /// It is found, as far as it can be.
    Found(Answer),
}

/// A rate below this, in operations per second, is none that anybody looks for.
const LEAST: f64 = 0.1;

impl Search {
    /// Begins at `from`, goes up to `most`, and ends when the rates that kept and that broke the promise are within
    /// `precision` of each other, as a share.
    pub fn new(from: f64, most: f64, precision: f64) -> Self {
        Self { from: from.min(most), most, precision, probes: Vec::new() }
    }

    /// A probe of `rate` came to this.
    pub fn tell(&mut self, rate: f64, finding: Finding) {
        self.probes.push((rate, finding));
    }

    /// What to do next.
    pub fn next(&self) -> Next {
        // A rate on which there is no agreement yet.
        if let Some(&(rate, _)) = self.probes.last()
            && self.agreed(rate).is_none()
        {
            return Next::Probe(rate);
        }
        let kept = self.rates(|finding| finding == Finding::Kept).reduce(f64::max);
        let broken = self.rates(|finding| finding != Finding::Kept).filter(|&rate| kept.is_none_or(|kept| rate > kept));
        let broken = broken.reduce(f64::min);
        let limited = broken.is_some_and(|rate| self.agreed(rate) == Some(Finding::Limited));
        let found = Next::Found(Answer { kept, broken, limited });
        match (kept, broken) {
            (None, None) => Next::Probe(self.from),
            (Some(kept), None) if kept >= self.most => found,
            (Some(kept), None) => Next::Probe((kept * 2.0).min(self.most)),
            (None, Some(broken)) if broken / 2.0 < LEAST => found,
            (None, Some(broken)) => Next::Probe(broken / 2.0),
            (Some(kept), Some(broken)) if broken / kept <= 1.0 + self.precision => found,
            (Some(kept), Some(broken)) => Next::Probe((kept * broken).sqrt()),
        }
    }

    /// The rates on which there is agreement to such a finding.
    fn rates(&self, is_so: impl Fn(Finding) -> bool) -> impl Iterator<Item = f64> {
        self.probes.iter().map(|&(rate, _)| rate).filter(move |&rate| self.agreed(rate).is_some_and(&is_so))
    }

    /// What the probes of `rate` agree on.
    fn agreed(&self, rate: f64) -> Option<Finding> {
        let of = |is_so: fn(Finding) -> bool| {
            self.probes.iter().filter(|&&(probed, finding)| probed == rate && is_so(finding)).count()
        };
        let broken = of(|finding| finding != Finding::Kept);
        if of(|finding| finding == Finding::Kept) >= AGREEING {
            Some(Finding::Kept)
        } else if broken >= AGREEING {
            // Where one of them shows that the target is at fault, the target is.
            Some(if of(|finding| finding == Finding::Broken) > 0 { Finding::Broken } else { Finding::Limited })
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Searches among rates of which `keeps` says what comes of their i-th probe.
    fn search(from: f64, most: f64, mut keeps: impl FnMut(f64, usize) -> Finding) -> (Answer, usize) {
        let mut search = Search::new(from, most, 0.03);
        for i in 0..1_000 {
            match search.next() {
                Next::Probe(rate) => search.tell(rate, keeps(rate, i)),
                Next::Found(answer) => return (answer, i),
            }
        }
        panic!("it does not end");
    }

    #[test]
    fn what_is_said_where_there_is_nothing_to_find() {
        let (answer, probes) = search(10.0, 1_000.0, |_, _| Finding::Kept);
        assert_eq!((answer, probes), (Answer { kept: Some(1_000.0), broken: None, limited: false }, 16));
        let (answer, _) = search(10.0, 1_000.0, |_, _| Finding::Broken);
        assert!(answer.kept.is_none() && answer.broken.is_some_and(|rate| rate < 0.2));
        let (answer, _) = search(10.0, 1e6, |rate, _| if rate < 700.0 { Finding::Kept } else { Finding::Limited });
        assert!(answer.limited && answer.kept.is_some_and(|rate| rate > 670.0));
    }

    proptest! {
        #[test]
        fn the_limit_is_found_though_a_probe_in_four_is_wrong(limit in 1.0..50_000.0_f64, wrong in 0..4_usize) {
            let mut probed: Vec<f64> = Vec::new();
            let (answer, probes) = search(10.0, 1e6, |rate, i| {
                let again = probed.contains(&rate);
                probed.push(rate);
                // The first probe of a rate, now and then.
                let lies = !again && i % 4 == wrong;
                if (rate <= limit) == lies { Finding::Broken } else { Finding::Kept }
            });
            let (kept, broken) = (answer.kept.unwrap(), answer.broken.unwrap());
            prop_assert!(kept <= limit && limit < broken && broken / kept <= 1.03, "{kept} {limit} {broken}");
            prop_assert!(probes < 100, "{}", probes);
        }
    }
}
