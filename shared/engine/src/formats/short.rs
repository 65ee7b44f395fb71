//! Appending short texts. A copy of a length known when compiling is a few instructions, one of any length a call:
//! so a little more is copied than is wanted, and what is too much is cut off again.

/// The most bytes of a [`Short`].
const SHORT: usize = 32;

/// Appends `length` bytes that begin at `start`; with enough bytes behind them, without a call.
#[inline]
pub(super) fn append(data: &[u8], start: usize, length: usize, out: &mut Vec<u8>) {
    if length <= 16
        && let Some(wide) = data.get(start..start + 16).and_then(|wide| wide.first_chunk::<16>())
    {
        append_of(wide, length, out);
    } else if length <= 48
        && let Some(wide) = data.get(start..start + 48).and_then(|wide| wide.first_chunk::<48>())
    {
        append_of(wide, length, out);
    } else {
        out.extend_from_slice(&data[start..start + length]);
    }
}

/// Appends the first `length` bytes.
#[inline]
pub(super) fn append_of<const N: usize>(wide: &[u8; N], length: usize, out: &mut Vec<u8>) {
    let end = out.len() + length;
    out.extend_from_slice(wide);
    out.truncate(end);
}

/// A text that is appended many times.
pub(super) enum Short {
    Short([u8; SHORT], usize),
    Long(Vec<u8>),
}

impl Short {
    pub(super) fn new(text: &[u8]) -> Self {
        let mut wide = [0; SHORT];
        match wide.get_mut(..text.len()) {
            Some(place) => {
                place.copy_from_slice(text);
                Self::Short(wide, text.len())
            }
            None => Self::Long(text.to_vec()),
        }
    }

    #[inline]
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Short(wide, length) => append_of(wide, *length, out),
            Self::Long(text) => out.extend_from_slice(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_at_every_place_is_appended_alone() {
        let data: Vec<u8> = (0..100).collect();
        for start in 0..data.len() {
            for length in 0..=data.len() - start {
                let mut out = b"before".to_vec();
                append(&data, start, length, &mut out);
                let mut short = b"before".to_vec();
                Short::new(&data[start..start + length]).write(&mut short);
                assert_eq!(out, [b"before", &data[start..start + length]].concat());
                assert_eq!(out, short);
            }
        }
    }
}
