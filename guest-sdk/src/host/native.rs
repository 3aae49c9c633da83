//! The host that stands in for Gorgon in a native test: what `testing` set, per thread, as tests run in parallel.
//!
//! Owns that state. `component.rs` is the same set of functions where there is a host.

use std::cell::RefCell;

#[derive(Default)]
pub(crate) struct State {
    pub(crate) failure: Option<String>,
    pub(crate) prepared: String,
    pub(crate) is_warmup: bool,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

pub(crate) fn with_state<T>(f: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(f)
}

/// A span that nobody times.
pub(crate) struct Span;

impl Span {
    pub(crate) fn start(_name: &str) -> Self {
        Self
    }
}

pub(crate) fn fail(reason: &str) {
    // The first reason is the one that the report gives.
    with_state(|state| {
        state.failure.get_or_insert_with(|| reason.to_owned());
    });
}

pub(crate) fn prepared() -> String {
    with_state(|state| state.prepared.clone())
}

pub(crate) fn is_warmup() -> bool {
    with_state(|state| state.is_warmup)
}

pub(crate) fn rows() -> u64 {
    with_state(|state| state.rows.len() as u64)
}

pub(crate) fn columns() -> Vec<String> {
    with_state(|state| state.columns.clone())
}

/// Panics where there is no such row, as the host traps.
pub(crate) fn row(i: u64) -> Vec<String> {
    with_state(|state| state.rows[i as usize].clone())
}
