use std::io::{self, Read, Write};

use super::{
    recognise::{gzip, zstd},
    *,
};

const TEXT: &str = "a,b\n1,x\n2,grün\n3,😀\n";
const ROWS: [&str; 3] = ["1|x", "2|grün", "3|😀"];

fn utf_16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

/// Gives few bytes at a time, and is interrupted between them.
struct Dripping(Vec<u8>, usize, bool);

impl Read for Dripping {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.2 = !self.2;
        if self.2 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = self.1.min(self.0.len()).min(buffer.len());
        buffer[..length].copy_from_slice(&self.0[..length]);
        self.0.drain(..length);
        Ok(length)
    }
}

#[test]
fn marks_are_believed_and_taken_off() {
    let marked = format!("\u{FEFF}{TEXT}");
    for bytes in [
        TEXT.as_bytes().to_vec(),
        marked.as_bytes().to_vec(),
        utf_16(&marked, u16::to_le_bytes),
        utf_16(&marked, u16::to_be_bytes),
    ] {
        for (bytes, name) in
            [(bytes.clone(), "x.csv"), (gzip(&bytes), "x.csv.gz"), (zstd(&bytes), "x.csv.zst")]
        {
            let seen = read(bytes, name);
            assert_eq!(seen.columns, ["a", "b"]);
            assert_eq!(lines(&seen), ROWS);
        }
    }
    assert!(refused(b"\xFF\xFE\0\0a\0\0\0".to_vec(), "x.csv").contains("UTF-32"));
    assert!(refused(b"\0\0\xFE\xFF\0\0\0a".to_vec(), "x.csv").contains("UTF-32"));
}

#[test]
fn halves_of_pairs_and_of_units_are_rows_in_error() {
    let mut bytes = utf_16("\u{FEFF}a,b\n1,x\n2,", u16::to_le_bytes);
    bytes.extend_from_slice(&0xD83D_u16.to_le_bytes());
    bytes.extend_from_slice(&utf_16("\n3,", u16::to_le_bytes));
    bytes.extend_from_slice(&0xDE00_u16.to_le_bytes());
    bytes.extend_from_slice(&utf_16("\n4,y\n5,z", u16::to_le_bytes));
    bytes.push(0x41);
    let seen = read(bytes, "x.csv");
    let good: Vec<_> = seen.rows.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, false, false, true, false]);
    let mut bytes = utf_16("\u{FEFF}a\nx", u16::to_be_bytes);
    bytes.extend_from_slice(&0xD83D_u16.to_be_bytes());
    assert!(read(bytes, "x.csv").rows[0].is_err());
}

#[test]
fn bytes_come_in_any_portions() {
    let text = format!("\u{FEFF}{TEXT}\"q \"\"\r\n,\",\r\n");
    for bytes in [
        text.as_bytes().to_vec(),
        utf_16(&text, u16::to_le_bytes),
        gzip(text.as_bytes()),
        zstd(text.as_bytes()),
    ] {
        for portion in [1, 2, 3, 5, 7] {
            let input = Dripping(bytes.clone(), portion, false);
            let rows: Vec<_> = RowReader::open(input, None, ReadOptions::default())
                .unwrap()
                .map(|row| row.unwrap().unwrap())
                .collect();
            assert_eq!(rows.len(), 4);
            assert_eq!((rows[2].field(1), rows[3].field(0)), (Field::Text("😀"), Field::Text("q \"\r\n,")));
        }
    }
}

#[test]
fn members_and_frames_are_read_one_after_the_other() {
    let parts = ["a,b\n1,", "", "x\n2,grün", "\n3,😀\n"];
    for (name, compress) in [("x.csv.gz", gzip as fn(&[u8]) -> Vec<u8>), ("x.csv.zst", zstd)] {
        let bytes = parts.map(|part| compress(part.as_bytes())).concat();
        assert_eq!(lines(&read(bytes, name)), ROWS);
    }
}

