//! Records of our own topics, as the stages behind `validate` read them.

use super::codec::{Codec, DecodeError};
use crate::{Change, RejectCode, Rejection, facts, headers};

/// Why a record of our own topics gives no change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// A newer release wrote it: the data is right, and the partition waits for the deployment that can read it.
    Newer(DecodeError),
    /// Somebody else wrote it, or it was damaged.
    Wrong(Rejection),
}

impl Codec {
    /// Reads a record's value and the value of its `tw-origin` header.
    ///
    /// # Errors
    /// [`Unreadable`]: a fault of the partition, or the rejection `undecodable`.
    pub fn decode_own(&self, value: Option<&[u8]>, origin: Option<&[u8]>) -> Result<Change, Unreadable> {
        let origin = origin
            .and_then(facts::origin_of)
            .ok_or_else(|| Unreadable::Wrong(Rejection::at(RejectCode::Undecodable, headers::ORIGIN)))?;
        self.decode(value.unwrap_or_default(), origin).map_err(|error| match error {
            DecodeError::Malformed(_) => Unreadable::Wrong(Rejection::new(RejectCode::Undecodable)),
            newer @ (DecodeError::UnknownSchema(_)
            | DecodeError::UnknownRegistryId(_)
            | DecodeError::UnknownField { .. }
            | DecodeError::UnknownSymbol { .. }) => Unreadable::Newer(newer),
        })
    }
}
