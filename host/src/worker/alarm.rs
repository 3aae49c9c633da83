//! Waking a thread when a slot is due, as precisely as its lane allows.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::net::unix::pipe::Receiver;

use crate::clock::Clock;
use crate::halt::Halt;
use crate::lane::Lane;

/// A sleeping thread is on its processor again this long after its time, as a rule; one that has nothing else to do
/// wakes so much earlier, and watches the clock for the rest.
const SPIN_NS: u64 = 80_000;

/// A thread's alarm.
pub(super) struct Alarm {
    kind: Kind,
    /// Whether nothing else runs on the thread while it waits.
    alone: Company,
}

/// What else runs on a thread while it waits for a slot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Company {
    /// Nothing: it may watch the clock.
    Alone,
    /// Other operations, whose time that would take.
    Others,
}

enum Kind {
    /// The compute lane's: the thread sleeps.
    Sleep,
    /// The I/O lane's: tokio's own timers count in milliseconds.
    Timer(Timer),
}

/// A timer of the kernel's, whose going off can be read.
struct Timer {
    timer: TimerFd,
    /// The same, as tokio reads it: through its one safe way to a descriptor that is none of its own kinds.
    going_off: Receiver,
}

impl Timer {
    fn new() -> io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        let going_off = Receiver::from_file_unchecked(timer.as_fd().try_clone_to_owned()?.into())?;
        Ok(Self { timer, going_off })
    }

    /// Goes off once, `ns` from now.
    async fn after(&self, ns: u64) -> io::Result<()> {
        self.timer.set(Expiration::OneShot(Duration::from_nanos(ns).into()), TimerSetTimeFlags::empty())?;
        loop {
            self.going_off.readable().await?;
            match self.going_off.try_read(&mut [0; 8]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map(drop),
            }
        }
    }
}

impl Alarm {
    /// An alarm for the calling thread.
    pub(super) fn new(lane: Lane, alone: Company) -> io::Result<Self> {
        let kind = match lane {
            Lane::Compute => {
                // By default the kernel may be 50 microseconds late, to wake several threads at once.
                nix::sys::prctl::set_timerslack(1)?;
                Kind::Sleep
            }
            Lane::Io => Kind::Timer(Timer::new()?),
        };
        Ok(Self { kind, alone })
    }

    /// Waits until `due_ns`, or until the stop; returns the time by then.
    pub(super) async fn until(&self, due_ns: u64, clock: &Clock, halt: &Halt) -> io::Result<u64> {
        let early_ns = if self.alone == Company::Alone { SPIN_NS } else { 0 };
        loop {
            let left_ns = clock.left_ns(due_ns);
            if left_ns == 0 || halt.is_stopped() {
                return Ok(clock.elapsed_ns());
            }
            match &self.kind {
                _ if left_ns <= early_ns => std::hint::spin_loop(),
                Kind::Sleep => halt.sleep(Lane::Compute, Duration::from_nanos(left_ns - early_ns)).await,
                Kind::Timer(timer) => {
                    halt.or_stopped(timer.after(left_ns - early_ns)).await.transpose()?;
                }
            }
        }
    }
}
