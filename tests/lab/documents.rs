//! What the documents show is true.

use std::path::Path;

use pingora_lab::config::Config;

/// The fenced blocks of a language in a document.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = std::fs::read_to_string(path).unwrap();
    let opening = format!("```{language}\n");
    text.split(&opening).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn load(text: &str) -> Config {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let (config, _) =
        Config::from_file(file.path()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    config.validate().unwrap_or_else(|error| panic!("{error}\n{text}"));
    config
}

#[test]
fn every_configuration_in_the_documents_can_be_used() {
    let examples = blocks("docs/serve.md", "toml");
    assert!(examples.len() >= 2);
    for example in examples {
        load(&example);
    }
}

/// The first example says that it holds every key with its default.
#[test]
fn the_reference_example_holds_the_defaults() {
    let reference = &blocks("docs/serve.md", "toml")[0];
    let written = load(reference);
    // Left alone, a key has the value that the reference gives it.
    let mut defaults = Config { pools: written.pools.clone(), ..Config::default() };
    defaults.threads = written.threads;
    let pool = pingora_lab::config::Pool::new(written.pools[0].backends.clone());
    defaults.pools = vec![pool];
    let sorted = |config: &Config| {
        let mut config = config.clone();
        config.headers.request.set.sort_by_key(|(name, _)| name.to_string());
        config.headers.response.set.sort_by_key(|(name, _)| name.to_string());
        format!("{config:#?}")
    };
    assert_eq!(sorted(&written), sorted(&defaults));
    // And there is no key that it leaves out: serde names them all when asked.
    for (table, text) in [
        ("", "no_such_key = 1\n".to_owned()),
        ("listener", "[[listener]]\nno_such_key = 1\n".to_owned()),
        ("pool", "[[pool]]\nno_such_key = 1\n".to_owned()),
        ("backend", "[[pool]]\n[[pool.backend]]\nno_such_key = 1\n".to_owned()),
        ("health_check", "[[pool]]\nhealth_check = { no_such_key = 1 }\n".to_owned()),
        ("timeouts", "[timeouts]\nno_such_key = 1\n".to_owned()),
        ("shutdown", "[shutdown]\nno_such_key = 1\n".to_owned()),
        ("log", "[log]\nno_such_key = 1\n".to_owned()),
        ("headers", "[headers]\nno_such_key = 1\n".to_owned()),
        ("headers.request", "[headers.request]\nno_such_key = 1\n".to_owned()),
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &text).unwrap();
        let error = Config::from_file(file.path()).unwrap_err().to_string();
        let (_, expected) = error.split_once("expected ").expect("serde names the keys");
        let expected = expected.split(" — ").next().unwrap();
        let keys: Vec<_> = expected.split('`').skip(1).step_by(2).collect();
        assert!(!keys.is_empty(), "{error}");
        for key in keys {
            assert!(reference.contains(key), "{table}: the reference leaves out `{key}`");
        }
    }
}
