//! What can be set under `[auth]`.

use super::address::{Address, Plain};
use super::algorithm::Algorithm;
use super::identity::FieldMask;
use crate::config::{Choice, Section, Settings};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A token that is handed around lasts minutes or hours; one of years is a password.
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// The client that a mask of this name is for: each that has none of its own.
const ANY_CLIENT: &str = "*";

/// Whether tokens are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Whoever reaches the port may do everything.
    #[default]
    Off,
    OAuth2,
}

impl Choice for Mode {
    const WORDS: &'static [(&'static str, Self)] = &[("none", Self::Off), ("oauth2", Self::OAuth2)];
}

/// `[auth]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub mode: Mode,
    /// In the order of their names; with mode `oauth2` at least one.
    pub issuers: Vec<Issuer>,
}

/// `[auth.issuers.NAME]`: who may give out tokens, and which ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The operator's name for it; shown in logs.
    pub name: String,
    /// As `iss` has it, character for character.
    pub url: Address,
    /// What `aud` must name.
    pub audience: String,
    /// What `alg` may be; at least one.
    pub algorithms: Vec<Algorithm>,
    /// Where its keys are; `None` asks its discovery document.
    pub jwks: Option<Address>,
    /// Which claim names the tenant.
    pub tenant_claim: String,
    /// Tenants it may speak for; empty is all.
    pub tenants: Vec<String>,
    /// Which claims name the client, the first that is there.
    pub client_claims: Vec<String>,
    /// Longest from `iat` to `exp`.
    pub lifetime_max: Duration,
    masks: BTreeMap<String, Arc<FieldMask>>,
}

/// Everybody could come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "auth.mode is \"none\", and {listen} can be reached from other machines: set auth.mode to \"oauth2\" and name an \
     issuer under [auth.issuers], or listen on 127.0.0.1"
)]
pub struct Exposed {
    listen: SocketAddr,
}

impl Settings for Config {
    fn read(section: &mut Section<'_>) -> Self {
        let about = "Who is let in: \"oauth2\" asks for an access token of one of the issuers; \"none\" lets everybody \
                     do everything, and is only taken where the service listens on this machine's own address.";
        let mode = section.choice("mode", about).default(Mode::Off);
        let mut issuers: Vec<Issuer> = Vec::new();
        let named = section.each("issuers", |name, section| {
            let issuer = issuer(name, section)?;
            if issuers.iter().any(|other| other.url == issuer.url) {
                section.problem(&["url"], "is also that of another section; one issuer is one section");
            }
            issuers.push(issuer);
            Some(())
        });
        if mode == Mode::OAuth2 && named.is_empty() {
            let text =
                "is \"oauth2\", and no issuer is named: write a section [auth.issuers.main] with url and audience";
            section.problem(&["mode"], text);
        }
        Self { mode, issuers }
    }
}

impl Config {
    /// Whether it may be served at `listen` like this.
    ///
    /// A proxy on the same machine opens a loopback address to the world; no process can see that from inside.
    ///
    /// # Errors
    /// If nobody is checked and `listen` is not this machine's own address. The text says what to do.
    pub fn check_listen(&self, listen: SocketAddr) -> Result<(), Exposed> {
        if self.mode == Mode::Off && !listen.ip().to_canonical().is_loopback() {
            return Err(Exposed { listen });
        }
        Ok(())
    }

    /// Every field that some mask names, for the service to compare with those there are.
    pub fn masked_fields(&self) -> impl Iterator<Item = &str> {
        self.issuers.iter().flat_map(|issuer| issuer.masks.values()).flat_map(|mask| mask.iter())
    }
}

impl Issuer {
    /// The mask of `client`: its own, else that of `*`, else none.
    pub(super) fn mask(&self, client: &str) -> Option<Arc<FieldMask>> {
        self.masks.get(client).or_else(|| self.masks.get(ANY_CLIENT)).cloned()
    }
}

/// `None` where a problem was noted.
fn issuer(name: &str, section: &mut Section<'_>) -> Option<Issuer> {
    let url = "The issuer, exactly as its tokens have it in iss.";
    let audience = "What aud must name: this installation as the issuer knows it.";
    let jwks = "Where the issuer's keys are. Unset, its discovery document tells (/.well-known/openid-configuration).";
    let tenant = "The claim that names the tenant.";
    let tenants = "Tenants that this issuer may speak for; unset, all.";
    let client = "The claim that names the client; unset, client_id, and azp where that is missing.";
    let lifetime = "Longest lifetime of a token, from iat to exp.";
    let masks = "For each client, by its id, the fields it is let near, with commas: \"crm\" = \"email,phone\"; \"*\" \
                 is for every client without a line of its own. A client without a mask is let near all.";
    let url = section.text("url", url).required("whose tokens count cannot be guessed");
    let url = address(section, "url", &url);
    let audience = section.text("audience", audience).required("tokens for others must not count");
    let jwks = section.text("jwks_url", jwks).optional();
    let algorithms = algorithms(section);
    let tenant_claim = section.text("tenant_claim", tenant).default("tenant".to_owned());
    let tenants = section.texts("tenants", tenants).optional().unwrap_or_default();
    let client = section.text("client_claim", client).optional();
    let minute = Duration::from_secs(60);
    let lifetime_max = section.duration("lifetime_max", lifetime).between(minute, LIFETIME_MAX).default(LIFETIME_MAX);
    let masks = masks_of(section, masks);
    if url.as_ref().is_some_and(Address::has_query) {
        section.problem(&["url"], "must have no query; an issuer is a scheme, a host and a path");
    }
    let jwks = match jwks {
        Some(text) => Some(address(section, "jwks_url", &text)?),
        None => None,
    };
    Some(Issuer {
        name: name.to_owned(),
        url: url?,
        audience,
        algorithms,
        jwks,
        tenant_claim,
        tenants,
        client_claims: client.map_or_else(|| vec!["client_id".to_owned(), "azp".to_owned()], |claim| vec![claim]),
        lifetime_max,
        masks,
    })
}

fn address(section: &mut Section<'_>, key: &str, text: &str) -> Option<Address> {
    Address::new(text, Plain::OnLoopback).map_err(|wrong| section.problem(&[key], wrong)).ok()
}

fn algorithms(section: &mut Section<'_>) -> Vec<Algorithm> {
    let about = "Algorithms the issuer signs with: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA.";
    let own = [Algorithm::Rs256, Algorithm::Es256].map(|algorithm| algorithm.name().to_owned()).to_vec();
    let names = section.texts("algorithms", about).default(own);
    let known: Vec<Algorithm> = names.iter().filter_map(|name| Algorithm::named(name)).collect();
    if known.is_empty() || known.len() < names.len() {
        section.problem(&["algorithms"], format!("must name some of {} and nothing else", Algorithm::names()));
    }
    known
}

fn masks_of(section: &mut Section<'_>, about: &'static str) -> BTreeMap<String, Arc<FieldMask>> {
    let table = section.table("masks", about).read();
    let mut masks = BTreeMap::new();
    for (client, text) in table.iter() {
        let fields: Vec<&str> = text.split(',').map(str::trim).collect();
        if fields.iter().any(|field| field.is_empty()) {
            let key = format!("masks.{client}");
            section.problem(&[&key], "must be names of fields with commas between them: \"email,phone\"");
        }
        masks.insert(client.to_owned(), Arc::new(FieldMask::from_iter(fields)));
    }
    masks
}

#[cfg(test)]
mod tests;
