//! The headers of Parquet's pages, read by themselves: what a page says of itself before it is decompressed.

/// What pages are.
pub(super) const DATA_PAGE: i64 = 0;
pub(super) const DICTIONARY_PAGE: i64 = 2;
pub(super) const DATA_PAGE_V2: i64 = 3;

/// How deep the structs of a header lie in each other at most.
const DEPTH: u32 = 8;

/// The header of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// What the page is.
    pub(super) kind: i64,
    /// The bytes of the page once it is decompressed.
    pub(super) uncompressed: i64,
    /// The bytes of the page as it lies behind the header.
    pub(super) compressed: i64,
    /// How many values it has, nulls among them.
    pub(super) values: i64,
    /// How many records it has, where it says so.
    pub(super) rows: Option<i64>,
    /// How its values are written.
    pub(super) encoding: i64,
    /// The bytes of the header itself.
    pub(super) length: usize,
}

impl Header {
    /// The header that `bytes` begin with; `None` where they do not begin with a whole one.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut compact = Compact { bytes, at: 0 };
        let mut header = Self::default();
        let mut field = 0;
        while let Some(kind) = compact.field(&mut field)? {
            match (field, kind) {
                (1, Compact::I32) => header.kind = compact.zigzag()?,
                (2, Compact::I32) => header.uncompressed = compact.zigzag()?,
                (3, Compact::I32) => header.compressed = compact.zigzag()?,
                (5 | 7 | 8, Compact::STRUCT) => header.page(&mut compact, field)?,
                _ => compact.skip(kind, DEPTH)?,
            }
        }
        header.length = compact.at;
        Some(header)
    }

    /// What is said of a page of one kind: the second version tells of its records between values and encoding.
    fn page(&mut self, compact: &mut Compact<'_>, of: i64) -> Option<()> {
        let is_v2 = of == 8;
        let mut field = 0;
        while let Some(kind) = compact.field(&mut field)? {
            match (field, kind) {
                (1, Compact::I32) => self.values = compact.zigzag()?,
                (2, Compact::I32) if !is_v2 => self.encoding = compact.zigzag()?,
                (3, Compact::I32) if is_v2 => self.rows = Some(compact.zigzag()?),
                (4, Compact::I32) if is_v2 => self.encoding = compact.zigzag()?,
                _ => compact.skip(kind, DEPTH)?,
            }
        }
        Some(())
    }
}

/// Thrift's compact protocol, as far as headers need it.
struct Compact<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Compact<'_> {
    const TRUE: u8 = 1;
    const FALSE: u8 = 2;
    const BYTE: u8 = 3;
    const I16: u8 = 4;
    const I32: u8 = 5;
    const I64: u8 = 6;
    const DOUBLE: u8 = 7;
    const BINARY: u8 = 8;
    const LIST: u8 = 9;
    const SET: u8 = 10;
    const STRUCT: u8 = 12;

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn varint(&mut self) -> Option<u64> {
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
    fn field(&mut self, field: &mut i64) -> Option<Option<u8>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some(None);
        }
        *field = match byte >> 4 {
            0 => self.zigzag()?,
            delta => field.checked_add(i64::from(delta))?,
        };
        Some(Some(byte & 0x0f))
    }

    fn forward(&mut self, bytes: u64) -> Option<()> {
        self.at = self.at.checked_add(usize::try_from(bytes).ok()?).filter(|at| *at <= self.bytes.len())?;
        Some(())
    }

    fn skip(&mut self, kind: u8, depth: u32) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            Self::TRUE | Self::FALSE => Some(()),
            Self::BYTE => self.forward(1),
            Self::I16 | Self::I32 | Self::I64 => self.varint().map(drop),
            Self::DOUBLE => self.forward(8),
            Self::BINARY => {
                let length = self.varint()?;
                self.forward(length)
            }
            Self::LIST | Self::SET => {
                let head = self.byte()?;
                let length = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                // Truth values in lists have a byte each.
                let kind = if matches!(head & 0x0f, 1 | 2) { Self::BYTE } else { head & 0x0f };
                (0..length).try_for_each(|_| self.skip(kind, depth))
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

    #[test]
    fn a_header_tells_of_its_page_and_where_it_ends() {
        let expected = Header {
            kind: DATA_PAGE,
            uncompressed: 1024,
            compressed: 200,
            values: 100,
            rows: None,
            encoding: 0,
            length: 28,
        };
        assert_eq!(Header::read(&PAGE), Some(expected));
        for end in 0..28 {
            assert_eq!(Header::read(&PAGE[..end]), None, "{end}");
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
