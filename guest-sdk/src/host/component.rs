//! The host as a component sees it: the imports of `gorgon:task`.
//!
//! Owns nothing but the choice of bindings; `native.rs` is the same set of functions without a host.

pub(crate) use crate::bindings::host::gorgon::task::current::{Span, fail};
pub(crate) use crate::bindings::host::gorgon::task::run::{columns, is_warmup, prepared, row, rows};
