//! The collector that messages are sent to: where it is, what it is told with each message, and what it answers.
//!
//! Its address and its headers may have secrets. A collector may repeat them in its answers, in these letters or in
//! others, so what it says is shown only if there are none.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderName, HeaderValue, Uri, header};
use percent_encoding::percent_decode_str;
use prost::Message;
use url::Url;

use super::PATIENCE;
use crate::guest_text;

/// The port of OTLP over gRPC, which is not spoken here.
const GRPC: u16 = 4317;

/// A shorter word of a header is no secret, and may be a part of any sentence.
const SHORTEST_SECRET: usize = 4;

/// A header that the user sends along.
pub type Header = (HeaderName, HeaderValue);

/// Where a collector is, such as `http://127.0.0.1:4318`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Url);

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const REMEDY: &str = "write http://HOST:4318, or https://";
        let url = Url::parse(text).map_err(|error| match error {
            url::ParseError::RelativeUrlWithoutBase => REMEDY.to_owned(),
            error => format!("{error}: {REMEDY}"),
        })?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(REMEDY.into());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it ends with a path at most: /v1/metrics and /v1/traces are added".into());
        }
        let path = url.path().trim_end_matches('/');
        if let Some(signal) = ["/v1/metrics", "/v1/traces", "/v1/logs"].iter().find(|signal| path.ends_with(**signal)) {
            return Err(format!("leave out {signal}: /v1/metrics and /v1/traces are added"));
        }
        let endpoint = Self(url);
        // What sends is stricter.
        endpoint.of("metrics").parse::<Uri>().map_err(|error| format!("{error}: {REMEDY}"))?;
        Ok(endpoint)
    }
}

impl fmt::Display for Endpoint {
    /// The host alone: a user, a password and a path may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        self.0.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Endpoint {
    /// The address of one kind of messages.
    fn of(&self, signal: &str) -> String {
        format!("{}/v1/{signal}", self.0.as_str().trim_end_matches('/'))
    }

    /// What nobody is to see of it.
    fn secrets(&self) -> Vec<String> {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (user, password) = (self.0.username(), self.0.password().unwrap_or_default());
        let both = BASE64_STANDARD.encode(format!("{}:{}", decoded(user), decoded(password)));
        let of_path = self.0.path_segments().into_iter().flatten();
        let written = [user, password].into_iter().chain(of_path);
        written.flat_map(|part| [part.to_owned(), decoded(part)]).chain([both]).collect()
    }
}

/// Parses what `OTEL_EXPORTER_OTLP_HEADERS` has: `name=value,name=value`, with values as in URLs. No error has a value.
pub fn headers(text: &str) -> Result<Vec<Header>, String> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs.map(header).collect()
}

fn header(pair: &str) -> Result<Header, String> {
    let (typed, value) = pair.split_once('=').ok_or("write NAME=VALUE, with commas between several")?;
    let typed = typed.trim();
    let name: HeaderName = typed.parse().map_err(|_| format!("`{typed}` is not a name of a header"))?;
    let own = [
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::EXPECT,
        header::HOST,
        header::TE,
        header::TRAILER,
        header::UPGRADE,
    ];
    if own.contains(&name) {
        return Err(format!("gorgon itself sends `{name}`: leave it out"));
    }
    let value = percent_decode_str(value.trim()).decode_utf8().ok();
    let value = value.and_then(|value| HeaderValue::from_str(&value).ok());
    let value = value.filter(|value| value.to_str().is_ok());
    let wrong = || format!("the value of `{name}` has characters that no header can have: write them as in URLs");
    Ok((name.clone(), value.ok_or_else(wrong)?))
}

pub(super) struct Collector {
    endpoint: Endpoint,
    headers: Vec<Header>,
    agent: ureq::Agent,
    /// Whether it is told anything that nobody else is to know.
    has_secrets: bool,
    secrets: Vec<String>,
}

