//! Reports, comparisons and searches as people and other programs read them: one file per format.
//!
//! A renderer computes no figure: it shows those of `report` and the conclusions of `judging`, with the words and units
//! of `report`. Knows neither the engine nor how a run is run.

pub mod compare;
pub mod csv;
pub mod find;
pub mod hlog;
pub mod html;
pub mod json;
pub mod junit;
pub mod openmetrics;
pub mod text;

#[cfg(test)]
mod tests;
