//! What the instances and threads of a worker take from the system, compared with what the system allows: before the
//! first of them is made. Otherwise the last of ten thousand would fail, or the process end.

use nix::sys::resource::{Resource, getrlimit};

use crate::lane::Lane;
use crate::system;
use crate::task::{Purpose, Task};
use crate::wire::WorkerPlan;

/// Mappings of a memory, or of a heap of objects: what lies before and after it, and what it is made of.
const OF_MEMORY: u64 = 3;

/// More of them, if the memory begins with an image of the component's data.
const OF_IMAGE: u64 = 2;

/// Mappings of the stack on which the calls of an instance wait: itself and its guard.
const OF_STACK: u64 = 2;

/// Mappings of a thread: its stack, the stacks of its signals, and their guards.
const OF_THREAD: u64 = 6;

/// Open files of a thread that waits: those of its reactor and of its timer, and in an open run those of its alarm.
/// Connections are not counted: nobody knows how many a task opens.
const FILES_OF_REACTOR: u64 = 5;
const FILES_OF_ALARM: u64 = 2;

/// What an instance takes at least, in bytes: its store, and the pages of its stack and its memory that any call uses.
const OF_INSTANCE: u64 = 24 << 10;

/// What a process takes besides.
const SPARE_MAPPINGS: u64 = 500;
const SPARE_FILES: u64 = 12;

/// How many there are, or may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Mappings of memory that a process may have.
    pub(super) mappings: Option<u64>,
    /// Files that a process may have open.
    pub(super) files: Option<u64>,
    /// Threads that the user, or the machine, may have.
    pub(super) threads: Option<u64>,
    /// Memory that is available, in bytes.
    pub(super) memory: Option<u64>,
}

/// What a plan needs of one process, and on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    processes: u64,
    threads: u64,
    /// In flight on each thread.
    concurrency: u64,
    /// Mappings of memory that an instance takes.
    of_instance: u64,
    /// Open files that a thread takes.
    of_thread: u64,
}

impl Need {
    pub(super) fn of(task: &Task, worker: &WorkerPlan, purpose: Purpose) -> Self {
        let plan = worker.run();
        let shape = plan.shape();
        let (threads, concurrency) = (u64::from(shape.threads), u64::from(plan.concurrency().get()));
        let (waits, is_open) = (task.lane() == Lane::Io, plan.load_model().open().is_some());
        let of_thread = FILES_OF_REACTOR + if is_open { FILES_OF_ALARM } else { 0 };
        let of_memory = OF_MEMORY + if purpose.maps_images() { OF_IMAGE } else { 0 };
        let of_heap = if purpose.maps_images() { OF_MEMORY } else { 1 };
        let of_heap = if worker.has_objects { of_heap } else { 0 };
        let of_instance = task.memories() * of_memory + of_heap + if waits { OF_STACK } else { 0 };
        Self {
            processes: u64::from(shape.processes),
            threads,
            concurrency,
            of_instance,
            of_thread: if waits { of_thread } else { 0 },
        }
    }

    fn mappings(&self) -> u64 {
        self.threads * (OF_THREAD + self.concurrency * self.of_instance) + SPARE_MAPPINGS
    }

    fn files(&self) -> u64 {
        self.threads * self.of_thread + SPARE_FILES
    }

    /// Why there is not enough room, and what to do.
    pub(super) fn exceeds(&self, room: &Room) -> Option<String> {
        let instances = self.threads * self.concurrency;
        let all = instances * self.processes;
        let what = format!("{} in a process", self.instances(instances));
        if let Some(most) = room.mappings.filter(|&most| self.mappings() > most) {
            let left = most.saturating_sub(SPARE_MAPPINGS);
            return Some(format!(
                "{what} take about {} mappings of memory, and a process may have {most}: {}raise the limit (sysctl \
                 vm.max_map_count={})",
                self.mappings(),
                self.spread(left / (OF_THREAD + self.concurrency * self.of_instance), {
                    left.saturating_sub(OF_THREAD) / self.of_instance.max(1)
                }),
                self.mappings().next_power_of_two(),
            ));
        }
        if let Some(most) = room.files.filter(|&most| self.files() > most) {
            return Some(format!(
                "{what} need about {} open files, and a process may have {most}: {}raise the limit (ulimit -n)",
                self.files(),
                self.spread(most.saturating_sub(SPARE_FILES) / self.of_thread.max(1), 0),
            ));
        }
        let threads = self.threads * self.processes;
        if let Some(most) = room.threads.filter(|&most| threads > most) {
            return Some(format!(
                "the run has {threads} threads, and there may be {most} more: use fewer (-t, -p), more operations in \
                 flight on each (-c) if the task waits, or raise the limit (ulimit -u, or pids.max of the container)"
            ));
        }
        let bytes = all * OF_INSTANCE;
        room.memory.filter(|&most| bytes > most).map(|most| {
            let size = |bytes: u64| bytesize::ByteSize(bytes).display().iec().to_string();
            format!(
                "{} of the run take more than {} of memory, and {} are available: use fewer, or more boxes (--on)",
                self.instances(all),
                size(bytes),
                size(most)
            )
        })
    }

