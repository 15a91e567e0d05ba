//! One request and its answer, whole.

use std::time::{Duration, Instant};

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::connection::{Connection, Connector};
use super::failure::{Failure, FailureKind};
use super::observe::{self, Backend, Baseline, Finding};
use super::plan::Message;

/// An echo of request headers is far shorter; a longer body is read to its
/// end but not kept.
const KEPT_BODY_BYTES: usize = 1024 * 1024;

/// Sends one message again and again, over one connection at a time.
pub(super) struct Sender<'a> {
    connector: &'a Connector,
    message: &'a Message,
    timeout: Duration,
    keep_alive: bool,
    connection: Option<Connection>,
}

/// What came of one request.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its number in the batch, from 1.
    pub number: u64,
    /// The answer, or why there is no complete one.
    pub outcome: Result<Answered, Failure>,
    /// From before connecting, if that was needed, to the last byte of the
    /// body or to the failure.
    pub duration: Duration,
    /// Whether it went over a connection that an earlier request had opened.
    pub reused: bool,
}

/// What an answer says.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The status code.
    pub status: u16,
    /// Which backend answered, if anyone says.
    pub backend: Option<Backend>,
    /// What the proxy did to the request's headers.
    pub request: Finding,
    /// What the proxy did to the response's headers.
    pub response: Finding,
}

/// A complete answer, before it is looked at.
pub(super) struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
}

// === impl Sender ===

impl<'a> Sender<'a> {
    pub(super) fn new(
        connector: &'a Connector,
        message: &'a Message,
        timeout: Duration,
        keep_alive: bool,
    ) -> Self {
        Self { connector, message, timeout, keep_alive, connection: None }
    }

    /// One request; the time is taken before the answer is looked at.
    pub(super) async fn probe(&mut self, number: u64, baseline: Option<&Baseline>) -> Record {
        let begun = Instant::now();
        let (answer, reused) = self.exchange().await;
        let duration = begun.elapsed();
        let outcome = answer.map(|answer| {
            let answer = answer.as_witness();
            Answered {
                status: answer.status,
                backend: observe::backend(answer.headers),
                request: observe::request(&self.message.sent, &answer, baseline),
                response: observe::response(&answer, baseline),
            }
        });
        Record { number, outcome, duration, reused }
    }

    /// The whole answer within the time limit, and whether the connection was
    /// there before.
    pub(super) async fn exchange(&mut self) -> (Result<Answer, Failure>, bool) {
        let mut reused = false;
        let limit = self.timeout;
        let result = match tokio::time::timeout(limit, self.attempt(&mut reused)).await {
            Ok(result) => result,
            Err(_) => {
                let limit = humantime::format_duration(limit);
                let message = format!("no complete answer within {limit} (--timeout)");
                Err(Failure::new(FailureKind::Timeout, message))
            }
        };
        // After a failure the connection's state is not known.
        if result.is_err() || !self.keep_alive {
            self.connection = None;
        }
        (result, reused)
    }

    async fn attempt(&mut self, reused: &mut bool) -> Result<Answer, Failure> {
        loop {
            let mut kept = self.connection.take();
            if let Some(connection) = &mut kept
                && !connection.is_usable().await
            {
                kept = None;
            }
            *reused = kept.is_some();
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.connector.connect().await?,
            };
            match connection.send(self.message.request()).await {
                Ok(response) => {
                    self.connection = Some(connection);
                    return read(response, self.message.http2).await;
                }
                Err(mut error) => {
                    // A kept connection ended before anything was sent over
                    // it, as servers may do at any time: that is not this
                    // request's fate.
                    if *reused && error.take_message().is_some() {
                        continue;
                    }
                    let error = connection.cause(error.into_error()).await;
                    let http2 = self.message.http2;
                    if !*reused {
                        return Err(Failure::first_exchange(&error, http2));
                    }
                    let mut failure = Failure::exchange(&error, http2);
                    if failure.kind == FailureKind::Reset {
                        failure.message.push_str(" (on a connection kept from an earlier request)");
                    }
                    return Err(failure);
                }
            }
        }
    }
}

// === impl Answer ===

impl Answer {
    pub(super) fn as_witness(&self) -> observe::Answer<'_> {
        observe::Answer { status: self.status, headers: &self.headers, body: self.body.as_deref() }
    }
}

async fn read(response: Response<Incoming>, http2: bool) -> Result<Answer, Failure> {
    let (head, mut body) = response.into_parts();
    let mut kept = may_echo(&head.headers).then(Vec::new);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let mut failure = Failure::exchange(&error, http2);
            failure.message = format!("the body broke off: {}", failure.message);
            failure
        })?;
        let Some(data) = frame.data_ref() else { continue };
        match &mut kept {
            Some(bytes) if bytes.len() + data.len() <= KEPT_BODY_BYTES => {
                bytes.extend_from_slice(data);
            }
            _ => kept = None,
        }
    }
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: kept })
}

/// Whether the body could be an echo that can be read: JSON, as it is.
fn may_echo(headers: &HeaderMap) -> bool {
    let json = |value: &http::HeaderValue| value.to_str().is_ok_and(|text| text.contains("json"));
    headers.get(CONTENT_TYPE).is_some_and(json) && !headers.contains_key(CONTENT_ENCODING)
}
