//! The TLS of requests: whom they trust, what they show, and which versions of HTTP they offer.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::failure::is_of_authority;
use crate::plan::{HttpPlan, HttpVersion, Identity, Trust};

/// The TLS configurations of a process. There are only two, because making one parses hundreds of certificates.
#[derive(Debug)]
pub(crate) struct Tls {
    /// As the plan says.
    pub(super) negotiated: Arc<ClientConfig>,
    /// For a server that wants HTTP/1.1.
    pub(super) http1: Arc<ClientConfig>,
}

impl Tls {
    /// The configurations for `plan`. An error names the file that cannot be used.
    pub(super) fn new(plan: &HttpPlan) -> Result<Self, String> {
        let config = config(plan, roots(), added(&plan.trust)?)?;
        let mut http1 = config.clone();
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { negotiated: Arc::new(config), http1: Arc::new(http1) })
    }
}

/// Reads the files that the TLS of `plan` needs. An error names the one that cannot be used.
pub fn check(plan: &HttpPlan) -> Result<(), String> {
    added(&plan.trust)?;
    // The usual authorities cannot be wrong, and parsing all would take long.
    let rest = HttpPlan { trust: Trust::Anyone, ..plan.clone() };
    config(&rest, RootCertStore::empty(), Vec::new()).map(drop)
}

/// The configuration that trusts `roots` and the certificates `added`.
fn config(
    plan: &HttpPlan,
    mut roots: RootCertStore,
    added: Vec<CertificateDer<'static>>,
) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let verifier: Arc<dyn ServerCertVerifier> = match &plan.trust {
        Trust::Anyone => Arc::new(Anyone(provider)),
        Trust::Roots | Trust::RootsAnd(_) => {
            for certificate in &added {
                // One that is no authority is trusted by itself.
                let _ = roots.add(certificate.clone());
            }
            let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
            Arc::new(Named { usual: usual.map_err(|error| error.to_string())?, named: added })
        }
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match &plan.identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificate, key }) => {
            let chain = certificates(certificate)?;
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| {
                let problem = match error {
                    rustls::pki_types::pem::Error::NoItemsFound => {
                        "it has no private key in PEM (one with a password cannot be read)".to_owned()
                    }
                    error => error.to_string(),
                };
                format!("cannot use the key `{}`: {problem}", key.display())
            })?;
            builder.with_client_auth_cert(chain, secret).map_err(|error| {
                format!("cannot use the certificate `{}` with its key: {error}", certificate.display())
            })?
        }
    };
    config.alpn_protocols = match plan.version {
        HttpVersion::Negotiated => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        HttpVersion::Http2 => vec![b"h2".to_vec()],
    };
    Ok(config)
}

/// Mozilla's roots, and the system's.
fn roots() -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    // If the system has none, or some that do not parse, Mozilla's remain.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// The certificates that the user adds.
fn added(trust: &Trust) -> Result<Vec<CertificateDer<'static>>, String> {
    if let Trust::RootsAnd(path) = trust { certificates(path) } else { Ok(Vec::new()) }
}

/// The certificates of a PEM file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unusable = |problem: String| format!("cannot use the certificates `{}`: {problem}", path.display());
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(|error| unusable(error.to_string()))?;
    if certificates.is_empty() {
        return Err(unusable("it has no certificate in PEM (-----BEGIN CERTIFICATE-----)".into()));
    }
    for certificate in &certificates {
        ParsedCertificate::try_from(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    Ok(certificates)
}

/// Accepts what the authorities have signed, and the certificates that the user names, such as a server's own.
#[derive(Debug)]
struct Named {
    usual: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let usual = self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        // webpki looks at the dates before it looks for an issuer, or sees that the certificate is an authority's.
        let is_unsigned = match &usual {
            Err(rustls::Error::InvalidCertificate(error)) => {
                *error == CertificateError::UnknownIssuer || is_of_authority(error)
            }
            _ => false,
        };
        if is_unsigned && self.named.iter().any(|named| named == end_entity) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        usual
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
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
