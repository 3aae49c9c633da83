//! The bindings of each world of `gorgon:task`, as wit-bindgen generated them from the repository's `wit` folder.
//!
//! Generated ahead and checked in, because generating them is most of a task's first build; `tests/bindings.rs`
//! regenerates and compares them. Only how an operation is exported is written by hand (`kept.rs`). One module per world,
//! so that a task exports and imports only what it uses. All the `unsafe` of this crate is here.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::mem_forget,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    reason = "generated code"
)]

#[rustfmt::skip]
pub mod fallible_task;
#[rustfmt::skip]
pub mod host;
pub mod kept;
#[rustfmt::skip]
pub mod task;
#[rustfmt::skip]
pub mod with_cleanup;
#[rustfmt::skip]
pub mod with_prepare;
#[rustfmt::skip]
pub mod with_setup;
#[rustfmt::skip]
pub mod with_teardown;
