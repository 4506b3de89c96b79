//! A door: where clients come in that nobody vouches for.
//!
//! Connections are counted, heads and bodies have a time and a size, what is no request goes no further ([`super::framing`]),
//! and a request that finds no place soon is shed, so that those that have one are answered in time.

use super::body::{decoded, watched};
use super::limits::{DoorConfig, DoorLimits};
use super::problem::Problem;
use super::strict::Strict;
use crate::logs::chain;
use crate::telemetry::{Counter, Telemetry};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tower::util::MapRequestLayer;
use tower_http::decompression::RequestDecompressionLayer;
use tracing::{debug, info, warn};

/// Between two tries to accept, when the process is out of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// A client that was shed may come again after so many seconds.
const SHED_FOR_S: u32 = 1;
/// Headers of one request.
const HEADERS_MAX: usize = 64;

/// What a door shows of itself.
#[derive(Clone, Debug, Default)]
pub struct DoorMetrics {
    answered: [Counter; 3],
    refused: Counter,
    shed: Counter,
    late: Counter,
}

impl DoorMetrics {
    /// The metrics of the door of a service.
    #[must_use]
    pub fn new(telemetry: &Telemetry) -> Self {
        let answers = "Requests of the door, by the class of their answer.";
        let classes = ["2xx", "4xx", "5xx"].map(|class| vec![("class", class)]);
        let mut answered = telemetry.counters("http_answers", answers, classes).into_iter();
        let refusals = "What the door did not let in, by why: no request, no place, no end.";
        let reasons = ["framing", "shed", "late"].map(|reason| vec![("reason", reason)]);
        let mut refused = telemetry.counters("http_refusals", refusals, reasons).into_iter();
        Self {
            answered: [(); 3].map(|()| answered.next().unwrap_or_default()),
            refused: refused.next().unwrap_or_default(),
            shed: refused.next().unwrap_or_default(),
            late: refused.next().unwrap_or_default(),
        }
    }

    fn count(&self, status: StatusCode) {
        let [fine, theirs, ours] = &self.answered;
        match status.as_u16() {
            ..400 => fine.add(1),
            400..500 => theirs.add(1),
            500.. => ours.add(1),
        }
    }
}

/// Bound and not yet open, so that its address is known, and had, before anything else starts.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    address: SocketAddr,
    limits: DoorLimits,
    metrics: DoorMetrics,
}

/// What the connections of a door have in common.
struct Inside {
    router: Router,
    limits: DoorLimits,
    metrics: DoorMetrics,
    places: Semaphore,
}

impl Door {
    /// Takes the address of `config`.
    ///
    /// # Errors
    /// If it cannot be had, most often because another process has it.
    pub async fn bind(config: &DoorConfig, metrics: DoorMetrics) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        info!(%address, "door listening");
        Ok(Self { listener, address, limits: config.limits.clone(), metrics })
    }

    /// Where it answers: the port is the real one, also if 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets requests in until `stop`, and then ends when those that are under way have their answers.
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        let Self { listener, limits, metrics, .. } = self;
        let connections_max = Arc::new(Semaphore::new(limits.connections_max));
        let places = Semaphore::new(limits.requests_in_flight_max);
        let router = layered(router, &limits);
        let inside = Arc::new(Inside { router, limits, metrics, places });
        let mut connections = JoinSet::new();
        loop {
            let room = Arc::clone(&connections_max).acquire_owned();
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                accepted = async { (room.await, listener.accept().await) } => accepted,
            };
            match accepted {
                (Ok(room), Ok((stream, _))) => {
                    let (inside, stop) = (inside.clone(), stop.clone());
                    connections.spawn(async move {
                        inside.attend(stream, stop).await;
                        drop(room);
                    });
                }
                (_, Err(error)) => {
                    warn!(%error, "the door could not accept a connection");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
                (Err(_), Ok(_)) => {}
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }
}

/// Bodies within their bounds, on both sides of their encoding.
fn layered(router: Router, limits: &DoorLimits) -> Router {
    let (outer, inner) = (limits.clone(), limits.clone());
    router
        .layer(MapRequestLayer::new(move |request: Request| decoded(request, &inner)))
        .layer(RequestDecompressionLayer::new())
        .layer(MapRequestLayer::new(move |request: Request| watched(request, &outer)))
}

impl Inside {
    async fn attend(self: Arc<Self>, stream: TcpStream, stop: CancellationToken) {
        // An answer is small, and waits for nobody's acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "a connection is gone");
            return;
        }
        let mut protocol = http1::Builder::new();
        protocol
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.headers_within)
            .max_buf_size(self.limits.header_bytes_max.max(8 << 10))
            .max_headers(HEADERS_MAX);
        let strict = Strict::new(stream, &self.limits, self.metrics.refused.clone());
        let service = service_fn(|request| {
            let inside = self.clone();
            async move { Ok::<_, Infallible>(inside.answer(request).await) }
        });
        let mut connection = pin!(protocol.serve_connection(TokioIo::new(strict), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(error = %chain(&error), "a connection ended early");
        }
    }

    async fn answer(&self, request: hyper::Request<Incoming>) -> Response {
        let response = self.try_answer(request.map(Body::new)).await;
        self.metrics.count(response.status());
        response
    }

    async fn try_answer(&self, request: Request) -> Response {
        if length_of(&request).is_some_and(|length| length > self.limits.body_bytes_max) {
            let title = "the body is larger than this door takes";
            return closing(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", title));
        }
        let Ok(Ok(_place)) = timeout(DoorLimits::PATIENCE, self.places.acquire()).await else {
            self.metrics.shed.add(1);
            let title = "more is asked for than can be done at once";
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", title);
            return problem.retry_after(SHED_FOR_S).into_response();
        };
        let answered = timeout(self.limits.request_within, self.router.clone().oneshot(request)).await;
        match answered {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => {
                self.metrics.late.add(1);
                let title = "the request took longer than a request may";
                closing(Problem::new(StatusCode::REQUEST_TIMEOUT, "request-timeout", title))
            }
        }
    }
}

/// The length that a request says its body has.
fn length_of(request: &Request) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// An answer behind which nothing more is read.
fn closing(problem: Problem) -> Response {
    let mut response = problem.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests;
