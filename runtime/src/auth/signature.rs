//! `ring` as what checks signatures for `jsonwebtoken`.
//!
//! TLS brings `ring` along in any case, so tokens need no second library of cryptography; and here nothing is signed
//! and nothing is shared, so whatever a token says, there is no code that would check an `HS256`.

use super::algorithm::{Algorithm, Check};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature::{RsaPublicKeyComponents, UnparsedPublicKey};

static RING: CryptoProvider = CryptoProvider {
    signer_factory: never_signs,
    verifier_factory: verifier,
    // Only for making a JWK out of a private key, which we never have.
    key_utils: KeyUtils::new_unimplemented(),
};

struct Ring {
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Makes `ring` this process's provider; a second time changes nothing.
pub(super) fn install() {
    // The library hands ours back if one is installed, and nobody else installs one.
    let _installed_before = RING.install_default();
}

fn never_signs(_: &jsonwebtoken::Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::UnsupportedAlgorithm.into())
}

fn verifier(algorithm: &jsonwebtoken::Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let ours = Algorithm::of_library(*algorithm).filter(|_| key.family() == algorithm.family());
    let algorithm = ours.ok_or(ErrorKind::UnsupportedAlgorithm)?;
    Ok(Box::new(Ring { algorithm, key: key.clone() }))
}

impl JwtVerifier for Ring {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        self.algorithm.in_library()
    }
}

impl Verifier<Vec<u8>> for Ring {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let checked = match (self.algorithm.check(), self.key.kind()) {
            (Check::Rsa(rule), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(rule, message, signature)
            }
            (Check::Point(rule), DecodingKeyKind::SecretOrDer(point)) => {
                UnparsedPublicKey::new(rule, point).verify(message, signature)
            }
            (Check::Rsa(_), DecodingKeyKind::SecretOrDer(_))
            | (Check::Point(_), DecodingKeyKind::RsaModulusExponent { .. }) => return Err(signature::Error::new()),
        };
        checked.map_err(|_| signature::Error::new())
    }
}
