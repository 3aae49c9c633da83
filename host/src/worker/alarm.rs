//! Wakes a thread when a slot is due, as precisely as its lane allows.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::health::Pulse;
use crate::clock::Clock;
use crate::halt::Halt;
use crate::lane::Lane;
use crate::system::{self, KernelTimer};

/// A sleeping thread usually runs again this long after its timer fires. A thread with nothing else to do wakes this
/// much earlier, and watches the clock for the rest.
const SPIN_NS: u64 = 80_000;

/// The alarm of one thread.
pub(super) struct Alarm {
    kind: TimerKind,
    /// What else runs on the thread while it waits.
    alone: Company,
    pulse: Arc<Pulse>,
}

/// What else runs on a thread while it waits for a slot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Company {
    /// Nothing: the thread may spin.
    Alone,
    /// Other operations: spinning would take their time.
    Others,
}

enum TimerKind {
    /// In the compute lane the thread sleeps.
    Sleep,
    /// In the I/O lane a timer of the kernel wakes the runtime.
    Timer(KernelTimer),
}

impl Alarm {
    /// An alarm for the calling thread.
    pub(super) fn new(lane: Lane, alone: Company, pulse: Arc<Pulse>) -> io::Result<Self> {
        let kind = match lane {
            Lane::Compute => {
                system::wake_exactly()?;
                TimerKind::Sleep
            }
            Lane::Io => TimerKind::Timer(KernelTimer::new()?),
        };
        Ok(Self { kind, alone, pulse })
    }

    /// Waits until `due_ns` or the stop, and returns the time then.
    pub(super) async fn until(&self, due_ns: u64, clock: &Clock, halt: &Halt) -> io::Result<u64> {
        let early_ns = if self.alone == Company::Alone { SPIN_NS } else { 0 };
        loop {
            let left_ns = clock.left_ns(due_ns);
            if left_ns == 0 || halt.is_stopped() {
                return Ok(clock.elapsed_ns());
            }
            match &self.kind {
                _ if left_ns <= early_ns => {
                    while clock.left_ns(due_ns) > 0 && !halt.is_stopped() {
                        std::hint::spin_loop();
                    }
                    self.pulse.spun(left_ns);
                }
                TimerKind::Sleep => halt.sleep(Lane::Compute, Duration::from_nanos(left_ns - early_ns)).await,
                TimerKind::Timer(timer) => {
                    halt.or_stopped(timer.after(left_ns - early_ns)).await.transpose()?;
                }
            }
        }
    }
}
