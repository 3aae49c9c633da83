//! What a native `cargo test` of a task gives and asks in Gorgon's place; does not exist in the built task.
//!
//! All of it belongs to the thread that calls, so that tests can run in parallel.
//!
//! ```
//! use gorgon_guest::{data, testing};
//!
//! #[gorgon_guest::operation]
//! fn greet(n: u64) -> &'static str {
//!     match data::row_for(n) {
//!         Some(user) if user["name"] == "eve" => gorgon_guest::fail("eve is not welcome"),
//!         _ => {}
//!     }
//!     "greeted"
//! }
//!
//! testing::set_data(["name"], &[["ann"], ["eve"]]);
//! assert_eq!(greet(0), "greeted");
//! assert_eq!(testing::take_failure(), None);
//! assert_eq!(greet(1), "greeted");
//! assert_eq!(testing::take_failure().as_deref(), Some("eve is not welcome"));
//! ```

use crate::host::with_state;

/// The reason first given to [`fail`](crate::fail) since the last time this was asked; `None` if there was none.
pub fn take_failure() -> Option<String> {
    with_state(|state| state.failure.take())
}

/// Sets what [`prepared`](crate::prepared) returns.
pub fn set_prepared(prepared: impl Into<String>) {
    let prepared = prepared.into();
    with_state(|state| state.prepared = prepared);
}

/// Sets what [`is_warmup`](crate::is_warmup) returns.
pub fn set_warmup(is_warmup: bool) {
    with_state(|state| state.is_warmup = is_warmup);
}

/// Sets the rows that [`data`](crate::data) gives: the names of the columns, then the rows.
pub fn set_data<const COLUMNS: usize>(columns: [&str; COLUMNS], rows: &[[&str; COLUMNS]]) {
    let owned = |fields: &[&str; COLUMNS]| fields.map(str::to_owned).to_vec();
    let (columns, rows) = (owned(&columns), rows.iter().map(owned).collect());
    with_state(|state| (state.columns, state.rows) = (columns, rows));
}
