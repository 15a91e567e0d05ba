//! Why a client may not.

use crate::proxy::answer::Reason;

/// Why a client may not. The client is told little of it; the access log has the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// It did not say who it is.
    NoCredential,
    /// It said so in more than one way at once.
    Several,
    /// What it said cannot be read.
    Malformed,
    /// The token is larger than it may be.
    TooLarge,
    /// There is no such user, or the password or the key is another.
    Wrong,
    /// As many passwords or signatures are being verified as may be.
    Busy,
    /// The token is signed in a way that is not allowed, or not at all.
    Algorithm,
    /// There is no key that the token could be signed with.
    UnknownKey,
    /// The token is not signed with the key.
    Signature,
    /// The token asks for an extension to be understood (`crit`).
    Critical,
    /// The token lacks a claim, or a claim is not of its type.
    Claim,
    /// The token no longer holds.
    Expired,
    /// The token does not hold yet.
    NotYetValid,
    /// The token comes from somebody else.
    Issuer,
    /// The token is for somebody else.
    Audience,
    /// The token names no user, or one that cannot be told to a backend.
    User,
    /// The user is known and may not.
    NotPermitted,
}

impl Denial {
    /// What programs know it by, in the access log and in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoCredential => "no_credential",
            Self::Several => "several",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Wrong => "wrong",
            Self::Busy => "busy",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Critical => "critical",
            Self::Claim => "claim",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::User => "user",
            Self::NotPermitted => "not_permitted",
        }
    }

    /// What the client is told.
    pub(super) const fn reason(self) -> Reason {
        match self {
            Self::Busy => Reason::AuthBusy,
            Self::NotPermitted => Reason::NotPermitted,
            _ => Reason::Unauthorized,
        }
    }
}
