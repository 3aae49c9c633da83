//! What systems have each in their own way: exact timers, the processor time of a thread, what the kernel tells about
//! itself. Everything else in the host is what all systems of the Unix family have.
//!
//! On Linux everything is there (`linux.rs`). Elsewhere (`other.rs`) timers count in milliseconds, and what the kernel
//! does not tell is `None`: a report then leaves that out.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
pub use linux::*;
#[cfg(not(target_os = "linux"))]
pub use other::*;
