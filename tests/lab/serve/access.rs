//! Which clients may come, by their addresses.

use crate::support::{Answer, Balancer, Client, Upstream, get};

/// Lets 127.0.0.0/24 in but for 127.0.0.8/29, and 127.0.0.9 in again.
fn guarded(upstream: &Upstream, more: &str) -> Balancer {
    let address = upstream.address;
    Balancer::configured(&format!(
        "{more}
        [access.inner]
        allow = ['127.0.0.0/24', '127.0.0.9', '203.0.113.0/24']
        deny = ['127.0.0.8/29']
        [[pool]]\n[[pool.backend]]\nname = 'app'\naddress = '{address}'
        [[route]]\npool = 'default'
        [[route]]\nprefix = '/inner'\npool = 'default'\naccess = ['inner']
        [[route]]\npath = '/inner/fixed'\nanswer = {{ body = 'fixed' }}\naccess = ['inner']\n"
    ))
}

fn from(balancer: &Balancer, last: u8, path: &str, fields: &[&str]) -> Answer {
    Client::connect_from([127, 0, 0, last], balancer.address).get(path, fields)
}

#[test]
fn the_most_specific_network_lets_a_client_in_or_keeps_it_out() {
    let upstream = Upstream::named("app");
    let balancer = guarded(&upstream, "");
    for (last, status) in [(1, 200), (7, 200), (8, 403), (9, 200), (10, 403), (15, 403), (16, 200)]
    {
        assert_eq!(from(&balancer, last, "/inner/x", &[]).status, status, "127.0.0.{last}");
        assert_eq!(from(&balancer, last, "/inner/fixed", &[]).status, status, "127.0.0.{last}");
        assert_eq!(from(&balancer, last, "/else", &[]).status, 200, "127.0.0.{last}");
    }
    let stranger = Client::connect_from([127, 0, 1, 1], balancer.address).get("/inner", &[]);
    assert_eq!(stranger.status, 403);
}

#[test]
fn whoever_is_kept_out_learns_why_and_keeps_the_connection_and_no_backend_is_touched() {
    let upstream = Upstream::named("app");
    let balancer = guarded(&upstream, "");
    let mut client = Client::connect_from([127, 0, 0, 8], balancer.address);
    for path in ["/inner", "/inner/../inner/x", "/%69nner"] {
        let refused = client.get(path, &["X-Request-Id: kept-out"]);
        assert_eq!(refused.status, 403, "{path}");
        assert_eq!(refused.json()["error"]["reason"], "forbidden", "{path}");
    }
    assert_eq!(upstream.received().len(), 0);
    assert_eq!(client.get("/else", &[]).text(), "app");
    let line = balancer.access("kept-out");
    assert_eq!((&line["status"], &line["reason"]), (&403.into(), &"forbidden".into()));
}

#[test]
fn a_client_is_who_a_trusted_proxy_says_and_nobody_else() {
    let upstream = Upstream::named("app");
    let spoof = &["X-Forwarded-For: 203.0.113.7"][..];
    let untrusting = guarded(&upstream, "");
    assert_eq!(from(&untrusting, 8, "/inner", spoof).status, 403);
    let trusting = guarded(&upstream, "trusted_proxies = ['127.0.0.10', '127.0.0.11']");
    assert_eq!(from(&trusting, 8, "/inner", spoof).status, 403);
    assert_eq!(from(&trusting, 10, "/inner", spoof).status, 200);
    // What the client itself had written stands before what the proxy wrote.
    let client = "X-Forwarded-For: 203.0.113.7, 198.51.100.1";
    assert_eq!(from(&trusting, 10, "/inner", &[client]).status, 403);
    let through_two = "X-Forwarded-For: 198.51.100.1, 203.0.113.7, 127.0.0.11";
    assert_eq!(from(&trusting, 10, "/inner", &[through_two]).status, 200);
    let lines = ["X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: 203.0.113.7"];
    assert_eq!(from(&trusting, 10, "/inner", &lines).status, 200);
    // A look-alike of the field's name is none.
    assert_eq!(from(&trusting, 10, "/inner", &["X_Forwarded_For: 203.0.113.7"]).status, 403);
}

#[test]
fn an_ipv4_client_of_an_ipv6_socket_is_an_ipv4_client() {
    let upstream = Upstream::named("app");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lab.toml");
    let text = format!(
        "[[listener]]\naddress = '[::]:0'
        [access.inner]\nallow = ['127.0.0.0/8']
        [access.outer]\ndeny = ['127.0.0.0/8']
        [[pool]]\n[[pool.backend]]\naddress = '{}'
        [[route]]\npath = '/inner'\npool = 'default'\naccess = ['inner']
        [[route]]\npath = '/outer'\npool = 'default'\naccess = ['outer']
        [[route]]\npath = '/both'\npool = 'default'\naccess = ['inner', 'outer']\n",
        upstream.address
    );
    std::fs::write(&file, text).unwrap();
    let (_balancer, addresses) = Balancer::listening(&file);
    let port = addresses[0].port();
    let v4 = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let v6 = std::net::SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port));
    for (path, over_v4, over_v6) in
        [("/inner", 200, 403), ("/outer", 403, 200), ("/both", 403, 403)]
    {
        assert_eq!(get(v4, path, &[]).status, over_v4, "{path}");
        assert_eq!(get(v6, path, &[]).status, over_v6, "{path}");
    }
}
