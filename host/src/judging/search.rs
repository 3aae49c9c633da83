//! Decides which rate to try next, and for how long, in the search for the highest rate that keeps a promise.
//!
//! Pure: evidence from probes goes in, the next probe comes out. The search doubles the rate until a probe breaks the
//! promise beyond doubt. Then it halves the gap on a logarithmic scale, until the gap is narrow. It repeats a rate in
//! the gap until at least two probes were made and all of them together decide: shares and backlogs are added up, so a
//! rare event counts by how often it happened, not by whether it happened in one probe or another.
//!
//! Near its capacity a queue changes slowly, and a probe that is short compared with that sees only one of its moods.
//! So a rate is probed for many times the relaxation time of the number in flight (see W. Whitt, "Planning Queueing
//! Simulations", Management Science 35, 1989), as far as the longest probe and the budget allow.

use std::time::Duration;

use super::evidence::{Evidence, Kept, Standing};
use crate::report::find::{self, Culprit, ProbedRate};

/// Probes of a rate whose sum decides.
const AGREEING: usize = 2;

/// Probes of a rate after which their sum decides even if they contradict each other, or are short.
const MOST_PROBES: usize = 4;

/// The first probe of a rate has at least as many operations.
const LEAST_OPERATIONS: f64 = 3.0;

/// The lowest rate that a search tries, in operations per second.
pub const LEAST: f64 = 0.1;

/// If all operations of this many probes failed, those of more probes would fail too.
const HOPELESS: usize = 3;

/// What is searched, and how.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// The first rate to try, in operations per second.
    pub from: f64,
    /// The highest rate to try.
    pub to: f64,
    /// Lower rates than this are not tried: they cannot keep the promises.
    pub least: f64,
    /// How far the highest rate that kept the promise and the lowest one that broke it may be apart, as a share.
    pub precision: f64,
    /// How long a probe lasts at least.
    pub probe: Duration,
    /// How long a probe lasts at most.
    pub probe_max: Duration,
    /// What a probe takes besides its load: starting workers, and draining.
    pub around: Duration,
    /// How many operations the promises need to be judged.
    pub operations: f64,
}

/// The state of a search.
#[derive(Clone, Debug)]
pub struct Search {
    scope: Scope,
    tried: Vec<Tried>,
    /// The rate that is being repeated until its probes decide.
    current: Option<f64>,
    /// How much time the budget has for all probes of that rate.
    share: Duration,
}

/// A rate and the evidence from all its probes.
#[derive(Clone, Debug)]
struct Tried {
    rate: f64,
    evidence: Evidence,
    probes: usize,
    /// Probes that by themselves show the promise broken.
    broken: usize,
    /// How much time the budget has for all probes of the rate.
    share: Duration,
}

/// The result of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bracket {
    /// The highest rate that kept the promise; `None` if no rate did.
    pub kept: Option<f64>,
    /// The lowest rate above it that broke it; `None` if no rate did.
    pub broken: Option<(f64, Culprit)>,
    /// The highest rate below `broken`, if its probes had too few operations to decide.
    pub undecided: Option<f64>,
    /// Whether the budget ended before the gap was narrow.
    pub is_cut_short: bool,
}

impl From<Bracket> for find::Answer {
    fn from(Bracket { kept, broken, undecided, is_cut_short }: Bracket) -> Self {
        let culprit = broken.map(|(_, culprit)| culprit);
        Self {
            rate: kept,
            below: broken.map(|(rate, _)| rate),
            generator_limited: culprit == Some(Culprit::Generator),
            limited_by: culprit,
            undecided,
            is_cut_short,
        }
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Try this rate for this time.
    Probe {
        /// In operations per second.
        rate: f64,
        /// How long operations are due.
        lasting: Duration,
    },
    /// The limit is known as precisely as possible.
    Found(Bracket),
}

impl Scope {
    /// How long a search takes if the limit is in the middle of its range, on a logarithmic scale, and no probe leaves
    /// a doubt.
    pub fn expected(self, budget: Duration) -> Duration {
        let limit = (self.from * self.to).sqrt();
        let (mut search, mut used) = (Search::new(self), Duration::ZERO);
        while let Step::Probe { rate, lasting } = search.next(budget.saturating_sub(used)) {
            used += lasting + self.around;
            search.tell(rate, Evidence::certain(lasting, if rate <= limit { Kept::Yes } else { Kept::No }));
        }
        used
    }
}

impl Search {
    /// A search without any probes yet.
    pub fn new(scope: Scope) -> Self {
        Self {
            scope: Scope { from: scope.from.min(scope.to), ..scope },
            tried: Vec::new(),
            current: None,
            share: Duration::ZERO,
        }
    }

