//! The headers of Parquet's pages, read by themselves: what a page says of itself before it is decompressed. The decoder reads them
//! again, and takes what is not written as Parquet has it in ways of its own: whatever it could take otherwise is no header here.

/// How deep the structs of a header lie in each other at most.
const DEPTH: u32 = 8;

/// What a page is, with what only its kind says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Dictionary,
    /// Values, compressed with the levels before them.
    Data,
    /// Values, behind that many bytes of levels that are never compressed.
    DataV2 {
        levels: u64,
        is_compressed: bool,
    },
}

/// The header of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// The bytes of the page once it is decompressed.
    pub(super) uncompressed: u64,
    /// The bytes of the page as it lies behind the header.
    pub(super) compressed: u64,
    /// How many values it has, nulls among them.
    pub(super) values: u64,
    /// How its values are written.
    pub(super) encoding: i64,
    /// The bytes of the header itself.
    pub(super) length: u64,
}

/// The numbers of a struct, by the numbers of their fields.
type Numbers = [Option<i64>; 8];

impl Header {
    /// The header that `bytes` begin with; `None` where they do not begin with a whole one.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut compact = Compact { bytes, at: 0 };
        let (mut page, mut own) = (Numbers::default(), None);
        let mut field = 0;
        while let Some(kind) = compact.field(&mut field)? {
            match field {
                1..=4 => compact.number(kind, &mut page[field as usize])?,
                5 | 7 | 8 if kind == Compact::STRUCT && own.is_none() => {
                    own = Some((field, compact.own(field)?))
                }
                5..=8 => return None,
                _ => compact.skip(kind, DEPTH)?,
            }
        }
        let (of, own) = own?;
        let size = |number: Option<i64>| u64::try_from(number?).ok();
        let (kind, encoding) = match (page[1]?, of) {
            (0, 5) => (Kind::Data, own[2]?),
            (2, 7) => (Kind::Dictionary, own[2]?),
            (3, 8) => {
                let levels = size(own[5])? + size(own[6])?;
                (Kind::DataV2 { levels, is_compressed: own[7] != Some(0) }, own[4]?)
            }
            _ => return None,
        };
        Some(Self {
            kind,
            uncompressed: size(page[2])?,
            compressed: size(page[3])?,
            values: size(own[1])?,
            encoding,
            length: compact.at as u64,
        })
    }
}

