//! Files of users and hashed passwords, as `htpasswd` writes them.

use std::collections::HashMap;
use std::sync::Arc;

use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params};

use super::identity::field_value;

/// The users of a file, with what their passwords are verified against.
#[derive(Debug)]
pub struct Users(HashMap<Box<str>, Arc<Hash>>);

/// A hashed password.
pub struct Hash(Kind);

enum Kind {
    Bcrypt(Box<str>),
    Argon2(Box<PasswordHash>),
}

/// What is wrong with a file: the line, from 1, and what to do. It shows nothing of
/// the line but the user's name.
#[derive(Debug, PartialEq, Eq)]
pub struct BadLine {
    /// The line, from 1; 0 if it is the whole file.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

/// The most that a hash may cost, so that one login cannot keep a processor or the
/// memory for long: about 4 s of bcrypt.
const BCRYPT_COST: std::ops::RangeInclusive<u32> = 4..=16;

/// The most memory of an argon2 hash, in KiB.
const ARGON2_MEMORY: u32 = 256 * 1024;

/// The most passes of an argon2 hash over its memory, and lanes.
const ARGON2_PASSES: u32 = 16;

/// What makes a hash that can be used.
const REMEDY: &str = "hash the password anew with `htpasswd -B -C 12 FILE USER`";

// === impl Users ===

impl Users {
    /// Reads a file. Blank lines and lines that begin with `#` say nothing.
    ///
    /// # Errors
    ///
    /// The first line that cannot be used, or that there is no user at all, as in a
    /// file that is being written.
    pub fn parse(file: &[u8]) -> Result<Self, BadLine> {
        let mut users = HashMap::new();
        for (index, line) in file.split(|b| *b == b'\n').enumerate() {
            let bad = |message: String| BadLine { line: index + 1, message };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.trim_ascii().is_empty() || line.starts_with(b"#") {
                continue;
            }
            let line = std::str::from_utf8(line)
                .map_err(|_| bad("the line is not UTF-8: save the file as UTF-8".to_owned()))?;
            let (user, rest) = line
                .split_once(':')
                .ok_or_else(|| bad("the line is not user:hash: write it so".to_owned()))?;
            if field_value(user).is_none() {
                return Err(bad(
                    "the user's name is empty, or has spaces at its ends or control characters: \
                     use another"
                        .to_owned(),
                ));
            }
            // Some files have a comment after the hash.
            let hash = rest.split(':').next().unwrap_or_default();
            let hash = Hash::parse(hash).map_err(|why| bad(format!("user \"{user}\": {why}")))?;
            if users.insert(user.into(), Arc::new(hash)).is_some() {
                return Err(bad(format!("user \"{user}\" is there twice: remove one")));
            }
        }
        if users.is_empty() {
            return Err(BadLine {
                line: 0,
                message: "there is no user in it: add one with `htpasswd -B -C 12 FILE USER`"
                    .to_owned(),
            });
        }
        Ok(Self(users))
    }

    /// The users' names and hashes, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<Hash>)> {
        self.0.iter().map(|(user, hash)| (&**user, hash))
    }
}

// === impl Hash ===

