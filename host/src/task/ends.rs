//! What ended a call or an instance before its time, in words. Does not know how either is made.

use std::time::{Duration, Instant};

use wasmtime::component::ResourceTableError;
use wasmtime::{GcHeapOutOfMemory, ThrownException, Trap};
use wasmtime_wasi::I32Exit;

use crate::capability::guest::Guest;
use crate::fault::remedy;
use crate::guest_text::cut;

/// What ended a call that began at `began` with `error`, and a reason if there is more to say.
#[cold]
pub(super) fn named(error: &wasmtime::Error, guest: &Guest, began: Instant) -> (String, Option<String>) {
    let memory = &guest.memory;
    let (name, reason) = match error.downcast_ref::<Trap>() {
        // A guest that gets no more memory gives up by `unreachable`. The cause is the better name.
        Some(Trap::UnreachableCodeReached) if memory.has_refused() => (
            "out of memory".into(),
            Some(format!("it asked for more than --max-memory {} allows", iec(memory.max_bytes()))),
        ),
        Some(Trap::UnreachableCodeReached) => ("unreachable".into(), None),
        Some(Trap::StackOverflow) => ("stack overflow".into(), None),
        Some(Trap::CannotLeaveComponent) => {
            let why =
                "it called an import inside of `cabi_realloc`, or while its result was given back, and may call none";
            ("interface misused".into(), Some(why.into()))
        }
        Some(trap) => (trap.to_string().trim_start_matches("wasm trap: ").to_owned(), None),
        None if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) => {
            let most = iec(memory.max_bytes());
            let reason = format!("it and what the host holds for it take more than --max-memory {most} allows");
            ("out of memory".into(), Some(reason))
        }
        None if error.is::<ThrownException>() => {
            ("uncaught exception".into(), Some("it threw an exception that nobody caught".into()))
        }
        None if error.is::<GcHeapOutOfMemory<()>>() && !memory.has_refused() => {
            let why =
                "the system gave no more memory for its objects; use fewer operations in flight in a process, or -p";
            ("out of memory".into(), Some(why.into()))
        }
        None if error.is::<GcHeapOutOfMemory<()>>() => {
            let most = iec(memory.max_bytes());
            ("out of memory".into(), Some(format!("its objects take more than --max-memory {most} allows")))
        }
        None => match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(code)) => (format!("exit {code}"), None),
            None if error.root_cause().to_string().contains("fuel allocated for hostcalls") => {
                let most = iec(memory.max_passed() as u64);
                ("too much data".into(), Some(format!("it passed more than {most} to the host in one call")))
            }
            None => match error.root_cause().downcast_ref::<std::io::Error>() {
                Some(of_system) => ("host failed".into(), Some(format!("{of_system}{}", remedy(of_system)))),
                // What it returned, or gave to the host, is not what its type says.
                None => ("interface misused".into(), Some(misused(&error.root_cause().to_string()))),
            },
        },
    };
    let reason = reason.or_else(|| guest.last_words(began));
    (name, reason.map(|reason| cut(&reason).to_owned()))
}

/// How an interface was misused, with what often lies behind it: a module does not say what its functions return.
fn misused(words: &str) -> String {
    let often = if words.contains("discriminant") {
        "; it returned no result<…>: an operation that returns a string needs no --fallible, a hook returns a place"
    } else if words.contains("string pointer/length") || words.contains("utf-8") {
        "; the place that it returned does not have a text's address and length (after a tag, if --fallible)"
    } else {
        ""
    };
    format!("{words}{often}")
}

/// Why an instance was not made in time.
pub(super) fn too_long(timeout: Option<Duration>) -> String {
    let most = timeout.map(humantime::format_duration).map(|most| format!(" than --hook-timeout {most}"));
    format!("its start function took longer{}", most.unwrap_or_default())
}

/// A size as people write it for `--max-memory`.
pub(super) fn iec(bytes: u64) -> impl std::fmt::Display {
    bytesize::ByteSize(bytes).display().iec()
}
