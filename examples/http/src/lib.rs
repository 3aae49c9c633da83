//! A GET request; its status is the result. `URL` in the environment says where to.

use gorgon_guest::http;

#[gorgon_guest::operation]
fn get(_n: u64) -> Result<u16, http::Error> {
    let url = std::env::var("URL").unwrap_or_else(|_| "http://127.0.0.1:8080/".into());
    Ok(http::get(&url).send()?.status())
}
