//! Draws conclusions from reports: whether a run kept its promises, whether one task is slower than another, and what a
//! probe says about a rate. Reports go in, conclusions come out. This module knows neither how a run works nor how
//! conclusions are shown.

pub mod backlog;
pub mod compare;
pub mod evidence;
pub mod instances;
mod possible;
pub mod probe;
#[cfg(test)]
mod queue;
pub mod read;
pub mod search;
mod student;
pub mod verdict;
