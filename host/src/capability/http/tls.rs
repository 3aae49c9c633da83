//! The TLS of requests: whom they trust, what they show, and which versions of HTTP they offer.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::{Error as Problem, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::failure::{is_of_authority, of_certificate};
use crate::input;
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
        Some(Identity { certificate, key: file }) => {
            let (chain, secret) = (certificates(certificate)?, key(file)?);
            builder.with_client_auth_cert(chain, secret).map_err(|error| {
                let problem = match error {
                    rustls::Error::InconsistentKeys(_) => "they do not belong together".to_owned(),
                    error => error.to_string(),
                };
                format!("cannot use the certificate `{}` with its key: {problem}", certificate.display())
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
    let pem = pem(path).map_err(unusable)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| unusable(of_pem(&error)))?;
    if certificates.is_empty() {
        return Err(unusable("it has no certificate in PEM (-----BEGIN CERTIFICATE-----)".into()));
    }
    for certificate in &certificates {
        ParsedCertificate::try_from(certificate).map_err(|error| {
            unusable(match &error {
                rustls::Error::InvalidCertificate(error) => of_certificate(error),
                error => error.to_string(),
            })
        })?;
    }
    Ok(certificates)
}

/// The private key of a PEM file.
fn key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let unusable = |problem: String| format!("cannot use the key `{}`: {problem}", path.display());
    let pem = pem(path).map_err(unusable)?;
    let is_encrypted = pem.windows(ENCRYPTED.len()).any(|text| text == ENCRYPTED);
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
        unusable(match error {
            _ if is_encrypted => "it has a password: write it without one, as `openssl pkey` does".into(),
            Problem::NoItemsFound => {
                "it has no private key in PEM (-----BEGIN PRIVATE KEY-----): --key names the file that has it".into()
            }
            error => of_pem(&error),
        })
    })
}

/// What a key with a password has in its head, in both of the usual forms.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// The largest file of certificates. Those of all authorities have some hundred KB.
const MOST: u64 = 16 << 20;

/// The content of a PEM file, without the mark that some editors write before it.
fn pem(path: &Path) -> Result<Vec<u8>, String> {
    let bytes = input::read(path, MOST).map_err(|error| error.to_string())?;
    Ok(bytes.strip_prefix("\u{feff}".as_bytes()).map(<[u8]>::to_vec).unwrap_or(bytes))
}

/// What is wrong with a PEM file, without its content, which may be a secret.
fn of_pem(problem: &Problem) -> String {
    match problem {
        Problem::MissingSectionEnd { .. } | Problem::IllegalSectionStart { .. } => {
            "it is not whole PEM: BEGIN and END are lines of their own".into()
        }
        Problem::Base64Decode(_) => "what is between BEGIN and END is not base64".into(),
        Problem::SectionTooLarge => "it is too large".into(),
        _ => "it is not PEM".into(),
    }
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

    // Who signs does not matter if anybody may. So certificates that cannot be read are accepted too, such as those of
    // version 1.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.0.signature_verification_algorithms.supported_schemes();
        schemes.extend([
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::ED448,
            SignatureScheme::RSA_PKCS1_SHA1,
            SignatureScheme::ECDSA_SHA1_Legacy,
        ]);
        schemes
    }
}
