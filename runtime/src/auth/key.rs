//! A key that an issuer has published, taken only if nothing speaks against it (RFC 7517, RFC 7518).

use super::algorithm::{Algorithm, Family};
use super::token::text;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

/// What NIST and RFC 7518 (3.3) ask of a modulus at least, and what is checked fast enough at most; in bits.
const MODULUS_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// 65537 has 17 bits. A longer exponent makes every check dear.
const EXPONENT_BITS: std::ops::RangeInclusive<usize> = 2..=33;

/// One key, and what it may be used for.
pub(super) struct Key {
    pub(super) id: String,
    family: Family,
    /// The only algorithm it is for, if it says so.
    algorithm: Option<Algorithm>,
    pub(super) verifying: DecodingKey,
}

/// Why a published key is not taken; said in the log only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    NoKid,
    NotForSigning,
    Algorithm,
    Kind,
    Size,
    /// Its private half is there for all to see.
    Private,
}

impl Key {
    pub(super) fn from_jwk(jwk: &Map<String, Value>) -> Result<Self, Unusable> {
        let id = text(jwk, "kid").filter(|id| !id.is_empty()).ok_or(Unusable::NoKid)?;
        if jwk.contains_key("d") {
            return Err(Unusable::Private);
        }
        if jwk.get("use").is_some_and(|used| used != "sig") || !may_verify(jwk.get("key_ops")) {
            return Err(Unusable::NotForSigning);
        }
        let (family, verifying) = match text(jwk, "kty") {
            Some("RSA") => (Family::Rsa, rsa(jwk)?),
            Some("EC") => match text(jwk, "crv") {
                Some("P-256") => (Family::P256, point(jwk, 32)?),
                Some("P-384") => (Family::P384, point(jwk, 48)?),
                _ => return Err(Unusable::Kind),
            },
            Some("OKP") if text(jwk, "crv") == Some("Ed25519") => {
                (Family::Ed25519, DecodingKey::from_ed_der(&sized(jwk, "x", 32)?))
            }
            // `oct` is a shared secret: published, it is one no longer.
            _ => return Err(Unusable::Kind),
        };
        let algorithm = match jwk.get("alg") {
            None => None,
            Some(name) => Some(name.as_str().and_then(Algorithm::named).ok_or(Unusable::Algorithm)?),
        };
        if algorithm.is_some_and(|algorithm| algorithm.family() != family) {
            return Err(Unusable::Algorithm);
        }
        Ok(Self { id: id.to_owned(), family, algorithm, verifying })
    }

    /// Whether a signature of this algorithm may be checked with it: kind and curve have to be right, and `alg`, too,
    /// where the key has one.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.family == algorithm.family() && self.algorithm.is_none_or(|only| only == algorithm)
    }
}

fn may_verify(operations: Option<&Value>) -> bool {
    match operations {
        None => true,
        Some(Value::Array(operations)) => operations.iter().any(|operation| operation == "verify"),
        Some(_) => false,
    }
}

fn rsa(jwk: &Map<String, Value>) -> Result<DecodingKey, Unusable> {
    let modulus = bytes(jwk, "n").ok_or(Unusable::Kind)?;
    let exponent = bytes(jwk, "e").ok_or(Unusable::Kind)?;
    let (modulus, exponent) = (without_zeros(&modulus), without_zeros(&exponent));
    let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
    let fits = MODULUS_BITS.contains(&bits(modulus)) && EXPONENT_BITS.contains(&bits(exponent));
    if !fits || !is_odd(modulus) || !is_odd(exponent) {
        return Err(Unusable::Size);
    }
    Ok(DecodingKey::from_rsa_raw_components(modulus, exponent))
}

/// An uncompressed point, each coordinate of its curve's full length.
fn point(jwk: &Map<String, Value>, len: usize) -> Result<DecodingKey, Unusable> {
    let mut point = vec![4];
    point.extend(sized(jwk, "x", len)?);
    point.extend(sized(jwk, "y", len)?);
    Ok(DecodingKey::from_ec_der(&point))
}

fn sized(jwk: &Map<String, Value>, name: &str, len: usize) -> Result<Vec<u8>, Unusable> {
    bytes(jwk, name).filter(|bytes| bytes.len() == len).ok_or(Unusable::Size)
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text(jwk, name)?).ok()
}

/// Some issuers write a zero in front, which RFC 7518 (2) forbids and which changes nothing.
fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

fn bits(number: &[u8]) -> usize {
    let first = number.first().map_or(0, |byte| byte.leading_zeros());
    (number.len() * 8).saturating_sub(usize::try_from(first).unwrap_or(0))
}
