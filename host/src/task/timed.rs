//! Where the time of a call goes, derived from its polls: running, waiting, or woken and not yet polled.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

use crate::capability::timers::Due;
use crate::clock::Clock;
use crate::lane::Reactor;
use crate::metrics::TimeSplit;

/// Notes when a call was woken. All calls of an instance share one.
#[derive(Debug)]
pub(super) struct Woken {
    clock: Clock,
    /// When the call was first woken since it last began to wait; 0 if it was not.
    at_ns: AtomicU64,
    /// The earliest time at which it can have been ready to go on, if it was woken.
    earliest_ns: AtomicU64,
    reactor: Reactor,
    due: Due,
    task: AtomicWaker,
}

impl Woken {
    pub(super) fn new(clock: Clock, reactor: Reactor, due: Due) -> Arc<Self> {
        let (at_ns, earliest_ns, task) = Default::default();
        Arc::new(Self { clock, at_ns, earliest_ns, reactor, due, task })
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Only the first wake-up counts.
        let now_ns = self.clock.elapsed_ns().max(1);
        if self.at_ns.compare_exchange(0, now_ns, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.earliest_ns.store(self.reactor.earliest_ns(now_ns), Ordering::Relaxed);
        }
        self.task.wake();
    }
}

/// A call whose polls are timed, from its first poll to its end.
pub(super) struct Timed<'a, F> {
    call: Pin<&'a mut F>,
    woken: &'a Arc<Woken>,
    split: &'a mut TimeSplit,
    /// When the call began to wait; 0 before its first poll.
    waits_since_ns: u64,
    /// How often the reactor had begun to look by then.
    looks: u64,
}

impl<'a, F> Timed<'a, F> {
    pub(super) fn new(call: Pin<&'a mut F>, woken: &'a Arc<Woken>, split: &'a mut TimeSplit) -> Self {
        Self { call, woken, split, waits_since_ns: 0, looks: 0 }
    }
}

impl<F: Future> Future for Timed<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let begin_ns = this.woken.clock.elapsed_ns();
        let woken_ns = this.woken.at_ns.swap(0, Ordering::Relaxed);
        let earliest_ns = this.woken.earliest_ns.load(Ordering::Relaxed);
        this.woken.task.register(context.waker());
        let waker = Waker::from(this.woken.clone());
        let polled = this.call.as_mut().poll(&mut Context::from_waker(&waker));
        let end_ns = this.woken.clock.elapsed_ns();
        // The poll has found out whether a timer ended the wait, and when that timer was due.
        let due_ns = this.woken.due.take();
        if this.waits_since_ns > 0 {
            // If it was polled without a wake-up, because of something else in the same task, it was waiting all the
            // time.
            let latest_ns = if woken_ns == 0 { begin_ns } else { woken_ns.clamp(this.waits_since_ns, begin_ns) };
            let (certain_ns, latest_ns) = match due_ns {
                Some(due_ns) => {
                    let ready_ns = due_ns.clamp(this.waits_since_ns, latest_ns);
                    (ready_ns - this.waits_since_ns, ready_ns)
                }
                None => {
                    // What it waits for may have begun only when the thread had done everything else, and ended before
                    // the thread noticed.
                    let earliest_ns = if woken_ns == 0 { latest_ns } else { earliest_ns.min(latest_ns) };
                    let begun_ns = this.woken.reactor.look_ns(this.looks).max(this.waits_since_ns);
                    (earliest_ns.saturating_sub(begun_ns), latest_ns)
                }
            };
            this.split.waiting_ns += latest_ns - this.waits_since_ns;
            this.split.uncertain_ns += latest_ns - this.waits_since_ns - certain_ns;
            this.split.queued_ns += begin_ns - latest_ns;
        }
        this.split.running_ns += end_ns - begin_ns;
        (this.waits_since_ns, this.looks) = (end_ns.max(1), this.woken.reactor.looks());
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(flavor = "current_thread")]
    async fn running_waiting_and_queueing_are_distinguished() {
        // Use the clock that times the call: two clocks differ by some microseconds on a busy machine.
        let clock = Clock::new();
        let spin = |time: Duration| {
            let begin_ns = clock.elapsed_ns();
            while u128::from(clock.elapsed_ns() - begin_ns) < time.as_nanos() {
                std::hint::spin_loop();
            }
        };
        let mut split = TimeSplit::default();
        let woken = Woken::new(clock.clone(), Reactor::new(clock.clone()), Due::default());
        let (answer, question) = tokio::sync::oneshot::channel();
        let mut call = Box::pin(async move {
            spin(Duration::from_millis(20));
            question.await.unwrap();
        });
        let timed = Timed::new(call.as_mut(), &woken, &mut split);
        tokio::join!(timed, async {
            tokio::time::sleep(Duration::from_millis(40)).await;
            answer.send(()).unwrap();
            // The call could go on now, but its thread is kept busy.
            spin(Duration::from_millis(60));
        });
        let ms = |ns: u64| ns / 1_000_000;
        assert!(ms(split.running_ns) >= 20, "{split:?}");
        assert!(ms(split.waiting_ns) >= 20, "{split:?}");
        assert!(ms(split.queued_ns) >= 60, "{split:?}");
    }
}
