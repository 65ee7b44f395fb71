//! What lies in a data page before its values: how many records begin in it, how many values the largest of them has there, and how
//! many lengths of texts it tells. Headers say such things too, but the decoder goes by what is here.

use parquet::{basic::Encoding, column::page::Page, schema::types::ColumnDescriptor};

use super::header::Compact;

/// The records of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Records {
    /// How many begin in it.
    pub(super) begun: u64,
    /// The most values that one of them has in it.
    pub(super) longest: u64,
}

/// A data page, taken apart.
pub(super) struct Parts<'a> {
    /// What tells its records apart; nothing in columns without lists.
    repetition: &'a [u8],
    /// The bits of each of these levels.
    width: u32,
    /// Whether they are written in runs, or bit by bit.
    has_runs: bool,
    /// The values, without nulls.
    data: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Takes a page apart as the decoder does; `None` where it is damaged.
    pub(super) fn of(page: &'a Page, column: &ColumnDescriptor) -> Option<Self> {
        let width = |most: i16| i16::BITS - most.leading_zeros();
        let (width, definition) = (width(column.max_rep_level()), width(column.max_def_level()));
        match page {
            Page::DataPage { buf, num_values, rep_level_encoding, def_level_encoding, .. } => {
                let mut data = &buf[..];
                let repetition = split(&mut data, width, *rep_level_encoding, *num_values)?;
                split(&mut data, definition, *def_level_encoding, *num_values)?;
                Some(Self { repetition, width, has_runs: *rep_level_encoding == Encoding::RLE, data })
            }
            Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
                let (repetition, rest) = buf.split_at_checked(*rep_levels_byte_len as usize)?;
                let data = rest.get(*def_levels_byte_len as usize..)?;
                Some(Self { repetition, width, has_runs: true, data })
            }
            Page::DictionaryPage { .. } => None,
        }
    }

    /// The records of a page of lists that has that many values; `None` where it is damaged.
    pub(super) fn records(&self, values: u64) -> Option<Records> {
        let mut count = Count { left: values, records: Records::default(), run: 0 };
        if !self.has_runs {
            count.packed(self.repetition, self.width);
            return Some(count.end());
        }
        let mut compact = Compact { bytes: self.repetition, at: 0 };
        while count.left > 0 && compact.at < self.repetition.len() {
            let head = compact.varint()?;
            let run = head >> 1;
            if head & 1 == 0 {
                // A head of 0 has nothing behind it.
                let level = compact.take(u64::from(self.width.div_ceil(8)) * run.min(1))?;
                count.add(level.iter().all(|byte| *byte == 0), u64::from(u32::try_from(run).ok()?));
            } else {
                let groups = u64::from(u32::try_from(run.checked_mul(8)?).ok()? / 8);
                // Some writers leave out the end of the last group.
                let bytes = (groups * u64::from(self.width)).min((self.repetition.len() - compact.at) as u64);
                count.packed(compact.take(bytes)?, self.width);
            }
        }
        Some(count.end())
    }

    /// How many lengths are told of texts that are written as lengths and bytes, or, with `prefixes`, as what they share with the
    /// one before and the rest; `None` where it is damaged.
    pub(super) fn lengths(&self, prefixes: bool) -> Option<u64> {
        let mut compact = Compact { bytes: self.data, at: 0 };
        let lengths = Deltas::begin(&mut compact)?;
        if !prefixes {
            return Some(lengths.count);
        }
        lengths.pass(&mut compact)?;
        Some(lengths.count.max(Deltas::begin(&mut compact)?.count))
    }
}

/// Takes the levels of one kind, each of `width` bits, off a page of the first version.
fn split<'a>(data: &mut &'a [u8], width: u32, encoding: Encoding, values: u32) -> Option<&'a [u8]> {
    let length = match encoding {
        _ if width == 0 => 0,
        Encoding::RLE => {
            let (length, rest) = data.split_first_chunk()?;
            *data = rest;
            u64::from(u32::from_le_bytes(*length))
        }
        // The decoder knows one more, and no third.
        _ => (u64::from(values) * u64::from(width)).div_ceil(8),
    };
    let (levels, rest) = data.split_at_checked(usize::try_from(length).ok()?)?;
    *data = rest;
    Some(levels)
}

/// Counts records by their levels: 0 where one begins.
struct Count {
    /// The values whose levels are to come; what is written behind them is nothing.
    left: u64,
    records: Records,
    /// The values of the record that goes on.
    run: u64,
}

impl Count {
    fn add(&mut self, begins: bool, values: u64) {
        let values = values.min(self.left);
        self.left -= values;
        if begins && values > 0 {
            self.records.begun += values;
            self.records.longest = self.records.longest.max(self.run);
            self.run = 1;
        } else {
            self.run += values;
        }
    }

