//! How this process and its measured threads are, and what the machine withholds from them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use nix::sys::resource::{UsageWho, getrusage};

use crate::machine::throttled_ns;
use crate::metrics::{Health, ThreadWork, Withheld};
use crate::system;
use crate::wire::Usage;

/// A thread that spends this share of a sample on a processor, or waiting for one, has no time left: whatever else
/// becomes ready has to queue.
const SATURATED: f64 = 0.9;

/// If the machine's processors are idle for a smaller share of a sample, there is none to spare.
const SPARE: f64 = 0.05;

/// The kernel counts the time of processors in hundredths of a second, on every architecture.
const NS_PER_TICK: u64 = 10_000_000;

/// A shorter time between two samples says nothing about a thread: the kernel accounts for its time every 4 ms.
const LEAST_SPAN_NS: u64 = 50_000_000;

/// What the main thread can see of a measured thread while it runs.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// The kernel's identifier of the thread; 0 before the thread has begun.
    thread: AtomicI32,
    spun_ns: AtomicU64,
}

impl Pulse {
    /// The calling thread is the one to watch.
    pub(super) fn begin(&self) {
        self.thread.store(system::thread(), Ordering::Relaxed);
    }

    /// The thread has watched the clock for `ns`, because its next slot was almost due. It could have done other work.
    pub(super) fn spun(&self, ns: u64) {
        self.spun_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// What the thread has used until now; `None` if it is not running.
    fn read(&self) -> Option<ThreadTimes> {
        let thread = self.thread.load(Ordering::Relaxed);
        let cpu = system::processor_time(thread).filter(|_| thread != 0)?;
        let text = system::proc(&format!("self/task/{thread}/schedstat"));
        Some(ThreadTimes {
            cpu_ns: cpu.as_nanos() as u64,
            delayed_ns: text.as_deref().and_then(time_in_queue),
            spun_ns: self.spun_ns.load(Ordering::Relaxed),
        })
    }
}

/// What a thread has used since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ThreadTimes {
    /// On a processor.
    cpu_ns: u64,
    /// Ready, and waiting for a processor; `None` if the kernel does not tell.
    delayed_ns: Option<u64>,
    spun_ns: u64,
}

/// Watches this process and its measured threads.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pulses: Vec<Arc<Pulse>>,
    /// What each thread had used at the previous sample.
    before: Vec<Option<ThreadTimes>>,
    before_ns: u64,
    work: ThreadWork,
    /// The share of a processor that each thread of the run can get at least.
    fair_share: f64,
    /// The times of the machine's processors when the phase began, and at the previous sample.
    processors: [ProcessorTimes; 2],
    /// How long the control group had been throttled when the phase began.
    throttled_ns: u64,
}

impl Watch {
    /// Watches the threads of these pulses, in a run of `all` threads.
    pub(super) fn new(pulses: Vec<Arc<Pulse>>, all: u64) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let fair_share = (processors as f64 / all.max(1) as f64).min(1.0);
        Self { pulses, fair_share, ..Self::default() }
    }

    /// A phase begins: sums start from zero.
    pub(super) fn begin(&mut self) {
        self.before = self.pulses.iter().map(|pulse| pulse.read()).collect();
        (self.before_ns, self.work) = (0, ThreadWork::default());
        self.processors = [ProcessorTimes::read().unwrap_or_default(); 2];
        self.throttled_ns = throttled_ns().unwrap_or_default();
    }

    /// The health of this process, `at_ns` after the beginning of the phase.
    pub(super) fn look(&mut self, at_ns: u64, worst_lag_ns: u64) -> Health {
        let span_ns = at_ns.saturating_sub(self.before_ns);
        let now: Vec<_> = self.pulses.iter().map(|pulse| pulse.read()).collect();
        let [begun, previous] = self.processors;
        let processors = ProcessorTimes::read().unwrap_or(previous);
        let crowded = processors.were_busy_since(previous).then_some(self.fair_share);
        self.processors = [begun, processors];
        let busy = self.before.iter().zip(&now).filter_map(|(before, now)| {
            let used = since((*before)?, (*now)?, span_ns, crowded);
            self.work += used;
            (span_ns > 0).then(|| (used.computing_ns + used.delayed_ns) * 1_000 / span_ns)
        });
        let busiest_permille = busy.max().map_or(0, |busiest| busiest.min(1_000) as u16);
        (self.before, self.before_ns) = (now, at_ns);
        let status = system::proc("self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        let rss_bytes = resident.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or_default() * 1_024;
        let withheld = Withheld {
            throttled_ns: throttled_ns().unwrap_or_default().saturating_sub(self.throttled_ns),
            stolen_ns: processors.stolen.saturating_sub(begun.stolen) * NS_PER_TICK,
        };
        Health { at_ns, cpu_ns: usage().cpu_ns, rss_bytes, worst_lag_ns, work: self.work, busiest_permille, withheld }
    }
}

