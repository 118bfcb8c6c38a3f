//! `http` steps over TLS: a server with a certificate of an authority of the test's own, which is trusted or is not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::place::Place;

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 8\r\nconnection: close\r\n\r\n{\"n\": 7}";

/// An authority that signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Starts a server whose certificate is signed by this authority.
    fn serve(&self, certificate: CertificateParams) -> Server {
        let key = KeyPair::generate().unwrap();
        let certificate = certificate.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            hear(stream, config)
        });
        Server { address, heard }
    }
}

/// A server that answers one connection.
struct Server {
    address: SocketAddr,
    heard: JoinHandle<Option<String>>,
}

impl Server {
    /// Returns the line of the request that came, if one came.
    fn request(self) -> Option<String> {
        // Had nobody connected, the server would wait for ever.
        drop(TcpStream::connect(self.address));
        self.heard.join().unwrap()
    }
}

fn hear(stream: TcpStream, config: ServerConfig) -> Option<String> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let connection = ServerConnection::new(Arc::new(config)).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    let mut request = [0; 4096];
    let count = stream.read(&mut request).ok().filter(|count| *count > 0)?;
    stream.write_all(ANSWER).unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    let text = String::from_utf8_lossy(&request[..count]).into_owned();
    text.lines().next().map(ToOwned::to_owned)
}

/// A certificate for the address that the server has.
fn loopback() -> CertificateParams {
    CertificateParams::new(["127.0.0.1".to_owned()]).unwrap()
}

/// Makes one request, trusting one authority, and returns the step.
fn call(server: &Server, trusted: &Authority) -> Value {
    let url = format!("https://{}/x", server.address);
    let step = format!("{{ name: call, handler: http, retry_limit: 1, config: {{ url: '{url}' }} }}");
    let place = Place::with("call.yaml", &format!("name: call\nsteps: [{step}]\n"));
    let authorities = place.write("authorities.pem", trusted.0.pem());
    let output = place
        .command(["run", "call.yaml", "--json"])
        .env("SSL_CERT_FILE", authorities)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["steps"][0].clone()
}

/// The step failed with this, and the server saw no request.
#[track_caller]
fn refused(server: Server, step: &Value, why: &str) {
    let error = &step["error"];
    let message = format!(
        "`GET https://{}/x` could not connect: client error (Connect): invalid peer certificate: {why}",
        server.address
    );
    assert_eq!(error["code"], "http_connect_failed", "{step}");
    assert!(error["message"].as_str().unwrap().starts_with(&message), "{step}");
    assert_eq!(server.request(), None);
}

#[test]
fn a_server_with_a_trusted_certificate_is_asked() {
    let authority = Authority::named("ours");
    let server = authority.serve(loopback());
    let step = call(&server, &authority);
    assert_eq!(step["result"]["body"], json!({ "n": 7 }), "{step}");
    assert_eq!(server.request().as_deref(), Some("GET /x HTTP/1.1"));
}

#[test]
fn a_certificate_of_an_authority_that_is_not_trusted_is_refused() {
    let server = Authority::named("theirs").serve(loopback());
    let step = call(&server, &Authority::named("ours"));
    refused(server, &step, "UnknownIssuer");
}

#[test]
fn a_certificate_of_another_host_is_refused() {
    let authority = Authority::named("ours");
    let other = CertificateParams::new(["shop.example".to_owned()]).unwrap();
    let server = authority.serve(other);
    let step = call(&server, &authority);
    refused(server, &step, "certificate not valid for name \"127.0.0.1\"");
}

#[test]
fn a_certificate_that_has_run_out_is_refused() {
    let authority = Authority::named("ours");
    let mut over = loopback();
    over.not_before = date_time_ymd(2001, 1, 1);
    over.not_after = date_time_ymd(2002, 1, 1);
    let server = authority.serve(over);
    let step = call(&server, &authority);
    refused(server, &step, "certificate expired");
}