    fn packed(&mut self, levels: &[u8], width: u32) {
        let (mut bits, mut count) = (0_u32, 0);
        for byte in levels {
            bits |= u32::from(*byte) << count;
            count += 8;
            while count >= width && self.left > 0 {
                self.add(bits & ((1 << width) - 1) == 0, 1);
                bits >>= width;
                count -= width;
            }
            if self.left == 0 {
                return;
            }
        }
    }

    fn end(self) -> Records {
        Records { longest: self.records.longest.max(self.run), ..self.records }
    }
}

/// Numbers, each written as how much it is more than the one before.
struct Deltas {
    /// How many there are.
    count: u64,
    /// How many are in each of the pieces of a block.
    piece: u64,
    pieces: u64,
}

impl Deltas {
    fn begin(compact: &mut Compact<'_>) -> Option<Self> {
        let (block, pieces, count) = (compact.varint()?, compact.varint()?, compact.varint()?);
        compact.varint()?;
        Some(Self { count, piece: block.checked_div(pieces)?, pieces })
    }

    /// Goes to their end.
    fn pass(&self, compact: &mut Compact<'_>) -> Option<()> {
        let mut left = self.count.saturating_sub(1);
        while left > 0 {
            compact.varint()?;
            for width in compact.take(self.pieces)? {
                if left > 0 {
                    compact.take(self.piece.checked_mul(u64::from(*width))? / 8)?;
                }
                left = left.saturating_sub(self.piece);
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records of levels that are written in runs.
    fn records(repetition: &[u8], width: u32, values: u64) -> Option<(u64, u64)> {
        let parts = Parts { repetition, width, has_runs: true, data: &[] };
        parts.records(values).map(|records| (records.begun, records.longest))
    }

    #[test]
    fn records_are_counted_by_where_they_begin() {
        // 3 records of one value, the last of which goes on for 5 more.
        assert_eq!(records(&[6, 0, 10, 1], 1, 8), Some((3, 6)));
        // What goes on from the page before.
        assert_eq!(records(&[20, 1, 2, 0], 1, 11), Some((1, 10)));
        // Bit by bit: 0 1 1 0 0 1 1 1, and 1 twice.
        assert_eq!(records(&[0b11, 0b1110_0110, 4, 1], 1, 10), Some((3, 6)));
        // Levels of two bits, of which 0 3 0 1 are in a group that is cut short; what is behind the values is nothing.
        assert_eq!(records(&[0b11, 0b0100_1100], 2, 4), Some((2, 2)));
        assert_eq!(records(&[6, 0, 0xff, 0xff], 1, 3), Some((3, 1)));
        let packed = Parts { repetition: &[0b1110_0110], width: 1, has_runs: false, data: &[] };
        assert_eq!(packed.records(7), Some(Records { begun: 3, longest: 3 }));
    }

    #[test]
    fn runs_that_the_decoder_counts_in_32_bits_alone_are_damage() {
        let run = |head: u64| {
            let mut bytes = Vec::new();
            let mut rest = head;
            while rest >= 0x80 {
                bytes.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            bytes.extend([rest as u8, 0, 2, 0]);
            bytes
        };
        assert_eq!(records(&run(((1 << 32) + 1) << 1), 1, 100), None);
        assert_eq!(records(&run(((1 << 29) + 1) << 1 | 1), 1, 100), None);
        assert_eq!(records(&run(100 << 1), 1, 100), Some((100, 1)));
        assert_eq!(records(&[6], 1, 100), None);
    }

    #[test]
    fn lengths_are_counted_where_the_decoder_makes_room_for_them() {
        fn lengths(data: &[u8], prefixes: bool) -> Option<u64> {
            Parts { repetition: &[], width: 0, has_runs: true, data }.lengths(prefixes)
        }
        // Blocks of 128 in 4 pieces; 3 numbers, from 0 on, by 0 and 2 bits in the first piece.
        let three = [0x80, 0x01, 4, 3, 0, 0, 2, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];
        let many = [0x80, 0x01, 4, 0xff, 0xff, 0xff, 0xff, 0x0f, 0];
        assert_eq!(lengths(&three, false), Some(3));
        assert_eq!(lengths(&many, false), Some(0xffff_ffff));
        assert_eq!(lengths(&[&three[..], &many].concat(), true), Some(0xffff_ffff));
        assert_eq!(lengths(&[&three[..], &three].concat(), true), Some(3));
        assert_eq!(lengths(&three, true), None);
        assert_eq!(lengths(&[0x80, 0x01, 0, 3, 0], false), None);
        assert_eq!(lengths(&many, true), None);
    }
}
