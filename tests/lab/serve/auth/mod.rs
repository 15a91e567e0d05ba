//! Who may.

mod api_key;
mod basic;
mod identity;
mod jwt;
mod logins;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::{Answer, Upstream};

/// A configuration: everything needs the policy but `/open`.
fn guarded(upstream: &Upstream, policy: &str) -> String {
    let address = upstream.address;
    format!(
        "{policy}
        [[pool]]\n[[pool.backend]]\nname = 'app'\naddress = '{address}'
        [[route]]\npool = 'default'\nauth = 'who'
        [[route]]\npath = '/fixed'\nanswer = {{ body = 'fixed' }}\nauth = 'who'
        [[route]]\npath = '/open'\npool = 'default'\n"
    )
}

/// A line of a file of users, with a hash that is quick to verify.
fn user(name: &str, password: &str) -> String {
    format!("{name}:{}\n", bcrypt::hash(password, 4).unwrap())
}

/// The field that shows a user and a password.
fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// The client has not shown who it is, and learns no more than how it can.
fn assert_unauthorized(answer: &Answer, challenge: &str, what: &str) {
    assert_eq!(answer.status, 401, "{what}");
    assert_eq!(answer.header("www-authenticate"), Some(challenge), "{what}");
    assert_eq!(answer.count("www-authenticate"), 1, "{what}");
    assert_eq!(answer.json()["error"]["reason"], "unauthorized", "{what}");
}