/// How a thread spent the `span_ns` between two samples. `crowded` is the share of a processor that it could get, if
/// the machine had no processor to spare.
fn since(before: ThreadTimes, now: ThreadTimes, span_ns: u64, crowded: Option<f64>) -> ThreadWork {
    let spun_ns = now.spun_ns.saturating_sub(before.spun_ns);
    let computing_ns = now.cpu_ns.saturating_sub(before.cpu_ns).saturating_sub(spun_ns).min(span_ns);
    let delayed_ns = before.delayed_ns.zip(now.delayed_ns).map(|(before, now)| now.saturating_sub(before));
    let delayed_ns = delayed_ns.map(|ns| ns.min(span_ns - computing_ns));
    // Without the kernel's word on delays, a thread that got what it could get would have taken more.
    let could_get = crowded.filter(|_| delayed_ns.is_none()).unwrap_or(1.0);
    let wanted_ns = computing_ns + delayed_ns.unwrap_or_default();
    let is_saturated = span_ns >= LEAST_SPAN_NS && wanted_ns as f64 >= SATURATED * could_get * span_ns as f64;
    ThreadWork {
        watched_ns: span_ns,
        computing_ns,
        delayed_ns: delayed_ns.unwrap_or_default(),
        delay_watched_ns: delayed_ns.map_or(0, |_| span_ns),
        saturated_ns: if is_saturated { span_ns } else { 0 },
    }
}

/// How long a thread was ready and waited for a processor, in nanoseconds: the second figure of its `schedstat`.
fn time_in_queue(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The time of a machine's processors since it was booted, in the kernel's ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ProcessorTimes {
    all: u64,
    idle: u64,
    /// What a hypervisor gave to other machines.
    stolen: u64,
}

impl ProcessorTimes {
    fn read() -> Option<Self> {
        Self::parse(&system::proc("stat")?)
    }

    /// The times in the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal.
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let times =
            line.split_ascii_whitespace().take(8).map(|time| time.parse().ok()).collect::<Option<Vec<u64>>>()?;
        let &[_, _, _, idle, waiting, _, _, stolen] = times.as_slice() else { return None };
        Some(Self { all: times.iter().sum(), idle: idle + waiting, stolen })
    }

    /// Whether the processors were busy from `before` to now.
    fn were_busy_since(self, before: Self) -> bool {
        let (all, idle) = (self.all.saturating_sub(before.all), self.idle.saturating_sub(before.idle));
        all > 0 && (idle as f64) < SPARE * all as f64
    }
}

