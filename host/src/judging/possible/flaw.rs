//! What cannot be, and the checks of single figures.

/// What cannot be.
#[derive(Debug, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct Impossible {
    field: String,
    problem: String,
}

pub(super) type Checked = Result<(), Impossible>;

/// Ten years, in nanoseconds: no run is longer.
const MOST_NS: u64 = 10 * 366 * 24 * 3_600 * 1_000_000_000;

/// The most operations, requests and the like per second.
const MOST_PER_SECOND: f64 = 1e12;

/// A histogram keeps three digits. Figures that are further apart than this are not the same.
pub(super) const TOLERANCE: f64 = 0.01;

/// A time that a run can take.
pub(super) fn time(ns: u64, field: &str) -> Checked {
    if ns <= MOST_NS { Ok(()) } else { flaw(field, format!("is {ns}, more than ten years")) }
}

pub(super) fn per_second(rate: Option<f64>, field: &str) -> Checked {
    rate.map_or(Ok(()), |rate| number(rate, MOST_PER_SECOND, field))
}

/// A number from 0 to `most`, give or take an error of rounding.
pub(super) fn number(number: f64, most: f64, field: &str) -> Checked {
    if (0.0..=most * (1.0 + 1e-9)).contains(&number) {
        Ok(())
    } else {
        flaw(field, format!("is {number}, and not between 0 and {most}"))
    }
}

pub(super) fn at_most(entries: usize, most: usize, field: &str) -> Checked {
    if entries <= most { Ok(()) } else { flaw(field, format!("has {entries} entries, and may have {most}")) }
}

/// The most entries of a list. Gorgon writes fewer, and some are compared with each other.
pub(super) const MOST_ENTRIES: usize = 10_000;

/// Checks each entry of a list, of which there may be [`MOST_ENTRIES`].
pub(super) fn all<T>(entries: &[T], field: &str, check: impl Fn(&T) -> Checked) -> Checked {
    at_most(entries.len(), MOST_ENTRIES, field)?;
    entries.iter().enumerate().try_for_each(|(i, entry)| check(entry).map_err(|flaw| flaw.of(&format!("{field}[{i}]"))))
}

pub(super) fn flaw(field: &str, problem: impl Into<String>) -> Checked {
    Err(Impossible::new(field, problem))
}

impl Impossible {
    pub(super) fn new(field: &str, problem: impl Into<String>) -> Self {
        Self { field: field.to_owned(), problem: problem.into() }
    }

    /// The same, seen from what has the field.
    pub(super) fn of(self, parent: &str) -> Self {
        Self { field: format!("{parent}.{}", self.field), ..self }
    }
}
