//! The machine on which runs take place: its number of processors and the cost of its clock.

use crate::clock::Clock;
use crate::record::Environment;

impl Environment {
    /// This machine.
    pub fn here() -> Self {
        Self {
            os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            wasmtime: wasmtime_environ::VERSION.to_owned(),
            clock_ns: (Clock::new().cost_ns() * 10.0).round() / 10.0,
        }
    }
}
