//! What was routed goes on as it came: prefix, encoding, slashes and query.

use super::pools::{Pool, Pools};
use crate::backends::recording::Received;
use crate::judge::exchange::Exchange;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// Every kind of target to every pool that a path leads to, compared byte for byte.
pub async fn query_and_encoding(scene: &Scene) -> Outcome {
    let pools = Pools::start(scene, [1; 4]).await?;
    let mut all = [Pool::Api, Pool::Static, Pool::Default];
    for kind in kinds(scene) {
        scene.draw.shuffle(&mut all);
        for pool in all {
            let exchange = pools.send(pools.get(format!("{}{kind}", pool.prefix()))).await;
            let (reached, received) = pools.reached(&exchange, pool).await?;
            if reached != pool {
                return Err(pools.went_wrong(&exchange, "wrong-pool", pool, reached));
            }
            as_sent(&pools, &exchange, pool, received)?;
        }
    }
    Ok(())
}

/// The backend was asked for what the client asked for.
///
/// # Errors
///
/// What became of it.
pub fn as_sent(pools: &Pools<'_>, exchange: &Exchange, pool: Pool, received: &Received) -> Outcome {
    let (sent, arrived) = (&exchange.request.target, &received.target);
    if sent == arrived {
        return Ok(());
    }
    let id = difference(sent, arrived, pool.prefix());
    let found = pools.found(exchange, id, pool).compared(sent, arrived);
    Err(found.repeat(pools.arrives_by_hand(exchange, pool)).fail())
}

/// What follows the prefix, from the plain to the finer.
fn kinds(scene: &Scene) -> Vec<String> {
    let word = || scene.draw.word();
    vec![
        format!("/{}/{}", word(), word()),
        format!("/{}?{}=%2F%20x&empty=&=&b=+&q=/../x?y&%e4%bd%a0", word(), word()),
        format!("/{}%20%2F%2f%3F%25%e4%BD%A0/{}%7E%41", word(), word()),
        format!("/{}//{}/", word(), word()),
        format!("/{};v=1,2/@{}:!$&'()*+=", word(), word()),
    ]
}

/// What became of a target on its way.
fn difference(sent: &str, arrived: &str, prefix: &str) -> &'static str {
    let parts = |target: &str| {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        (path.to_owned(), query.to_owned())
    };
    let ((path, query), (arrived_path, arrived_query)) = (parts(sent), parts(arrived));
    let stripped = path.strip_prefix(prefix).unwrap_or_default();
    let without_prefix =
        |path: &str| path.trim_start_matches('/') == stripped.trim_start_matches('/');
    if path == arrived_path {
        if arrived_query.is_empty() { "query-lost" } else { "query-changed" }
    } else if !prefix.is_empty()
        && (without_prefix(&arrived_path) || decoded(&arrived_path) == decoded(stripped))
    {
        "prefix-lost"
    } else if decoded(&path) == decoded(&arrived_path) {
        "encoding-changed"
    } else if without_slashes(&path) == without_slashes(&arrived_path) {
        "slashes-changed"
    } else if query != arrived_query && arrived.starts_with(&*path) {
        "query-changed"
    } else {
        "path-changed"
    }
}

/// With each percent-encoding decoded, once.
fn decoded(path: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let byte = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(b'%'));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// The segments that are not empty.
fn without_slashes(path: &str) -> Vec<&str> {
    path.split('/').filter(|segment| !segment.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn what_became_of_a_target_is_named() {
        for (sent, arrived, id) in [
            ("/api/x", "/x", "prefix-lost"),
            ("/api/x?a=1", "/x?a=1", "prefix-lost"),
            ("/api/x%20y", "/x y", "prefix-lost"),
            ("/api/x?a=1", "/api/x", "query-lost"),
            ("/api/x?a=%20", "/api/x?a=+", "query-changed"),
            ("/api/x%2fy", "/api/x%2Fy", "encoding-changed"),
            ("/api/x%41", "/api/xA", "encoding-changed"),
            ("/api/x%20y", "/api/x%2520y", "path-changed"),
            ("/api/x//y/", "/api/x/y/", "slashes-changed"),
            ("/api/x/", "/api/x", "slashes-changed"),
            ("/api/x", "/v1/x", "path-changed"),
        ] {
            assert_eq!(difference(sent, arrived, "/api"), id, "{sent} {arrived}");
        }
    }
}
