//! Requests of a native `cargo test`, sent by the machine itself.

use std::io::{self, Read};

use super::url::Url;
use super::{Received, Wanted};

/// A response's headers.
#[derive(Debug)]
pub(super) struct Headers(ureq::http::HeaderMap);

impl Headers {
    /// The values of one header that are text.
    pub(super) fn get(&self, name: &str) -> Vec<String> {
        self.0.get_all(name).iter().filter_map(|value| value.to_str().ok().map(str::to_owned)).collect()
    }

    /// The bytes of the first value of a header.
    pub(super) fn first(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get(name).map(|value| value.as_bytes().to_vec())
    }

    /// Every header whose value is text.
    pub(super) fn all(&self) -> Vec<(String, String)> {
        let text = self.0.iter().filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
        text.collect()
    }
}

pub(super) fn send(
    method: &str,
    url: &Url,
    headers: &[(String, String)],
    body: &[u8],
    wanted: Wanted,
) -> Result<Received, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .allow_non_standard_methods(true)
        .build()
        .into();
    let mut request = ureq::http::Request::builder().method(method).uri(url.to_string());
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let sent = match body {
        [] => request.body(()).map_err(|error| error.to_string()).map(|request| agent.run(request)),
        body => request.body(body.to_vec()).map_err(|error| error.to_string()).map(|request| agent.run(request)),
    };
    let mut response = sent?.map_err(|error| error.to_string())?;
    let headers = Headers(response.headers().clone());
    let status = response.status().as_u16();
    let mut reader = response.body_mut().with_config().limit(u64::MAX).reader();
    let mut body = Vec::new();
    match wanted {
        Wanted::Body => reader.read_to_end(&mut body).map(drop),
        Wanted::Head => io::copy(&mut reader, &mut io::sink()).map(drop),
    }
    .map_err(|error| error.to_string())?;
    Ok(Received { status, headers, body })
}
