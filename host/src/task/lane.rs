//! The two ways to run a future on a thread.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::Lane;

/// Runs a thread's work in its lane.
pub struct Executor {
    runtime: Runtime,
    lane: Lane,
}

impl Executor {
    /// An executor for the calling thread.
    pub fn new(lane: Lane) -> std::io::Result<Self> {
        let mut runtime = Builder::new_current_thread();
        if lane == Lane::Io {
            runtime.enable_all();
        }
        Ok(Self { runtime: runtime.build()?, lane })
    }

    /// Runs `work` to its end.
    pub fn run<F: Future>(&self, work: F) -> F::Output {
        match self.lane {
            Lane::Io => self.runtime.block_on(work),
            Lane::Compute => {
                // WASI's sync functions run small futures that are always ready. With a runtime entered they do so on
                // this thread; without one they start a multi-threaded runtime for the whole process.
                let _entered = self.runtime.enter();
                match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(output) => output,
                    Poll::Pending => unreachable!("nothing in the compute lane waits for another task"),
                }
            }
        }
    }
}

/// Waits on the thread's own terms: the compute lane has nothing else to do meanwhile.
pub async fn sleep(lane: Lane, duration: Duration) {
    match lane {
        Lane::Compute => std::thread::sleep(duration),
        Lane::Io => tokio::time::sleep(duration).await,
    }
}
