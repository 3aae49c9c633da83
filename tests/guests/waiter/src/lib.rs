//! Takes a random time with a known median, for measuring how well two runs can be distinguished.
//!
//! `GORGON_WAIT_US=us` waits for about this many microseconds, `GORGON_SPIN=rounds` computes for about this many
//! rounds; the default is neither. Both are lognormal. `GORGON_FACTOR=1.05` multiplies both.

use std::f64::consts::TAU;
use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::sync::OnceLock;
use std::time::Duration;

/// The standard deviation of the logarithm of a time.
const SPREAD: f64 = 0.3;

/// The medians, in microseconds and in rounds.
struct Medians {
    wait_us: f64,
    spin: f64,
}

static MEDIANS: OnceLock<Medians> = OnceLock::new();

#[gorgon_guest::setup]
fn setup() -> Result<(), String> {
    let factor = number("GORGON_FACTOR", 1.0)?;
    let medians =
        Medians { wait_us: factor * number("GORGON_WAIT_US", 0.0)?, spin: factor * number("GORGON_SPIN", 0.0)? };
    MEDIANS.get_or_init(|| medians);
    Ok(())
}

#[gorgon_guest::operation]
fn operation(_n: u64) -> &'static str {
    let Some(medians) = MEDIANS.get() else { return "not set up" };
    let stretch = (SPREAD * normal()).exp();
    let mut state = 1_u64;
    for _ in 0..(medians.spin * stretch) as u64 {
        state = black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
    if medians.wait_us > 0.0 {
        std::thread::sleep(Duration::from_nanos((medians.wait_us * stretch * 1e3) as u64));
    }
    "ok"
}

/// A normally distributed number, from the host's randomness.
fn normal() -> f64 {
    let uniform = || (RandomState::new().hash_one(0) >> 11) as f64 / (1_u64 << 53) as f64;
    (-2.0 * (1.0 - uniform()).ln()).sqrt() * (TAU * uniform()).cos()
}

/// The number in an environment variable; `default` if it is not set.
fn number(name: &str, default: f64) -> Result<f64, String> {
    let Ok(value) = std::env::var(name) else { return Ok(default) };
    value.parse().map_err(|_| format!("{name} is `{value}`: give a number"))
}
