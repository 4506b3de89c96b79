//! The signature algorithms there are for us. A shared secret (`HS*`) and `none` cannot be said in this type.

use ring::signature as check;

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

/// What kind of key an algorithm takes, curve included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// A check of `ring`'s, with the key's form that it wants.
pub(super) enum Check {
    Rsa(&'static check::RsaParameters),
    Point(&'static dyn check::VerificationAlgorithm),
}

impl Algorithm {
    const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// By its name in `alg`, compared exactly; `None` for what is not ours.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Its name in `alg`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Every name, for people to choose from.
    pub(super) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    pub(super) fn family(self) -> Family {
        match self {
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => Family::Rsa,
            Self::Es256 => Family::P256,
            Self::Es384 => Family::P384,
            Self::EdDsa => Family::Ed25519,
        }
    }

    pub(super) fn in_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Rs384 => jsonwebtoken::Algorithm::RS384,
            Self::Rs512 => jsonwebtoken::Algorithm::RS512,
            Self::Ps256 => jsonwebtoken::Algorithm::PS256,
            Self::Ps384 => jsonwebtoken::Algorithm::PS384,
            Self::Ps512 => jsonwebtoken::Algorithm::PS512,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Es384 => jsonwebtoken::Algorithm::ES384,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }

    pub(super) fn of_library(algorithm: jsonwebtoken::Algorithm) -> Option<Self> {
        Self::ALL.into_iter().find(|ours| ours.in_library() == algorithm)
    }

    /// The RSA checks refuse keys under 2048 and over 8192 bits once more.
    pub(super) fn check(self) -> Check {
        match self {
            Self::Rs256 => Check::Rsa(&check::RSA_PKCS1_2048_8192_SHA256),
            Self::Rs384 => Check::Rsa(&check::RSA_PKCS1_2048_8192_SHA384),
            Self::Rs512 => Check::Rsa(&check::RSA_PKCS1_2048_8192_SHA512),
            Self::Ps256 => Check::Rsa(&check::RSA_PSS_2048_8192_SHA256),
            Self::Ps384 => Check::Rsa(&check::RSA_PSS_2048_8192_SHA384),
            Self::Ps512 => Check::Rsa(&check::RSA_PSS_2048_8192_SHA512),
            Self::Es256 => Check::Point(&check::ECDSA_P256_SHA256_FIXED),
            Self::Es384 => Check::Point(&check::ECDSA_P384_SHA384_FIXED),
            Self::EdDsa => Check::Point(&check::ED25519),
        }
    }
}
