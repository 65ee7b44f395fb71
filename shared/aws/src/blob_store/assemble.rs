//! Makes a blob of others: S3 copies what is large by itself, and what is small is read and sent, because a part must have
//! 5 MiB unless it is the last. Of each blob no more than that passes through here, whatever its size.

use std::ops::Range;

use aws_sdk_s3::types::CompletedPart;
use bytes::{Bytes, BytesMut};
use willcall_core::{
    chain,
    ports::{BlobError, BlobHead, BlobWriter, Piece, WholeBlob},
};

use super::{Odd, S3BlobStore, parts::parts_in_flight, unavailable, writer::S3BlobWriter};
use crate::{clients, failure::status};

const MIB: u64 = 1024 * 1024;
/// The least that a part has.
const LEAST: u64 = 5 * MIB;
/// What one request copies, so that none takes long, and one that is lost costs little.
const COPIED: u64 = 256 * MIB;
/// Parts that are meant to suffice; S3 takes a few more.
const PARTS: u64 = 9_000;
/// Copies that are on their way at once: they hold no memory here.
const COPIES: usize = 8;

/// One part of the blob.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// What is read and sent together.
    Joined(Vec<Section>),
    /// What S3 copies.
    Copied(WholeBlob, Range<u64>),
}

#[derive(Debug, PartialEq, Eq)]
enum Section {
    Bytes(Bytes),
    Range(WholeBlob, Range<u64>),
}

#[derive(Default)]
struct Plan {
    parts: Vec<Part>,
    pending: Vec<Section>,
    held: u64,
    least: u64,
}

/// The least that a part of a blob of `total` bytes has, so that they are few enough.
fn least_of(total: u64) -> u64 {
    LEAST.max(total.div_ceil(PARTS))
}

/// The parts that make up the pieces: each but the last of the least size at least.
fn plan(pieces: Vec<Piece>, least: u64) -> Vec<Part> {
    let mut plan = Plan { least, ..Plan::default() };
    let most = COPIED.max(2 * plan.least);
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => plan.join(bytes.len() as u64, Section::Bytes(bytes)),
            Piece::Whole(whole) => {
                let mut at = 0;
                while at < whole.size {
                    let left = whole.size - at;
                    let take = if plan.held == 0 && left >= plan.least {
                        let take = left.min(most);
                        plan.parts.push(Part::Copied(whole.clone(), at..at + take));
                        take
                    } else {
                        let take = left.min(plan.least - plan.held);
                        plan.join(take, Section::Range(whole.clone(), at..at + take));
                        take
                    };
                    at += take;
                }
            }
        }
    }
    plan.flush();
    plan.parts
}

impl Plan {
    fn join(&mut self, size: u64, section: Section) {
        self.held += size;
        self.pending.push(section);
        if self.held >= self.least {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.held = 0;
        if !self.pending.is_empty() {
            self.parts.push(Part::Joined(std::mem::take(&mut self.pending)));
        }
    }
}

impl S3BlobWriter {
    /// Writes the pieces, of which the whole blob consists.
    pub(super) async fn assemble(&mut self, pieces: Vec<Piece>) -> Result<(), BlobError> {
        let total: u64 = pieces.iter().map(Piece::size).sum();
        let least = least_of(total);
        let mut parts = plan(pieces, least);
        if let [Part::Joined(sections)] = parts.as_mut_slice() {
            // One request, and no upload in parts: as any small blob is written.
            let bytes = self.store().read_sections(std::mem::take(sections)).await?;
            return self.write_small(bytes);
        }
        let joined = usize::try_from(least).unwrap_or(usize::MAX);
        for part in parts {
            let most = match &part {
                Part::Joined(_) => parts_in_flight(joined),
                Part::Copied(..) => COPIES,
            };
            let store = self.store().clone();
            self.add_part(total, most, |key, upload, number| async move {
                match part {
                    Part::Joined(sections) => {
                        let bytes = store.read_sections(sections).await?;
                        store.upload_part(key, upload, number, bytes).await
                    }
                    Part::Copied(whole, range) => store.copy_part(key, upload, number, &whole, range).await,
                }
            })
            .await?;
        }
        Ok(())
    }

    /// Makes the blob visible, and gives up what others have begun of it: those who died of it, and those who come too late.
    /// Where that cannot be, the bucket's rule for unfinished uploads does it.
    pub(super) async fn finish_alone(self: Box<Self>) -> Result<BlobHead, BlobError> {
        let in_parts = self.is_in_parts().then(|| (self.store().clone(), self.key().to_owned()));
        let head = self.finish().await?;
        if let Some((store, key)) = in_parts
            && let Err(error) = store.give_up_uploads(&key).await
        {
            tracing::warn!(
                error = chain(&error),
                "failed to give up unfinished uploads of a blob that is there"
            );
        }
        Ok(head)
    }
}

impl S3BlobStore {
    /// Gives up all uploads of that key. A page of them is all: few begin the same blob.
    async fn give_up_uploads(&self, key: &str) -> Result<(), BlobError> {
        let list = self.client.list_multipart_uploads().bucket(&self.bucket).prefix(key);
        let listed = list.send().await.map_err(|error| unavailable("ListMultipartUploads", error))?;
        for upload in listed.uploads().iter().filter(|upload| upload.key() == Some(key)) {
            if let Some(id) = upload.upload_id() {
                self.give_up(key, id).await?;
            }
        }
        Ok(())
    }

