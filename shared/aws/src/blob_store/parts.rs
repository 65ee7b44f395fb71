//! How large the parts of a multipart upload are, and how many may be on their way.

const MIB: usize = 1024 * 1024;
/// S3's limit of parts in one upload.
pub(super) const MOST_PARTS: i32 = 10_000;
/// What may be on its way at once, as far as parts allow; with the part that is being filled, an upload of up to
/// some gigabytes holds 40 MiB.
const IN_FLIGHT: usize = 32 * MIB;

/// The size of a part, by its number, which begins at 1. Small results need little memory, and 10,000 parts make
/// 5 TiB: in the first half a part grows by 8 MiB every 500, up to 80 MiB and
/// 214 GiB in all; then one is 176 MiB, and doubles every 1,000.
pub(super) fn part_size(number: i32) -> usize {
    let index = usize::try_from(number.clamp(1, MOST_PARTS) - 1).unwrap_or(0);
    if index < 5_000 { 8 * MIB * (index / 500 + 1) } else { (176 * MIB) << ((index - 5_000) / 1_000) }
}

/// How many parts of that size may be on their way at once.
pub(super) fn parts_in_flight(part_size: usize) -> usize {
    (IN_FLIGHT / part_size.max(1)).clamp(1, 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_never_run_out_within_five_tebibytes() {
        let sizes: Vec<usize> = (1..=MOST_PARTS).map(part_size).collect();
        assert!(sizes.is_sorted());
        assert!(sizes.iter().sum::<usize>() >= 5 << 40);
        assert!(sizes[0] >= 5 * MIB && sizes[9_999] <= 5 << 30, "S3 takes parts of 5 MiB to 5 GiB");
        assert_eq!(sizes[..5_000].iter().sum::<usize>() >> 30, 214);
    }

    #[test]
    fn what_is_on_its_way_is_bounded() {
        for number in 1..=5_000 {
            let size = part_size(number);
            let held = size * (parts_in_flight(size) + 1);
            assert!(held <= 160 * MIB, "part {number} holds {held}");
        }
        assert_eq!(parts_in_flight(part_size(1)), 4);
        assert_eq!(parts_in_flight(part_size(MOST_PARTS)), 1);
    }
}
