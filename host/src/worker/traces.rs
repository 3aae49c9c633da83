//! The traces of a thread: which operations are traced, and what was kept of them.

use std::cell::{Cell, RefCell};

use crate::capability::tracing::Trace;
use crate::clock::Clock;
use crate::guest_text::cut;
use crate::metrics::{Outcome, Sample};
use crate::plan::FIRST_UNCOUNTED;
use crate::trace::TracedOperation;

/// How often a thread traces an operation, if the run is traced. A trace takes some microseconds, and even so few are
/// more than anybody looks at.
const EVERY_NS: u64 = 100_000_000;

/// What a thread has traced and not yet handed on.
#[derive(Default)]
pub(super) struct Traces {
    /// When to trace an operation again.
    next_ns: Cell<u64>,
    kept: RefCell<Vec<TracedOperation>>,
}

/// What a trace has of a sample.
pub(super) struct Told {
    number: u64,
    start_ns: u64,
    end_ns: u64,
    outcome: Outcome,
    result: String,
    reason: Option<String>,
}

impl Traces {
    /// Whether operation `number`, which starts at `now_ns`, is traced. The warm-up is not.
    pub(super) fn is_due(&self, number: u64, now_ns: u64) -> bool {
        let is_due = number < FIRST_UNCOUNTED && now_ns >= self.next_ns.get();
        if is_due {
            self.next_ns.set(now_ns + EVERY_NS);
        }
        is_due
    }

    /// Keeps the trace of an operation that was timed by `clock`. One that was cut is not counted, and has none.
    pub(super) fn keep(&self, trace: Option<Box<Trace>>, told: Option<Told>, clock: &Clock) {
        let (Some(of), Some(told)) = (trace, told) else { return };
        let Told { number, start_ns, end_ns, outcome, result, reason } = told;
        let (zero_ns, (spans, left_out)) = (of.zero_of(clock), of.take());
        let (trace, root, start_ns, end_ns) = (of.id, of.root, zero_ns + start_ns, zero_ns + end_ns);
        let traced =
            TracedOperation { trace, root, number, start_ns, end_ns, outcome, result, reason, spans, left_out };
        self.kept.borrow_mut().push(traced);
    }

    /// What was kept since the last call.
    pub(super) fn take(&self) -> Vec<TracedOperation> {
        self.kept.take()
    }
}

impl Told {
    /// What was counted as `sample`, unless its result does not meet `--expect` for the reason `unmet`.
    pub(super) fn of(sample: &Sample<'_>, unmet: Option<String>) -> Self {
        let &Sample { number, start_ns, end_ns, outcome, result, reason, .. } = sample;
        let outcome = if unmet.is_some() { Outcome::Failed } else { outcome };
        let reason = unmet.or_else(|| reason.map(str::to_owned));
        Self { number, start_ns, end_ns, outcome, result: cut(result).to_owned(), reason }
    }
}
