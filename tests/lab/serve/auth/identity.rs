//! The backend can believe what it is told of the user.

use super::{basic, guarded, user};
use crate::support::{Reloadable, Upstream, get};

#[test]
fn what_a_client_says_of_its_identity_reaches_nobody() {
    let upstream = Upstream::named("app");
    let lab = Reloadable::start_with(&[("users", &user("ann", "secret"))], |folder| {
        let file = folder.join("users");
        guarded(
            &upstream,
            &format!(
                "[auth.who]\nbasic = {{ file = '{}' }}
                [auth.other]\nuser_header = 'remote-user'
                [auth.other.jwt]\nalgorithms = ['HS256']\nsecret = '{}'
                claim_headers = {{ email = 'x-email' }}
                [headers.response]\nset = {{ x-hello = 'hello $user' }}
                [[route]]\nmatch_headers = {{ x-auth-user = '*' }}
                answer = {{ body = 'believed' }}\n",
                file.display(),
                "x".repeat(32),
            ),
        )
    });
    let spoofs = [
        "X-Auth-User: root",
        "x-auth-user: admin",
        "X_Auth_User: root",
        "x-auth_user: root",
        "Remote-User: root",
        "REMOTE_USER: root",
        "X-Email: root@a.test",
        "x_email: root@a.test",
    ];
    let address = lab.balancer.address;
    let right = basic("ann", "secret");
    let fields: Vec<_> = spoofs.iter().copied().chain([right.as_str()]).collect();
    let answer = get(address, "/x", &fields);
    assert_eq!((answer.text().as_str(), answer.header("x-hello")), ("app", Some("hello ann")));
    let answer = get(address, "/open", &spoofs);
    assert_eq!((answer.text().as_str(), answer.header("x-hello")), ("app", None));
    let received = upstream.received();
    assert_eq!(received[0].values("x-auth-user"), ["ann"]);
    assert!(received[1].values("x-auth-user").is_empty());
    for received in received {
        for (name, value) in &received.headers {
            assert!(!value.contains("root") && !value.contains("admin"), "{name}: {value}");
        }
    }
}

#[test]
fn the_credential_is_passed_on_where_that_is_asked_for_and_where_no_policy_is() {
    let upstream = Upstream::named("app");
    let right = basic("ann", "secret");
    for forward in [false, true] {
        let before = upstream.received().len();
        let lab = Reloadable::start_with(&[("users", &user("ann", "secret"))], |folder| {
            let file = folder.join("users");
            let policy = format!(
                "[auth.who]\nforward_credential = {forward}\nbasic = {{ file = '{}' }}\n",
                file.display()
            );
            guarded(&upstream, &policy)
        });
        get(lab.balancer.address, "/x", &[&right]);
        get(lab.balancer.address, "/open", &[&right]);
        let received = &upstream.received()[before..];
        let has = |received: &crate::support::Received| received.values("authorization").len() == 1;
        assert_eq!((has(&received[0]), has(&received[1])), (forward, true));
    }
}

#[test]
fn limits_by_identity_count_each_user_and_limits_by_address_count_guesses() {
    let upstream = Upstream::named("app");
    let users = user("ann", "secret") + &user("bob", "secret");
    let lab = Reloadable::start_with(&[("users", &users)], |folder| {
        let file = folder.join("users");
        let policy = format!(
            "[auth.who]\nbasic = {{ file = '{}' }}
            [rate_limit.users]\nrequests = 2\nper = '1h'\nby = 'identity'
            [rate_limit.guesses]\nrequests = 9\nper = '1h'\n",
            file.display()
        );
        guarded(&upstream, &policy)
            .replace("auth = 'who'", "auth = 'who'\nrate_limit = ['users', 'guesses']")
    });
    let ask = |name: &str, password: &str| {
        get(lab.balancer.address, "/x", &[&basic(name, password)]).status
    };
    assert_eq!([(); 3].map(|()| ask("ann", "secret")), [200, 200, 429]);
    assert_eq!([(); 3].map(|()| ask("bob", "secret")), [200, 200, 429]);
    assert_eq!([(); 4].map(|()| ask("bob", "guess")), [401, 401, 401, 429]);
    assert_eq!(upstream.received().len(), 4);
}
