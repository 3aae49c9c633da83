//! A task that reads a file, writes one, and tries paths without a grant. Its result says which of these worked.

use std::fs;

#[gorgon_guest::operation]
fn files(_n: u64) -> String {
    let read = fs::read_to_string("/data/in.txt").unwrap_or_else(|_| "no".into());
    let written = if fs::write("/data/out.txt", "written").is_ok() { "yes" } else { "no" };
    let outside =
        if fs::metadata("/data/../etc/passwd").is_ok() || fs::metadata("/etc").is_ok() { "yes" } else { "no" };
    format!("read {read}, written {written}, outside {outside}")
}
