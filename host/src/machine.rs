//! The machine that runs run on: reads how many processors it has and what its clock costs.

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
