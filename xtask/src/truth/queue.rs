//! The limit of k servers by arithmetic: the highest rate at which the 99th percentile of the response time stays below
//! a bound.

/// The response time of M/M/k exceeds `t` with this probability (see D. Gross et al., "Fundamentals of Queueing
/// Theory", section 3.3). `rate` and `service` are those of all arrivals and of one server, per second.
fn exceeds(rate: f64, service: f64, servers: u32, t: f64) -> f64 {
    let k = f64::from(servers);
    let load = rate / service;
    // Erlang's B by its recursion, and C from that: the probability of a wait.
    let blocked = (1..=servers).fold(1.0, |b, i| load * b / (f64::from(i) + load * b));
    let waits = k * blocked / (k - load * (1.0 - blocked));
    let spare = k - 1.0 - load;
    let tail = if spare.abs() < 1e-9 { service * t } else { (1.0 - (-service * t * spare).exp()) / spare };
    (-service * t).exp() * (1.0 + waits * tail)
}

/// The limit of M/M/k.
pub(super) fn exponential(service: f64, servers: u32, bound: f64) -> f64 {
    bisect(service * f64::from(servers), |rate| exceeds(rate, service, servers, bound) < 0.01)
}

/// The limit of k servers with Poisson arrivals and these lognormal services, by simulating many operations: each is
/// served by the server that is free first (Kiefer and Wolfowitz's recursion).
pub(super) fn lognormal(median: f64, sigma: f64, servers: usize, bound: f64) -> f64 {
    const OPERATIONS: u64 = 4_000_000;
    let mean = median * (sigma * sigma / 2.0).exp();
    bisect(servers as f64 / mean, |rate| {
        let (mut free, mut now, mut beyond) = (vec![0.0_f64; servers], 0.0, 0_u64);
        for i in 0..OPERATIONS {
            now -= uniform(3 * i).ln() / rate;
            let normal = (-2.0 * uniform(3 * i + 1).ln()).sqrt() * (std::f64::consts::TAU * uniform(3 * i + 2)).cos();
            let next = (0..servers).min_by(|&a, &b| free[a].total_cmp(&free[b])).unwrap_or_default();
            free[next] = free[next].max(now) + median * (sigma * normal).exp();
            beyond += u64::from(free[next] - now > bound);
        }
        beyond as f64 <= 0.01 * OPERATIONS as f64
    })
}

/// The highest rate up to `most` that is kept.
fn bisect(most: f64, is_kept: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, most);
    for _ in 0..12 {
        let middle = (low + high) / 2.0;
        if is_kept(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// A number between 0 and 1 that looks random, from another one (splitmix64).
fn uniform(x: u64) -> f64 {
    let x = x.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (((x ^ (x >> 31)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_four_servers() {
        // One server: the response time of M/M/1 is exponential with the rate μ - λ.
        assert!((exceeds(5.0, 10.0, 1, 0.3) - (-1.5_f64).exp()).abs() < 1e-9);
        let limit = exponential(50.0, 4, 0.2);
        assert!((limit - 175.3).abs() < 1.0, "{limit}");
        // A lognormal service of little spread is almost constant.
        let limit = lognormal(0.02, 0.01, 4, 0.2);
        assert!((limit - 187.9).abs() < 2.0, "{limit}");
    }
}
