//! Renders reports, comparisons and searches for people and other programs, with one file per format.
//!
//! A renderer computes no figure. It shows those of `report` and the conclusions of `judging`, with the words and units
//! of `report`. It knows neither the engine nor how a run works.

pub mod compare;
pub mod csv;
pub mod find;
pub mod hlog;
pub mod html;
pub mod json;
pub mod junit;
mod lines;
pub mod markdown;
pub mod openmetrics;
pub mod text;

#[cfg(test)]
mod tests;
