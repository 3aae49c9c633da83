//! The export of an operation whose result is kept until the next call.
//!
//! wit-bindgen has a result freed by a second export, `cabi_post_operation`, for which the host enters the guest once
//! more after every operation: a quarter of what it costs to call an operation that does nothing. A component may do
//! without; here a result is freed when the next operation begins. Everything else is as wit-bindgen generated it.

/// Stands in for the `export_world_…_cabi` macro of either world.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_kept {
    ($exports:ident with_types_in $($bindings:tt)*) => {
        const _: () = {
            #[unsafe(export_name = "operation")]
            unsafe extern "C" fn operation(n: i64) -> *mut u8 {
                use ::core::sync::atomic::{AtomicPtr, Ordering::Relaxed};
                static KEPT: AtomicPtr<u8> = AtomicPtr::new(::core::ptr::null_mut());
                let kept = KEPT.load(Relaxed);
                // SAFETY: an instance is called by one thread, and never again after a trap. So what is kept is the
                // result of the call before, which the host has copied by now, as it would have at a post-return.
                unsafe {
                    if !kept.is_null() {
                        $($bindings)*::__post_return_operation::<$exports>(kept);
                    }
                    let result = $($bindings)*::_export_operation_cabi::<$exports>(n);
                    KEPT.store(result, Relaxed);
                    result
                }
            }
        };
    };
}

pub mod fallible_task {
    pub use crate::__export_kept as __export_world_fallible_task_cabi;
    pub use crate::bindings::fallible_task::*;
}

pub mod task {
    pub use crate::__export_kept as __export_world_task_cabi;
    pub use crate::bindings::task::*;
}
