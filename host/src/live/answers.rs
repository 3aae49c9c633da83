//! Answers the requests of viewers and of Prometheus.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crossbeam::channel::Sender;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, REFERRER_POLICY};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};

use super::{Board, Posted};
use crate::rendering::{html, openmetrics};

/// The longest time that a scrape waits for new figures.
const FRESH: Duration = Duration::from_secs(2);

type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// The page and the state that belongs to it.
pub(super) struct Site {
    pub(super) board: Board,
    pub(super) port: u16,
    pub(super) token: String,
    pub(super) stop: Sender<()>,
}

/// Answers a request for the page.
pub(super) fn page(site: &Site, request: &Request<Incoming>) -> Reply {
    // DNS rebinding: another site can point its name at loopback, but the browser then sends that name as `Host`.
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let ours = [format!("127.0.0.1:{}", site.port), format!("localhost:{}", site.port)];
    if !ours.iter().any(|name| name == host) {
        return text(StatusCode::FORBIDDEN, "this page is only served to 127.0.0.1 and localhost\n");
    }
    let path = request.uri().path().strip_prefix('/').and_then(|path| path.strip_prefix(site.token.as_str()));
    match (request.method(), path) {
        (_, None) => text(StatusCode::FORBIDDEN, "the address needs the token that gorgon printed\n"),
        (&Method::GET, Some("/")) => answer(StatusCode::OK, "text/html; charset=utf-8", whole(&site.board)),
        (&Method::GET, Some("/events")) => events(&site.board),
        (&Method::POST, Some("/stop")) => {
            // A run that has ended cannot be stopped.
            let ended = site.board.latest().is_some_and(|shown| shown.is_final());
            if !ended {
                // Sending fails if the run has just ended, and then there is nothing to stop.
                let _ = site.stop.send(());
            }
            text(StatusCode::ACCEPTED, "stopping\n")
        }
        _ => text(StatusCode::NOT_FOUND, "there is nothing here\n"),
    }
}

/// The names by which a client may address the server of figures.
pub(super) struct Names(Vec<String>);

impl Names {
    /// Those of a server that listens at `address`, as it was given: `localhost`, the name of the machine, and the name
    /// in the address.
    pub(super) fn of(address: &str) -> Self {
        let machine = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
        let given = address.rsplit_once(':').map_or(address, |(name, _)| name);
        Self([Some("localhost".into()), machine.ok(), Some(given.to_owned())].into_iter().flatten().collect())
    }

    /// Whether a `Host` is one of them, or an address. Another name may be that of a web site which points at this
    /// server, to read its figures through a person's browser (DNS rebinding).
    fn has(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<http::uri::Authority>() else { return false };
        if authority.as_str().contains('@') {
            return false;
        }
        // The library does not look at what follows an address in brackets.
        let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        if !port.is_empty() && authority.port_u16().is_none() {
            return false;
        }
        let name = authority.host().trim_start_matches('[').trim_end_matches(']');
        let is_named = |known: &String| known.eq_ignore_ascii_case(name.trim_end_matches('.'));
        name.parse::<IpAddr>().is_ok() || self.0.iter().any(is_named)
    }
}

/// Answers a scrape.
pub(super) async fn figures(board: Board, names: Arc<Names>, request: Request<Incoming>) -> Reply {
    // Only clients older than HTTP/1.1 leave it out, and no browser is one.
    let headers = request.headers().get_all(HOST).iter().map(|host| host.to_str().unwrap_or_default());
    let mut hosts = headers.chain(request.uri().authority().map(http::uri::Authority::as_str));
    if !hosts.all(|host| names.has(host)) {
        let remedy =
            "this server does not have the name in `Host`: use its address, or its name in --metrics NAME:PORT\n";
        return text(StatusCode::FORBIDDEN, remedy);
    }
    if request.uri().path() != "/metrics" {
        return text(StatusCode::NOT_FOUND, "figures are at /metrics\n");
    }
    let mut shown = board.0.shown.subscribe();
    let is_final = board.latest().is_some_and(|shown| shown.is_final());
    if !is_final {
        // If no new figures come in time, the scrape gets the current ones.
        let _ = tokio::time::timeout(FRESH, shown.changed()).await;
    }
    match board.latest() {
        Some(shown) => answer(StatusCode::OK, openmetrics::CONTENT_TYPE, openmetrics::render(&shown.report)),
        None => answer(StatusCode::OK, openmetrics::CONTENT_TYPE, "# EOF\n".into()),
    }
}

/// The complete page: one that follows the run, or the final one.
fn whole(board: &Board) -> String {
    match board.latest() {
        Some(shown) if shown.is_final() => html::page(&shown.report),
        shown => html::following(shown.as_ref().map(|shown| &shown.report)),
    }
}

/// Server-sent events: each report from now on, and the end.
fn events(board: &Board) -> Reply {
    let mut reports = board.0.shown.subscribe();
    reports.mark_changed();
    let next = |(mut reports, ended): (tokio::sync::watch::Receiver<Option<Arc<Posted>>>, bool)| async move {
        if ended {
            return None;
        }
        loop {
            reports.changed().await.ok()?;
            let Some(shown) = reports.borrow_and_update().clone() else { continue };
            // A JSON string has no line breaks, which would end the event's data.
            let data = serde_json::Value::from(shown.part());
            let end = if shown.is_final() { "event: end\ndata: end\n\n" } else { "" };
            let event = format!("event: report\ndata: {data}\n\n{end}");
            return Some((Ok(Frame::data(Bytes::from(event))), (reports, shown.is_final())));
        }
    };
    let body = StreamBody::new(stream::unfold((reports, false), next));
    head(StatusCode::OK, "text/event-stream", BodyExt::boxed_unsync(body))
}

fn text(status: StatusCode, text: &'static str) -> Reply {
    answer(status, "text/plain; charset=utf-8", text.into())
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Reply {
    head(status, kind, Full::new(Bytes::from(body)).boxed_unsync())
}

fn head(status: StatusCode, kind: &'static str, body: UnsyncBoxBody<Bytes, Infallible>) -> Reply {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, "frame-ancestors 'none'"),
    ];
    answer.headers_mut().extend(headers.map(|(name, value)| (name, HeaderValue::from_static(value))));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_own_names_are_served() {
        let names = Names::of("gorgon.example:9464");
        for host in ["127.0.0.1:9464", "[::1]:9464", "10.1.2.3", "localhost", "LocalHost:1", "gorgon.example.:9464"] {
            assert!(names.has(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9464",
            "localhost.evil.example",
            "",
            "127.0.0.1.evil.example",
            "[evil",
            "[::1].evil",
            "a@localhost",
            "localhost:80:evil",
        ] {
            assert!(!names.has(host), "{host}");
        }
        let machine = nix::unistd::gethostname().unwrap().into_string().unwrap();
        assert!(Names::of("0.0.0.0:1").has(&format!("{machine}:1")));
    }
}