/// What this process has used until now.
pub(super) fn usage() -> Usage {
    getrusage(UsageWho::RUSAGE_SELF).map_or_else(
        |_| Usage::default(),
        |usage| {
            let micros = |time: nix::sys::time::TimeVal| nix::sys::time::TimeValLike::num_microseconds(&time) as u64;
            Usage {
                cpu_ns: (micros(usage.user_time()) + micros(usage.system_time())) * 1_000,
                peak_rss_bytes: usage.max_rss() as u64 * system::MAX_RSS_UNIT,
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_thread_is_saturated_if_it_computes_or_waits_for_a_processor_nearly_all_the_time() {
        let of = |cpu, delayed: Option<u64>, spun, crowded| {
            let delayed_ns = delayed.map(|ms| ms * MS);
            let before = ThreadTimes { delayed_ns: delayed.map(|_| 0), ..ThreadTimes::default() };
            let now = ThreadTimes { cpu_ns: cpu * MS, delayed_ns, spun_ns: spun * MS };
            let work = since(before, now, 1_000 * MS, crowded);
            assert_eq!(work.delay_watched_ns, delayed.map_or(0, |_| 1_000 * MS));
            (work.computing_ns / MS, work.delayed_ns / MS, work.saturated_ns / MS)
        };
        assert_eq!(of(950, Some(0), 0, None), (950, 0, 1_000));
        assert_eq!(of(500, Some(450), 0, None), (500, 450, 1_000));
        assert_eq!(of(500, Some(100), 0, None), (500, 100, 0));
        // Watching the clock is not work.
        assert_eq!(of(1_000, Some(0), 800, None), (200, 0, 0));
        // The kernel's figures may be a tick ahead of the clock.
        assert_eq!(of(1_004, Some(10), 0, None), (1_000, 0, 1_000));
        // Four threads on two processors without idle time: half of one is all that a thread can get.
        assert_eq!(of(480, None, 0, Some(0.5)), (480, 0, 1_000));
        assert_eq!((of(480, None, 0, None), of(300, None, 0, Some(0.5))), ((480, 0, 0), (300, 0, 0)));
        // If the kernel tells how long a thread waited, nothing has to be guessed.
        assert_eq!(of(480, Some(10), 0, Some(0.5)), (480, 10, 0));
        let now = ThreadTimes { cpu_ns: MS, ..ThreadTimes::default() };
        let short = since(ThreadTimes::default(), now, MS, None);
        assert_eq!((short.watched_ns, short.saturated_ns), (MS, 0));
    }

    #[test]
    fn figures_of_the_kernel() {
        assert_eq!(time_in_queue("112404301 2087117 401\n"), Some(2_087_117));
        assert_eq!((time_in_queue(""), time_in_queue("1"), time_in_queue("a b")), (None, None, None));
        let stat = "cpu  100 10 20 60 5 0 2 3 50 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        let times = ProcessorTimes { all: 200, idle: 65, stolen: 3 };
        assert_eq!(ProcessorTimes::parse(stat), Some(times));
        assert_eq!((ProcessorTimes::parse("cpu  1 2 3 4\n"), ProcessorTimes::parse("")), (None, None));
        let later =
            |all: u64, idle: u64| ProcessorTimes { all: 200 + all, idle: 65 + idle, ..times }.were_busy_since(times);
        assert!(later(200, 9) && !later(200, 11) && !later(0, 0));
    }

    #[test]
    fn a_thread_that_computes_is_told_from_one_that_sleeps() {
        let pulses = [Arc::new(Pulse::default()), Arc::new(Pulse::default())];
        let mut watch = Watch::new(pulses.to_vec(), 2);
        let [begun, watched, end, looked] = std::array::from_fn(|_| std::sync::Barrier::new(3));
        std::thread::scope(|scope| {
            let [busy, idle] = &pulses;
            scope.spawn(|| {
                busy.begin();
                begun.wait();
                watched.wait();
                let used = || system::processor_time(system::thread()).unwrap();
                let until = used() + std::time::Duration::from_millis(60);
                while used() < until {}
                end.wait();
                looked.wait();
            });
            scope.spawn(|| {
                idle.begin();
                begun.wait();
                watched.wait();
                end.wait();
                looked.wait();
            });
            begun.wait();
            watch.begin();
            watched.wait();
            end.wait();
            let health = watch.look(60 * MS, 0);
            looked.wait();
            assert_eq!(health.work.watched_ns, 120 * MS);
            // The time of a thread counts at most as the time between the samples.
            assert!((60 * MS..90 * MS).contains(&health.work.computing_ns), "{health:?}");
            assert_eq!((health.busiest_permille, health.work.saturated_ns), (1_000, 60 * MS));
        });
    }
}
