//! Write [Gorgon](https://github.com/gorgon-load/gorgon) tasks in Rust.
//!
//! A task is a WebAssembly component whose *operation* Gorgon calls many times, each time with a number that no other
//! call of the run gets. The string it returns is its *result*, by which the report groups the operations:
//!
//! ```
//! #[gorgon_guest::operation]
//! fn hello(n: u64) -> &'static str {
//!     if n.is_multiple_of(2) { "even" } else { "odd" }
//! }
//! ```
//!
//! With `crate-type = ["cdylib"]` under `[lib]` in its `Cargo.toml`, this crate is a task. It is built and run by
//!
//! ```text
//! cargo build --release --target wasm32-wasip2
//! gorgon run target/wasm32-wasip2/release/hello.wasm -n 4000
//! ```
//!
//! # What a task may do more
//!
//! - Time a part of the operation: [`span`].
//! - Say that an operation failed: return an `Err`, or call [`fail`].
//! - Do something once per instance, before and after its operations: [`setup`](macro@setup), [`teardown`].
//! - Do something once per run: [`prepare`] and [`cleanup`]; each operation gets what was [`prepared`].
//! - Take its input from the rows of `--data FILE.csv`: [`data`].
//! - Send HTTP requests: `http`, with this crate's feature `http`.
//!
//! A task imports and exports only what it uses.
//!
//! # Native tests
//!
//! The attributes leave their function as it is, so a plain `cargo test` can call it. There is no host then: spans do
//! nothing, and a test gives the rest by way of [`testing`].

pub mod data;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;
#[doc(hidden)]
pub mod export;
#[cfg_attr(target_family = "wasm", path = "host/component.rs")]
#[cfg_attr(not(target_family = "wasm"), path = "host/native.rs")]
mod host;
#[cfg(feature = "http")]
pub mod http;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

use std::fmt;

/// Makes a function the task's operation; a task has exactly one.
///
/// It takes the operation's number and returns its result: a `String`, a `&'static str` or anything else that
/// implements [`Display`](fmt::Display). Where the return type is called `Result`, an `Err` marks the operation as
/// failed and its text is the result:
///
/// ```
/// #[gorgon_guest::operation]
/// fn parse(n: u64) -> Result<&'static str, std::num::ParseIntError> {
///     let _: u64 = format!("{n}").parse()?;
///     Ok("parsed")
/// }
/// # assert_eq!(parse(7), Ok("parsed"));
/// ```
pub use gorgon_guest_macro::operation;

/// Makes a function what each instance of the task calls before its first operation, outside of the timed window.
///
/// It returns nothing, or a `Result` whose `Err` says why the instance cannot work.
///
/// ```
/// #[gorgon_guest::setup]
/// fn read_configuration() -> Result<(), std::env::VarError> {
///     let _target = std::env::var("TARGET")?;
///     Ok(())
/// }
/// ```
pub use gorgon_guest_macro::setup;

/// Makes a function what each instance of the task calls after its last operation, outside of the timed window.
///
/// It returns nothing, or a `Result` whose `Err` says what went wrong.
///
/// ```
/// #[gorgon_guest::teardown]
/// fn goodbye() {
///     println!("this instance is done");
/// }
/// ```
pub use gorgon_guest_macro::teardown;

/// Makes a function what the run calls once, before its first operation: a token to share, objects to create.
///
/// What it returns, a `String` or anything else that implements [`Display`](fmt::Display), each operation gets from
/// [`prepared`]. Where the return type is called `Result`, an `Err` says why the run cannot start.
///
/// ```
/// #[gorgon_guest::prepare]
/// fn sign_in() -> String {
///     "token-4711".to_owned()
/// }
/// ```
pub use gorgon_guest_macro::prepare;

/// Makes a function what the run calls once, after its last operation.
///
/// It takes what [`prepare`] returned, as `&str` or `String`, and returns nothing, or a `Result` whose `Err` says what
/// went wrong.
///
/// ```
/// #[gorgon_guest::cleanup]
/// fn sign_out(token: &str) {
///     println!("{token} is no longer valid");
/// }
/// ```
pub use gorgon_guest_macro::cleanup;

/// Starts a named part of the operation; the host times it until the guard is ended or dropped.
///
/// Bind the guard to a name: `let _ = span("login")` would end at once.
///
/// ```
/// let login = gorgon_guest::span("login");
/// // … the work of signing in …
/// login.end();
/// ```
pub fn span(name: &str) -> Span {
    Span { _host: host::Span::start(name) }
}

/// A part of the operation that runs until this guard is dropped; see [`span`].
#[must_use = "a span ends where its guard is dropped: bind it, as in `let login = span(\"login\");`"]
pub struct Span {
    /// The host ends a span that is dropped, so one crossing of the border does both.
    _host: host::Span,
}

impl Span {
    /// Ends the span here rather than at the end of its scope.
    pub fn end(self) {}
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Span").finish_non_exhaustive()
    }
}

/// Marks the running operation as failed, for this reason. The string it returns still names its result.
///
/// ```
/// #[gorgon_guest::operation]
/// fn checkout(n: u64) -> &'static str {
///     if n == 3 {
///         gorgon_guest::fail(format_args!("basket {n} is empty"));
///     }
///     "checkout"
/// }
/// # checkout(3);
/// # assert_eq!(gorgon_guest::testing::take_failure().as_deref(), Some("basket 3 is empty"));
/// ```
pub fn fail(reason: impl fmt::Display) {
    host::fail(&reason.to_string());
}

/// What [`prepare`] returned, once for the whole run; empty without it.
pub fn prepared() -> String {
    host::prepared()
}

/// Whether the operation now running is of the warm-up, whose operations are not counted. Their numbers have bit 63
/// set, so that they share none with the run, and do not fit an `i64`; [`data::row_for`] clears it.
///
/// ```
/// #[gorgon_guest::operation]
/// fn order(n: u64) -> &'static str {
///     if gorgon_guest::is_warmup() { "browsed" } else { "ordered" }
/// }
/// # assert_eq!(order(0), "ordered");
/// # gorgon_guest::testing::set_warmup(true);
/// # assert_eq!(order(1 << 63), "browsed");
/// ```
pub fn is_warmup() -> bool {
    host::is_warmup()
}
