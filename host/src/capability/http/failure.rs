//! Why a request got no response: the errors of connections, of TLS and of both versions of HTTP, for the task.
//!
//! `wasi:http` has codes without text for most of them. If its code would say less than is known, the error is an
//! internal error with the whole sentence.

use std::error::Error as _;
use std::io;

use h2::Reason;
use nix::errno::Errno;
use rustls::pki_types::UnixTime;
use rustls::{CertificateError, PeerIncompatible};
use wasmtime_wasi_http::Error;

use crate::metrics::Resource;

/// An error with a sentence of ours.
pub(super) fn told(text: impl Into<String>) -> Error {
    Error::InternalError(Some(text.into()))
}

/// What this machine had none of any more, if that is why a connection could not be opened.
pub(super) fn exhausted(error: &io::Error) -> Option<Resource> {
    match Errno::from_raw(error.raw_os_error()?) {
        Errno::EMFILE => Some(Resource::Files),
        Errno::ENFILE => Some(Resource::SystemFiles),
        // The second one, if the address from which to connect was given.
        Errno::EADDRNOTAVAIL | Errno::EADDRINUSE => Some(Resource::Ports),
        Errno::ENOBUFS | Errno::ENOMEM => Some(Resource::Memory),
        _ => None,
    }
}

/// The error for a connection that was not opened.
pub(super) fn of_connecting(error: io::Error) -> Error {
    match exhausted(&error) {
        Some(Resource::Files) => return Error::ConnectionLimitReached,
        Some(Resource::SystemFiles) => return told("this machine may open no more files (fs.file-max)"),
        Some(Resource::Ports) => return told("this machine has no free port for another connection"),
        Some(Resource::Memory) => return told("this machine has no memory for another connection"),
        None => {}
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Error::DestinationIpUnroutable,
        io::ErrorKind::ConnectionReset => Error::ConnectionTerminated,
        // It is one of ours.
        _ if error.get_ref().is_some() => told(error.to_string()),
        _ => Error::Connect(error),
    }
}

/// The error for a TLS handshake that failed.
pub(super) fn of_handshake(error: &io::Error) -> Error {
    match rustls_error(error) {
        Some(error) => of_tls(error),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            told("the server closed the connection during the TLS handshake")
        }
        None => Error::ConnectionTerminated,
    }
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn of_tls(error: &rustls::Error) -> Error {
    match error {
        rustls::Error::InvalidCertificate(error) => {
            told(format!("the server's certificate is not trusted: {}", of_certificate(error)))
        }
        rustls::Error::AlertReceived(alert) => {
            Error::TlsAlertReceived { alert_id: Some(u8::from(*alert)), alert_message: Some(format!("{alert:?}")) }
        }
        rustls::Error::InvalidMessage(_) => told("the server does not speak TLS on this port"),
        rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13 | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => told("the server speaks neither TLS 1.2 nor 1.3"),
        rustls::Error::NoApplicationProtocol => told("the server speaks another protocol than HTTP (ALPN)"),
        error => told(format!("TLS failed: {error}")),
    }
}

/// What is wrong with a certificate.
pub(super) fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Other(error) if unsupported(&error.to_string()).is_some() => {
            unsupported(&error.to_string()).unwrap_or_default().into()
        }
        CertificateError::BadSignature => {
            "nobody known has signed it, or in a way that is not supported (--ca-cert FILE.pem adds it)".into()
        }
        CertificateError::Expired => "it has expired".into(),
        CertificateError::ExpiredContext { not_after, .. } => format!("it expired at {}", date(*not_after)),
        CertificateError::NotValidYet => "it is not valid yet".into(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("it is not valid before {}", date(*not_before))
        }
        CertificateError::UnknownIssuer => "its issuer is unknown (--ca-cert FILE.pem adds one)".into(),
        CertificateError::NotValidForName => "it is for another name".into(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let name = expected.to_str();
            match &presented[..] {
                [] => format!("it has no name, and `{name}` was asked for"),
                names => format!(
                    "it is for {}, not for {name}",
                    names.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ")
                ),
            }
        }
        error if is_of_authority(error) => {
            "it is that of an authority, or signed itself (--ca-cert FILE.pem adds it)".into()
        }
        error => error.to_string(),
    }
}

/// What is not supported, by the name that webpki has for it.
fn unsupported(error: &str) -> Option<&'static str> {
    let known = [
        ("UnsupportedCertVersion", "it is of version 1 of X.509, which is not supported"),
        ("UnsupportedCriticalExtension", "it has a critical extension that is not known"),
    ];
    known.into_iter().find(|(name, _)| error.contains(name)).map(|(_, what)| what)
}

