//! `query`: profiles out, over HTTP.
//!
//! `GET /v1/users/{id}` answers from the cache, else from the table ([`store::through`]); with a receipt it answers when
//! that change is settled. `GET /v1/changes/{partition}/{offset}` tells what became of a change. Who asks was found out
//! before: an [`Identity`] among the request's extensions says which tenant's users they may read, and how much of them.

mod changes;
mod error;
mod fates;
mod letters;
mod log;
mod receipt;
mod users;
mod view;

pub use fates::{Fate, Fates};
pub use log::{Hop, Log, LogError};

use axum::Router;
use axum::routing::get;
use error::Problem;
use runtime::auth::Identity;
use schemas::{FieldSet, Profile, Tenant};
use std::sync::Arc;
use store::through::{Cache, Rows, Through};

/// Who asks; without one among a request's extensions everything of the tenant `main` is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Whose users may be read.
    pub tenant: Tenant,
    /// Whether fields are shown that tell who somebody is.
    pub may_see_pii: bool,
    /// The fields that may be shown at all; `None` for every one.
    pub mask: Option<FieldSet>,
}

/// What an access token must allow for any of these paths.
pub const SCOPE: &str = "profiles:read";

/// What it must allow for fields that tell who somebody is.
const PII: &str = "pii:read";

impl Reader {
    /// Whom a token speaks for; whoever is not checked may read everything of `main`. `None` if the token's tenant is no tenant's
    /// name.
    #[must_use]
    pub fn of(identity: &Identity, profile: &Profile) -> Option<Self> {
        let mask = identity.mask().map(|mask| {
            let fields = profile.fields().iter().enumerate();
            fields.filter(|(_, field)| mask.allows(&field.name)).map(|(position, _)| position).collect()
        });
        Some(Self { tenant: Tenant::new(&identity.tenant)?, may_see_pii: identity.may(PII), mask })
    }

    /// Whether a field may be shown.
    pub(crate) fn may_see(&self, position: usize, profile: &Profile) -> bool {
        let is_pii = profile.fields().get(position).is_some_and(|field| field.pii);
        (self.may_see_pii || !is_pii) && self.mask.is_none_or(|mask| mask.contains(position))
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self { tenant: Tenant::default(), may_see_pii: true, mask: None }
    }
}

/// What all requests share.
pub(crate) struct House<C, R, L> {
    pub(crate) profiles: Arc<Through<C, R>>,
    pub(crate) fates: Fates<L>,
}

/// Answers every request under `/v1/users` and `/v1/changes`, and tells the others that there is nothing.
pub fn router<C: Cache, R: Rows, L: Log>(profiles: Arc<Through<C, R>>, log: L) -> Router {
    let house = Arc::new(House { profiles, fates: Fates::new(log) });
    // `get` answers HEAD as well, without the body.
    Router::new()
        .route("/v1/users/{id}", get(users::answer::<C, R, L>))
        .route("/v1/changes/{partition}/{offset}", get(changes::answer::<C, R, L>))
        .method_not_allowed_fallback(|| async { Problem::MethodUnknown })
        .fallback(|| async { Problem::NothingHere })
        .with_state(house)
}
