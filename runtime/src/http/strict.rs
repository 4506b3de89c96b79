//! A connection of which only well-formed requests are read, and whose answers are not left lying.

use super::framing::Framing;
use super::limits::DoorLimits;
use crate::telemetry::Counter;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tracing::debug;

/// Read at once.
const READ_LEN: usize = 8 * 1024;

/// What no HTTP library takes for a request: it answers 400 and closes, behind the answers that are due before it.
const NO_REQUEST: &[u8] = b"\0\r\n\r\n";

/// A connection of which only well-formed requests are read.
#[derive(Debug)]
pub(super) struct Strict<S> {
    stream: S,
    framing: Framing,
    /// What may be read, from `start` on.
    passed: Vec<u8>,
    start: usize,
    /// Nothing more is read.
    is_over: bool,
    /// Counts connections that ended here.
    refused: Counter,
    /// How long a client may leave an answer lying.
    write_within: Duration,
    /// While one does.
    halt: Option<Pin<Box<Sleep>>>,
}

impl<S> Strict<S> {
    pub(super) fn new(stream: S, limits: &DoorLimits, refused: Counter) -> Self {
        Self {
            stream,
            framing: Framing::new(limits.header_bytes_max),
            passed: Vec::new(),
            start: 0,
            is_over: false,
            refused,
            write_within: limits.body_within,
            halt: None,
        }
    }

    /// Ends a write that has made no progress for too long.
    fn bounded<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.halt = None;
            return written;
        }
        let within = self.write_within;
        let halt = self.halt.get_or_insert_with(|| Box::pin(sleep(within)));
        ready!(halt.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take its answer")))
    }

    /// Takes what came, and what is to be read of it.
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Err(violation) = self.framing.feed(bytes, &mut self.passed) else { return Ok(()) };
        self.refused.add(1);
        self.is_over = true;
        debug!(?violation, "a connection ends: what came is no request");
        if !self.framing.is_in_head() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the body is not delimited as its head says"));
        }
        self.passed.extend_from_slice(NO_REQUEST);
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Strict<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let waiting = this.passed.get(this.start..).unwrap_or_default();
            if !waiting.is_empty() {
                let len = waiting.len().min(buffer.remaining());
                buffer.put_slice(waiting.get(..len).unwrap_or_default());
                this.start += len;
                if this.start == this.passed.len() {
                    this.passed.clear();
                    this.start = 0;
                }
                return Poll::Ready(Ok(()));
            }
            if this.is_over {
                return Poll::Ready(Ok(()));
            }
            let mut space = [0; READ_LEN];
            let mut read = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.take(read.filled())?;
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Strict<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.bounded(context, written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        this.bounded(context, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
