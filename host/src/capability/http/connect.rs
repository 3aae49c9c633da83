//! Opens a connection: the stream, TLS, and the version of HTTP.

use std::pin::Pin;
use std::sync::Arc;

use http::header::HeaderValue;
use hyper::Version;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::{Error, WasiBody};

use super::failure::{of_end, of_handshake, told};
use super::route::{Relay, reach};
use super::stream::{Heard, Listening};
use super::streams::{AT_FIRST, Streams};
use super::tls::Tls;
use crate::capability::network::Network;
use crate::network::{Destination, Host, Protocol};
use crate::plan::HttpVersion;

/// The most headers of a response. The allocator would give room for more of them back to the system each time.
const MOST_HEADERS: usize = 1_024;

/// What a connection is for. Requests that agree in the destination and in the name can use the same connection.
#[derive(Debug)]
pub(crate) struct Target {
    pub(super) to: Destination,
    /// The name that TLS asks for, if it is not the destination's.
    pub(super) name: Option<Host>,
    /// What a request says in `Host`, unless the task has said it.
    pub(super) host: HeaderValue,
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        (&self.to, &self.name) == (&other.to, &other.name)
    }
}

/// A connection, over which requests are sent.
pub(super) enum Connection {
    Http1 { sender: http1::SendRequest<WasiBody>, heard: Heard, relay: Option<Arc<Relay>> },
    Http2 { sender: http2::SendRequest<WasiBody>, streams: Arc<Streams>, heard: Heard },
}

impl Connection {
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Http1 { sender, .. } => sender.is_closed(),
            Self::Http2 { sender, .. } => sender.is_closed(),
        }
    }

    /// The same connection for another concurrent request; `None` if requests cannot share it.
    pub(super) fn shared(&self) -> Option<Self> {
        match self {
            Self::Http1 { .. } => None,
            Self::Http2 { sender, streams, heard } => {
                Some(Self::Http2 { sender: sender.clone(), streams: streams.clone(), heard: heard.clone() })
            }
        }
    }

    /// The streams that its requests share; `None` if requests cannot share it.
    pub(super) fn streams(&self) -> Option<&Arc<Streams>> {
        match self {
            Self::Http1 { .. } => None,
            Self::Http2 { streams, .. } => Some(streams),
        }
    }
}

/// The version of HTTP for a destination that has said which one it needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Needs {
    #[default]
    Nothing,
    Http1,
}

/// Connects, and starts a task that drives the connection.
pub(super) async fn connect(network: &Arc<Network>, target: &Target, needs: Needs) -> Result<Connection, Error> {
    let plan = &network.http;
    let (stream, relay) = reach(network, &target.to).await?;
    if target.to.protocol != Protocol::Https {
        let is_http1 = needs == Needs::Http1 || plan.version == HttpVersion::Negotiated;
        return speak(stream, if is_http1 { Version::HTTP_11 } else { Version::HTTP_2 }, relay).await;
    }
    let tls =
        network.tls.get_or_init(|| Tls::new(plan).map(Arc::new)).as_ref().map_err(|problem| told(problem.as_str()))?;
    let config = if needs == Needs::Http1 { &tls.http1 } else { &tls.negotiated };
    let name = plan.server_name.as_deref().map(Host::new);
    let name = match name.as_ref().or(target.name.as_ref()).unwrap_or(&target.to.host) {
        Host::Name(name) => {
            ServerName::try_from(name.clone()).map_err(|_| told(format!("TLS cannot ask for the name `{name}`")))?
        }
        Host::Address(address) => ServerName::from(*address),
    };
    let connecting = TlsConnector::from(config.clone()).connect(name, stream).await;
    let stream = connecting.map_err(|error| of_handshake(&error))?;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    if !is_http2 && plan.version == HttpVersion::Http2 && needs == Needs::Nothing {
        return Err(told("the server does not speak HTTP/2"));
    }
    speak(stream, if is_http2 { Version::HTTP_2 } else { Version::HTTP_11 }, relay).await
}

async fn speak<S>(stream: S, version: Version, relay: Option<Relay>) -> Result<Connection, Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let heard = Heard::default();
    let stream = Listening { stream, heard: heard.clone() };
    if version == Version::HTTP_2 {
        let streams = Streams::new();
        let handshake =
            http2::Builder::new(streams.executor()).initial_max_send_streams(AT_FIRST).handshake(TokioIo::new(stream));
        let (sender, mut connection) = handshake.await?;
        let shared = streams.clone();
        tokio::spawn(async move {
            let driven = shared.watch(|context, streams| {
                let polled = Pin::new(&mut connection).poll(context);
                streams.allow(connection.current_max_send_streams());
                polled
            });
            // Requests that were sent hear of the connection's end themselves, but not always of its reason.
            shared.end(driven.await.err().and_then(|error| of_end(&error)));
        });
        return Ok(Connection::Http2 { sender, streams, heard });
    }
    // What curl takes: headers that are folded, that have spaces around their names, and lines that are no headers.
    // None of them can be about the length of the body, which alone decides where the next response begins.
    let handshake = http1::Builder::new()
        .title_case_headers(true)
        .max_headers(MOST_HEADERS)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await?;
    tokio::spawn(async move { drop(connection.await) });
    Ok(Connection::Http1 { sender, heard, relay: relay.map(Arc::new) })
}
