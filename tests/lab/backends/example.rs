//! The stand-in for example.com.

use pingora_lab::backends::Site;

use super::Lab;
use super::exchange::Request;

#[test]
fn there_is_one_page_in_two_languages() {
    let lab = Lab::start();
    let page = lab.get(Site::Example, "/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    for part in ["<html lang=\"en\">", "<meta charset=\"utf-8\">", "lang=\"zh\"", "负载均衡"] {
        assert!(page.text().contains(part), "{part}");
    }
    let head = lab.fetch(Site::Example, &Request::new("HEAD", "/"));
    assert_eq!(head.header("content-length"), Some(page.body.len().to_string().as_str()));
    assert_eq!(head.header("server"), Some("pingora-lab-example"));
}

#[test]
fn anything_else_is_not_there() {
    let lab = Lab::start();
    let missing = lab.get(Site::Example, "/index.php?x=1");
    assert_eq!(missing.status, 404);
    assert!(missing.text().contains("404 Not Found"));
    let posted = lab.fetch(Site::Example, &Request::new("POST", "/").body("text/plain", "x"));
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET,HEAD")));
}
