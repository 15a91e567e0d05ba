//! The stand-in for jsonplaceholder.typicode.com: a REST interface over
//! made-up data. Writes are answered as if they had been done; nothing is
//! kept.

mod data;
mod query;
mod tables;
mod words;
mod write;

use axum::Router;
use axum::extract::{Path, Request};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use serde_json::{Value, json};

use super::call::Call;
use super::reply;
use tables::{Resource, Table};

/// Express, which the original runs on, writes the media type like this.
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

pub(super) fn router() -> Router {
    let mut router = Router::new().route("/", get(index));
    for resource in Resource::ALL {
        let name = resource.name();
        router = router
            .route(&format!("/{name}"), many(resource))
            .route(&format!("/{name}/{{id}}"), one(resource));
        for inner in resource.children() {
            router =
                router.route(&format!("/{name}/{{id}}/{}", inner.name()), nested(resource, inner));
        }
    }
    let router =
        router.fallback(async || missing()).method_not_allowed_fallback(async || missing());
    // A router adds `Allow` after its own layers have run, hence the second.
    Router::new().fallback_service(router).layer(middleware::from_fn(for_everyone))
}

fn many(resource: Resource) -> MethodRouter {
    get(async move |call: Call| list(resource, &call, call.args()))
        .post(async move |call: Call| write::create(resource, &call, None))
}

fn one(resource: Resource) -> MethodRouter {
    get(async move |Path(id): Path<String>, call: Call| show(resource, &id, &call))
        .put(async move |Path(id): Path<String>, call: Call| write::replace(resource, &id, &call))
        .patch(async move |Path(id): Path<String>, call: Call| write::change(resource, &id, &call))
        .delete(async || answer(StatusCode::OK, &json!({})))
}

/// `/posts/1/comments`: the comments whose `postId` is 1.
fn nested(outer: Resource, inner: Resource) -> MethodRouter {
    get(async move |Path(id): Path<String>, call: Call| {
        let mut args = call.args();
        args.push((outer.key().to_owned(), id));
        list(inner, &call, args)
    })
    .post(async move |Path(id): Path<String>, call: Call| {
        write::create(inner, &call, Some((outer.key(), &id)))
    })
}

fn list(resource: Resource, call: &Call, args: super::call::Pairs) -> Response {
    let table = Table::of(resource);
    if args.is_empty() {
        return cacheable(call, table.text.clone());
    }
    let page = query::select(table, &args);
    let mut response = cacheable(call, reply::pretty(&page.rows));
    if let Some(total) = page.total {
        let headers = response.headers_mut();
        headers.insert("x-total-count", total.into());
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("X-Total-Count, Link"),
        );
        if let Some(link) = page.link(call) {
            headers.insert(header::LINK, link);
        }
    }
    response
}

fn show(resource: Resource, id: &str, call: &Call) -> Response {
    match Table::of(resource).row(id) {
        Some(row) => cacheable(call, reply::pretty(row)),
        None => missing(),
    }
}

async fn index() -> Response {
    let links: String = Resource::ALL
        .into_iter()
        .map(|resource| {
            let name = resource.name();
            format!("<li><a href=\"/{name}\">/{name}</a>: {}</li>\n", resource.size())
        })
        .collect();
    let body = format!(
        "<h1>The lab's JSON placeholder</h1>\n\
         <p>Made-up data to read, and to pretend to write:</p>\n<ul>\n{links}</ul>"
    );
    reply::typed(StatusCode::OK, reply::HTML, reply::page("The lab's JSON placeholder", &body))
}

/// `404` and `{}`, for whatever is not there.
fn missing() -> Response {
    answer(StatusCode::NOT_FOUND, &json!({}))
}

fn answer(status: StatusCode, value: &Value) -> Response {
    reply::typed(status, JSON, reply::pretty(value))
}

/// The text with an entity tag, or `304` to who has it already (RFC 9110,
/// section 13.1.2).
fn cacheable(call: &Call, text: impl Into<bytes::Bytes>) -> Response {
    let text = text.into();
    let mut sum = flate2::Crc::new();
    sum.update(&text);
    let tag = format!("W/\"{:x}-{:08x}\"", text.len(), sum.sum());
    let known = call.list(header::IF_NONE_MATCH).any(|item| {
        let item = item.trim();
        item == "*" || item.trim_start_matches("W/") == tag.trim_start_matches("W/")
    });
    let response = if known {
        reply::bare(StatusCode::NOT_MODIFIED, "")
    } else {
        reply::typed(StatusCode::OK, JSON, text)
    };
    let age = HeaderValue::from_static("max-age=43200");
    let response = reply::with(response, header::CACHE_CONTROL, age);
    match HeaderValue::try_from(tag) {
        Ok(tag) => reply::with(response, header::ETAG, tag),
        Err(_) => response,
    }
}

/// Answers `OPTIONS` (the Fetch standard's preflight) and allows the origin.
async fn for_everyone(request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = if request.method() == Method::OPTIONS {
        let allowed = HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE");
        let response = reply::bare(StatusCode::NO_CONTENT, "");
        reply::with(response, header::ACCESS_CONTROL_ALLOW_METHODS, allowed)
    } else {
        next.run(request).await
    };
    // The original answers a method that a path lacks with a plain 404.
    if response.status() == StatusCode::NOT_FOUND {
        response.headers_mut().remove(header::ALLOW);
    }
    const ALWAYS: [(HeaderName, &str); 3] = [
        (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"),
        (header::VARY, "Origin, Accept-Encoding"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}
