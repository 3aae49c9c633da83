//! Why reports are not compared, and what to do about it.

/// Why reports cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A run was stopped.
    #[error(
        "`{0}` is partial, as a run did not reach the end of its plan: run it again, or compare it as it is with \
         --force"
    )]
    Partial(String),
    /// The sides have different numbers of plans.
    #[error(
        "`{a}` has runs of {in_a} tasks or plans, and `{b}` of {in_b}: run both alike, or compare those that both have \
         with --force"
    )]
    Plans {
        /// The files of the first side.
        a: String,
        /// The number of its plans.
        in_a: usize,
        /// The files of the other side.
        b: String,
        /// The number of its plans.
        in_b: usize,
    },
    /// The plans differ.
    #[error("`{a}` and `{b}` have different plans ({}): run both alike, or compare them with --force", .fields.join("; "))]
    Differ {
        /// The files of the first side.
        a: String,
        /// The files of the other side.
        b: String,
        /// The fields that differ.
        fields: Vec<String>,
    },
    /// A run is too short.
    #[error(
        "`{file}`, run {run} has {intervals} of {interval}, some perhaps empty, which is too little to tell a difference \
         from noise: run it for at least {least}, or several times (--shape 1x1 --shape 1x1 …)"
    )]
    Short {
        /// The file of its report.
        file: String,
        /// The number of the run in it, from 1.
        run: usize,
        /// The number of its intervals, in words.
        intervals: String,
        /// The length of an interval.
        interval: String,
        /// How long the run should take.
        least: String,
    },
    /// A side has too few operations.
    #[error("`{file}` has {operations} operations, which is too few for a median: run at least 20")]
    Few {
        /// The files of the side.
        file: String,
        /// The number of its operations.
        operations: u64,
    },
    /// A report has no run.
    #[error("`{0}` has no run: nothing can be compared")]
    Empty(String),
    /// A run is compared with itself, or counts twice.
    #[error(
        "{one} and {other} are the same run: compare different runs, because a copy shows nothing about chance, or \
         compare them as they are with --force"
    )]
    Copies {
        /// The run.
        one: String,
        /// The same run.
        other: String,
    },
    /// The histogram of an interval cannot be read. A report that was read has none such.
    #[error("`{file}`, run {run}: the histogram of an interval cannot be read; was the report edited?")]
    Unreadable {
        /// The report's file.
        file: String,
        /// The number of the run in it, from 1.
        run: usize,
    },
}
