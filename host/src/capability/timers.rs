//! Timers of guests, for tasks that wait. A timer that goes off notes when it was due: the guest could have gone on
//! from that time, however late its thread noticed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::clocks::{WasiClocksCtxView, WasiClocksView};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use super::guest::Guest;
use crate::clock::Clock;
use crate::timers::{Timer, Timetable};

/// When the timers of an instance were due that have gone off.
#[derive(Clone, Debug, Default)]
pub struct Due(Arc<AtomicU64>);

impl Due {
    /// The latest of these times since this was called last, by the clock of the surroundings; `None` if no timer has
    /// gone off.
    pub fn take(&self) -> Option<u64> {
        Some(self.0.swap(0, Ordering::Relaxed)).filter(|&ns| ns > 0)
    }

    fn note(&self, ns: u64) {
        self.0.fetch_max(ns, Ordering::Relaxed);
    }
}

/// Links the timers, in place of WASI's own.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let linked = monotonic_clock::add_to_linker::<Guest, Timers<'static>>(linker, |guest| {
        let (clock, due, timetable) = (guest.clock.clone(), guest.due.clone(), guest.timetable.clone());
        Timers { clocks: guest.clocks(), clock, due, timetable }
    });
    linker.allow_shadowing(false);
    linked
}

struct Timers<'a> {
    clocks: WasiClocksCtxView<'a>,
    clock: Clock,
    due: Due,
    timetable: Timetable,
}

impl HasData for Timers<'static> {
    type Data<'a> = Timers<'a>;
}

impl monotonic_clock::Host for Timers<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.clocks.now()
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        self.clocks.resolution()
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let now = self.clocks.now()?;
        self.subscribe_duration(when.saturating_sub(now))
    }

    fn subscribe_duration(&mut self, ns: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let due_ns = self.clock.elapsed_ns().checked_add(ns);
        match due_ns.filter(|_| ns > 0) {
            Some(due_ns) => {
                let timer = GuestTimer { timer: self.timetable.timer(due_ns)?, due: self.due.clone() };
                let timer = self.clocks.table.push(timer)?;
                subscribe(self.clocks.table, timer)
            }
            // A timer that is due at once, or never, is WASI's.
            None => self.clocks.subscribe_duration(ns),
        }
    }
}

struct GuestTimer {
    timer: Timer,
    due: Due,
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestTimer {
    async fn ready(&mut self) {
        self.timer.wait().await;
        self.due.note(self.timer.due_ns());
    }
}
