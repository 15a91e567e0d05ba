//! Users, their passwords, and the lines of a file that `htpasswd` could have written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bcrypt::Version;

use crate::judge::draw::Draw;

/// The least that a hash of bcrypt can cost: they are many, and none of them guards anything.
const CHEAP: u32 = 4;

/// The letters of bcrypt's own base64.
const LETTERS: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A user with a password.
#[derive(Clone, Debug)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
    /// What stands for the password in the file.
    pub hash: String,
}

// === impl User ===

impl User {
    /// A user of this name and password.
    pub fn new(draw: &Draw, name: String, password: String) -> Self {
        let mut salt = [0; 16];
        salt.copy_from_slice(&draw.bytes(16));
        let version = if draw.number(0..2) == 0 { Version::TwoB } else { Version::TwoY };
        let hash = bcrypt::hash_with_salt(&password, CHEAP, salt);
        // Only a cost that there is not, or a password with a NUL, would be refused.
        let hash = hash.map_or_else(|_| String::new(), |parts| parts.format_for_version(version));
        Self { name, password, hash }
    }

    /// One with a name and a password of small letters and digits.
    pub fn drawn(draw: &Draw) -> Self {
        let password = format!("{}{}{}", draw.word(), draw.number(10..100), draw.word());
        Self::new(draw, draw.word(), password)
    }

    /// One whom no password lets in, and whose hash costs so much: what there would be to hash
    /// is nobody's password. So it need not be computed here.
    pub fn nobody(draw: &Draw, cost: u32) -> Self {
        let letters = |count: usize| -> String {
            let bytes = draw.bytes(count);
            bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 64)])).collect()
        };
        // The last letters of both stand for two and four bits.
        let (salt, hash) = (letters(21), letters(30));
        let hash = format!("$2b${cost:02}${salt}O{hash}.");
        Self { name: format!("{}-{cost}", draw.word()), password: draw.word(), hash }
    }

    /// Its line of the file.
    pub fn line(&self) -> String {
        format!("{}:{}\n", self.name, self.hash)
    }

    /// What it sends behind the scheme (RFC 7617, section 2).
    pub fn encoded(&self) -> String {
        encoded(format!("{}:{}", self.name, self.password))
    }

    /// Its `Authorization` field.
    pub fn credential(&self) -> String {
        format!("Basic {}", self.encoded())
    }

    /// The field of somebody who tries another password.
    pub fn with(&self, password: &str) -> String {
        format!("Basic {}", encoded(format!("{}:{password}", self.name)))
    }
}

/// In base64.
pub fn encoded(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_lets_its_password_in_and_nobodys_lets_nobody_in() {
        let draw = Draw::new(1, "16-authentication", "users");
        let user = User::new(&draw, "zoë".to_owned(), "a:b c".to_owned());
        assert_eq!(bcrypt::verify(&user.password, &user.hash).ok(), Some(true));
        assert_eq!(bcrypt::verify("a:b", &user.hash).ok(), Some(false));
        assert_eq!(user.credential(), "Basic em/DqzphOmIgYw==");
        let nobody = User::nobody(&draw, 4);
        assert_eq!(bcrypt::verify(&nobody.password, &nobody.hash).ok(), Some(false));
    }
}
