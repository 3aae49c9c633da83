//! Tells the threads of a worker to end their work. Knows nothing about that work.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::lane::Lane;

const RUNNING: u8 = 0;
const STOPPED: u8 = 1;
const CUT: u8 = 2;

/// Ends the work of threads in two stages: after a stop no operation starts; after a cut none goes on.
#[derive(Clone, Debug, Default)]
pub struct Halt(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    stage: AtomicU8,
    /// Wakes sleepers of the compute lane.
    asleep: Mutex<()>,
    woken: Condvar,
    /// Wakes sleepers of the I/O lane.
    waiting: Notify,
}

impl Halt {
    /// From now on no operation starts.
    pub fn stop(&self) {
        self.reach(STOPPED);
    }

    /// From now on no operation goes on: a computing one ends at the engine's next tick, a waiting one at once.
    pub fn cut(&self) {
        self.reach(CUT);
    }

    /// Whether operations may no longer start.
    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.0.stage.load(Ordering::Relaxed) != RUNNING
    }

    /// Whether operations may no longer go on.
    pub fn is_cut(&self) -> bool {
        self.0.stage.load(Ordering::Relaxed) == CUT
    }

    /// Sleeps until `duration` is over or the stop comes: blocks the thread, or yields to the runtime, as the lane
    /// does.
    pub async fn sleep(&self, lane: Lane, duration: Duration) {
        match lane {
            Lane::Compute => {
                let asleep = self.0.asleep.lock().unwrap_or_else(PoisonError::into_inner);
                // The result does not matter: the caller looks at the clock and at the stage.
                let _ = self.0.woken.wait_timeout_while(asleep, duration, |()| !self.is_stopped());
            }
            Lane::Io => {
                self.or_stopped(tokio::time::sleep(duration)).await;
            }
        }
    }

    /// Waits, in the I/O lane, for `wait`; `None` if the stop comes first.
    pub async fn or_stopped<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            waited = wait => Some(waited),
            () = self.reached(STOPPED) => None,
        }
    }

    /// Waits, in the I/O lane, until operations are cut.
    pub async fn until_cut(&self) {
        self.reached(CUT).await;
    }

    async fn reached(&self, stage: u8) {
        loop {
            // Subscribe before looking, or a change between the two would be missed.
            let changed = self.0.waiting.notified();
            if self.0.stage.load(Ordering::SeqCst) >= stage {
                return;
            }
            changed.await;
        }
    }

    fn reach(&self, stage: u8) {
        let asleep = self.0.asleep.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.stage.fetch_max(stage, Ordering::SeqCst);
        drop(asleep);
        self.0.woken.notify_all();
        self.0.waiting.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::Executor;

    #[test]
    fn a_stop_wakes_sleepers_of_both_lanes_and_does_not_undo_a_cut() {
        for lane in [Lane::Compute, Lane::Io] {
            let halt = Halt::default();
            std::thread::scope(|scope| {
                let sleeper = scope.spawn(|| {
                    let executor = Executor::new(lane).unwrap();
                    executor.run(halt.sleep(lane, Duration::from_secs(3_600)));
                });
                halt.stop();
                sleeper.join().unwrap();
            });
            assert!(halt.is_stopped() && !halt.is_cut());
            halt.cut();
            halt.stop();
            assert!(halt.is_cut());
        }
    }
}