    async fn read_sections(&self, sections: Vec<Section>) -> Result<Bytes, BlobError> {
        let mut joined = BytesMut::new();
        for section in sections {
            match section {
                Section::Bytes(bytes) => joined.extend_from_slice(&bytes),
                Section::Range(whole, range) => {
                    let read = self.read_as_found(&whole, range).await?;
                    joined.extend_from_slice(&read);
                }
            }
        }
        Ok(joined.freeze())
    }

    async fn copy_part(
        &self,
        key: String,
        upload: String,
        number: i32,
        whole: &WholeBlob,
        range: Range<u64>,
    ) -> Result<CompletedPart, BlobError> {
        let copied = self
            .client
            .upload_part_copy()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(upload)
            .part_number(number)
            // Keys are of characters that need no escape.
            .copy_source(format!("{}/{}", self.bucket, whole.key))
            .copy_source_range(format!("bytes={}-{}", range.start, range.end - 1))
            .copy_source_if_match(format!("\"{}\"", whole.etag))
            .customize()
            .config_override(clients::assembly())
            .send()
            .await
            .map_err(|error| match status(&error) {
                Some(404) => BlobError::Missing(whole.key.to_string()),
                Some(412) => whole.changed(),
                _ => unavailable("UploadPartCopy", error),
            })?;
        let part = copied.copy_part_result.ok_or(Odd::Untold("part"))?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(part.e_tag)
            .set_checksum_crc32(part.checksum_crc32)
            .build())
    }
}

#[cfg(test)]
mod tests {
    use willcall_core::{JobId, JobRef, ports::BlobKey};

    use super::*;

    fn whole(size: u64) -> Piece {
        let job = JobRef { account: "acme".parse().unwrap(), job: JobId::generate() };
        Piece::Whole(WholeBlob { key: BlobKey::Snapshot(job), size, etag: "e".into() })
    }

    fn bytes(size: usize) -> Piece {
        Piece::Bytes(vec![0; size].into())
    }

    /// How many bytes each part has, and whether it passes through here.
    fn sizes(pieces: Vec<Piece>) -> Vec<(u64, bool)> {
        let size = |section: &Section| match section {
            Section::Bytes(bytes) => bytes.len() as u64,
            Section::Range(_, range) => range.end - range.start,
        };
        let least = least_of(pieces.iter().map(Piece::size).sum());
        let parts = plan(pieces, least);
        let part = |part: &Part| match part {
            Part::Joined(sections) => (sections.iter().map(size).sum(), true),
            Part::Copied(_, range) => (range.end - range.start, false),
        };
        parts.iter().map(part).collect()
    }

    #[test]
    fn next_to_nothing_of_a_large_blob_passes_through() {
        let parts = sizes(vec![bytes(50), whole(1000 * MIB), bytes(200)]);
        let through: u64 = parts.iter().filter(|(_, through)| *through).map(|(size, _)| size).sum();
        assert!(through <= 2 * LEAST + 250, "{parts:?}");
        assert_eq!(parts.iter().map(|(size, _)| size).sum::<u64>(), 1000 * MIB + 250);
        assert_eq!(sizes(vec![bytes(50), whole(3 * MIB), bytes(200)]), [(3 * MIB + 250, true)]);
        assert_eq!(sizes(vec![bytes(0), whole(0)]), [(0, true)]);
    }

    #[test]
    fn every_part_but_the_last_is_large_enough_and_there_are_not_too_many() {
        let edges =
            [1, 50, LEAST - 51, LEAST - 50, LEAST - 1, LEAST, LEAST + 1, 2 * LEAST - 50, COPIED + LEAST];
        for first in edges {
            for second in edges {
                let pieces = vec![bytes(50), whole(first), bytes(50), whole(second), bytes(300)];
                let parts = sizes(pieces);
                assert_eq!(parts.iter().map(|(size, _)| size).sum::<u64>(), first + second + 400);
                let (_, front) = parts.split_last().unwrap();
                assert!(front.iter().all(|(size, _)| *size >= LEAST), "{first} {second}: {parts:?}");
            }
        }
        // A thousand batches, and as much as S3 keeps in one object.
        let many = sizes((0..1_000).flat_map(|_| [bytes(80), whole(60 * MIB)]).collect());
        let whole = sizes(vec![bytes(80), whole(5 << 40), bytes(300)]);
        for parts in [many, whole] {
            assert!(parts.len() <= 10_000, "{}", parts.len());
            assert!(parts.iter().all(|(size, _)| *size <= 5 << 30));
        }
    }
}
