//! What stands before a record: the name of the schema that it was written with.
//!
//! Two framings are known. A *single object* names its schema by fingerprint, and needs nobody to be asked: every
//! schema ever shipped is compiled in. Confluent's framing names it by an id of a schema registry; no registry is
//! configured yet, so that no id is known.

use super::wire::Malformed;
use crate::Fingerprint;

/// First bytes of a single object.
const SINGLE_OBJECT: [u8; 2] = [0xC3, 0x01];

/// First byte of a record framed for a registry.
const REGISTRY: u8 = 0;

/// Who wrote a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `C3 01`, then the fingerprint.
    SingleObject(Fingerprint),
    /// `00`, then the id, most significant byte first.
    Registry(u32),
}

/// A record's framing and the bytes behind it.
#[derive(Clone, Copy)]
pub struct Unframed<'a> {
    pub framing: Framing,
    pub body: &'a [u8],
}

/// Not the body: it is user data.
impl std::fmt::Debug for Unframed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unframed").field("framing", &self.framing).finish_non_exhaustive()
    }
}

impl Framing {
    /// Bytes a single object has before its body.
    pub const SINGLE_OBJECT_LEN: usize = 10;

    /// Takes the framing off `record`.
    pub fn read(record: &[u8]) -> Result<Unframed<'_>, Malformed> {
        match record.split_first() {
            Some((&REGISTRY, rest)) => {
                let (id, body) = rest.split_first_chunk().ok_or(Malformed::Short)?;
                Ok(Unframed { framing: Self::Registry(u32::from_be_bytes(*id)), body })
            }
            Some(_) => {
                let rest = record.strip_prefix(&SINGLE_OBJECT).ok_or(Malformed::Framing)?;
                let (fingerprint, body) = rest.split_first_chunk().ok_or(Malformed::Short)?;
                Ok(Unframed { framing: Self::SingleObject(Fingerprint::from_bytes(*fingerprint)), body })
            }
            None => Err(Malformed::Framing),
        }
    }

    /// Puts the framing at the end of `out`; the body comes next.
    pub fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::SingleObject(fingerprint) => {
                out.extend_from_slice(&SINGLE_OBJECT);
                out.extend_from_slice(&fingerprint.to_bytes());
            }
            Self::Registry(id) => {
                out.push(REGISTRY);
                out.extend_from_slice(&id.to_be_bytes());
            }
        }
    }
}