#[test]
fn compressed_bytes_that_are_cut_short_are_told_at_every_byte() {
    // Random, so that the compressed text is long and not all of it is one block.
    let mut text = String::from("a,b\n");
    let mut state = 1_u64;
    for row in 0..120 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text += &format!("{row},{state:x}\n");
    }
    let (first, second) = text.split_at(700);
    for (name, compress) in [("x.csv.gz", gzip as fn(&[u8]) -> Vec<u8>), ("x.csv.zst", zstd)] {
        let (first, second) = (compress(first.as_bytes()), compress(second.as_bytes()));
        let whole = [first.as_slice(), &second].concat();
        for length in 1..whole.len() {
            let seen = read(&whole[..length], name);
            if length == first.len() {
                assert!(seen.ended.is_none(), "between two parts a file may end");
                continue;
            }
            let words =
                seen.ended.unwrap_or_else(|| panic!("{name}: {length} of {} bytes are enough", whole.len()));
            // Of less than its magic number, the start of a file says nothing.
            assert!(
                words.contains(&format!("ends in the middle, at byte {length}")) || length < 4,
                "{name}: {length}: {words}"
            );
        }
        assert_eq!(read(whole, name).rows.len(), 120);
    }
}

#[test]
fn compressed_bytes_that_are_damaged_or_have_others_behind_them() {
    for (name, compress) in [("x.csv.gz", gzip as fn(&[u8]) -> Vec<u8>), ("x.csv.zst", zstd)] {
        let whole = compress(TEXT.repeat(50).as_bytes());
        let mut behind = whole.clone();
        behind.extend_from_slice(b"something else");
        let words = refused(behind, name);
        assert!(words.contains("data is damaged at byte"), "{name}: {words}");
    }
    let mut sum = gzip(TEXT.as_bytes());
    let last = sum.len() - 6;
    sum[last] ^= 1;
    let words = refused(sum, "x.csv.gz");
    assert!(words.contains("the gzip data is damaged at byte"), "{words}");
}

#[test]
fn bombs_end_at_the_limit_that_they_pass() {
    let zeros = vec![b'0'; 64 << 20];
    let mut bomb = Vec::new();
    let mut writer = flate2::write::GzEncoder::new(&mut bomb, flate2::Compression::fast());
    writer.write_all(b"a\n").unwrap();
    writer.write_all(&zeros).unwrap();
    writer.finish().unwrap();
    let limits = Limits { ratio: 50, ..Limits::default() };
    let seen = read_with(bomb.as_slice(), "x.csv.gz", ReadOptions { limits, delimiter: None });
    let words = seen.ended.unwrap();
    assert!(words.contains("at most 50 times as many are the limit"), "{words}");
    let limits = Limits { text_bytes: 1 << 20, ..Limits::default() };
    for bytes in [bomb.clone(), [b"a\n".as_slice(), &zeros[..2 << 20]].concat()] {
        let name = if bytes[0] == 0x1F { "x.csv.gz" } else { "x.csv" };
        let words = read_with(bytes, name, ReadOptions { limits, delimiter: None }).ended.unwrap();
        assert!(words.contains("more than 1048576 bytes of text, which is the limit"), "{words}");
    }
    let bomb = zstd(&[b"{\"a\":\"".as_slice(), &zeros].concat());
    assert!(bomb.len() < 16 << 10, "all of it is head, and nothing of it may be inflated whole");
    let words = read(bomb, "x.jsonl.zst").ended.unwrap();
    assert!(words.contains("at most 500 times as many are the limit"), "{words}");
}

#[test]
fn a_frame_that_asks_for_much_memory_is_refused() {
    let mut writer = ::zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    writer.set_parameter(::zstd::zstd_safe::CParameter::WindowLog(27)).unwrap();
    writer.write_all(TEXT.repeat(10).as_bytes()).unwrap();
    let words = refused(writer.finish().unwrap(), "x.csv.zst");
    assert!(words.contains("memory"), "{words}");
}

#[test]
fn bytes_that_cannot_be_had_are_no_fault_of_the_file() {
    struct Failing(Cursor<Vec<u8>>);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the line is dead")),
                read => Ok(read),
            }
        }
    }
    let text = "a,b\n".to_owned() + &"1,2\n".repeat(20_000);
    let mut noise = 7_u32;
    let random: String = (0..200_000)
        .map(|_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if noise.is_multiple_of(9) { '\n' } else { char::from(b'a' + (noise >> 24) as u8 % 26) }
        })
        .collect();
    let random = format!("a\n{random}");
    for bytes in [text.into_bytes(), gzip(random.as_bytes()), zstd(random.as_bytes())] {
        let length = bytes.len() - 9;
        let input = Failing(Cursor::new(bytes[..length].to_vec()));
        let reader = RowReader::open(input, None, ReadOptions::default()).unwrap();
        let last = reader.last().unwrap();
        assert!(matches!(last, Err(FileError::Unreadable(error)) if error.to_string() == "the line is dead"));
    }
}
