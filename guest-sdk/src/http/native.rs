//! Requests of a native `cargo test`, sent by the machine itself.

use super::Response;
use super::url::Url;

pub(super) fn send(method: &str, url: &Url, headers: &[(String, String)], body: &[u8]) -> Result<Response, String> {
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
    let headers =
        response.headers().iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(u64::MAX).read_to_vec().map_err(|error| error.to_string())?;
    Ok(Response::new(status, headers, body))
}
