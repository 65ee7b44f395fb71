//! Compressed bytes inflated, within what a file may have.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use zstd::stream::raw::{Decoder as Frames, InBuffer, Operation, OutBuffer};

use super::{
    error::FileError,
    {Encoding, Limits},
};

/// Text for which its ratio to the compressed bytes is not looked at yet.
const RATIO_FROM: u64 = 16 << 20;

/// Windows of zstd are at most 8 MiB, which is what RFC 8878 asks of every reader and all but `--ultra` and `--long`
/// stay below: this much memory is whatever a frame asks for.
const WINDOW_LOG: u32 = 23;

/// The bytes of a file, inflated. Every error but those of the reader below is a [`FileError`].
pub(super) struct Inflate<R: Read> {
    decoder: Decoder<R>,
    encoding: Encoding,
    limits: Limits,
    inflated: u64,
    /// Whether the compressed bytes ended in the middle.
    cut_short: bool,
}

enum Decoder<R: Read> {
    None(Counted<R>),
    Gzip(Box<MultiGzDecoder<Counted<R>>>),
    Zstd(ZstdFrames<R>),
}

impl<R: Read> Inflate<R> {
    pub(super) fn new(reader: R, encoding: Encoding, limits: Limits) -> io::Result<Self> {
        let reader =
            Counted { reader: BufReader::with_capacity(64 << 10, reader), consumed: 0, failed: false };
        let decoder = match encoding {
            Encoding::None => Decoder::None(reader),
            Encoding::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(reader))),
            Encoding::Zstd => Decoder::Zstd(ZstdFrames::new(reader)?),
        };
        Ok(Self { decoder, encoding, limits, inflated: 0, cut_short: false })
    }

    fn below(&self) -> &Counted<R> {
        match &self.decoder {
            Decoder::None(reader) => reader,
            Decoder::Gzip(decoder) => decoder.get_ref(),
            Decoder::Zstd(decoder) => &decoder.reader,
        }
    }

    fn failed(&mut self, error: io::Error) -> io::Error {
        let below = self.below();
        if below.failed || self.encoding == Encoding::None {
            return error;
        }
        let (encoding, byte) = (self.encoding, below.consumed);
        self.cut_short = error.kind() == io::ErrorKind::UnexpectedEof;
        let detail = if self.cut_short {
            format!("the file is cut short: its {encoding} data ends in the middle, at byte {byte}")
        } else {
            format!("the {encoding} data is damaged at byte {byte}: {error}")
        };
        FileError::Malformed { line: None, detail }.into()
    }

    fn check(&self) -> Result<(), FileError> {
        let Limits { text_bytes, ratio, .. } = self.limits;
        if self.inflated > text_bytes {
            return Err(FileError::TooLarge(format!(
                "the file has more than {text_bytes} bytes of text, which is the limit"
            )));
        }
        let compressed = self.below().consumed;
        if self.encoding != Encoding::None
            && self.inflated > RATIO_FROM
            && self.inflated / compressed.max(1) > ratio
        {
            return Err(FileError::TooLarge(format!(
                "{compressed} bytes of the file inflate to {} and more: at most {ratio} times as many are the limit",
                self.inflated
            )));
        }
        Ok(())
    }
}

impl<R: Read> Read for Inflate<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.decoder {
            Decoder::None(reader) => reader.read(buffer),
            Decoder::Gzip(decoder) => decoder.read(buffer),
            Decoder::Zstd(decoder) => decoder.read(buffer),
        };
        let read = read.map_err(|error| self.failed(error))?;
        self.inflated += read as u64;
        self.check()?;
        Ok(read)
    }
}

/// What the first bytes of a file inflate to, as far as they go.
pub(super) fn inflated_head(encoding: Encoding, head: &[u8]) -> Result<Vec<u8>, FileError> {
    if encoding == Encoding::None {
        return Ok(head.to_vec());
    }
    let mut text = vec![0; super::HEAD];
    let mut length = 0;
    let mut inflate = Inflate::new(head, encoding, Limits::default())?;
    while length < text.len() {
        match inflate.read(&mut text[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            // A head is cut somewhere; a file that is damaged later is told when it is read.
            Err(_) if length > 0 || inflate.cut_short => break,
            Err(error) => return Err(error.into()),
        }
    }
    text.truncate(length);
    Ok(text)
}

/// Counts the bytes that were taken.
struct Counted<R> {
    reader: BufReader<R>,
    consumed: u64,
    /// Whether the bytes below cannot be had, which is no fault of theirs.
    failed: bool,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut ready = self.fill_buf()?;
        let read = ready.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: Read> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        loop {
            match self.reader.fill_buf() {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed = true;
                    return Err(error);
                }
            }
        }
        Ok(self.reader.buffer())
    }

    fn consume(&mut self, amount: usize) {
        self.consumed += amount as u64;
        self.reader.consume(amount);
    }
}

/// Frames of zstd, one after the other.
struct ZstdFrames<R> {
    reader: Counted<R>,
    frames: Frames<'static>,
    /// Whether no frame is begun.
    between: bool,
}

impl<R: Read> ZstdFrames<R> {
    fn new(reader: Counted<R>) -> io::Result<Self> {
        let mut frames = Frames::new()?;
        frames.set_parameter(zstd::zstd_safe::DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Self { reader, frames, between: true })
    }
}

impl<R: Read> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let ready = self.reader.fill_buf()?;
            let at_end = ready.is_empty();
            if at_end && self.between {
                return Ok(0);
            }
            let mut input = InBuffer::around(ready);
            let mut output = OutBuffer::around(&mut *buffer);
            let hint = self.frames.run(&mut input, &mut output)?;
            let (taken, written) = (input.pos(), output.pos());
            self.reader.consume(taken);
            // A hint of zero: a frame has ended and is written whole.
            self.between = hint == 0;
            if written > 0 {
                return Ok(written);
            }
            if at_end && !self.between {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
