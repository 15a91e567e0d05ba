//! The stand-in for jsonplaceholder.typicode.com.

use pingora_lab::backends::Site;
use serde_json::{Value, json};

use super::Lab;
use super::exchange::{Answer, Request};

fn get(lab: &Lab, target: &str) -> Answer {
    lab.get(Site::JsonPlaceholder, target)
}

fn rows(lab: &Lab, target: &str) -> Vec<Value> {
    let answer = get(lab, target);
    assert_eq!(answer.status, 200, "{target}");
    answer.json().as_array().expect("a list").clone()
}

fn send(lab: &Lab, method: &str, target: &str, body: &Value) -> Answer {
    let request = Request::new(method, target).body("application/json", body.to_string());
    lab.fetch(Site::JsonPlaceholder, &request)
}

/// The names of the fields, nested ones with dots.
fn shape(value: &Value) -> Vec<String> {
    let Some(fields) = value.as_object() else { return vec![String::new()] };
    let of_field = |(name, value): (&String, &Value)| -> Vec<String> {
        let below = shape(value).into_iter();
        below.map(|rest| format!("{name}.{rest}").trim_end_matches('.').to_owned()).collect()
    };
    fields.iter().flat_map(of_field).collect()
}

#[test]
fn every_resource_has_its_size_and_shape() {
    let lab = Lab::start();
    let expected = [
        ("posts", 100, "userId id title body"),
        ("comments", 500, "postId id name email body"),
        ("albums", 100, "userId id title"),
        ("photos", 5000, "albumId id title url thumbnailUrl"),
        ("todos", 200, "userId id title completed"),
        (
            "users",
            10,
            "id name username email address.street address.suite address.city address.zipcode \
             address.geo.lat address.geo.lng phone website company.name company.catchPhrase \
             company.bs",
        ),
    ];
    for (name, size, fields) in expected {
        let all = rows(&lab, &format!("/{name}"));
        assert_eq!(all.len(), size, "{name}");
        for row in &all {
            assert_eq!(shape(row).join(" "), fields, "{name}");
        }
        let last = get(&lab, &format!("/{name}/{size}"));
        assert_eq!(last.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(last.json(), all[size - 1]);
    }
}

#[test]
fn nested_routes_and_filters_select() {
    let lab = Lab::start();
    let cases = [
        ("/posts/1/comments", "/comments?postId=1", 5),
        ("/albums/100/photos", "/photos?albumId=100", 50),
        ("/users/2/albums", "/albums?userId=2", 10),
        ("/users/2/todos", "/todos?userId=2", 20),
        ("/users/2/posts", "/posts?userId=2", 10),
    ];
    for (nested, filter, size) in cases {
        let nested = rows(&lab, nested);
        assert_eq!((nested.len(), &nested), (size, &rows(&lab, filter)));
    }
    assert_eq!(rows(&lab, "/posts/9999/comments"), Vec::<Value>::new());
    assert_eq!(rows(&lab, "/photos?nothing=1").len(), 5000);
    assert_eq!(rows(&lab, "/posts/1/comments?id=3").len(), 1);
}

#[test]
fn lists_come_in_pages() {
    let lab = Lab::start();
    let host = lab.address(Site::JsonPlaceholder);
    let page = get(&lab, "/posts?_page=3&_limit=40");
    let ids: Vec<_> = page.json().as_array().unwrap().iter().map(|row| row["id"].clone()).collect();
    assert_eq!(ids, (81..=100).map(Value::from).collect::<Vec<_>>());
    assert_eq!(page.header("x-total-count"), Some("100"));
    let link = |number, relation| {
        format!("<http://{host}/posts?_page={number}&_limit=40>; rel=\"{relation}\"")
    };
    let links = [link(1, "first"), link(2, "prev"), link(3, "last")].join(", ");
    assert_eq!(page.header("link"), Some(links.as_str()));
}

#[test]
fn what_is_not_there_is_404_and_an_empty_object() {
    let lab = Lab::start();
    for target in ["/posts/0", "/posts/101", "/posts/x", "/posts/-1", "/nothing", "/posts/1/photos"]
    {
        let answer = get(&lab, target);
        assert_eq!((answer.status, answer.json()), (404, json!({})), "{target}");
    }
    let changes = json!({ "title": "x" });
    for method in ["PUT", "PATCH"] {
        assert_eq!(send(&lab, method, "/posts/101", &changes).status, 404);
    }
    // A method that the path lacks is no different to the original.
    let answer = send(&lab, "POST", "/posts/1", &changes);
    assert_eq!((answer.status, answer.header("allow")), (404, None));
}

#[test]
fn writes_are_answered_and_not_kept() {
    let lab = Lab::start();
    let host = lab.address(Site::JsonPlaceholder);
    let first = get(&lab, "/posts/1").json();

    let created = send(&lab, "POST", "/posts", &json!({ "title": "new", "id": 7 }));
    assert_eq!((created.status, created.json()), (201, json!({ "title": "new", "id": 101 })));
    let location = format!("http://{host}/posts/101");
    assert_eq!(created.header("location"), Some(location.as_str()));
    let nested = send(&lab, "POST", "/posts/3/comments", &json!({ "name": "n" }));
    assert_eq!(nested.json(), json!({ "name": "n", "postId": 3, "id": 501 }));

    let replaced = send(&lab, "PUT", "/posts/1", &json!({ "title": "new" }));
    assert_eq!((replaced.status, replaced.json()), (200, json!({ "title": "new", "id": 1 })));
    let changed = send(&lab, "PATCH", "/posts/1", &json!({ "title": "new" })).json();
    assert_eq!((&changed["title"], &changed["body"]), (&json!("new"), &first["body"]));
    let deleted = lab.fetch(Site::JsonPlaceholder, &Request::new("DELETE", "/posts/1"));
    assert_eq!((deleted.status, deleted.json()), (200, json!({})));

    assert_eq!(get(&lab, "/posts/1").json(), first);
    assert_eq!(get(&lab, "/posts/101").status, 404);
}

#[test]
fn a_body_is_read_by_its_type() {
    let lab = Lab::start();
    let post = |media_type: &str, body: &str| {
        let request = Request::new("POST", "/todos").body(media_type, body);
        let answer = lab.fetch(Site::JsonPlaceholder, &request);
        (answer.status, answer.json())
    };
    let form = post("application/x-www-form-urlencoded", "title=a+b&completed=true");
    assert_eq!(form, (201, json!({ "title": "a b", "completed": "true", "id": 201 })));
    assert_eq!(post("text/plain", "{\"a\": 1}"), (201, json!({ "id": 201 })));
    for body in ["{", "[1]", "\"a\""] {
        let (status, error) = post("application/json; charset=utf-8", body);
        assert_eq!((status, &error["error"]), (400, &json!("not_a_json_object")), "{body}");
    }
}

#[test]
fn an_answer_that_is_known_is_not_sent_again() {
    let lab = Lab::start();
    let tag = get(&lab, "/users/1").header("etag").unwrap().to_owned();
    let again = |tag: &str| {
        let request = Request::get("/users/1").header("If-None-Match", tag);
        lab.fetch(Site::JsonPlaceholder, &request).status
    };
    assert_eq!(again(&tag), 304);
    assert_eq!(again("W/\"other\""), 200);
    assert_ne!(get(&lab, "/users/2").header("etag"), Some(tag.as_str()));
}

#[test]
fn a_page_of_another_origin_may_ask() {
    let lab = Lab::start();
    let asked = Request::new("OPTIONS", "/posts").header("Origin", "http://a.test");
    let answer = lab.fetch(Site::JsonPlaceholder, &asked);
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://a.test"));
    assert_eq!(
        answer.header("access-control-allow-methods"),
        Some("GET,HEAD,PUT,PATCH,POST,DELETE")
    );
}
