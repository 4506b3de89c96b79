//! The check as a layer of a router: who is not let in gets an answer here, and what is behind it an [`Identity`].

use super::Guard;
use super::denied::Denied;
use super::identity::Identity;
use crate::http::Problem;
use axum::extract::{Request, State};
use axum::middleware::{FromFnLayer, Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, header};
use std::pin::Pin;

/// What [`require`] gives: `router.route_layer(require(guard, "pii:read"))`.
pub type Layer = FromFnLayer<Check, Required, (State<Required>, Request)>;
type Check = fn(State<Required>, Request, Next) -> Answering;
type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// How long a client should wait while there are no keys.
const AGAIN_AFTER_S: HeaderValue = HeaderValue::from_static("5");

/// What a route asks for.
#[derive(Clone, Debug)]
pub struct Required {
    guard: Guard,
    scope: &'static str,
}

/// Lets requests with `scope` through, with their [`Identity`] among the extensions and without their token; the
/// others are answered with 400, 401, 403 or 503 and what `WWW-Authenticate` has to say.
pub fn require(guard: Guard, scope: &'static str) -> Layer {
    from_fn_with_state(Required { guard, scope }, check as Check)
}

fn check(State(required): State<Required>, mut request: Request, next: Next) -> Answering {
    Box::pin(async move {
        match required.identity(request.headers()).await {
            Ok(identity) => {
                // It has done its work; nothing behind here can print or pass on what it does not have.
                request.headers_mut().remove(header::AUTHORIZATION);
                request.extensions_mut().insert(identity);
                next.run(request).await
            }
            Err(denied) => answer(denied),
        }
    })
}

impl Required {
    async fn identity(&self, headers: &HeaderMap) -> Result<Identity, Denied> {
        let identity = self.guard.admit(headers).await?;
        if identity.may(self.scope) { Ok(identity) } else { Err(Denied::Forbidden(self.scope)) }
    }
}

/// The answer to who is not let in.
fn answer(denied: Denied) -> Response {
    let mut response = Problem::new(denied.status(), denied.code(), denied.text()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(challenge) = denied.www_authenticate() {
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if denied == Denied::Unavailable {
        headers.insert(header::RETRY_AFTER, AGAIN_AFTER_S);
    }
    response
}

#[cfg(test)]
mod tests;
