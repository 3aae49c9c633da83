//! The machine on which runs take place: its processors, its kernel, the limit of its cgroup, and the cost of its
//! clock.

mod cgroup;
mod processor;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::clock::Clock;
use crate::record::Environment;
use crate::system;

impl Environment {
    /// This machine.
    pub fn here() -> Self {
        Self {
            os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            kernel: system::proc("sys/kernel/osrelease").map(|text| text.trim().to_owned()),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            processor: processor(),
            cpu_limit: cpu_limit(),
            wasmtime: wasmtime_environ::VERSION.to_owned(),
            clock_ns: (Clock::new().cost_ns() * 10.0).round() / 10.0,
        }
    }
}

/// The name of the machine; empty if it has none.
pub fn name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The model of the processors. The kernel asks every processor when this file is read, so it is read only once.
fn processor() -> Option<String> {
    static MODEL: OnceLock<Option<String>> = OnceLock::new();
    MODEL.get_or_init(|| processor::model(&system::proc("cpuinfo")?)).clone()
}

fn cpu_limit() -> Option<f64> {
    of_cgroup(cgroup::cpu_limit)
}

/// How long the cgroups of this process were throttled since they were made; `None` if none has a limit. Their files
/// are looked for once.
pub fn throttled_ns() -> Option<u64> {
    static FILES: OnceLock<Vec<PathBuf>> = OnceLock::new();
    let files = FILES.get_or_init(|| of_cgroup(cgroup::stat_files).unwrap_or_default());
    files.iter().filter_map(|file| cgroup::throttled_ns(&read(file)?)).max()
}

/// What `find` finds in the files of this process's cgroup.
fn of_cgroup<T>(find: impl Fn(&str, &str, fn(&Path) -> Option<String>) -> Option<T>) -> Option<T> {
    let own = system::proc("self/cgroup")?;
    let mounts = system::proc("self/mountinfo")?;
    find(&own, &mounts, read)
}

/// The text of a file; `None` if there is no such file, which only some systems have.
fn read(path: &Path) -> Option<String> {
    fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
