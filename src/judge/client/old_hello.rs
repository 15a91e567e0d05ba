//! The first message of a client that speaks no TLS of today: no library does that any
//! more, so its bytes are put together here.

use super::{Client, Trouble};

/// A client that speaks a version of TLS which nobody is to speak any more (RFC 8996).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldHello {
    /// TLS 1.0 (RFC 2246).
    Tls10,
    /// TLS 1.1 (RFC 4346).
    Tls11,
}

/// Suites that both versions have: elliptic curves with certificates of both kinds, and RSA.
const SUITES: [u16; 6] = [0xc009, 0xc00a, 0xc013, 0xc014, 0x002f, 0x0035];

/// Curves: X25519, P-256, P-384.
const CURVES: [u16; 3] = [29, 23, 24];

/// The kind of a record with handshake messages in it (RFC 5246, appendix A.1).
const HANDSHAKE: u8 = 22;

/// The kind of the message by which a server takes up an offer.
const SERVER_HELLO: u8 = 2;

// === impl Client ===

impl Client {
    /// Offers such a version and no other; whether the server takes it up. It may refuse in
    /// any way, as long as it does not take longer than the client's patience.
    ///
    /// # Errors
    ///
    /// As [`Client::connect`], and [`Trouble::NoAnswer`] where nothing comes of it.
    pub async fn offers(&self, hello: OldHello, name: &str) -> Result<bool, Trouble> {
        let mut connection = self.connect().await?;
        let begun = std::time::Instant::now();
        // Whoever has ended the connection before has refused.
        let _ = connection.write(&hello.bytes(name)).await;
        // The head of a record, and the kind of its message.
        let came = connection.read_some(6).await;
        if came.is_empty() && begun.elapsed() >= self.patience {
            return Err(Trouble::NoAnswer { after: self.patience });
        }
        Ok(came.first() == Some(&HANDSHAKE) && came.get(5) == Some(&SERVER_HELLO))
    }
}

// === impl OldHello ===

impl OldHello {
    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tls10 => "TLS 1.0",
            Self::Tls11 => "TLS 1.1",
        }
    }

    /// The whole record, for a server of this name.
    fn bytes(self, name: &str) -> Vec<u8> {
        let version = match self {
            Self::Tls10 => [3, 1],
            Self::Tls11 => [3, 2],
        };
        let numbers =
            |all: &[u16]| all.iter().flat_map(|one| one.to_be_bytes()).collect::<Vec<_>>();
        let name = sized(&[vec![0], sized(name.as_bytes())].concat());
        let extensions = [
            extension(0, &name),
            extension(10, &sized(&numbers(&CURVES))),
            // Points are not compressed.
            extension(11, &[1, 0]),
        ];
        let hello: Vec<u8> = [
            version.to_vec(),
            // Its random part, which nobody relies on here.
            vec![0x5a; 32],
            // No session to take up again.
            vec![0],
            sized(&numbers(&SUITES)),
            // No compression.
            vec![1, 0],
            sized(&extensions.concat()),
        ]
        .concat();
        let message = [&[1, 0], sized(&hello).as_slice()].concat();
        // The first record is of the oldest version, so that everybody reads it.
        [&[HANDSHAKE, 3, 1], sized(&message).as_slice()].concat()
    }
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().as_slice(), &sized(content)].concat()
}

/// Behind its length in two bytes.
fn sized(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    [length.to_be_bytes().as_slice(), content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lengths_are_those_of_what_follows() {
        for hello in [OldHello::Tls10, OldHello::Tls11] {
            let bytes = hello.bytes("a.test");
            let length = |at: usize| usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
            assert_eq!(length(3), bytes.len() - 5, "the record");
            assert_eq!((bytes[5], bytes[6], length(7)), (1, 0, bytes.len() - 9), "the message");
            assert_eq!(length(44), SUITES.len() * 2, "the suites");
            assert_eq!(length(44 + 2 + 12 + 2), bytes.len() - 62, "the extensions");
        }
        assert_eq!(OldHello::Tls11.bytes("a.test")[9..11], [3, 2]);
    }
}
