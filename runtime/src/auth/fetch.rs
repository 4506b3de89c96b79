//! An issuer's documents over HTTP: small, soon, and from nowhere but where they were asked for.
//!
//! Redirects are not followed: whoever can make an issuer redirect would choose the keys. The authorities that vouch
//! for its certificate are the system's; `SSL_CERT_FILE` names others.

use super::address::{Address, Plain};
use super::config::Issuer;
use super::key::{Key, Unusable};
use super::strict::object;
use super::token::text;
use crate::lifecycle::Failure;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Map, Value};
use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tracing::debug;

/// Longest document. A key has half a KiB, and no issuer publishes hundreds.
const DOCUMENT_LEN_MAX: usize = 256 * 1024;
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Why an issuer's keys could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the issuer could not be reached")]
    Reach(#[source] legacy::Error),
    #[error("the issuer did not answer in time")]
    TooSlow,
    #[error("the issuer answered with status {}; only 200 counts, and redirects are not followed", .0.as_u16())]
    Status(StatusCode),
    #[error("the answer is over 256 KiB")]
    TooLong,
    #[error("the answer broke off")]
    Broken(#[source] Box<dyn StdError + Send + Sync>),
    #[error("the answer is no JSON object, or one with a name that stands twice")]
    NoObject,
    #[error("the discovery document is that of another issuer")]
    OtherIssuer,
    #[error("the discovery document names no jwks_uri that may be asked")]
    NoKeysAddress,
    #[error("the key set has no list of keys")]
    NoKeys,
}

/// Asks issuers for their keys.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    within: Duration,
}

impl Fetch {
    /// Each document has `within` from the connection to its last byte. The system's authorities are only read if one
    /// of `issuers` is asked by https.
    pub(super) fn new(issuers: &[Issuer], within: Duration) -> Result<Self, Failure> {
        let is_plain = |issuer: &Issuer| issuer.jwks.as_ref().unwrap_or(&issuer.url).is_plain();
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let builder = HttpsConnectorBuilder::new();
        let connector = if issuers.iter().all(is_plain) {
            let tls = ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions();
            let tls = tls.map_err(Failure::component)?.with_root_certificates(RootCertStore::empty());
            builder.with_tls_config(tls.with_no_client_auth())
        } else {
            builder.with_provider_and_native_roots(ring).map_err(no_authorities)?
        };
        // Which of the two an address may have is settled by then. A connection that lay idle for ten minutes is of no
        // use: each fetch makes its own.
        let connector = connector.https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { client, within })
    }

    /// Every key of `issuer` that can be used, as published right now.
    pub(super) async fn keys(&self, issuer: &Issuer) -> Result<Vec<Key>, Error> {
        let document = match &issuer.jwks {
            Some(address) => self.document(address).await?,
            None => self.document(&self.discover(&issuer.url).await?).await?,
        };
        usable_keys(&document)
    }

    /// Where the keys of `issuer` are, by its own word (OpenID Connect Discovery 1.0, section 4). Asked each time: it
    /// is one request in ten minutes, and an issuer that moves its keys is followed.
    async fn discover(&self, issuer: &Address) -> Result<Address, Error> {
        let address = format!("{}{DISCOVERY}", issuer.as_str().trim_end_matches('/'));
        let address = Address::new(&address, Plain::OnLoopback).map_err(|_| Error::NoKeysAddress)?;
        let document = self.document(&address).await?;
        keys_address(&document, issuer)
    }

    async fn document(&self, address: &Address) -> Result<Map<String, Value>, Error> {
        tokio::time::timeout(self.within, self.get(address)).await.map_err(|_| Error::TooSlow)?
    }

    async fn get(&self, address: &Address) -> Result<Map<String, Value>, Error> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = address.uri().clone();
        let json = http::HeaderValue::from_static("application/json, application/jwk-set+json");
        request.headers_mut().insert(header::ACCEPT, json);
        let answer = self.client.request(request).await.map_err(Error::Reach)?;
        if answer.status() != StatusCode::OK {
            return Err(Error::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), DOCUMENT_LEN_MAX)
            .collect()
            .await
            .map_err(|error| if error.is::<LengthLimitError>() { Error::TooLong } else { Error::Broken(error) })?;
        object(&body.to_bytes()).map_err(|_| Error::NoObject)
    }
}

/// What the discovery document of `issuer` says. It has to be its own, and an issuer elsewhere must not send us to a
/// port of this machine.
fn keys_address(document: &Map<String, Value>, issuer: &Address) -> Result<Address, Error> {
    if text(document, "issuer") != Some(issuer.as_str()) {
        return Err(Error::OtherIssuer);
    }
    let plain = if issuer.is_plain() { Plain::OnLoopback } else { Plain::Never };
    let keys = text(document, "jwks_uri").and_then(|text| Address::new(text, plain).ok());
    keys.ok_or(Error::NoKeysAddress)
}

/// The keys of a set that can be used; those that cannot are passed over, as RFC 7517 (5) wants it.
pub(super) fn usable_keys(document: &Map<String, Value>) -> Result<Vec<Key>, Error> {
    let published = document.get("keys").and_then(Value::as_array).ok_or(Error::NoKeys)?;
    let usable = |jwk: &Value| match jwk.as_object().ok_or(Unusable::Kind).and_then(Key::from_jwk) {
        Ok(key) => Some(key),
        Err(reason) => {
            debug!(?reason, "a published key is passed over");
            None
        }
    };
    Ok(published.iter().filter_map(usable).collect())
}

fn no_authorities(error: io::Error) -> Failure {
    let text = format!(
        "no certificate authorities are known to this system, and an issuer is asked by https: install \
         ca-certificates, or name a file of them in SSL_CERT_FILE ({error})"
    );
    Failure::config(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(issuer: &str, jwks_uri: &str) -> bool {
        let document = json!({"issuer": issuer, "jwks_uri": jwks_uri});
        let issuer = Address::new(issuer, Plain::OnLoopback).unwrap();
        keys_address(document.as_object().unwrap(), &issuer).is_ok()
    }

    #[test]
    fn an_issuer_elsewhere_cannot_send_us_to_this_machine() {
        assert!(found("https://id.example.com", "https://keys.example.com/keys"));
        assert!(!found("https://id.example.com", "http://127.0.0.1:9000/keys"));
        assert!(!found("https://id.example.com", "http://localhost/keys"));
        assert!(found("http://127.0.0.1:1", "http://127.0.0.1:1/keys"), "one that is here may stay here");
    }
}
