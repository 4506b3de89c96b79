//! A body on its way in: how much of it has come, how fast, and what it becomes behind its encoding.

use super::limits::DoorLimits;
use axum::body::Body;
use axum::extract::Request;
use bytes::{Buf as _, Bytes};
use http_body::{Body as _, Frame, SizeHint};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// So much any encoded body may become, whatever its size.
const DECODED_FREE: u64 = 64 << 10;

/// Why a body was not let through whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// It is larger than a body may be, as it is sent.
    TooLarge,
    /// It became too large behind its encoding, or too many times what was sent.
    Inflated,
    /// It came to a halt.
    TooSlow,
}

/// What is known of a request's body; in the extensions of each request that comes through a door. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct BodyWatch(Arc<Watch>);

#[derive(Debug, Default)]
struct Watch {
    wire: AtomicU64,
    /// 0 none, else one more than the fault's place.
    fault: AtomicU8,
}

impl BodyWatch {
    /// Why it was not let through, if it was not. Any other end of a body before its time is its client's.
    #[must_use]
    pub fn fault(&self) -> Option<BodyFault> {
        match self.0.fault.load(Ordering::Relaxed) {
            1 => Some(BodyFault::TooLarge),
            2 => Some(BodyFault::Inflated),
            3 => Some(BodyFault::TooSlow),
            _ => None,
        }
    }

    fn refuse(&self, fault: BodyFault) -> Refused {
        self.0.fault.store(fault as u8 + 1, Ordering::Relaxed);
        Refused(fault)
    }
}

/// The error that ends a body.
#[derive(Debug)]
struct Refused(BodyFault);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            BodyFault::TooLarge => "the body is too large",
            BodyFault::Inflated => "the body becomes too large behind its encoding",
            BodyFault::TooSlow => "the body came to a halt",
        })
    }
}

impl std::error::Error for Refused {}

/// Puts the bounds of what is sent around a body.
pub(super) fn watched(request: Request, limits: &DoorLimits) -> Request {
    let watch = BodyWatch::default();
    let (most, within) = (limits.body_bytes_max, limits.body_within);
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(watch.clone());
    let body = if body.is_end_stream() {
        body
    } else {
        Body::new(Sent { body, watch, most, within, halt: Box::pin(sleep(within)) })
    };
    Request::from_parts(parts, body)
}

/// Puts the bounds of what it becomes around a body that has been decoded.
pub(super) fn decoded(request: Request, limits: &DoorLimits) -> Request {
    let (parts, body) = request.into_parts();
    let watch = parts.extensions.get::<BodyWatch>().cloned().unwrap_or_default();
    let body = if body.is_end_stream() {
        body
    } else {
        Body::new(Decoded { body, watch, len: 0, most: limits.decoded_bytes_max, ratio: limits.decoded_ratio_max })
    };
    Request::from_parts(parts, body)
}

/// A body as it is sent.
struct Sent {
    body: Body,
    watch: BodyWatch,
    most: u64,
    within: Duration,
    halt: Pin<Box<Sleep>>,
}

/// A body behind its encoding.
struct Decoded {
    body: Body,
    watch: BodyWatch,
    len: u64,
    most: u64,
    ratio: u64,
}

type Item = Option<Result<Frame<Bytes>, axum::Error>>;

fn len_of(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, |data| data.remaining() as u64)
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Item> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let len = this.watch.0.wire.fetch_add(len_of(&frame), Ordering::Relaxed) + len_of(&frame);
                if len > this.most {
                    return Poll::Ready(Some(Err(axum::Error::new(this.watch.refuse(BodyFault::TooLarge)))));
                }
                this.halt.as_mut().reset(Instant::now() + this.within);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(other) => Poll::Ready(other),
            Poll::Pending => match this.halt.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Some(Err(axum::Error::new(this.watch.refuse(BodyFault::TooSlow))))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl http_body::Body for Decoded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Item> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            this.len += len_of(frame);
            let wire = this.watch.0.wire.load(Ordering::Relaxed);
            let allowed = wire.saturating_mul(this.ratio).saturating_add(DECODED_FREE).min(this.most);
            if this.len > allowed {
                return Poll::Ready(Some(Err(axum::Error::new(this.watch.refuse(BodyFault::Inflated)))));
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
