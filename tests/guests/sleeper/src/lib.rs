//! The recorder with sleeping, which puts it in the I/O lane.
//!
//! Operation 0 prints `began`, which tells a test that the run has started. `GORGON_SLEEP_EVERY=k` and
//! `GORGON_SLEEP_MS=ms` make every operation sleep that long whose number is a multiple of k. Without them no operation
//! sleeps.

#[path = "../../recorder/src/seen.rs"]
mod seen;

use std::env::VarError;
use std::sync::OnceLock;
use std::time::Duration;

/// Which operations sleep, and how long.
struct Sleep {
    every: u64,
    duration: Duration,
}

static SLEEP: OnceLock<Sleep> = OnceLock::new();

#[gorgon_guest::setup]
fn setup() -> Result<(), String> {
    let sleep = Sleep {
        every: number("GORGON_SLEEP_EVERY")?.unwrap_or(0),
        duration: Duration::from_millis(number("GORGON_SLEEP_MS")?.unwrap_or(0)),
    };
    SLEEP.get_or_init(|| sleep);
    Ok(())
}

#[gorgon_guest::operation]
fn operation(n: u64) -> &'static str {
    if n == 0 {
        println!("began");
    }
    if let Some(sleep) = SLEEP.get()
        && n.checked_rem(sleep.every) == Some(0)
    {
        std::thread::sleep(sleep.duration);
    }
    seen::record(n);
    "ok"
}

#[gorgon_guest::teardown]
fn teardown() {
    print!("{}", seen::report());
}

/// The number in an environment variable; `None` if it is not set.
fn number(name: &str) -> Result<Option<u64>, String> {
    match std::env::var(name) {
        Ok(value) => value.parse().map(Some).map_err(|_| format!("{name} is `{value}`: give a whole number")),
        Err(VarError::NotPresent) => Ok(None),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_what_it_was_called_with() {
        setup().expect("nothing is set");
        assert_eq!([3, 4].map(operation), ["ok", "ok"]);
        assert_eq!(seen::report(), "saw 3-4\n");
    }
}
