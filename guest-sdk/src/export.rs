//! What the attributes expand to: the step from a task's function to an export of the component.
//!
//! Owns how return values become results. Not part of the public interface: only the attributes use it.

use std::any::Any;
use std::fmt::Display;

/// Exports `$f` as `hook shape`. Off wasm there is nothing to export to, and only the types are checked.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    (operation plain $f:ident) => {
        $crate::__export!(kept::task, operation(n: u64) -> ::std::string::String { $crate::export::text($f(n)) });
    };
    (operation fallible $f:ident) => {
        $crate::__export!(
            kept::fallible_task,
            operation(n: u64) -> $crate::export::Fallible<::std::string::String> { $crate::export::fallible($f(n)) }
        );
    };
    (setup plain $f:ident) => {
        $crate::__export!(with_setup, setup() -> $crate::export::Fallible<()> { $crate::export::Hook::done($f()) });
    };
    (teardown plain $f:ident) => {
        $crate::__export!(with_teardown, teardown() -> $crate::export::Fallible<()> { $crate::export::Hook::done($f()) });
    };
    (prepare plain $f:ident) => {
        $crate::__export!(
            with_prepare,
            prepare() -> $crate::export::Fallible<::std::string::String> {
                ::core::result::Result::Ok($crate::export::text($f()))
            }
        );
    };
    (prepare fallible $f:ident) => {
        $crate::__export!(
            with_prepare,
            prepare() -> $crate::export::Fallible<::std::string::String> { $crate::export::fallible($f()) }
        );
    };
    (cleanup plain $f:ident) => {
        $crate::__export!(
            with_cleanup,
            cleanup(prepared: ::std::string::String) -> $crate::export::Fallible<()> {
                $crate::export::Hook::done($f(prepared))
            }
        );
    };
    (cleanup borrowed $f:ident) => {
        $crate::__export!(
            with_cleanup,
            cleanup(prepared: ::std::string::String) -> $crate::export::Fallible<()> {
                $crate::export::Hook::done($f(&prepared))
            }
        );
    };
    ($($world:ident)::+, $name:ident($($argument:ident: $type:ty)?) -> $result:ty $body:block) => {
        const _: () = {
            // A type, and not a bare function, so that no name of the task is hidden from `$body`.
            enum Exports {}

            #[cfg(target_family = "wasm")]
            impl $crate::bindings::$($world)::+::Guest for Exports {
                fn $name($($argument: $type)?) -> $result $body
            }
            #[cfg(target_family = "wasm")]
            $crate::bindings::$($world)::+::export!(Exports with_types_in $crate::bindings::$($world)::+);

            #[cfg(not(target_family = "wasm"))]
            impl Exports {
                fn $name($($argument: $type)?) -> $result $body
            }
            #[cfg(not(target_family = "wasm"))]
            const _: fn($($type)?) -> $result = Exports::$name;
        };
    };
}

/// What a fallible export returns.
pub type Fallible<T> = Result<T, String>;

/// The text of a result. A `String` is handed on as it is, not copied: this runs in the timed window.
pub fn text<T: Display + 'static>(value: T) -> String {
    let mut slot = Some(value);
    match (&mut slot as &mut dyn Any).downcast_mut::<Option<String>>().and_then(Option::take) {
        Some(string) => string,
        None => slot.map(|value| value.to_string()).unwrap_or_default(),
    }
}

/// The texts of both sides of a result.
pub fn fallible<T: Display + 'static, E: Display + 'static>(result: Result<T, E>) -> Fallible<String> {
    result.map(text).map_err(text)
}

/// What a hook that produces nothing may return.
#[diagnostic::on_unimplemented(
    message = "`setup`, `teardown` and `cleanup` return nothing or a `Result<(), E>` where `E` can be displayed",
    label = "returns `{Self}`"
)]
pub trait Hook {
    /// Whether it succeeded, and why not.
    fn done(self) -> Fallible<()>;
}

impl Hook for () {
    fn done(self) -> Fallible<()> {
        Ok(())
    }
}

impl<E: Display> Hook for Result<(), E> {
    fn done(self) -> Fallible<()> {
        self.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{fallible, text};

    #[test]
    fn a_string_is_handed_on_without_a_copy() {
        let string = String::from("SUCCESS");
        let address = string.as_ptr();
        let text = text(string);
        assert_eq!((text.as_str(), text.as_ptr()), ("SUCCESS", address));
    }

    #[test]
    fn anything_displayed_is_a_result() {
        assert_eq!(text("even"), "even");
        assert_eq!(text(200_u16), "200");
        assert_eq!(fallible::<_, String>(Ok('x')), Ok("x".to_owned()));
        assert_eq!(fallible::<String, _>(Err(std::fmt::Error)), Err(std::fmt::Error.to_string()));
    }
}
