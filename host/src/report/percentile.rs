//! When a percentile exists.

/// Products of counts and shares are rounded: 100 times (1 - 0.99) may be a little less than one.
const ROUNDING: f64 = 1e-6;

/// Whether the percentile at `quantile` of `count` durations is a figure of its own. Above the median at least one
/// duration must lie beyond it; otherwise it would be the maximum under another name. So p90 needs 10 durations, p95
/// 20, p99 100 and p99.9 1,000.
pub fn exists(quantile: f64, count: u64) -> bool {
    count > 0 && (quantile <= 0.5 || count as f64 * (1.0 - quantile) >= 1.0 - ROUNDING)
}

#[cfg(test)]
mod tests {
    use super::exists;

    #[test]
    fn one_duration_lies_beyond_a_percentile() {
        for (quantile, least) in [(0.0, 1), (0.5, 1), (0.75, 4), (0.9, 10), (0.95, 20), (0.99, 100), (0.999, 1_000)] {
            assert!(exists(quantile, least) && !exists(quantile, least - 1), "{quantile}");
        }
    }
}
