//! Timers that are exact to some tens of microseconds, by a timer of the kernel: tokio's own count in milliseconds.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::clock::Clock;
use crate::system::KernelTimer;

/// The timers of a thread's guests: one timer of the kernel goes off for the earliest of them.
#[derive(Clone)]
pub struct Timetable {
    clock: Clock,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    entries: Mutex<Entries>,
    /// Made by the first timer, on its thread.
    kernel: Mutex<Option<Arc<KernelTimer>>>,
}

#[derive(Default)]
struct Entries {
    /// Whom to wake, by when that is due and by a number of its own.
    waiting: BTreeMap<(u64, u64), Waker>,
    made: u64,
}

impl Timetable {
    /// A timetable without timers.
    pub fn new(clock: Clock) -> Self {
        Self { clock, shared: Arc::default() }
    }

    /// A timer that goes off at `due_ns` by the timetable's clock, in the runtime of the calling thread. Fails if there
    /// are too many open files.
    pub fn timer(&self, due_ns: u64) -> io::Result<Timer> {
        let mut kernel = locked(&self.shared.kernel);
        let kernel = match &*kernel {
            Some(kernel) => kernel.clone(),
            None => {
                let made = Arc::new(KernelTimer::new()?);
                tokio::spawn(self.clone().wake_all(made.clone()));
                kernel.insert(made).clone()
            }
        };
        Ok(Timer { timetable: self.clone(), kernel, due_ns })
    }

    /// A timer that goes off `ns` from now.
    pub fn timer_after(&self, ns: u64) -> io::Result<Timer> {
        self.timer(self.clock.elapsed_ns().saturating_add(ns))
    }

    /// Wakes whoever is due, until the runtime ends.
    async fn wake_all(self, kernel: Arc<KernelTimer>) -> io::Result<()> {
        loop {
            kernel.goes_off().await?;
            let (due, next_ns) = {
                let mut entries = locked(&self.shared.entries);
                let later = entries.waiting.split_off(&(self.clock.elapsed_ns() + 1, 0));
                let due = std::mem::replace(&mut entries.waiting, later);
                (due, entries.waiting.first_key_value().map(|(&(due_ns, _), _)| due_ns))
            };
            if let Some(next_ns) = next_ns {
                kernel.set(self.clock.left_ns(next_ns))?;
            }
            due.into_values().for_each(Waker::wake);
        }
    }
}

/// A time to wait for, as often as one likes.
pub struct Timer {
    timetable: Timetable,
    kernel: Arc<KernelTimer>,
    due_ns: u64,
}

impl Timer {
    /// When it goes off, by the timetable's clock.
    pub fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// Waits until it has gone off.
    pub fn wait(&self) -> Wait<'_> {
        Wait { timer: self, key: None }
    }
}

/// A wait for a timer.
pub struct Wait<'a> {
    timer: &'a Timer,
    /// Its place in the timetable.
    key: Option<(u64, u64)>,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Timer { timetable, kernel, due_ns } = self.timer;
        let left_ns = timetable.clock.left_ns(*due_ns);
        if left_ns == 0 {
            return Poll::Ready(());
        }
        let is_earliest = {
            let mut entries = locked(&timetable.shared.entries);
            let key = *self.key.get_or_insert_with(|| {
                entries.made += 1;
                (*due_ns, entries.made)
            });
            entries.waiting.insert(key, context.waker().clone());
            entries.waiting.first_key_value().is_some_and(|(&first, _)| first == key)
        };
        if is_earliest && kernel.set(left_ns).is_err() {
            // It would never go off, so look again at once. No valid timer is known to be refused.
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            locked(&self.timer.timetable.shared.entries).waiting.remove(&key);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_runtime<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    #[test]
    fn timers_go_off_in_their_order_and_never_early() {
        const MS: u64 = 1_000_000;
        let clock = Clock::new();
        let timetable = Timetable::new(clock.clone());
        let order = in_runtime(async {
            let order = Mutex::new(Vec::new());
            let begin_ns = clock.elapsed_ns();
            let waits = [30, 10, 20, 10, 0].map(|ms| {
                let timer = timetable.timer(begin_ns + ms * MS).unwrap();
                let (clock, order) = (&clock, &order);
                async move {
                    timer.wait().await;
                    assert!(clock.elapsed_ns() >= timer.due_ns());
                    order.lock().unwrap().push(ms);
                }
            });
            futures_util::future::join_all(waits).await;
            order.into_inner().unwrap()
        });
        assert_eq!(order, [0, 10, 10, 20, 30]);
        assert!(locked(&timetable.shared.entries).waiting.is_empty());
    }

    #[test]
    fn a_wait_that_is_given_up_leaves_nothing_behind() {
        let timetable = Timetable::new(Clock::new());
        in_runtime(async {
            let hour = timetable.timer(3_600_000_000_000).unwrap();
            let soon = timetable.timer(timetable.clock.elapsed_ns() + 1_000_000).unwrap();
            // The earliest one is given up, and the other one goes off.
            let given_up = futures_util::future::select(soon.wait(), std::future::ready(())).await;
            assert!(matches!(given_up, futures_util::future::Either::Right(_)));
            drop(given_up);
            let next = timetable.timer(timetable.clock.elapsed_ns() + 5_000_000).unwrap();
            futures_util::future::select(hour.wait(), next.wait()).await;
        });
        assert!(locked(&timetable.shared.entries).waiting.is_empty());
    }
}