/// Thrift's compact protocol, as far as headers need it.
pub(super) struct Compact<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Compact<'a> {
    const TRUE: u8 = 1;
    const FALSE: u8 = 2;
    const BYTE: u8 = 3;
    const I16: u8 = 4;
    const I32: u8 = 5;
    const I64: u8 = 6;
    const DOUBLE: u8 = 7;
    const BINARY: u8 = 8;
    const STRUCT: u8 = 12;

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// The type of the struct's next field, whose number goes into `field`; an inner `None` at its end.
    fn field(&mut self, field: &mut i16) -> Option<Option<u8>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some(None);
        }
        *field = match byte >> 4 {
            0 => i16::try_from(self.zigzag()?).ok()?,
            delta => field.checked_add(i16::from(delta))?,
        };
        Some(Some(byte & 0x0f))
    }

    /// Takes a number of 32 bits into its place, in which there is none yet.
    fn number(&mut self, kind: u8, into: &mut Option<i64>) -> Option<()> {
        let number = i64::from(i32::try_from(self.zigzag()?).ok()?);
        (kind == Self::I32 && into.replace(number).is_none()).then_some(())
    }

    /// What a page says of itself in the struct of its kind, whose truth values are 0 and 1.
    fn own(&mut self, of: i16) -> Option<Numbers> {
        let last = match of {
            5 => 4,
            7 => 2,
            _ => 6,
        };
        let mut own = Numbers::default();
        let mut field = 0;
        while let Some(kind) = self.field(&mut field)? {
            match field {
                1..=6 if field <= last => self.number(kind, &mut own[field as usize])?,
                7 if of == 8 => {
                    let is_new = own[7].replace(i64::from(kind == Self::TRUE)).is_none();
                    (is_new && matches!(kind, Self::TRUE | Self::FALSE)).then_some(())?;
                }
                _ => self.skip(kind, DEPTH)?,
            }
        }
        Some(own)
    }

    pub(super) fn take(&mut self, bytes: u64) -> Option<&'a [u8]> {
        let end = self.at.checked_add(usize::try_from(bytes).ok()?)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    /// Passes over what no page needs: statistics. Lists are in none, and not every reader finds their ends alike.
    fn skip(&mut self, kind: u8, depth: u32) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            Self::TRUE | Self::FALSE => Some(()),
            Self::BYTE => self.take(1).map(drop),
            Self::I16 | Self::I32 | Self::I64 => self.varint().map(drop),
            Self::DOUBLE => self.take(8).map(drop),
            Self::BINARY => {
                let length = self.varint()?;
                self.take(length).map(drop)
            }
            Self::STRUCT => {
                let mut field = 0;
                while let Some(kind) = self.field(&mut field)? {
                    self.skip(kind, depth)?;
                }
                Some(())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data page of 100 values, plain, with statistics of its least and greatest.
    const PAGE: [u8; 29] = [
        0x15, 0x00, 0x15, 0x80, 0x10, 0x15, 0x90, 0x03, // kind, uncompressed, compressed
        0x2c, 0x15, 0xc8, 0x01, 0x15, 0x00, 0x15, 0x06, 0x15, 0x06, // values, encoding, levels
        0x1c, 0x18, 0x01, b'a', 0x18, 0x01, b'z', 0x00, 0x00, 0x00, // statistics
        0xff,
    ];

    /// A page of the second version: 5 values, 1 of them null, of 3 records, delta, with 2 bytes of levels and 4.
    const PAGE_V2: [u8; 24] = [
        0x15, 0x06, 0x15, 0x20, 0x15, 0x1e, 0x5c, // kind, uncompressed, compressed
        0x15, 0x0a, 0x15, 0x02, 0x15, 0x06, 0x15, 0x0a, 0x15, 0x04, 0x15,
        0x08, // values, nulls, rows, encoding, levels
        0x12, 0x00, 0x25, 0x00, 0x00, // not compressed; a field that nobody knows
    ];

    /// The page with the byte at `at` in place of `was`.
    fn with<const N: usize>(page: [u8; N], at: usize, was: u8, is: u8) -> Vec<u8> {
        let mut bytes = page.to_vec();
        assert_eq!(std::mem::replace(&mut bytes[at], is), was);
        bytes
    }

    #[test]
    fn a_header_tells_of_its_page_and_where_it_ends() {
        let expected = Header {
            kind: Kind::Data,
            uncompressed: 1024,
            compressed: 200,
            values: 100,
            encoding: 0,
            length: 28,
        };
        assert_eq!(Header::read(&PAGE), Some(expected));
        for end in 0..28 {
            assert_eq!(Header::read(&PAGE[..end]), None, "{end}");
        }
        let kind = Kind::DataV2 { levels: 6, is_compressed: false };
        let expected = Header { kind, uncompressed: 16, compressed: 15, values: 5, encoding: 5, length: 24 };
        assert_eq!(Header::read(&PAGE_V2), Some(expected));
        let compressed = Header::read(&with(PAGE_V2, 19, 0x12, 0x11)).unwrap();
        assert_eq!(compressed.kind, Kind::DataV2 { levels: 6, is_compressed: true });
    }

    #[test]
    fn whatever_the_decoder_may_take_otherwise_is_no_header() {
        let twice = [&PAGE[..8], &[0x05, 0x04, 0x02, 0x3c], &PAGE[9..]].concat();
        let negative = [&PAGE[..5], &[0x15, 0x01], &PAGE[8..]].concat();
        let list_of_truths = [&PAGE[..27], &[0x59, 0x21, 0x15, 0x00, 0x00]].concat();
        let far = [&PAGE[..27], &[0x05, 0x84, 0x80, 0x10, 0x04, 0x00]].concat();
        let two_kinds = [&PAGE[..27], &[0x3c], &PAGE_V2[7..]].concat();
        let wide = [&PAGE[..5], &[0x15, 0x90, 0x80, 0x80, 0x80, 0x20], &PAGE[8..]].concat();
        let cases = [
            ("a size of another type", with(PAGE, 2, 0x15, 0x16)),
            ("a number of values of another type", with(PAGE, 9, 0x15, 0x16)),
            ("an encoding of another type", with(PAGE, 12, 0x15, 0x13)),
            ("a size less than nothing", negative),
            ("a size that comes twice", twice),
            ("a size past 32 bits", wide),
            ("a list in which truths may have no bytes", list_of_truths),
            ("a field whose number is past 16 bits", far),
            ("a page of two kinds", two_kinds),
            ("a struct of another kind", with(PAGE, 1, 0x00, 0x06)),
            ("an index", with(PAGE, 1, 0x00, 0x02)),
            ("no encoding", with(PAGE, 12, 0x15, 0x95)),
            ("a truth that is none", with(PAGE_V2, 19, 0x12, 0x13)),
        ];
        for (what, bytes) in cases {
            assert_eq!(Header::read(&bytes), None, "{what}");
        }
    }

    #[test]
    fn whatever_is_no_header_is_none() {
        let deep = [0x1c; 4096];
        let long = [0x19, 0xf8, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
        let endless = [0x15, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80];
        for bytes in [&[][..], &deep, &long, &endless, &[0x1d, 0x00]] {
            assert_eq!(Header::read(bytes), None, "{bytes:?}");
        }
    }
}