impl Hash {
    /// Reads a hash.
    ///
    /// # Errors
    ///
    /// Why it cannot be used, and what to do.
    pub fn parse(text: &str) -> Result<Self, String> {
        let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| text.starts_with(prefix));
        if begins(&["$2a$", "$2b$", "$2y$"]) {
            let parts: bcrypt::HashParts =
                text.parse().map_err(|_| format!("the bcrypt hash is damaged: {REMEDY}"))?;
            let cost = parts.get_cost();
            if !BCRYPT_COST.contains(&cost) {
                return Err(format!(
                    "the bcrypt hash has a cost of {cost}, and {} to {} can be used: {REMEDY}",
                    BCRYPT_COST.start(),
                    BCRYPT_COST.end()
                ));
            }
            return Ok(Self(Kind::Bcrypt(text.into())));
        }
        if begins(&["$argon2"]) {
            return argon2(text).map(|hash| Self(Kind::Argon2(Box::new(hash))));
        }
        let kind = if begins(&["$2x$"]) {
            "bcrypt with a known fault (2x)"
        } else if begins(&["$apr1$", "$1$"]) {
            "MD5, which is guessed by the thousand million a second"
        } else if begins(&["{SHA}", "{SSHA}"]) {
            "SHA-1, which is guessed by the thousand million a second"
        } else if begins(&["$5$", "$6$"]) {
            "crypt with SHA-2, which is not supported"
        } else if begins(&["$"]) {
            "of a kind that is not supported"
        } else {
            "crypt or the password itself"
        };
        Err(format!("what stands for the password is {kind}: {REMEDY}"))
    }

    /// Whether the password is the one that was hashed. Takes a processor for a tenth
    /// of a second and more, on purpose.
    pub fn verify(&self, password: &[u8]) -> bool {
        // Both compare in constant time.
        match &self.0 {
            Kind::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Kind::Argon2(hash) => Argon2::default().verify_password(password, &**hash).is_ok(),
        }
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Kind::Bcrypt(_) => "bcrypt(***)",
            Kind::Argon2(_) => "argon2(***)",
        })
    }
}

