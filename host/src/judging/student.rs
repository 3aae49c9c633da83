//! Student's t distribution.

/// The quantile of Student's t distribution, for quantiles above the median.
pub(super) fn quantile(quantile: f64, freedom: f64) -> f64 {
    // Two units have one degree of freedom; above some thousands t is as good as normal.
    let freedom = freedom.clamp(1.0, 1e4);
    let x = puruspe::invbetai(2.0 * (1.0 - quantile), freedom / 2.0, 0.5);
    (freedom * (1.0 / x - 1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    #[test]
    fn students_table() {
        for (quantile, freedom, t) in [
            (0.975, 1.0, 12.7062),
            (0.975, 2.5, 3.5747),
            (0.995, 4.0, 4.6041),
            (0.975, 9.0, 2.2622),
            (0.9, 18.0, 1.3304),
            (0.9995, 18.0, 3.9216),
            (0.99999, 5.0, 15.5469),
            (0.975, 1e9, 1.9602),
        ] {
            let ours = super::quantile(quantile, freedom);
            assert!((ours - t).abs() < 2e-4, "{quantile} of {freedom}: {ours}, not {t}");
        }
    }
}
