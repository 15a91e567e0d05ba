//! Requests as HTTP/2 (RFC 9113), over a connection that was agreed on for it.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use tokio::task::JoinHandle;

use super::{Answer, Request, Secured, Trouble};

/// What is said where the client's patience was over.
pub const PATIENCE_OVER: &str = "no complete answer in time";

/// A connection that takes many requests at a time.
#[derive(Debug)]
pub struct Http2 {
    sender: SendRequest<Bytes>,
    patience: Duration,
    /// What drives it, for as long as it is used.
    task: JoinHandle<()>,
}

// === impl Http2 ===

impl Http2 {
    /// Begins to speak HTTP/2; whether the server has agreed to it is not asked.
    ///
    /// # Errors
    ///
    /// [`Trouble::Http2`].
    pub async fn over(secured: Secured, patience: Duration) -> Result<Self, Trouble> {
        let stream = secured.connection.into_inner();
        let begun = tokio::time::timeout(patience, h2::client::handshake(stream)).await;
        let (sender, connection) = begun.map_err(|_| patience_over())?.map_err(failed)?;
        // How it ends is told to the requests.
        let task = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, patience, task })
    }

    /// Sends a request and reads its answer. `Host` becomes the `:authority`; the fields of an
    /// HTTP/1 connection have no place here.
    ///
    /// # Errors
    ///
    /// [`Trouble::Http2`].
    pub async fn send(&self, request: &Request) -> Result<Answer, Trouble> {
        let answer = tokio::time::timeout(self.patience, exchange(self.sender.clone(), request));
        answer.await.map_err(|_| patience_over())?
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn exchange(sender: SendRequest<Bytes>, request: &Request) -> Result<Answer, Trouble> {
    let begun = Instant::now();
    let body = request.content();
    let mut sender = sender.ready().await.map_err(failed)?;
    let head = head(request, &body).map_err(|error| Trouble::Http2(error.to_string()))?;
    let (answer, mut sending) = sender.send_request(head, body.is_empty()).map_err(failed)?;
    if !body.is_empty() {
        // Where the server wants no more of it, its answer says so.
        let _ = sending.send_data(body, true);
    }
    let (head, mut reading) = answer.await.map_err(failed)?.into_parts();
    let mut body = BytesMut::new();
    while let Some(piece) = reading.data().await {
        let piece = piece.map_err(failed)?;
        // So that more may come.
        let _ = reading.flow_control().release_capacity(piece.len());
        body.extend_from_slice(&piece);
    }
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Ok(Answer {
        status: head.status.as_u16(),
        reason: String::new(),
        minor_version: 0,
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        raw_head: Bytes::new(),
        body: body.freeze(),
        trailers: Vec::new(),
        informational: Vec::new(),
        took: begun.elapsed(),
        reusable: true,
    })
}

fn head(request: &Request, body: &Bytes) -> Result<http::Request<()>, http::Error> {
    let host = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = host.map_or_else(String::new, |(_, host)| String::from_utf8_lossy(host).into());
    let mut head = http::Request::builder()
        .version(http::Version::HTTP_2)
        .method(request.method.as_str())
        .uri(format!("https://{host}{}", request.target));
    for (name, value) in &request.headers {
        if !name.eq_ignore_ascii_case("host") {
            head = head.header(name.as_str(), value.as_slice());
        }
    }
    if !body.is_empty() {
        head = head.header("content-length", body.len());
    }
    head.body(())
}

fn failed(error: h2::Error) -> Trouble {
    Trouble::Http2(error.to_string())
}

fn patience_over() -> Trouble {
    Trouble::Http2(PATIENCE_OVER.to_owned())
}
