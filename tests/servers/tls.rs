//! TLS: what is wrong with a server's certificate, client certificates, names.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::servers::{OK, answer, listen};
use crate::support::{gorgon, only_result, ran};

/// An authority, and a directory for files.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
    directory: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::new(vec!["authority".to_owned()]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(parameters, key), certificate, directory: tempfile::tempdir().unwrap() }
    }

    /// A certificate that it has signed.
    fn sign(&self, parameters: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        Identity { certificate: parameters.signed_by(&key, &self.issuer).unwrap(), key }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

struct Identity {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

fn named(names: &[&str]) -> CertificateParams {
    let mut parameters = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
    // All would have the same one otherwise, and each could be taken for the issuer of the others.
    parameters.distinguished_name.push(rcgen::DnType::CommonName, format!("the certificate of {}", names[0]));
    parameters
}

/// A server that shows `identity`, and answers each request with the name that the client asked for.
fn serve(identity: &Identity, wants: Option<&Authority>, protocols: &[&str]) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = match wants {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.certificate.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivateKeyDer::Pkcs8(identity.key.serialize_der().into());
    let chain: Vec<CertificateDer<'static>> = vec![identity.certificate.der().clone()];
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut head = Vec::new();
                    while let Ok(byte) = stream.read_u8().await {
                        head.push(byte);
                        if head.ends_with(b"\r\n\r\n") {
                            head.clear();
                            let name = stream.get_ref().1.server_name().unwrap_or("-").to_owned();
                            let answer = format!("HTTP/1.1 200 OK\r\nX-Name: {name}\r\nContent-Length: 0\r\n\r\n");
                            if stream.write_all(answer.as_bytes()).await.is_err() {
                                return;
                            }
                        }
                    }
                });
            }
        });
    });
    address
}

fn call(url: &str, args: &[&str]) -> String {
    let mut gorgon = gorgon();
    gorgon.args(["http", url, "-n", "3", "--timeout", "5s", "--quiet", "--json", "-"]).args(args);
    only_result(&ran(gorgon.output().unwrap()))
}

fn url(address: SocketAddr) -> String {
    format!("https://localhost:{}/", address.port())
}

#[test]
fn what_is_wrong_with_a_certificate_is_told_apart() {
    let authority = Authority::new();
    let file = authority.file("ca.pem", &authority.certificate.pem());
    let trusting = ["--ca-cert", file.to_str().unwrap()];
    let good = serve(&authority.sign(&named(&["localhost"])), None, &["http/1.1"]);
    assert_eq!(call(&url(good), &trusting), "200");

    let mut expired = named(&["localhost"]);
    expired.not_after = rcgen::date_time_ymd(2020, 1, 2);
    let mut early = named(&["localhost"]);
    early.not_before = rcgen::date_time_ymd(2090, 1, 2);
    early.not_after = rcgen::date_time_ymd(2091, 1, 2);
    let begin = "the server's certificate is not trusted: ";
    for (parameters, what) in [
        (expired, "it expired at 2020-01-02T00:00:00Z"),
        (early, "it is not valid before 2090-01-02T00:00:00Z"),
        (named(&["other.example", "b.example"]), "it is for other.example, b.example, not for localhost"),
    ] {
        let address = serve(&authority.sign(&parameters), None, &["http/1.1"]);
        assert_eq!(call(&url(address), &trusting), format!("{begin}{what}"));
        assert_eq!(call(&url(address), &["--insecure"]), "200");
    }
    assert_eq!(call(&url(good), &[]), format!("{begin}its issuer is unknown (--ca-cert FILE.pem adds one)"));
}

#[test]
fn a_certificate_that_is_named_is_trusted_although_nobody_has_signed_it() {
    let authority = Authority::new();
    // As `openssl req -x509` makes it: it signs itself, and says that it is an authority.
    let mut own = named(&["localhost"]);
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let own = Identity { certificate: own.self_signed(&key).unwrap(), key };
    let other = authority.sign(&named(&["other.example"]));
    for (identity, why) in [(&own, "it is that of an authority"), (&other, "its issuer is unknown")] {
        let error = call(&url(serve(identity, None, &["http/1.1"])), &[]);
        assert!(error.contains(&format!("is not trusted: {why}")), "{error}");
    }
    let file = authority.file("own.pem", &own.certificate.pem());
    assert_eq!(call(&url(serve(&own, None, &["http/1.1"])), &["--ca-cert", file.to_str().unwrap()]), "200");
    let signed = authority.sign(&named(&["localhost"]));
    let file = authority.file("signed.pem", &signed.certificate.pem());
    let file = file.to_str().unwrap();
    assert_eq!(call(&url(serve(&signed, None, &["http/1.1"])), &["--ca-cert", file]), "200");
    // It has to be the very one, and for that name.
    let another = authority.sign(&named(&["localhost"]));
    assert!(call(&url(serve(&another, None, &["http/1.1"])), &["--ca-cert", file]).contains("its issuer is unknown"));
    let file = authority.file("other.pem", &other.certificate.pem());
    let error = call(&url(serve(&other, None, &["http/1.1"])), &["--ca-cert", file.to_str().unwrap()]);
    assert!(error.contains("it is for other.example, not for localhost"), "{error}");
}