    /// Records the evidence from a probe at `rate`.
    pub fn tell(&mut self, rate: f64, evidence: Evidence) {
        let broken = usize::from(matches!(evidence.standing(), Standing::Broken(_)));
        match self.tried.iter_mut().find(|tried| tried.rate == rate) {
            Some(tried) => {
                tried.evidence += evidence;
                tried.probes += 1;
                tried.broken += broken;
            }
            None => self.tried.push(Tried { rate, evidence, probes: 1, broken, share: self.share }),
        }
    }

    /// A probe takes this long besides its load.
    pub fn takes(&mut self, around: Duration) {
        self.scope.around = around;
    }

    /// What the probes of each rate show together, by rate.
    pub fn rates(&self) -> Vec<ProbedRate> {
        let rates = self.tried.iter().map(|of| ProbedRate::new(of.rate, of.probes, of.evidence.standing()));
        let mut rates: Vec<_> = rates.collect();
        rates.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        rates
    }

    /// What to do next, if `left` is left of the budget.
    pub fn next(&mut self, left: Duration) -> Step {
        let bracket = self.bracket();
        let before = self.current;
        let Some(rate) = self.rate(&bracket) else { return Step::Found(bracket) };
        if self.current != before {
            self.share(rate, left / self.rates_to_come(&bracket));
        }
        let lasting = self.lasting(rate);
        if lasting + self.scope.around > left {
            return Step::Found(self.cut_short());
        }
        Step::Probe { rate, lasting }
    }

    /// The gap as far as it is known, if there is no time for more probes: those of each rate count as they stand.
    pub fn cut_short(&self) -> Bracket {
        Bracket { is_cut_short: true, ..self.bracket_of(|_| true) }
    }

    fn bracket(&self) -> Bracket {
        self.bracket_of(|of| self.is_settled(of))
    }

    /// The gap that the rates show of which `is_known` says that they are known, and those that are broken beyond
    /// doubt.
    fn bracket_of(&self, is_known: impl Fn(&Tried) -> bool) -> Bracket {
        let known = |wanted: fn(Standing) -> bool| {
            let known = self.tried.iter().filter(|of| is_known(of)).filter(move |of| wanted(of.evidence.standing()));
            known.map(|of| of.rate)
        };
        let kept = known(|standing| standing == Standing::Kept).reduce(f64::max);
        let above = |rate: f64| kept.is_none_or(|kept| rate > kept);
        let broken = self.tried.iter().filter(|of| above(of.rate)).filter_map(|of| match of.evidence.standing() {
            Standing::Broken(culprit) if is_known(of) || of.evidence.is_broken_beyond_doubt() => {
                Some((of.rate, culprit))
            }
            _ => None,
        });
        let broken = broken.min_by(|a, b| a.0.total_cmp(&b.0));
        let undecided = known(|standing| standing == Standing::Undecided);
        let undecided = undecided.filter(|&rate| above(rate) && broken.is_none_or(|(broken, _)| rate < broken));
        Bracket { kept, broken, undecided: undecided.reduce(f64::max), is_cut_short: false }
    }

    /// The highest rate in the gap that was tried without a promise broken beyond doubt.
    fn hopeful(&self, bracket: &Bracket) -> Option<&Tried> {
        let is_below = |of: &&Tried| bracket.broken.is_none_or(|(broken, _)| of.rate < broken);
        let hopeful = self.tried.iter().filter(is_below).filter(|of| !self.is_settled(of));
        hopeful.filter(|of| bracket.kept.is_none_or(|kept| of.rate > kept)).max_by(|a, b| a.rate.total_cmp(&b.rate))
    }

