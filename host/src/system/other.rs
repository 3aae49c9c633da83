//! Systems of the Unix family besides Linux. The host compiles there; nobody has measured with it.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::unistd::Pid;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The unit in which the system counts the most memory that a process has had, in bytes.
pub const MAX_RSS_UNIT: u64 = if cfg!(target_vendor = "apple") { 1 } else { 1_024 };

/// The text of a file below `/proc`, which is not there.
pub fn proc(_path: &str) -> Option<String> {
    None
}

/// A path by which this process and its children can open `file` itself: there is none.
pub fn path_of(_file: &File) -> Option<PathBuf> {
    None
}

/// A path by which this program can be started again.
pub fn executable() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// A file in memory, which no other process could open.
pub fn memory_file() -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The time since the machine was booted, including the time that it was suspended.
pub fn since_boot() -> Option<Duration> {
    None
}

/// The calling thread. No thread is watched, so all have one number, which is not that of a thread that never began.
pub fn thread() -> i32 {
    1
}

/// How long a thread of this process has been on a processor: the system does not tell other threads.
pub fn processor_time(_thread: i32) -> Option<Duration> {
    None
}

/// Lets the kernel wake the calling thread as exactly as it can.
pub fn wake_exactly() -> io::Result<()> {
    Ok(())
}

/// The name of the calling thread in the list of processes, which shows none.
pub fn name_thread(_name: &CStr) {}

/// This process would end when its parent does; here its own limits end it.
pub fn end_with_parent() {}

/// Waits until a child has ended. Its pipes are closed already, so it ends soon.
pub fn await_end(_child: Pid) {}

/// Lets a socket choose its port when it connects, which it does anyway.
pub fn choose_port_late(_socket: &impl AsFd) -> io::Result<()> {
    Ok(())
}

/// A timer of the runtime, which counts in milliseconds.
pub struct KernelTimer {
    due: Mutex<Option<Instant>>,
    changed: Notify,
}

impl KernelTimer {
    /// A timer for the runtime of the calling thread.
    pub fn new() -> io::Result<Self> {
        Ok(Self { due: Mutex::new(None), changed: Notify::new() })
    }

    /// Waits until `ns` from now.
    pub async fn after(&self, ns: u64) -> io::Result<()> {
        self.set(ns)?;
        self.goes_off().await
    }

    /// Lets it go off `ns` from now, and not when it was set to before.
    pub fn set(&self, ns: u64) -> io::Result<()> {
        *self.due.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + Duration::from_nanos(ns));
        self.changed.notify_one();
        Ok(())
    }

    /// Waits until it has gone off.
    pub async fn goes_off(&self) -> io::Result<()> {
        loop {
            let due = *self.due.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(due) = due else {
                self.changed.notified().await;
                continue;
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep_until(due) => {
                    let mut set = self.due.lock().unwrap_or_else(PoisonError::into_inner);
                    if *set == Some(due) {
                        *set = None;
                        return Ok(());
                    }
                }
            }
        }
    }
}
