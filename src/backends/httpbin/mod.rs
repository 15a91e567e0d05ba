//! The stand-in for httpbin.org: echoes requests, and makes answers to order.
//!
//! Paths, parameters, limits and JSON field names are httpbin's, and so are
//! its two habits that surprise: header fields that a hosting platform adds
//! (`X-Forwarded-For`, `X-Request-Id`, `Via`, …) are not echoed unless the
//! query has `show_env`, and `origin` is whatever `X-Forwarded-For` says.
//! What differs on purpose is in `docs/lab-backends.md`.

mod auth;
mod bytes;
mod caching;
mod cookies;
mod echo;
mod formats;
mod parameter;
mod redirects;
mod shaped;
mod status;
mod twister;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, delete, get, on, patch, post, put};

use super::reply;

pub(super) fn router() -> Router {
    // A router adds `Allow` after its own layers have run, hence the second.
    Router::new().fallback_service(routes()).layer(middleware::from_fn(for_browsers))
}

fn routes() -> Router {
    Router::new()
        .route("/", get(formats::index))
        .route("/get", get(echo::get))
        .route("/post", post(echo::with_body))
        .route("/put", put(echo::with_body))
        .route("/patch", patch(echo::with_body))
        .route("/delete", delete(echo::with_body))
        .route("/anything", on(any_method(), echo::anything))
        .route("/anything/{*rest}", on(any_method(), echo::anything))
        .route("/headers", get(echo::headers))
        .route("/ip", get(echo::ip))
        .route("/user-agent", get(echo::user_agent))
        .route("/status/{codes}", on(any_method(), status::status))
        .route("/delay/{seconds}", on(any_method(), shaped::delay))
        .route("/drip", get(shaped::drip))
        .route("/stream/{n}", get(shaped::stream))
        .route("/response-headers", response_headers())
        .route("/bytes/{n}", get(bytes::bytes))
        .route("/stream-bytes/{n}", get(bytes::stream_bytes))
        .route("/range/{n}", get(bytes::range))
        .route("/gzip", get(formats::gzip))
        .route("/deflate", get(formats::deflate))
        .route("/json", get(formats::json))
        .route("/html", get(formats::html))
        .route("/uuid", get(formats::uuid))
        .route("/cookies", get(cookies::show))
        .route("/cookies/set", get(cookies::set_all))
        .route("/cookies/set/{name}/{value}", get(cookies::set_one))
        .route("/cookies/delete", get(cookies::delete))
        .route("/redirect/{n}", get(redirects::redirect))
        .route("/relative-redirect/{n}", get(redirects::relative))
        .route("/absolute-redirect/{n}", get(redirects::absolute))
        .route("/basic-auth/{user}/{password}", get(auth::basic))
        .route("/bearer", get(auth::bearer))
        .route("/cache", get(caching::cache))
        .route("/cache/{seconds}", get(caching::cache_for))
        .route("/etag/{etag}", get(caching::etag))
        .fallback(async || Refusal::NotFound)
        .method_not_allowed_fallback(async || {
            reply::error_page(
                StatusCode::METHOD_NOT_ALLOWED,
                "This path has other methods: see Allow.",
            )
        })
}

/// The methods of `/anything`, `/status` and `/delay`.
fn any_method() -> MethodFilter {
    MethodFilter::GET
        .or(MethodFilter::POST)
        .or(MethodFilter::PUT)
        .or(MethodFilter::DELETE)
        .or(MethodFilter::PATCH)
        .or(MethodFilter::TRACE)
}

fn response_headers() -> MethodRouter {
    get(shaped::response_headers).post(shaped::response_headers)
}

/// Why a request is not answered as it wants.
#[derive(Debug)]
enum Refusal {
    /// What the client wrote in the path or the query makes no sense.
    BadRequest(String),
    /// There is nothing at this path.
    NotFound,
}

impl Refusal {
    fn bad_request(message: impl Into<String>) -> Self {
        Self::BadRequest(message.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::BadRequest(message) => {
                reply::typed(StatusCode::BAD_REQUEST, reply::TEXT, message)
            }
            Self::NotFound => {
                reply::error_page(StatusCode::NOT_FOUND, "There is nothing at this path.")
            }
        }
    }
}

/// What every path does for pages of other origins: answers `OPTIONS` and
/// allows the origin (the Fetch standard, section 3.2).
async fn for_browsers(request: Request, next: Next) -> Response {
    let asked = request.headers().get(header::ORIGIN).cloned();
    let wanted_headers = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let is_options = request.method() == Method::OPTIONS;

    let mut response = next.run(request).await;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let mut allow = response.headers_mut().remove(header::ALLOW);
        if is_options {
            response = reply::typed(StatusCode::OK, reply::HTML, "");
        }
        if let Some(methods) = allow.as_mut().and_then(|allow| allow.to_str().ok())
            && let Ok(methods) = HeaderValue::try_from(format!("{methods},OPTIONS"))
        {
            response.headers_mut().insert(header::ALLOW, methods);
        }
    }
    let headers = response.headers_mut();
    let any = HeaderValue::from_static("*");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, asked.unwrap_or(any));
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    if is_options {
        const PREFLIGHT: [(HeaderName, &str); 2] = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE, PATCH, OPTIONS"),
            (header::ACCESS_CONTROL_MAX_AGE, "3600"),
        ];
        for (name, value) in PREFLIGHT {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Some(wanted) = wanted_headers {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
        }
    }
    response
}
