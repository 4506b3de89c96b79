//! Who asks: an OAuth 2.0 resource server's check of access tokens, after RFC 9068 and as strictly as RFC 8725 wants.
//!
//! A token is read so that it can be read in one way only, then verified by the one key that its issuer publishes
//! under its `kid`, and believed only after that. The issuer comes from the configuration; nothing in a token chooses
//! a key, an address or an algorithm that is not already allowed. Tenants and scopes are plain texts here.

mod address;
mod algorithm;
mod claims;
mod config;
mod denied;
mod fetch;
mod identity;
mod key;
mod keys;
mod layer;
mod remembered;
mod signature;
mod strict;
mod token;

pub use address::Address;
pub use algorithm::Algorithm;
pub use config::{Config, Exposed, Issuer, Mode};
pub use denied::{Denied, Reason};
pub use identity::{FieldMask, Identity};
pub use layer::{Layer, Required, require};

use crate::clock::Clock;
use crate::health::{Condition, Health};
use crate::lifecycle::Failure;
use fetch::Fetch;
use http::HeaderMap;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, Validation};
use keys::{Keys, Pace};
use remembered::{Entry, Fingerprint, Remembered};
use serde_json::{Map, Value};
use std::sync::Arc;
use token::Unverified;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Lets requests in or not. Clones are the same guard.
#[derive(Clone, Debug)]
pub struct Guard(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    /// `None` where nobody is checked.
    checked: Option<Checked>,
}

#[derive(Debug)]
struct Checked {
    issuers: Vec<Source>,
    fetch: Fetch,
    remembered: Remembered,
    condition: Condition,
}

/// An issuer, and the keys it has.
#[derive(Debug)]
struct Source {
    issuer: Issuer,
    /// What the library checks, for each algorithm the issuer may sign with: it takes one family of them at a time.
    validations: Vec<(Algorithm, Validation)>,
    keys: Keys,
}

impl Guard {
    /// A guard by `config`. Nothing is fetched before [`Guard::keep_keys`] runs; until the first keys are there the
    /// process is not ready.
    ///
    /// # Errors
    /// If an issuer is asked by https and the system knows no certificate authorities.
    pub fn new(config: Config, clock: Clock, health: &Health) -> Result<Self, Failure> {
        Self::paced(config, clock, health, Pace::default())
    }

    fn paced(config: Config, clock: Clock, health: &Health, pace: Pace) -> Result<Self, Failure> {
        let checked = match config.mode {
            Mode::Off => None,
            Mode::OAuth2 => {
                signature::install();
                let fetch = Fetch::new(&config.issuers, pace.fetch)?;
                let issuers = config.issuers.into_iter().map(|issuer| Source::new(issuer, pace)).collect();
                let condition = health.condition("auth", NO_KEYS);
                Some(Checked { issuers, fetch, remembered: Remembered::default(), condition })
            }
        };
        Ok(Self(Arc::new(Shared { clock, checked })))
    }

    /// Who a request with these headers is from.
    ///
    /// Waits for the issuer only if the token names a key that is not known, and then for seconds at most.
    ///
    /// # Errors
    /// With the one reason that was found first.
    pub async fn admit(&self, headers: &HeaderMap) -> Result<Identity, Denied> {
        let Some(checked) = &self.0.checked else { return Ok(Identity::anonymous()) };
        let token = token::bearer(headers)?;
        checked.admit(token, self.0.clock.now_ms().div_euclid(1_000)).await
    }

