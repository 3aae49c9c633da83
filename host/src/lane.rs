//! The two ways in which a task's calls run, and how a thread runs its work in each. Knows nothing about tasks.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};

/// How a task's calls run; follows from the functions that the task imports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Calls never wait: each is a plain call on the thread itself.
    Compute,
    /// Calls may wait in the host: each is a future on the thread's runtime, so that a deadline can end the wait.
    Io,
}

/// Runs a thread's work in its lane.
pub struct Executor {
    /// `None` only while the executor is dropped.
    runtime: Option<Runtime>,
    lane: Lane,
}

impl Drop for Executor {
    fn drop(&mut self) {
        // A guest may be reading a file that never ends, on a thread of the runtime. Do not wait for that thread.
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

impl Executor {
    /// An executor for the calling thread.
    pub fn new(lane: Lane) -> std::io::Result<Self> {
        let mut runtime = Builder::new_current_thread();
        if lane == Lane::Io {
            runtime.enable_all();
        }
        Ok(Self { runtime: Some(runtime.build()?), lane })
    }

    /// Runs `work` to its end.
    pub fn run<F: Future>(&self, work: F) -> F::Output {
        let Some(runtime) = &self.runtime else { unreachable!("it is taken when this is dropped") };
        match self.lane {
            Lane::Io => runtime.block_on(work),
            Lane::Compute => {
                // WASI's sync functions run small futures that are always ready. Inside an entered runtime they run on
                // this thread; otherwise they start a multi-threaded runtime for the whole process.
                let _entered = runtime.enter();
                match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(output) => output,
                    Poll::Pending => unreachable!("nothing in the compute lane waits for another task"),
                }
            }
        }
    }
}
