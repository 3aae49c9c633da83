//! Computes for a known time, and then waits for a known time.
//!
//! `CPU_US` and `WAIT_US` are microseconds. `SIGMA_PCT` makes the wait lognormal, with this standard deviation of its
//! logarithm in percent; it depends on the operation's number and on `SALT`. Every `SLOW_EVERY`th operation waits
//! `SLOW_US` longer, and returns another result.

use std::time::{Duration, Instant};

#[gorgon_guest::operation]
fn operation(n: u64) -> &'static str {
    let is_slow = number("SLOW_EVERY").is_some_and(|every| every > 0 && n.is_multiple_of(every));
    let mut wait_us = number("WAIT_US").unwrap_or(0) as f64;
    if let Some(percent) = number("SIGMA_PCT") {
        let seed = scrambled(number("SALT").unwrap_or(0)) ^ n;
        wait_us *= (percent as f64 / 100.0 * normal(seed)).exp();
    }
    if is_slow {
        wait_us += number("SLOW_US").unwrap_or(0) as f64;
    }
    {
        let _span = gorgon_guest::span("compute");
        let (begin, cpu) = (Instant::now(), Duration::from_micros(number("CPU_US").unwrap_or(0)));
        while begin.elapsed() < cpu {}
    }
    if wait_us > 0.0 {
        let _span = gorgon_guest::span("wait");
        std::thread::sleep(Duration::from_secs_f64(wait_us / 1e6));
    }
    if is_slow { "slow" } else { "usual" }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A normally distributed number that is always the same for a seed.
fn normal(seed: u64) -> f64 {
    let uniform = |x: u64| ((scrambled(x) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    let seed = seed.wrapping_mul(2);
    (-2.0 * uniform(seed).ln()).sqrt() * (std::f64::consts::TAU * uniform(seed.wrapping_add(1))).cos()
}

/// Splitmix64.
fn scrambled(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
