//! The admin server: `/live`, `/ready` and `/metrics`, for orchestrators and Prometheus.
//!
//! Each connection has a deadline and a place, and a slow client costs one place for a while.

use crate::config::Section;
use crate::health::{Health, Report};
use crate::logs::chain;
use crate::telemetry::Telemetry;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// A probe and a scraper or two keep one connection each; the rest is room for people.
const CONNECTIONS_MAX: usize = 64;
/// Headers of a probe fit one packet.
const HEADERS_WITHIN: Duration = Duration::from_secs(5);
/// A connection ends then whatever its client does; a scraper just connects again.
const CONNECTION_LASTS: Duration = Duration::from_secs(60);
/// Between two tries to accept, when the process is out of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Longest request line and headers.
const REQUEST_LEN_MAX: usize = 16 * 1024;

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub listen: SocketAddr,
}

impl Config {
    /// Every service has a port of its own, so that all of them run on one machine without any configuration.
    pub(crate) fn read(section: &mut Section<'_>, default_port: u16) -> Self {
        let about = "Where /live, /ready and /metrics answer, to whoever can reach it; port 0 takes a free one.";
        Self { listen: section.address("listen", about).default(SocketAddr::from(([127, 0, 0, 1], default_port))) }
    }
}

/// Bound and not yet serving, so that the address is known before anything else starts.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
}

#[derive(Clone, Debug)]
struct Shown {
    health: Health,
    telemetry: Telemetry,
}

impl Server {
    /// Takes the address of `config`.
    ///
    /// # Errors
    /// If it cannot be had, most often because another process has it.
    pub async fn bind(config: &Config, health: Health, telemetry: Telemetry) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        info!(%address, "admin server listening");
        let router = Router::new()
            .route("/live", get(live))
            .route("/ready", get(ready))
            .route("/metrics", get(metrics))
            .with_state(Shown { health, telemetry });
        Ok(Self { listener, address, router })
    }

    /// Where it answers: the port is the real one, also if 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`, then drops every connection.
    pub async fn serve(self, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                Some(_) = connections.join_next() => continue,
                accepted = accept(&self.listener, &places) => accepted,
            };
            match accepted {
                Ok((stream, place)) => {
                    let router = self.router.clone();
                    connections.spawn(async move {
                        serve_connection(stream, router).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    warn!(%error, "admin server could not accept a connection");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }
}

/// A connection and its place. The place comes first: over the limit, clients wait in the kernel's queue.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn serve_connection(stream: TcpStream, router: Router) {
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN).max_buf_size(REQUEST_LEN_MAX);
    let connection = protocol.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match tokio::time::timeout(CONNECTION_LASTS, connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => debug!(error = %chain(&error), "admin connection ended"),
    }
}

async fn live(State(shown): State<Shown>) -> Response {
    answer(&shown.health.live())
}

async fn ready(State(shown): State<Shown>) -> Response {
    answer(&shown.health.ready())
}

async fn metrics(State(shown): State<Shown>) -> Response {
    match shown.telemetry.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => {
            warn!(error = %chain(&error), "metrics could not be gathered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn answer(report: &Report) -> Response {
    let status = if report.is_ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{}\n", report.body)).into_response()
}

#[cfg(test)]
mod tests;
