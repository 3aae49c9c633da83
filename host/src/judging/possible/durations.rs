//! Whether durations can be true: their figures among each other, and with their histogram.

use super::flaw::{Checked, TOLERANCE, flaw, time};
use crate::metrics::HIGHEST_NS;
use crate::report::Summary;

/// Durations, of which there are `wanted`, if that is known.
pub(super) fn summary(summary: &Summary, wanted: Option<u64>) -> Checked {
    let Summary { count, min, mean, p50, p90, p95, p99, p99_9, max, .. } = *summary;
    if let Some(wanted) = wanted.filter(|&wanted| wanted != count) {
        return flaw("count", format!("is {count}, and there are {wanted}"));
    }
    // Each is at least as long as the one before it, as far as they exist.
    let ascending =
        [("min", min), ("p50", p50), ("p90", p90), ("p95", p95), ("p99", p99), ("p99_9", p99_9), ("max", max)];
    let known: Vec<_> = ascending.into_iter().filter_map(|(name, ns)| Some((name, ns?))).collect();
    if count == 0 {
        if summary.sum.is_some_and(|sum| sum > 0)
            || summary.overflow > 0
            || mean.or(summary.stdev).is_some_and(|ns| ns > 0)
        {
            return flaw("sum", "or another figure is that of nothing: count is 0");
        }
        return known.first().map_or(Ok(()), |(name, _)| flaw(name, "is the duration of nothing: count is 0"));
    }
    let (Some(min), Some(max)) = (min, max) else { return flaw("max", "or min is null, though there are durations") };
    if let Some(pair) = known.windows(2).find(|pair| pair[0].1 > pair[1].1) {
        let [(name, ns), (next, longer)] = [pair[0], pair[1]];
        return flaw(name, format!("is {ns}, more than {next}, {longer}"));
    }
    if let Some(mean) = mean.filter(|mean| !(min..=max).contains(mean)) {
        return flaw("mean", format!("is {mean}, and not between min, {min}, and max, {max}"));
    }
    time(max, "max")?;
    let (least, most) = (u128::from(min) * u128::from(count), u128::from(max) * u128::from(count));
    if let Some(sum) = summary.sum.filter(|sum| !(least..=most).contains(sum)) {
        return flaw("sum", format!("is {sum}, and not between {count} times min and {count} times max"));
    }
    if let Some((sum, mean)) = summary.sum.zip(mean) {
        let is = sum / u128::from(count);
        if is.abs_diff(u128::from(mean)) > 1 {
            return flaw("mean", format!("is {mean}, and sum over count is {is}"));
        }
    }
    // It is that of the histogram, which keeps three digits.
    if summary.stdev.is_some_and(|stdev| stdev > max - min + max / 100 + 1) {
        return flaw("stdev", format!("is more than the range from min, {min}, to max, {max}"));
    }
    if summary.overflow > count || (summary.overflow > 0 && max <= HIGHEST_NS) {
        return flaw("overflow", "counts durations that are not there");
    }
    of_histogram(summary, min, max, &known)
}

/// Whether figures are those of the histogram. Durations of more than an hour are an hour there.
fn of_histogram(summary: &Summary, min: u64, max: u64, figures: &[(&str, u64)]) -> Checked {
    let Some(hdr) = summary.histogram() else { return flaw("hdr", "is no histogram that gorgon writes") };
    if hdr.len() != summary.count {
        return flaw("hdr", format!("has {} durations, and count is {}", hdr.len(), summary.count));
    }
    if !is_mean_of(summary, hdr.mean()) {
        return flaw("mean", "and sum are not those of hdr");
    }
    let is_near = |a: u64, b: u64| a.abs_diff(b) as f64 <= TOLERANCE * a.max(b) as f64 + 1.0;
    for &(name, ns) in figures {
        let in_hdr = match name {
            "min" => hdr.min(),
            "max" => hdr.max(),
            "p50" => hdr.value_at_quantile(0.5),
            "p90" => hdr.value_at_quantile(0.9),
            "p95" => hdr.value_at_quantile(0.95),
            "p99" => hdr.value_at_quantile(0.99),
            _ => hdr.value_at_quantile(0.999),
        };
        if !is_near(ns.min(HIGHEST_NS), in_hdr.max(min.min(HIGHEST_NS)).min(max)) {
            return flaw(name, format!("is {ns}, and {in_hdr} in hdr"));
        }
    }
    Ok(())
}

/// Whether a summary has a sum, or a mean, that fits the mean of its histogram.
fn is_mean_of(summary: &Summary, mean_ns: f64) -> bool {
    if summary.sum.is_none() && summary.mean.is_none() {
        return false;
    }
    let exact_ns = summary.sum() as f64 / summary.count as f64;
    // A histogram counts longer durations as an hour. It counts 0 ns as 1 ns.
    let is_capped = summary.overflow > 0 && exact_ns >= mean_ns && mean_ns <= HIGHEST_NS as f64 * (1.0 + TOLERANCE);
    is_capped || (exact_ns - mean_ns).abs() <= TOLERANCE * mean_ns + 1.0
}
