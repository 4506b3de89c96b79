//! Messages on a stream: `len u32 | JSON | len u32 | bytes`, little-endian.

use super::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// No message is larger: pages are of a mebibyte, and one record over it is always allowed.
const LEN_MAX: u32 = 256 << 20;

/// JSON and bytes that go with it.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) head: Value,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// `head` says what it is, `body` goes with it.
    pub(super) fn new(head: &impl Serialize, body: Vec<u8>) -> Result<Self, Error> {
        // All that is said here has a JSON form.
        Ok(Self { head: serde_json::to_value(head).map_err(|_| Error::Foreign)?, body })
    }

    pub(super) fn of(head: &impl Serialize) -> Result<Self, Error> {
        Self::new(head, Vec::new())
    }

    /// What it says.
    pub(super) fn read<T: DeserializeOwned>(self) -> Result<(T, Vec<u8>), Error> {
        Ok((serde_json::from_value(self.head).map_err(|_| Error::Foreign)?, self.body))
    }
}

pub(super) async fn send(to: &mut (impl AsyncWrite + Unpin), message: &Message) -> io::Result<()> {
    let head = message.head.to_string();
    let mut bytes = Vec::with_capacity(8 + head.len() + message.body.len());
    for part in [head.as_bytes(), &message.body] {
        let len = u32::try_from(part.len()).ok().filter(|len| *len <= LEN_MAX);
        let len = len.ok_or_else(|| io::Error::other("a message is too long"))?;
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(part);
    }
    to.write_all(&bytes).await?;
    to.flush().await
}

/// The next message; `None` if the other side has left in between.
pub(super) async fn receive(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Message>> {
    let Some(head) = part(from).await? else { return Ok(None) };
    let head = serde_json::from_slice(&head).map_err(|_| io::Error::other("a message is no JSON"))?;
    let body = part(from).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(Some(Message { head, body }))
}

async fn part(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut len = [0; 4];
    match from.read_exact(&mut len).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let len = u32::from_le_bytes(len);
    if len > LEN_MAX {
        return Err(io::Error::other("a message is too long"));
    }
    let mut bytes = Vec::new();
    // Taken as it comes: a length alone makes nobody's memory.
    let read = from.take(len.into()).read_to_end(&mut bytes).await?;
    if read < usize::try_from(len).unwrap_or(usize::MAX) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(bytes))
}