#[test]
fn a_client_certificate_is_shown_to_a_server_that_wants_one() {
    let authority = Authority::new();
    let ca = authority.file("ca.pem", &authority.certificate.pem());
    let ca = ca.to_str().unwrap();
    let address = serve(&authority.sign(&named(&["localhost"])), Some(&authority), &["http/1.1"]);
    assert_eq!(call(&url(address), &["--ca-cert", ca]), "the server refuses TLS: CertificateRequired (alert 116)");
    let client = authority.sign(&named(&["client"]));
    let certificate = authority.file("client.pem", &client.certificate.pem());
    let key = authority.file("client.key", &client.key.serialize_pem());
    let both = authority.file("both.pem", &format!("{}{}", client.certificate.pem(), client.key.serialize_pem()));
    let [certificate, key, both] = [&certificate, &key, &both].map(|path| path.to_str().unwrap());
    assert_eq!(call(&url(address), &["--ca-cert", ca, "--cert", certificate, "--key", key]), "200");
    assert_eq!(call(&url(address), &["--ca-cert", ca, "--cert", both]), "200");

    // As variables of the environment often have it. A key must not be printed.
    let joined = authority.file("joined.pem", &client.key.serialize_pem().replace('\n', "\\n"));
    let joined = joined.to_str().unwrap();
    let stranger = Authority::new().sign(&named(&["client"]));
    let strange = authority.file("strange.key", &stranger.key.serialize_pem());
    for (args, problem) in [
        (&["--cert", certificate][..], "cannot use the key"),
        (&["--cert", certificate, "--key", strange.to_str().unwrap()], "cannot use the certificate"),
        (&["--cert", key, "--key", key], "it has no certificate in PEM"),
        (&["--ca-cert", key], "it has no certificate in PEM"),
        (&["--ca-cert", "/dev/null"], "it has no certificate in PEM"),
        (&["--cert", "none.pem"], "none.pem"),
        (&["--cert", joined], "it is not whole PEM"),
    ] {
        let output = gorgon().args(["http", &url(address)]).args(args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && stderr.contains(problem), "{args:?}: {stderr}");
        assert!(stderr.lines().count() == 1 && stderr.len() < 400, "{stderr}");
    }
}

#[test]
fn the_name_for_tls_is_that_of_the_flag_or_of_host() {
    let authority = Authority::new();
    let ca = authority.file("ca.pem", &authority.certificate.pem());
    let identity = authority.sign(&named(&["shop.example", "flag.example"]));
    let address = serve(&identity, None, &["http/1.1"]);
    let asked = |args: &[&str]| {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.http");
        let host = if args.contains(&"--sni") { "" } else { "Host: shop.example\n" };
        std::fs::write(&file, format!("# @capture name = header X-Name\nGET https://{address}/\n{host}\n")).unwrap();
        let mut gorgon = gorgon();
        gorgon.arg("test").arg(&file).args(["--allow", "calls", "--ca-cert", ca.to_str().unwrap()]).args(args);
        String::from_utf8_lossy(&gorgon.output().unwrap().stdout).into_owned()
    };
    for (args, name) in [(&[][..], "shop.example"), (&["--sni", "flag.example"], "flag.example")] {
        let shown = asked(args);
        assert!(shown.contains(&format!("x-name: {name}")), "{shown}");
    }
}

#[test]
fn what_is_not_the_tls_that_was_meant_is_named() {
    let authority = Authority::new();
    let identity = authority.sign(&named(&["localhost"]));
    // A protocol that is not HTTP.
    let other = serve(&identity, None, &["spdy/3"]);
    let error = call(&url(other), &["--insecure"]);
    assert_eq!(error, "the server refuses TLS: NoApplicationProtocol (alert 120)");
    let (plain, _) = listen(|mut stream| {
        use std::io::{Read, Write};
        let _ = stream.read(&mut [0; 4_096]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        let _ = stream.read(&mut [0; 4_096]);
    });
    assert_eq!(call(&url(plain), &[]), "the server does not speak TLS on this port");
    // An alert for the version, which a server sends that knows only older ones.
    let (old, _) = listen(|mut stream| {
        use std::io::{Read, Write};
        let _ = stream.read(&mut [0; 4_096]);
        let _ = stream.write_all(&[0x15, 3, 1, 0, 2, 2, 70]);
        let _ = stream.read(&mut [0; 4_096]);
    });
    assert_eq!(call(&url(old), &[]), "the server refuses TLS: ProtocolVersion (alert 70)");
    let (closing, _) = listen(|mut stream| {
        let _ = std::io::Read::read(&mut stream, &mut [0; 4_096]);
    });
    assert_eq!(call(&url(closing), &[]), "the server closed the connection during the TLS handshake");
    assert_eq!(call(&format!("http://{}/", listen(answer(OK)).0), &[]), "200");
}
