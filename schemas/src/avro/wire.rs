//! Avro's primitive encodings: taken off a slice, put onto a vector.
//!
//! Nothing here allocates by what the input claims: a length is checked against what is left before it is used.

use uuid::Uuid;

/// How bytes are not what their schema says. Carries nothing of the input, which is user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    #[error("the record is neither a single object nor framed for a registry")]
    Framing,
    #[error("the record ends within a value")]
    Short,
    #[error("bytes are left behind the last value")]
    Trailing,
    #[error("a number does not fit its type")]
    Number,
    #[error("a boolean is neither 0 nor 1")]
    Boolean,
    #[error("a text is not UTF-8")]
    Utf8,
    #[error("a uuid is not one")]
    Uuid,
    #[error("a union has no such branch")]
    Branch,
    #[error("an enum has no such symbol")]
    Symbol,
    #[error("an array's block is not as long as it says")]
    Block,
    #[error("the change has no id or no version, or an invalid tenant, user id or version")]
    Envelope,
    #[error("the parts of the change contradict each other")]
    Shape,
}

/// What is left of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed::Trailing) }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, left) = self.0.split_at_checked(len).ok_or(Malformed::Short)?;
        self.0 = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, left) = self.0.split_first_chunk().ok_or(Malformed::Short)?;
        self.0 = left;
        Ok(*taken)
    }

    /// A `long`: zigzag, seven bits a byte, least significant first, at most 64 bits.
    #[inline]
    pub(super) fn long(&mut self) -> Result<i64, Malformed> {
        let (mut bits, mut shift) = (0_u64, 0_u32);
        for (i, &byte) in self.0.iter().enumerate() {
            let seven = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit only.
            if shift == 63 && seven > 1 {
                return Err(Malformed::Number);
            }
            bits |= seven << shift;
            if byte < 0x80 {
                self.0 = self.0.get(i + 1..).unwrap_or_default();
                return Ok((bits >> 1).cast_signed() ^ -((bits & 1).cast_signed()));
            }
            shift += 7;
            if shift > 63 {
                return Err(Malformed::Number);
            }
        }
        Err(Malformed::Short)
    }

    #[inline]
    pub(super) fn int(&mut self) -> Result<i32, Malformed> {
        i32::try_from(self.long()?).map_err(|_| Malformed::Number)
    }

    pub(super) fn boolean(&mut self) -> Result<bool, Malformed> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Malformed::Boolean),
        }
    }

    pub(super) fn float(&mut self) -> Result<f32, Malformed> {
        self.array().map(f32::from_le_bytes)
    }

    pub(super) fn double(&mut self) -> Result<f64, Malformed> {
        self.array().map(f64::from_le_bytes)
    }

    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.long()?).map_err(|_| Malformed::Number)?;
        self.take(len)
    }

    #[inline]
    pub(super) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed::Utf8)
    }

    /// A uuid's text: hyphenated, in either case.
    pub(super) fn uuid(&mut self) -> Result<Uuid, Malformed> {
        let text = self.bytes()?;
        // The parser also takes braces, URNs and plain digits, which no schema promises.
        if text.len() != uuid::fmt::Hyphenated::LENGTH {
            return Err(Malformed::Uuid);
        }
        Uuid::try_parse_ascii(text).map_err(|_| Malformed::Uuid)
    }

    /// The position of a branch or a symbol.
    #[inline]
    pub(super) fn position(&mut self, wrong: Malformed) -> Result<usize, Malformed> {
        usize::try_from(self.long()?).map_err(|_| wrong)
    }

    /// Every text of an array, block by block.
    pub(super) fn texts<E: From<Malformed>>(
        &mut self,
        mut each: impl FnMut(&'a str) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            let end = if count < 0 { Some(self.block_end()?) } else { None };
            // A text takes a byte at least, so that a count beyond what is left ends with the input.
            for _ in 0..count.unsigned_abs() {
                each(self.text()?)?;
            }
            if end.is_some_and(|end| end != self.len()) {
                return Err(Malformed::Block.into());
            }
        }
    }

    /// What will be left behind a block that says its length in bytes.
    fn block_end(&mut self) -> Result<usize, Malformed> {
        let bytes = usize::try_from(self.long()?).map_err(|_| Malformed::Block)?;
        self.len().checked_sub(bytes).ok_or(Malformed::Short)
    }
}

#[inline]
pub(super) fn put_long(out: &mut Vec<u8>, value: i64) {
    let mut bits = (value << 1 ^ value >> 63).cast_unsigned();
    loop {
        let [low, ..] = bits.to_le_bytes();
        bits >>= 7;
        if bits == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

#[inline]
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_position(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// A length, a branch or a symbol: never negative, and far below the largest `long`.
#[inline]
pub(super) fn put_position(out: &mut Vec<u8>, position: usize) {
    put_long(out, i64::try_from(position).unwrap_or(i64::MAX));
}