    fn instances(&self, number: u64) -> String {
        match (self.concurrency, number) {
            (1, 1) => "1 thread".to_owned(),
            (1, _) => format!("{number} threads"),
            _ => format!("{number} operations in flight"),
        }
    }

    /// How the same instances are spread over more processes, if a process has room for so many threads of the run, or
    /// on a single thread for so many in flight. Empty if it has room for none.
    fn spread(&self, threads: u64, concurrency: u64) -> String {
        let all = self.threads * self.processes;
        let (processes, threads, concurrency) = match (threads, concurrency) {
            (0, 0) => return String::new(),
            (0, concurrency) => ((all * self.concurrency).div_ceil(concurrency), 1, concurrency),
            (threads, _) => (all.div_ceil(threads.min(self.threads)), threads.min(self.threads), self.concurrency),
        };
        // As evenly as they can be.
        let (threads, concurrency) = match threads {
            1 => (1, concurrency.min((all * self.concurrency).div_ceil(processes))),
            threads => (threads.min(all.div_ceil(processes)), concurrency),
        };
        let flag = |name: &str, value: u64| if value > 1 { format!(" -{name} {value}") } else { String::new() };
        format!("use more processes (-p {processes}{}{}), or ", flag("t", threads), flag("c", concurrency))
    }
}

impl Room {
    /// What this process, and this machine, have left.
    pub(super) fn here() -> Self {
        let number = |path: &str| system::proc(path)?.trim().parse::<u64>().ok();
        let limit = |of| getrlimit(of).ok().map(|(soft, _)| soft);
        let available = |text: String| {
            let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?.trim();
            line.strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
        };
        // The limit of root's processes does not hold for it.
        let of_user = limit(Resource::RLIMIT_NPROC).filter(|_| !nix::unistd::geteuid().is_root());
        let of_machine = number("sys/kernel/threads-max");
        Self {
            mappings: number("sys/vm/max_map_count"),
            files: limit(Resource::RLIMIT_NOFILE),
            threads: of_user.into_iter().chain(of_machine).min(),
            memory: system::proc("meminfo").and_then(available),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOCK: Room =
        Room { mappings: Some(65_530), files: Some(1_024), threads: Some(30_000), memory: Some(8 << 30) };

    fn need(processes: u64, threads: u64, concurrency: u64) -> Need {
        let of_thread = FILES_OF_REACTOR + FILES_OF_ALARM;
        Need { processes, threads, concurrency, of_instance: OF_MEMORY + OF_STACK, of_thread }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_would_fit() {
        for (need, expected) in [
            (need(1, 1, 10_000), None),
            (need(8, 2, 4_000), None),
            (
                need(1, 1, 20_000),
                Some(
                    "20000 operations in flight in a process take about 100506 mappings of memory, and a process may \
                     have 65530: use more processes (-p 2 -c 10000), or raise the limit (sysctl \
                     vm.max_map_count=131072)",
                ),
            ),
            (
                need(2, 10_000, 1),
                Some(
                    "10000 threads in a process take about 110500 mappings of memory, and a process may have 65530: \
                     use more processes (-p 4 -t 5000), or raise the limit (sysctl vm.max_map_count=131072)",
                ),
            ),
            (
                need(1, 400, 4),
                Some(
                    "1600 operations in flight in a process need about 2812 open files, and a process may have 1024: \
                     use more processes (-p 3 -t 134 -c 4), or raise the limit (ulimit -n)",
                ),
            ),
            (
                need(300, 130, 1),
                Some(
                    "the run has 39000 threads, and there may be 30000 more: use fewer (-t, -p), more operations in \
                     flight on each (-c) if the task waits, or raise the limit (ulimit -u, or pids.max of the \
                     container)",
                ),
            ),
            (
                need(50, 1, 10_000),
                Some(
                    "500000 operations in flight of the run take more than 11.4 GiB of memory, and 8.0 GiB are \
                     available: use fewer, or more boxes (--on)",
                ),
            ),
        ] {
            assert_eq!(need.exceeds(&STOCK).as_deref(), expected);
            assert_eq!(need.exceeds(&Room { mappings: None, files: None, threads: None, memory: None }), None);
        }
    }
}