    /// The next rate to try; `None` if the gap cannot become narrower.
    fn rate(&mut self, bracket: &Bracket) -> Option<f64> {
        if let Some(current) = self.current.and_then(|rate| self.tried(rate))
            && !self.is_settled(current)
        {
            return self.current;
        }
        let below = self.below(bracket);
        if below.is_none() && self.is_hopeless() {
            return None;
        }
        let rate = match (below, bracket.broken) {
            // Climbing: one probe for each rate.
            (None, None) => return Some(self.scope.from),
            (Some(below), None) if below < self.scope.to => return Some((below * 2.0).min(self.scope.to)),
            (Some(below), None) => self.unsettled(below),
            (None, Some((broken, _))) if broken / 2.0 < self.scope.least => self.unsettled(broken),
            // A target that has just been started may be slow only at first.
            (None, Some((broken, _))) if self.tried.len() == 1 && self.unsettled(broken).is_some() => Some(broken),
            (None, Some((broken, _))) => return Some(broken / 2.0),
            (Some(below), Some((broken, _))) if broken / below <= 1.0 + self.scope.precision => {
                self.unsettled(below).or_else(|| self.unsettled(broken))
            }
            (Some(below), Some((broken, _))) => {
                let middle = (below * broken).sqrt();
                if bracket.undecided == Some(below) && !self.can_decide(middle) { None } else { Some(middle) }
            }
        };
        self.current = rate;
        rate
    }

    /// Whether nothing has succeeded so far, at more than one rate.
    fn is_hopeless(&self) -> bool {
        let probes: usize = self.tried.iter().map(|of| of.probes).sum();
        probes >= HOPELESS && self.tried.len() > 1 && self.tried.iter().all(|of| of.evidence.is_all_failed)
    }

    /// The lower end of the gap.
    fn below(&self, bracket: &Bracket) -> Option<f64> {
        let hopeful = self.hopeful(bracket).map(|of| of.rate);
        [bracket.kept, bracket.undecided, hopeful].into_iter().flatten().reduce(f64::max)
    }

    fn tried(&self, rate: f64) -> Option<&Tried> {
        self.tried.iter().find(|tried| tried.rate == rate)
    }

    /// The rate, if its probes do not decide yet.
    fn unsettled(&self, rate: f64) -> Option<f64> {
        self.tried(rate).filter(|tried| !self.is_settled(tried)).map(|tried| tried.rate)
    }

    /// Whether the probes of a rate decide.
    fn is_settled(&self, tried: &Tried) -> bool {
        let Tried { rate, ref evidence, probes, broken, share } = *tried;
        let (standing, most) = (evidence.standing(), self.scope.probe_max * AGREEING as u32);
        if evidence.is_broken_beyond_doubt() {
            return broken >= AGREEING || probes > AGREEING;
        }
        if standing == Standing::Undecided && evidence.lasting >= self.scope.probe_max && !self.can_decide(rate) {
            return true;
        }
        let is_unanimous = broken == 0 || broken == probes;
        let is_decided = standing != Standing::Undecided && evidence.lasting >= evidence.wanted();
        let is_time_over = evidence.lasting >= share.min(most);
        probes >= AGREEING + usize::from(!is_unanimous) && (is_decided || is_time_over) || probes >= MOST_PROBES
    }

    /// Whether there is enough time for the operations that the promises need.
    fn can_decide(&self, rate: f64) -> bool {
        rate * self.scope.probe_max.as_secs_f64() * AGREEING as f64 >= self.scope.operations
    }

    /// Gives the probes of `rate` this share of the budget.
    fn share(&mut self, rate: f64, share: Duration) {
        self.share = share.saturating_sub(self.scope.around * AGREEING as u32);
        if let Some(tried) = self.tried.iter_mut().find(|tried| tried.rate == rate) {
            tried.share = self.share + tried.evidence.lasting;
        }
    }

    /// How long to probe `rate`.
    fn lasting(&self, rate: f64) -> Duration {
        let Scope { probe, probe_max, operations, .. } = self.scope;
        let for_operations = |operations: f64| Duration::from_secs_f64((operations / rate).min(1e9));
        let short = probe.max(for_operations(LEAST_OPERATIONS)).min(probe_max);
        if self.current != Some(rate) {
            return short;
        }
        let enough = short.max(for_operations(operations));
        match self.tried(rate) {
            None => enough.min(probe_max),
            Some(Tried { evidence, .. }) if evidence.is_broken_beyond_doubt() => short,
            Some(Tried { evidence, share, .. }) => {
                let wanted = evidence.wanted().min(*share).saturating_sub(evidence.lasting);
                enough.max(wanted).min(probe_max)
            }
        }
    }

    /// How many rates have to be probed until the gap is narrow.
    fn rates_to_come(&self, bracket: &Bracket) -> u32 {
        let gap = self.below(bracket).zip(bracket.broken).map_or(2.0, |(below, (broken, _))| broken / below);
        let halvings = (gap.ln() / self.scope.precision.ln_1p()).log2().ceil().max(0.0);
        halvings as u32 + 1
    }
}

#[cfg(test)]
mod tests;
