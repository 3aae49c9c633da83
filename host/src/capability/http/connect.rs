//! Opens a connection: addresses, TCP, TLS, and the version of HTTP.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Version;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::capability::network::Network;
use crate::network::{Destination, Host, Protocol};
use crate::plan::{HttpPlan, HttpVersion, Trust};

/// How long connecting to an address may take if there is another address to try.
const NEXT_ADDRESS: Duration = Duration::from_secs(3);

/// A connection, over which requests are sent.
pub(super) enum Connection {
    Http1(http1::SendRequest<WasiBody>),
    Http2(http2::SendRequest<WasiBody>),
}

impl Connection {
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    /// The same connection for another concurrent request; `None` if requests cannot share it.
    pub(super) fn shared(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(sender) => Some(Self::Http2(sender.clone())),
        }
    }
}

/// Connects, and starts a task that drives the connection.
pub(super) async fn connect(network: &Arc<Network>, to: &Destination) -> Result<Connection, Error> {
    let stream = reach(network, to).await?;
    // Requests are written whole, so waiting for more bytes would only delay them.
    stream.set_nodelay(true).map_err(Error::Connect)?;
    let stream = CountedStream { stream, network: network.clone() };
    match to.protocol {
        Protocol::Https => {
            let config = network.tls.get_or_init(|| tls(&network.http)).clone();
            let config = config.map_err(|problem| Error::InternalError(Some(problem)))?;
            let name = match &to.host {
                Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| Error::HttpRequestUriInvalid)?,
                Host::Address(address) => ServerName::from(*address),
            };
            let stream = TlsConnector::from(config).connect(name, stream).await.map_err(tls_error)?;
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            if !is_http2 && network.http.version == HttpVersion::Http2 {
                return Err(Error::InternalError(Some("the server does not speak HTTP/2".into())));
            }
            speak(stream, if is_http2 { Version::HTTP_2 } else { Version::HTTP_11 }).await
        }
        _ => match network.http.version {
            HttpVersion::Negotiated => speak(stream, Version::HTTP_11).await,
            HttpVersion::Http2 => speak(stream, Version::HTTP_2).await,
        },
    }
}

async fn reach(network: &Network, to: &Destination) -> Result<TcpStream, Error> {
    let addresses = match &to.host {
        Host::Address(address) => vec![*address],
        Host::Name(name) => network.resolver.resolve(name).await.map_err(|error| Error::DnsError {
            rcode: Some(format!("cannot resolve {name}: {error}")),
            info_code: None,
        })?,
    };
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    let mut left = addresses.len();
    for address in addresses {
        left -= 1;
        let connecting = TcpStream::connect(SocketAddr::new(address, to.port));
        // An address that does not answer, such as one behind broken IPv6, must not prevent trying the next one.
        let most = if left > 0 { NEXT_ADDRESS } else { Duration::MAX };
        match tokio::time::timeout(most, connecting).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(match last.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Error::DestinationIpUnroutable,
        _ if last.raw_os_error() == Some(nix::errno::Errno::EMFILE as i32) => Error::ConnectionLimitReached,
        _ => Error::Connect(last),
    })
}

async fn speak<S>(stream: S, version: Version) -> Result<Connection, Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stream = TokioIo::new(stream);
    if version == Version::HTTP_2 {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        // Requests hear of the connection's end themselves.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Connection::Http2(sender))
    } else {
        let (sender, connection) = http1::handshake(stream).await?;
        tokio::spawn(async move { drop(connection.await) });
        Ok(Connection::Http1(sender))
    }
}

fn tls_error(error: io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_)) => Error::TlsCertificateError,
        Some(rustls::Error::AlertReceived(alert)) => {
            Error::TlsAlertReceived { alert_id: Some(u8::from(*alert)), alert_message: Some(format!("{alert:?}")) }
        }
        Some(_) => Error::TlsProtocolError,
        None => Error::ConnectionTerminated,
    }
}

/// The TLS configuration of a process. There is only one, because making it parses hundreds of certificates.
fn tls(plan: &HttpPlan) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let mut config = match &plan.trust {
        Trust::Anyone => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider))).with_no_client_auth()
        }
        trust => builder.with_root_certificates(roots(trust)?).with_no_client_auth(),
    };
    config.alpn_protocols = match plan.version {
        HttpVersion::Negotiated => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        HttpVersion::Http2 => vec![b"h2".to_vec()],
    };
    Ok(Arc::new(config))
}

/// Mozilla's roots, the system's, and those that the user adds.
fn roots(trust: &Trust) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    // If the system has none, or some that do not parse, Mozilla's remain.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Trust::RootsAnd(path) = trust {
        let unusable = |problem: String| format!("cannot use the certificates `{}`: {problem}", path.display());
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
    }
    Ok(roots)
}

/// Accepts any certificate: for test environments with self-signed certificates.
#[derive(Debug)]
struct Anyone(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A TCP stream that counts its bytes for the thread that opened it.
struct CountedStream {
    stream: TcpStream,
    network: Arc<Network>,
}

impl CountedStream {
    fn sent(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = polled {
            self.network.count(|counts| counts.bytes_out += bytes as u64);
        }
        polled
    }
}

impl AsyncRead for CountedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = (buffer.filled().len() - before) as u64;
        if bytes > 0 {
            self.network.count(|counts| counts.bytes_in += bytes);
        }
        polled
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.sent(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.sent(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
