//! Hooks that are none.

use gorgon_guest::{cleanup, prepare, setup, teardown};

#[setup]
fn numbered_setup(n: u64) {
    let _ = n;
}

#[teardown]
fn numbered_teardown(n: u64) {
    let _ = n;
}

#[prepare]
fn prepares_nothing() {}

#[cleanup]
fn cleans_nothing() {}

#[cleanup]
fn cleans_bytes(prepared: &[u8]) {
    let _ = prepared;
}

fn main() {}
