//! What clients of HTTP/1.0 do not know: chunks. The end of the connection ends an answer
//! of theirs whose length is not known (RFC 9112, section 6.3).

use std::any::Any;

use async_trait::async_trait;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Method, StatusCode, Version};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::{HttpModule, HttpModuleBuilder, Module, ModuleBuilder};

/// Whether nothing but the end of the connection can tell the client where the answer
/// ends.
pub fn ends_with_the_connection(request: &RequestHeader, answer: &ResponseHeader) -> bool {
    request.version == Version::HTTP_10
        && !answer.headers.contains_key(CONTENT_LENGTH)
        && request.method != Method::HEAD
        && !matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Sends answers to HTTP/1.0 without chunks.
///
/// It is a module of Pingora's, since those have the last word: Pingora says that the
/// answer of a backend over HTTP/2 comes in chunks only after
/// [`response_filter`](pingora_proxy::ProxyHttp::response_filter).
#[derive(Default)]
pub struct Unchunked {
    wanted: bool,
}

struct Builder;

// === impl Unchunked ===

impl Unchunked {
    /// Makes one for each request.
    pub fn builder() -> ModuleBuilder {
        Box::new(Builder)
    }
}

impl HttpModuleBuilder for Builder {
    fn init(&self) -> Module {
        Box::<Unchunked>::default()
    }
}

#[async_trait]
impl HttpModule for Unchunked {
    async fn request_header_filter(&mut self, request: &mut RequestHeader) -> Result<()> {
        self.wanted = request.version == Version::HTTP_10;
        Ok(())
    }

    async fn response_header_filter(&mut self, answer: &mut ResponseHeader, _: bool) -> Result<()> {
        if self.wanted {
            answer.remove_header(&TRANSFER_ENCODING);
        }
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