/// Reads a hash of argon2 (a PHC string) that can be verified.
fn argon2(text: &str) -> Result<PasswordHash, String> {
    let damaged = || {
        format!(
            "the argon2 hash is damaged: write it as $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH, or \
             {REMEDY}"
        )
    };
    let hash = PasswordHash::new(text).map_err(|_| damaged())?;
    let known = Algorithm::try_from(hash.algorithm.as_str()).is_ok();
    let version = hash.version.is_none_or(|version| argon2::Version::try_from(version).is_ok());
    if !known || !version || hash.salt.is_none() || hash.hash.is_none() {
        return Err(damaged());
    }
    let params = Params::try_from(&hash).map_err(|_| damaged())?;
    if params.m_cost() > ARGON2_MEMORY
        || params.t_cost() > ARGON2_PASSES
        || params.p_cost() > ARGON2_PASSES
    {
        return Err(format!(
            "the argon2 hash takes m={}, t={}, p={}, and up to m={ARGON2_MEMORY}, \
             t={ARGON2_PASSES}, p={ARGON2_PASSES} can be used: hash the password anew with less",
            params.m_cost(),
            params.t_cost(),
            params.p_cost()
        ));
    }
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::PasswordHasher as _;
    use proptest::prelude::*;

    use super::*;

    /// Of "secret"; made by this program, quick to verify.
    fn bcrypt_hash(prefix: &str) -> String {
        bcrypt::hash("secret", 4).unwrap().replacen("$2b$", prefix, 1)
    }

    fn argon2_hash(algorithm: Algorithm) -> String {
        let params = Params::new(16, 1, 1, None).unwrap();
        let argon2 = Argon2::new(algorithm, argon2::Version::V0x13, params);
        argon2.hash_password(b"secret").unwrap().to_string()
    }

    #[test]
    fn passwords_are_verified_against_each_kind_of_hash() {
        let hashes = ["$2a$", "$2b$", "$2y$"]
            .map(bcrypt_hash)
            .into_iter()
            .chain([Algorithm::Argon2i, Algorithm::Argon2d, Algorithm::Argon2id].map(argon2_hash));
        for text in hashes {
            let hash = Hash::parse(&text).unwrap();
            assert!(hash.verify(b"secret"), "{text}");
            for wrong in [&b""[..], b"Secret", b"secret ", b"secret2"] {
                assert!(!hash.verify(wrong), "{text} {wrong:?}");
            }
            assert!(!format!("{hash:?}").contains(&text[20..]));
        }
    }

    #[test]
    fn hashes_of_other_programs_are_right_too() {
        // From the manual of Apache's htpasswd, and from the tests of the reference
        // implementations of argon2 and bcrypt.
        for (hash, password) in [
            ("$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC", "myPassword"),
            (
                "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
                "password",
            ),
            ("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"),
        ] {
            let hash = Hash::parse(hash).unwrap_or_else(|why| panic!("{hash}: {why}"));
            assert!(hash.verify(password.as_bytes()), "{password}");
        }
    }

    #[test]
    fn a_file_has_users_comments_and_blank_lines() {
        let hash = bcrypt_hash("$2y$");
        let file = format!("# staff\r\n\r\nann:{hash}\r\n  \nbö b:{hash}:Bob\n");
        let users = Users::parse(file.as_bytes()).unwrap();
        let ann = users.iter().find(|(user, _)| *user == "ann");
        assert!(ann.unwrap().1.verify(b"secret"));
        let mut names: Vec<_> = users.iter().map(|(user, _)| user).collect();
        names.sort_unstable();
        assert_eq!(names, ["ann", "bö b"]);
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_line_and_a_remedy() {
        let good = bcrypt_hash("$2y$");
        let long = "$2y$17$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC";
        let huge = argon2_hash(Algorithm::Argon2id).replace("m=16", "m=4194304");
        for (line, said) in [
            ("bob:$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00", "MD5"),
            ("bob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "SHA-1"),
            ("bob:rqXexS6ZhobKA", "crypt or the password itself"),
            ("bob:hunter2", "crypt or the password itself"),
            ("bob:$6$salt$hash", "SHA-2"),
            ("bob:$2x$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC", "2x"),
            ("bob:$2y$05$short", "the bcrypt hash is damaged"),
            (&format!("bob:{long}"), "a cost of 17"),
            (&format!("bob:{huge}"), "m=4194304"),
            ("bob:$argon2id$v=19$m=16,t=1,p=1$c29tZXNhbHQ", "the argon2 hash is damaged"),
            ("bob:", "crypt or the password itself"),
            (&format!("bob{good}"), "not user:hash"),
            (&format!(":{good}"), "name is empty"),
            (&format!(" bob:{good}"), "spaces"),
            (&format!("ann:{good}"), "twice"),
        ] {
            let file = format!("ann:{good}\n\n{line}\n");
            let bad = Users::parse(file.as_bytes()).unwrap_err();
            assert_eq!(bad.line, 3, "{line}");
            assert!(bad.message.contains(said), "{line}: {}", bad.message);
            assert!(bad.message.contains(": "), "a remedy: {}", bad.message);
            for secret in ["hunter2", "rqXexS6ZhobKA", "eIMz", "W6ph"] {
                assert!(!bad.message.contains(secret), "{}", bad.message);
            }
        }
        for empty in ["", "\n\n", "# nobody\n"] {
            assert_eq!(Users::parse(empty.as_bytes()).unwrap_err().line, 0);
        }
        assert_eq!(Users::parse(b"ann\xff:x").unwrap_err().line, 1);
    }

    proptest! {
        #[test]
        fn no_file_makes_the_parser_panic(file in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Users::parse(&file);
        }

        #[test]
        fn no_line_that_looks_like_one_makes_it_panic(
            user in "[a-z:]{0,5}",
            hash in "(\\$2[abxy]\\$|\\$argon2(id|i|d)?\\$(v=[0-9]{1,2}\\$)?(m=[0-9]{1,9},t=[0-9],p=[0-9]\\$)?)[a-zA-Z0-9./+$=é]{0,70}",
        ) {
            let _ = Users::parse(format!("{user}:{hash}").as_bytes());
        }

        #[test]
        fn a_changed_password_is_wrong(change in any::<u8>(), place in 0usize..6) {
            let hash = Hash::parse(&argon2_hash(Algorithm::Argon2id)).unwrap();
            let mut password = b"secret".to_vec();
            password[place] ^= change;
            prop_assert_eq!(hash.verify(&password), change == 0);
        }
    }
}
