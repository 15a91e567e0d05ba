//! What differs between two configurations, by the names that the file gives.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::config::Config;

/// What differs: `pool.web`, `route.3`, `timeouts`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
}

// === impl Changes ===

impl Changes {
    /// What another configuration has that the old one had not, and so on.
    pub fn between(old: &Config, new: &Config) -> Self {
        let (parts, others) = (parts(old), parts(new));
        let mut changes = Self::default();
        for (name, part) in &parts {
            match others.get(name) {
                None => changes.removed.push(name.clone()),
                Some(other) if other != part => changes.changed.push(name.clone()),
                Some(_) => {}
            }
        }
        let new_names = others.into_keys().filter(|name| !parts.contains_key(name));
        changes.added.extend(new_names);
        // Secrets are not shown, so only their being others is seen.
        if changes == Self::default() && old != new {
            changes.changed.push("a secret".to_owned());
        }
        changes
    }
}

/// The parts of a configuration, by name: items of lists by their own names, or by
/// their addresses, or by their places.
fn parts(config: &Config) -> BTreeMap<String, Value> {
    let Ok(Value::Object(whole)) = serde_json::to_value(config) else { return BTreeMap::new() };
    let mut parts = BTreeMap::new();
    for (key, value) in whole {
        match value {
            Value::Array(items) if items.iter().all(Value::is_object) => {
                for (place, item) in items.into_iter().enumerate() {
                    let name = item["name"].as_str().or(item["address"].as_str());
                    let name = name.map_or_else(|| (place + 1).to_string(), str::to_owned);
                    parts.insert(format!("{key}.{name}"), item);
                }
            }
            // A table for each name.
            Value::Object(named) if !named.is_empty() && named.values().all(Value::is_object) => {
                let named = named.into_iter();
                parts.extend(named.map(|(name, part)| (format!("{key}.{name}"), part)));
            }
            value => {
                parts.insert(key, value);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_as_in_the_file() {
        let config = |text: &str| -> Config { toml::from_str(text).unwrap() };
        let old = config(
            "threads = 2\n[[pool]]\nname = 'a'\n[[pool]]\nname = 'b'\n\
             [[route]]\npool = 'a'\n[headers.request]\nset = { x = '1' }\n",
        );
        let new = config(
            "threads = 3\n[[pool]]\nname = 'b'\nmax_requests = 5\n[[pool]]\nname = 'c'\n\
             [[route]]\npool = 'b'\n[headers.request]\nset = { x = '2' }\n",
        );
        let changes = Changes::between(&old, &new);
        assert_eq!(changes.added, ["pool.c"]);
        assert_eq!(changes.removed, ["pool.a"]);
        assert_eq!(changes.changed, ["headers.request", "pool.b", "route.1", "threads"]);
        assert_eq!(Changes::between(&old, &old), Changes::default());
        let secret = |secret: &str| config(&format!("[admin]\ntoken = '{secret}'"));
        let changes = Changes::between(&secret("one"), &secret("two"));
        assert_eq!(changes.changed, ["a secret"]);
    }
}
