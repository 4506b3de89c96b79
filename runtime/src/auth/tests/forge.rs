//! Keys and tokens as an issuer makes them, and as somebody else does.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use rsa::rand_core::{TryCryptoRng, TryRng};
use rsa::sha2::{Sha256, Sha384};
use rsa::traits::PublicKeyParts as _;
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use std::sync::LazyLock;

/// A private key. Made once for all tests: an RSA key takes a while.
pub(crate) enum Signer {
    Rsa(Box<rsa::PrivateKey>),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Shared(Vec<u8>),
}

pub(crate) static RSA: LazyLock<Signer> = LazyLock::new(|| Signer::rsa(2048));
pub(crate) static SMALL_RSA: LazyLock<Signer> = LazyLock::new(|| Signer::rsa(1024));
pub(crate) static P256: LazyLock<Signer> = LazyLock::new(Signer::p256);
pub(crate) static OTHER_P256: LazyLock<Signer> = LazyLock::new(Signer::p256);
pub(crate) static P384: LazyLock<Signer> = LazyLock::new(|| {
    let rule = &signature::ECDSA_P384_SHA384_FIXED_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(rule, &SystemRandom::new()).unwrap();
    Signer::P384(EcdsaKeyPair::from_pkcs8(rule, document.as_ref(), &SystemRandom::new()).unwrap())
});
pub(crate) static ED: LazyLock<Signer> = LazyLock::new(|| {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Signer::Ed(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
});
/// A secret of 32 bytes that its issuer has published as `oct`.
pub(crate) static SHARED: LazyLock<Signer> = LazyLock::new(|| Signer::Shared(vec![7; 32]));

/// How long ago a good token was issued.
pub(crate) const AGE_S: i64 = 600;

struct Randomness;

impl TryRng for Randomness {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        SystemRandom::new().fill(bytes).unwrap();
        Ok(())
    }
}

impl TryCryptoRng for Randomness {}

impl Signer {
    fn rsa(bits: usize) -> Self {
        Self::Rsa(Box::new(rsa::PrivateKey::new(&mut Randomness, bits).unwrap()))
    }

    pub(crate) fn p256() -> Self {
        let rule = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(rule, &SystemRandom::new()).unwrap();
        Self::P256(EcdsaKeyPair::from_pkcs8(rule, document.as_ref(), &SystemRandom::new()).unwrap())
    }

    /// The public half as its issuer publishes it.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let coordinates = |point: &[u8]| {
            let (x, y) = point[1..].split_at((point.len() - 1) / 2);
            (encoded(x), encoded(y))
        };
        match self {
            Self::Rsa(key) => {
                json!({"kty": "RSA", "kid": kid, "n": encoded(&key.n_bytes()), "e": encoded(&key.e_bytes())})
            }
            Self::P256(key) => {
                let (x, y) = coordinates(key.public_key().as_ref());
                json!({"kty": "EC", "kid": kid, "crv": "P-256", "x": x, "y": y})
            }
            Self::P384(key) => {
                let (x, y) = coordinates(key.public_key().as_ref());
                json!({"kty": "EC", "kid": kid, "crv": "P-384", "x": x, "y": y})
            }
            Self::Ed(key) => {
                json!({"kty": "OKP", "kid": kid, "crv": "Ed25519", "x": encoded(key.public_key().as_ref())})
            }
            Self::Shared(secret) => json!({"kty": "oct", "kid": kid, "k": encoded(secret)}),
        }
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        match (self, algorithm) {
            (Self::Rsa(key), "RS384") => key.pkcs1v15_sign::<Sha384>(message).unwrap(),
            (Self::Rsa(key), "PS256") => key.pss_sign_with_rng::<Sha256, _>(&mut Randomness, message).unwrap(),
            (Self::Rsa(key), _) => key.pkcs1v15_sign::<Sha256>(message).unwrap(),
            (Self::P256(key) | Self::P384(key), _) => {
                key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
            }
            (Self::Ed(key), _) => key.sign(message).as_ref().to_vec(),
            (Self::Shared(secret), _) => {
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
                ring::hmac::sign(&key, message).as_ref().to_vec()
            }
        }
    }
}

/// A token before it is signed, with what is to be wrong with it.
pub(crate) struct Draft {
    pub(crate) header: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
    /// Put in place of the header's and the claims' JSON.
    pub(crate) raw_header: Option<String>,
    pub(crate) raw_claims: Option<String>,
    pub(crate) signer: &'static Signer,
    /// What is done to the token once it is signed.
    pub(crate) after: fn(String) -> String,
    /// How it is sent.
    pub(crate) sent: fn(&str) -> Vec<String>,
}

impl Draft {
    /// A token that counts at `now_s`, for the audience of the tests.
    pub(crate) fn good(algorithm: &str, issuer: &str, now_s: i64) -> Self {
        let (signer, kid): (&'static Signer, _) = match algorithm {
            "ES256" => (&P256, "p256"),
            "ES384" => (&P384, "p384"),
            "EdDSA" => (&ED, "ed"),
            _ => (&RSA, "rsa"),
        };
        let claims = json!({
            "iss": issuer, "aud": super::issuer::AUDIENCE, "sub": "crm", "client_id": "crm", "jti": "t-1",
            "iat": now_s - AGE_S, "exp": now_s + 300, "tenant": "acme", "scope": "changes:write profiles:read",
        });
        Self {
            header: object(json!({"typ": "at+jwt", "alg": algorithm, "kid": kid})),
            claims: object(claims),
            raw_header: None,
            raw_claims: None,
            signer,
            after: |token| token,
            sent: |token| vec![format!("Bearer {token}")],
        }
    }

    pub(crate) fn token(&self) -> String {
        let header = self.raw_header.clone().unwrap_or_else(|| Value::Object(self.header.clone()).to_string());
        let claims = self.raw_claims.clone().unwrap_or_else(|| Value::Object(self.claims.clone()).to_string());
        let message = format!("{}.{}", encoded(header.as_bytes()), encoded(claims.as_bytes()));
        let algorithm = self.header.get("alg").and_then(Value::as_str).unwrap_or("RS256");
        let signature = self.signer.sign(algorithm, message.as_bytes());
        (self.after)(format!("{message}.{}", encoded(&signature)))
    }

    /// The values of the `Authorization` headers it is sent in.
    pub(crate) fn authorizations(&self) -> Vec<String> {
        (self.sent)(&self.token())
    }

    pub(crate) fn set(&mut self, claim: &str, value: impl Into<Value>) {
        self.claims.insert(claim.to_owned(), value.into());
    }

    pub(crate) fn set_header(&mut self, member: &str, value: impl Into<Value>) {
        self.header.insert(member.to_owned(), value.into());
    }

    /// Sets the time at `claim` to `seconds` from now.
    pub(crate) fn set_time(&mut self, claim: &str, seconds: i64) {
        let now_s = self.claims["iat"].as_i64().unwrap() + AGE_S;
        self.set(claim, now_s + seconds);
    }
}

pub(crate) fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn decoded(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).unwrap()
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}
