//! The environment that a program under test gets.

/// Variables that are ours and would change what the program does: what cargo
/// and a person's debugging leave behind, and our own contract.
const STRIPPED: [&str; 3] = ["CARGO", "LAB_", "PINGORA_LAB"];

/// The same, by their whole name. (A check sets `SSL_CERT_FILE`, which is not to have a second
/// list beside it.)
const STRIPPED_NAMES: [&str; 4] =
    ["RUST_LOG", "RUST_BACKTRACE", "RUST_LIB_BACKTRACE", "SSL_CERT_DIR"];

/// The judge's own environment without what would change the program, then
/// `RUST_BACKTRACE=0`, so that a panic is two lines, then `added`.
///
/// Variables that are not UTF-8 are left out.
pub fn environment(added: &[(String, String)]) -> Vec<(String, String)> {
    let own = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    compose(own, added)
}

fn compose(
    own: impl Iterator<Item = (String, String)>,
    added: &[(String, String)],
) -> Vec<(String, String)> {
    let stripped = |name: &str| {
        STRIPPED.iter().any(|start| name.starts_with(start)) || STRIPPED_NAMES.contains(&name)
    };
    own.filter(|(name, _)| !stripped(name))
        .chain([("RUST_BACKTRACE".to_owned(), "0".to_owned())])
        .chain(added.iter().cloned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let pair = |word: &str| word.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
        text.split_whitespace().filter_map(pair).collect()
    }

    #[test]
    fn what_would_change_the_program_is_left_out_and_the_contract_comes_last() {
        let own = pairs(
            "PATH=/bin CARGO=x CARGO_MANIFEST_DIR=x HOME=/root RUST_LOG=debug LAB_LISTEN=old \
             RUST_BACKTRACE=full LANG=C",
        );
        let env = compose(own.into_iter(), &pairs("LAB_LISTEN=127.0.0.1:1"));
        assert_eq!(
            env,
            pairs("PATH=/bin HOME=/root LANG=C RUST_BACKTRACE=0 LAB_LISTEN=127.0.0.1:1")
        );
    }
}
