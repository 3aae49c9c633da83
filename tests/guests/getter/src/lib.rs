//! Sends `GET $URL/n`; the body is the result. With `CPU_US=us` it computes for so many microseconds before.

use std::time::{Duration, Instant};

use gorgon_guest::http;

#[gorgon_guest::operation]
fn operation(n: u64) -> Result<String, http::Error> {
    let url = std::env::var("URL").unwrap_or_default();
    let cpu = std::env::var("CPU_US").ok().and_then(|us| us.parse().ok()).unwrap_or(0);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_micros(cpu) {}
    Ok(http::request("GET", &format!("{url}/{n}")).span("get").send()?.text())
}