    /// Fetches the issuers' keys and keeps them fresh until `stop`: a part of the process that others stand on.
    ///
    /// # Errors
    /// If a part of it panicked.
    pub async fn keep_keys(self, stop: CancellationToken) -> Result<(), Failure> {
        let mut tasks = JoinSet::new();
        let count = self.0.checked.as_ref().map_or(0, |checked| checked.issuers.len());
        for at in 0..count {
            let (guard, stop) = (self.clone(), stop.clone());
            tasks.spawn(async move {
                let checked = guard.0.checked.as_ref();
                let Some((checked, source)) = checked.and_then(|all| Some((all, all.issuers.get(at)?))) else { return };
                source.keys.keep(&source.issuer, &checked.fetch, &stop, || checked.tell()).await;
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(Failure::component)?;
        }
        stop.cancelled().await;
        Ok(())
    }
}

const NO_KEYS: &str = "no issuer's keys could be fetched yet";

impl Checked {
    async fn admit(&self, token: &str, now_s: i64) -> Result<Identity, Denied> {
        let fingerprint = Fingerprint::of(token);
        let epoch = |issuer| self.issuers.get(issuer).and_then(|source: &Source| source.keys.epoch());
        if let Some(identity) = self.remembered.find(&fingerprint, now_s, epoch) {
            return Ok(identity);
        }
        let Unverified { algorithm, key_id, issuer: url } = token::read(token)?;
        let mut sources = self.issuers.iter().enumerate();
        let (issuer, source) = sources.find(|(_, source)| source.issuer.url.as_str() == url).ok_or(Reason::Issuer)?;
        let validation = source.validation(algorithm).ok_or(Reason::Algorithm)?;
        let (key, epoch) = source.keys.find(&key_id, algorithm).await?;
        let claims = verified(token, &key.verifying, validation)?;
        let (identity, until_s) = claims::identity(&claims, &source.issuer, now_s)?;
        self.remembered.keep(fingerprint, Entry { identity: identity.clone(), until_s, issuer, epoch });
        Ok(identity)
    }

    /// One issuer with keys is enough to be ready: if the issuer of some clients is away, that must not keep a new
    /// process from serving the others.
    fn tell(&self) {
        if self.issuers.iter().any(|source| source.keys.epoch().is_some()) {
            self.condition.ok();
        } else {
            self.condition.waiting(NO_KEYS);
        }
    }
}

impl Source {
    fn new(issuer: Issuer, pace: Pace) -> Self {
        let validations = issuer.algorithms.iter().map(|algorithm| (*algorithm, validation(&issuer, *algorithm)));
        Self { validations: validations.collect(), keys: Keys::new(pace), issuer }
    }

    fn validation(&self, algorithm: Algorithm) -> Option<&Validation> {
        self.validations.iter().find(|(allowed, _)| *allowed == algorithm).map(|(_, validation)| validation)
    }
}

fn validation(issuer: &Issuer, algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm.in_library());
    // By itself the library asks for `exp` alone, and lets a token without `iss` or `aud` pass whatever was set.
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.set_issuer(&[issuer.url.as_str()]);
    validation.set_audience(&[&issuer.audience]);
    // It would ask the machine's clock. Times are checked in `claims`, by ours.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation
}

/// The claims that `key` has signed. What [`token::read`] saw is not used again: from here on only this counts.
fn verified(token: &str, key: &DecodingKey, validation: &Validation) -> Result<Map<String, Value>, Reason> {
    let verified = jsonwebtoken::decode(token, key, validation).map_err(|error| reason(error.kind()))?;
    Ok(verified.claims)
}

fn reason(kind: &ErrorKind) -> Reason {
    if let ErrorKind::MissingRequiredClaim(claim) = kind {
        return match claim.as_str() {
            "exp" => Reason::Expiry,
            "iss" => Reason::Issuer,
            "aud" => Reason::Audience,
            _ => Reason::Subject,
        };
    }
    let known = [
        (ErrorKind::InvalidSignature, Reason::Signature),
        (ErrorKind::InvalidAudience, Reason::Audience),
        (ErrorKind::InvalidIssuer, Reason::Issuer),
        (ErrorKind::InvalidAlgorithm, Reason::Algorithm),
    ];
    known.into_iter().find(|(known, _)| known == kind).map_or(Reason::Malformed, |(_, reason)| reason)
}

#[cfg(test)]
mod tests;
