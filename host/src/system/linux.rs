//! Linux.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::timerfd::{ClockId as TimerClock, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use tokio::net::unix::pipe::Receiver;

/// The unit in which the system counts the most memory that a process has had, in bytes.
pub const MAX_RSS_UNIT: u64 = 1_024;

/// The text of a file below `/proc`; `None` if there is no such file, which not every kernel has.
pub fn proc(path: &str) -> Option<String> {
    fs::read(format!("/proc/{path}")).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// A path by which this process and its children can open `file` itself, even if its name is gone or another file's.
pub fn path_of(file: &File) -> Option<PathBuf> {
    let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
    path.exists().then_some(path)
}

/// A path by which this program can be started again, even if its file is replaced meanwhile.
pub fn executable() -> io::Result<PathBuf> {
    let link = PathBuf::from("/proc/self/exe");
    if link.exists() { Ok(link) } else { std::env::current_exe() }
}

/// A file in memory, which is gone when the last process closes it.
pub fn memory_file() -> io::Result<File> {
    Ok(memfd_create("gorgon", MFdFlags::MFD_CLOEXEC)?.into())
}

/// The time since the machine was booted, including the time that it was suspended.
pub fn since_boot() -> Option<Duration> {
    clock_gettime(ClockId::CLOCK_BOOTTIME).ok().map(Duration::from)
}

/// The kernel's identifier of the calling thread.
pub fn thread() -> i32 {
    nix::unistd::gettid().as_raw()
}

/// How long a thread of this process has been on a processor; `None` if there is no such thread.
pub fn processor_time(thread: i32) -> Option<Duration> {
    // The kernel's number for the processor time of a thread, from its identifier, as in pthread_getcpuclockid(3).
    let clock = ClockId::from_raw((!thread) << 3 | 6);
    clock_gettime(clock).ok().map(Duration::from)
}

/// Lets the kernel wake the calling thread as exactly as it can. By default it may do so 50 microseconds late, so that
/// it can wake several threads at once.
pub fn wake_exactly() -> io::Result<()> {
    Ok(prctl::set_timerslack(1)?)
}

/// The name of the calling thread in the list of processes.
pub fn name_thread(name: &CStr) {
    // It is for people only.
    let _ = prctl::set_name(name);
}

/// This process ends when its parent does.
pub fn end_with_parent() {
    // If this fails, it goes on for nobody until its own limits.
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
}

/// Waits until a child has ended, and leaves its identifier to it.
pub fn await_end(child: Pid) {
    // If there is no such child, it has ended.
    let _ = waitid(Id::Pid(child), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
}

/// Lets a socket that is bound to an address choose its port when it connects, so that only connections to the same
/// destination need different ones.
pub fn choose_port_late(socket: &impl AsFd) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::IpBindAddressNoPort, &true)?)
}

/// A timer of the kernel, whose expiry wakes the runtime.
pub struct KernelTimer {
    timer: TimerFd,
    /// The same descriptor for tokio. A pipe is the only safe way to make tokio poll a descriptor of a foreign kind.
    going_off: Receiver,
}

impl KernelTimer {
    /// A timer for the runtime of the calling thread. Fails if there are too many open files.
    pub fn new() -> io::Result<Self> {
        let timer = TimerFd::new(TimerClock::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        let going_off = Receiver::from_file_unchecked(timer.as_fd().try_clone_to_owned()?.into())?;
        Ok(Self { timer, going_off })
    }

    /// Waits until `ns` from now.
    pub async fn after(&self, ns: u64) -> io::Result<()> {
        self.set(ns)?;
        self.goes_off().await
    }

    /// Lets it go off `ns` from now, and not when it was set to before.
    pub fn set(&self, ns: u64) -> io::Result<()> {
        // Zero would stop it.
        let after = Duration::from_nanos(ns.max(1));
        Ok(self.timer.set(Expiration::OneShot(after.into()), TimerSetTimeFlags::empty())?)
    }

    /// Waits until it has gone off.
    pub async fn goes_off(&self) -> io::Result<()> {
        loop {
            self.going_off.readable().await?;
            match self.going_off.try_read(&mut [0; 8]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map(drop),
            }
        }
    }
}
