//! The named parts of operations and how long they took.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::{Histogram, OTHER};
use crate::guest_text::{GuestText, cut};

/// How many distinct span names are kept for one result. A task that makes up names must not exhaust the memory.
const MAX_NAMES: usize = 100;

/// All spans of one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The name the task gave.
    pub name: GuestText,
    /// How long they took.
    pub latency: Histogram,
    /// How many of them have failed.
    pub failed: u64,
}

/// Where the spans of one name are in [`Spans`], until those are cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanIndex(usize);

/// Spans by name, in the order in which the names were first seen, which is the order of the task's steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spans(Vec<Span>);

impl Spans {
    /// Counts one span of `ns` nanoseconds.
    pub fn record(&mut self, name: &str, ns: u64) -> SpanIndex {
        let index = self.index(cut(name), MAX_NAMES);
        self.0[index].latency.record(ns);
        SpanIndex(index)
    }

    /// Counts a failure of one of the spans at `index`.
    pub fn failed(&mut self, index: SpanIndex) {
        self.0[index.0].failed += 1;
    }

    /// Whether there are no spans.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets all spans.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// One entry per name.
    pub fn iter(&self) -> impl Iterator<Item = &Span> {
        self.0.iter()
    }

    /// Adds the spans of `other`. At most `room` more names are kept besides [`OTHER`]; returns how many were added.
    pub(super) fn add(&mut self, other: &Self, room: usize) -> usize {
        let before = self.0.len();
        for span in &other.0 {
            let kept = self.0.len() - before;
            let index = self.index(span.name.raw(), room.saturating_sub(kept));
            self.0[index].latency += &span.latency;
            self.0[index].failed += span.failed;
        }
        self.0.len() - before
    }

    /// Where the spans of one name are, or those of [`OTHER`] if the name is new and there is no room for it.
    fn index(&mut self, name: &str, room: usize) -> usize {
        let known = |spans: &[Span], name: &str| spans.iter().position(|span| span.name == *name);
        let has_room = room > 0 && self.0.len() < MAX_NAMES;
        let name = if known(&self.0, name).is_some() || has_room { name } else { OTHER };
        known(&self.0, name).unwrap_or_else(|| {
            self.0.push(Span { name: name.into(), latency: Histogram::default(), failed: 0 });
            self.0.len() - 1
        })
    }
}

impl AddAssign<&Spans> for Spans {
    fn add_assign(&mut self, other: &Spans) {
        self.add(other, MAX_NAMES);
    }
}
