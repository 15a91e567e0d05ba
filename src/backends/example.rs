//! The stand-in for example.com: one small page.

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::get;

use super::reply;

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Example page of the lab</title>
<style>body { max-width: 40rem; margin: 4rem auto; padding: 0 1rem; font-family: sans-serif; }</style>
</head>
<body>
<h1>Example page of the lab</h1>
<p>This small page stands in for example.com, so that a load balancer has a plain website behind it.</p>
<p lang="zh">这个小页面代替 example.com，让负载均衡器后面有一个普通的网站。</p>
</body>
</html>
"#;

pub(super) fn router() -> Router {
    Router::new()
        .route("/", get(home))
        .fallback(async || {
            reply::error_page(
                StatusCode::NOT_FOUND,
                "There is only one page here: <a href=\"/\">/</a>.",
            )
        })
        .method_not_allowed_fallback(async || {
            reply::error_page(StatusCode::METHOD_NOT_ALLOWED, "This page can only be read.")
        })
}

async fn home() -> Response {
    let response = reply::typed(StatusCode::OK, reply::HTML, PAGE);
    // The page never changes, and a cache in front may show that.
    reply::with(response, header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600"))
}
