//! What is concluded from reports: whether a run kept its promises, whether one is slower than another, and what a
//! probe says of a rate. Reports in, conclusions out: knows neither how a run is run nor how a conclusion is shown.

pub mod compare;
pub mod probe;
pub mod search;
pub mod verdict;