/// Whether a server shows the certificate of an authority, as self-signed ones often are.
pub(super) fn is_of_authority(error: &CertificateError) -> bool {
    // webpki knows it by no other name.
    matches!(error, CertificateError::Other(error) if error.to_string().contains("CaUsedAsEndEntity"))
}

/// A name without the words that webpki puts around it: `DnsName("localhost")`.
fn plain(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.map_or(name, |inner| inner.trim_matches('"'))
}

fn date(time: UnixTime) -> String {
    let since = std::time::Duration::from_secs(time.as_secs());
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + since).to_string()
}

/// The error for a request that was sent, or whose response was received in part.
pub(super) fn of_request(error: &hyper::Error) -> Error {
    if let Some(error) = cause::<h2::Error>(error) {
        return of_http2(error);
    }
    let error_of_system = cause::<io::Error>(error);
    if let Some(error) = error_of_system.and_then(rustls_error) {
        return of_tls(error);
    }
    match error_of_system.map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted) => {
            Error::ConnectionTerminated
        }
        Some(io::ErrorKind::UnexpectedEof) => Error::HttpResponseIncomplete,
        _ if error.is_incomplete_message() => Error::HttpResponseIncomplete,
        _ if error.is_parse_too_large() => told("the head of the response has too many headers, or is too long"),
        _ if error.is_timeout() => Error::ConnectionReadTimeout,
        _ if error.is_canceled() || error.is_closed() => Error::ConnectionTerminated,
        _ => Error::HttpProtocolError,
    }
}

/// The error for a request on a connection of HTTP/2 that the server ended with the reason called `name`.
pub(super) fn gone_away(name: &str) -> Error {
    told(format!("the server closed the connection (GOAWAY {name})"))
}

fn of_http2(error: &h2::Error) -> Error {
    let Some(reason) = error.reason() else {
        // An error of the connection beneath it.
        return error.get_io().and_then(of_tls_end).unwrap_or(Error::ConnectionTerminated);
    };
    let name = format!("{reason:?}");
    match (error.is_remote(), error.is_go_away()) {
        (true, true) => gone_away(&name),
        (true, false) if reason == Reason::REFUSED_STREAM => told("the server refuses requests (REFUSED_STREAM)"),
        (true, false) => told(format!("the server reset the stream ({name})")),
        (false, _) => told(format!("the server broke the rules of HTTP/2 ({name}), or does not speak it")),
    }
}

/// Why TLS ended a connection, if that is how it ended.
pub(super) fn of_tls_end(error: &io::Error) -> Option<Error> {
    rustls_error(error).map(of_tls)
}

/// With what the server ended a connection of HTTP/2, if it said so.
pub(super) fn of_end(error: &hyper::Error) -> Option<String> {
    let error = cause::<h2::Error>(error).filter(|error| error.is_remote() && error.is_go_away())?;
    error.reason().map(|reason| format!("{reason:?}"))
}

/// What a request can do after an error of HTTP/2, if the server says that it has not processed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unprocessed {
    /// It can be sent again.
    Refused,
    /// It has to be sent over HTTP/1.1.
    NeedsHttp1,
}

/// Whether the server says, over HTTP/2, that it has not processed the request.
pub(super) fn unprocessed(error: &hyper::Error) -> Option<Unprocessed> {
    let error = cause::<h2::Error>(error).filter(|error| error.is_remote())?;
    match error.reason()? {
        Reason::HTTP_1_1_REQUIRED => Some(Unprocessed::NeedsHttp1),
        Reason::REFUSED_STREAM if error.is_reset() => Some(Unprocessed::Refused),
        // Requests that the server does process end without an error.
        Reason::NO_ERROR if error.is_go_away() => Some(Unprocessed::Refused),
        _ => None,
    }
}

/// Whether the server ended the connection, as it may at any time when it is idle.
pub(super) fn is_end(error: &hyper::Error) -> bool {
    let kind = cause::<io::Error>(error).map(io::Error::kind);
    let is_reset =
        matches!(kind, Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof));
    is_reset || error.is_incomplete_message() || error.is_canceled() || error.is_closed()
}

/// The first error of type `E` in the chain of sources.
fn cause<E: std::error::Error + 'static>(error: &hyper::Error) -> Option<&E> {
    std::iter::successors(error.source(), |&error| error.source()).find_map(|error| error.downcast_ref())
}
