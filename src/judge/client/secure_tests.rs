//! The client against servers that say what they are told to.

use std::net::SocketAddr;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::judge::certificates::Certificates;
use crate::judge::client::{Http2, OldHello, Request};

/// Longer than any event here takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server of `a.test` that speaks these protocols inside.
async fn server(certificates: &Certificates, protocols: &[&str]) -> SocketAddr {
    let issued = &certificates.all()[0];
    let chain = CertificateDer::pem_file_iter(&issued.certificate_file).unwrap();
    let chain = chain.collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(&issued.key_file).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let accepts = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = accepts.accept(stream).await else { return };
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    return speak_h2(stream).await;
                }
                let name = stream.get_ref().1.server_name().unwrap_or("nobody").to_owned();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", name.len());
                let _ = stream.write_all((head + &name).as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    address
}

/// Answers each request with its target and authority.
async fn speak_h2(stream: tokio_rustls::server::TlsStream<TcpStream>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let answer = http::Response::builder().status(201).header("x-a", "b").body(()).unwrap();
        let mut body = respond.send_response(answer, false).unwrap();
        body.send_data(request.uri().to_string().into(), true).unwrap();
    }
}

fn certificates() -> (tempfile::TempDir, Certificates) {
    let folder = tempfile::tempdir().unwrap();
    let issued = Certificates::issue(folder.path(), &[vec!["a.test".to_owned()]]).unwrap();
    (folder, issued)
}

#[tokio::test]
async fn what_the_server_shows_is_reported_and_its_answer_read() {
    let (_folder, certificates) = certificates();
    let address = server(&certificates, &["h2", "http/1.1"]).await;
    let client = Client::new(address).patience(PATIENCE);
    for (hello, version, name) in [
        (Hello::to("a.test").only(&TLS12), TLS12.version, "a.test"),
        (Hello::to("other.test").only(&TLS13), TLS13.version, "other.test"),
        (Hello::to_nobody(), TLS13.version, "nobody"),
        (Hello::to("a.test").offering(&["http/1.1"]), TLS13.version, "a.test"),
    ] {
        let mut secured = client.secure(&hello).await.unwrap();
        assert_eq!(secured.shown.chain.len(), 2);
        assert_eq!(secured.shown.chain[0], certificates.all()[0].certificate);
        assert_eq!(secured.shown.version, Some(version));
        assert_eq!(secured.shown.protocol.as_deref(), hello.protocols.first().copied());
        let answer = secured.connection.send(&client.request("GET", "/")).await.unwrap();
        assert_eq!(answer.text(), name);
    }
}

#[tokio::test]
async fn requests_go_as_http2_with_the_host_as_authority() {
    let (_folder, certificates) = certificates();
    let address = server(&certificates, &["h2"]).await;
    let client = Client::new(address).patience(PATIENCE);
    let hello = Hello::to("a.test").offering(&["h2"]);
    let secured = client.secure(&hello).await.unwrap();
    assert_eq!(secured.shown.protocol.as_deref(), Some("h2"));
    let http2 = Http2::over(secured, PATIENCE).await.unwrap();
    for target in ["/x?y=%20", "/z"] {
        let request = Request::new("POST", target).header("Host", "b.test").body("body");
        let answer = http2.send(&request).await.unwrap();
        assert_eq!((answer.status, answer.values("x-a")), (201, vec!["b"]));
        assert_eq!(answer.text(), format!("https://b.test{target}"));
    }
}

#[tokio::test]
async fn why_there_is_no_tls_is_told_apart() {
    let (_folder, certificates) = certificates();
    let address = server(&certificates, &["h2"]).await;
    let client = Client::new(address).patience(PATIENCE);
    let hello = Hello::to("a.test").offering(&["http/1.1"]);
    let refused = client.secure(&hello).await.unwrap_err();
    assert!(matches!(refused, Trouble::NoTls(NoTls::Alert(_))), "{refused}");

    for (said, ended) in [(&b""[..], true), (b"HTTP/1.1 400 Bad Request\r\n\r\n", false)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(listener.local_addr().unwrap()).patience(PATIENCE);
        let answers = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            stream.write_all(said).await.unwrap();
        };
        let hello = Hello::to("a.test");
        let (trouble, ()) = tokio::join!(client.secure(&hello), answers);
        let trouble = trouble.unwrap_err();
        assert_eq!(trouble == Trouble::NoTls(NoTls::Ended), ended, "{trouble}");
    }

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(silent.local_addr().unwrap()).patience(Duration::from_millis(50));
    let trouble = client.secure(&Hello::to("a.test")).await.unwrap_err();
    assert!(matches!(trouble, Trouble::NoTls(NoTls::PatienceOver(_))), "{trouble}");
}

#[tokio::test]
async fn an_old_hello_is_taken_up_only_by_a_server_hello() {
    let (_folder, certificates) = certificates();
    let address = server(&certificates, &[]).await;
    let client = Client::new(address).patience(PATIENCE);
    for hello in [OldHello::Tls10, OldHello::Tls11] {
        assert_eq!(client.offers(hello, "a.test").await, Ok(false), "rustls has none of these");
    }
    for (said, taken) in [(&[22, 3, 2, 0, 4, 2][..], true), (&[21, 3, 2, 0, 2, 2, 70], false)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(listener.local_addr().unwrap()).patience(PATIENCE);
        let answers = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            stream.write_all(said).await.unwrap();
        };
        let (offered, ()) = tokio::join!(client.offers(OldHello::Tls11, "a.test"), answers);
        assert_eq!(offered, Ok(taken));
    }
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(silent.local_addr().unwrap()).patience(Duration::from_millis(50));
    let nothing = client.offers(OldHello::Tls11, "a.test").await;
    assert!(matches!(nothing, Err(Trouble::NoAnswer { .. })), "{nothing:?}");
}