impl Collector {
    pub(super) fn new(endpoint: Endpoint, headers: Vec<Header>) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            // Whoever named the collector named no other place, and the headers are for it alone.
            .max_redirects(0)
            .proxy(None);
        let values = headers.iter().filter_map(|(_, value)| value.to_str().ok());
        let words = values.flat_map(|value| [value].into_iter().chain(value.split_whitespace()));
        let mut secrets: Vec<String> = words.map(str::to_owned).chain(endpoint.secrets()).collect();
        secrets.retain(|secret| secret.len() >= SHORTEST_SECRET);
        // One may be a part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let Endpoint(url) = &endpoint;
        let has_user = !url.username().is_empty() || url.password().is_some();
        let has_secrets = has_user || !headers.is_empty() || !matches!(url.path(), "" | "/");
        Self { agent: config.build().into(), endpoint, headers, has_secrets, secrets }
    }

    /// Sends a message to the address of `signal`.
    pub(super) fn post(&self, signal: &str, message: &impl Message) -> Result<(), String> {
        self.try_to_post(signal, message).map_err(|problem| {
            let problem = self.secrets.iter().fold(problem, |problem, secret| problem.replace(secret, "***"));
            match self.endpoint.0.port() {
                Some(GRPC) => format!("{problem}; {GRPC} is the port of gRPC: OTLP over HTTP is usually at 4318"),
                _ => problem,
            }
        })
    }

    fn try_to_post(&self, signal: &str, message: &impl Message) -> Result<(), String> {
        let mut request = self.agent.post(self.endpoint.of(signal)).content_type("application/x-protobuf");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut answer = request.send(message.encode_to_vec()).map_err(|error| error.to_string())?;
        let status = answer.status();
        if !status.is_success() {
            let body = answer.body_mut().read_to_string().unwrap_or_default();
            return Err(self.with_words(status.to_string(), body.lines().next().unwrap_or_default()));
        }
        if answer.body().mime_type() == Some("text/html") {
            return Err("a page answers, and no collector".into());
        }
        // It says how much of the message it did not take.
        let body = answer.body_mut().read_to_vec().unwrap_or_default();
        refused(signal, &body)
            .map_or(Ok(()), |(count, why)| Err(self.with_words(format!("it refused {count} of {signal}"), &why)))
    }

    /// A problem, and what the collector says about it.
    fn with_words(&self, problem: String, said: &str) -> String {
        let said = guest_text::line(said.trim());
        if said.is_empty() || self.has_secrets { problem } else { format!("{problem}: {said}") }
    }
}

/// What a collector says that it did not take, if it says so.
fn refused(signal: &str, answer: &[u8]) -> Option<(i64, String)> {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse as Metrics;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse as Traces;
    let (count, why) = match signal {
        "metrics" => {
            Metrics::decode(answer).ok()?.partial_success.map(|of| (of.rejected_data_points, of.error_message))
        }
        _ => Traces::decode(answer).ok()?.partial_success.map(|of| (of.rejected_spans, of.error_message)),
    }?;
    (count > 0).then_some((count, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_place_of_http() {
        let endpoint: Endpoint = "http://user:secret@collector:4318/token/".parse().unwrap();
        assert_eq!(endpoint.to_string(), "http://collector:4318");
        assert_eq!(endpoint.of("traces"), "http://user:secret@collector:4318/token/v1/traces");
        for (wrong, remedy) in [
            ("collector:4318", "write http://HOST:4318"),
            ("127.0.0.1:4318", "write http://HOST:4318"),
            ("grpc://collector:4317", "write http://HOST:4318"),
            ("http://collector/?x=1", "a path at most"),
            ("http://collector/v1/traces", "leave out /v1/traces"),
            ("http://collector/v1/metrics/", "leave out /v1/metrics"),
            ("", "write http://HOST:4318"),
            ("http://", "write http://HOST:4318"),
        ] {
            let problem = wrong.parse::<Endpoint>().unwrap_err();
            assert!(problem.contains(remedy), "{wrong}: {problem}");
        }
    }

    #[test]
    fn headers_are_pairs() {
        let pairs = headers("authorization=Bearer%20t, x-scope = a=b ,").unwrap();
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(pairs, [("authorization", "Bearer t"), ("x-scope", "a=b")]);
        assert!(headers("").unwrap().is_empty());
        for (wrong, says) in [
            ("nothing", "write NAME=VALUE"),
            ("=s3cret", "is not a name of a header"),
            ("a b=s3cret", "`a b` is not a name"),
            ("content-type=text/s3cret", "leave it out"),
            ("x=s3cret%0a", "the value of `x`"),
            ("x=s3cret%ff", "the value of `x`"),
            ("x=s3crét", "the value of `x`"),
        ] {
            let problem = headers(wrong).unwrap_err();
            assert!(problem.contains(says) && !problem.contains("s3cr"), "{wrong}: {problem}");
        }
    }

    #[test]
    fn secrets_are_known_in_every_form() {
        let endpoint: Endpoint = "http://ann:s3%20cret@collector/t0ken".parse().unwrap();
        let collector = Collector::new(endpoint, headers("authorization=Bearer%20t1cket").unwrap());
        let base64 = BASE64_STANDARD.encode("ann:s3 cret");
        for secret in ["s3%20cret", "s3 cret", "t0ken", "t1cket", "Bearer t1cket", &base64] {
            assert!(collector.secrets.iter().any(|known| known == secret), "{secret}: {:?}", collector.secrets);
        }
        assert!(!collector.secrets.iter().any(|known| known == "ann"));
    }
}
