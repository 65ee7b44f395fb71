//! Numbers as text, with every digit they have.

use arrow_buffer::i256;

use super::short::append_of;

/// A power of ten that fits 64 bits.
const POWERS: [u64; 20] = {
    let mut powers = [1_u64; 20];
    let mut index = 1;
    while index < 20 {
        powers[index] = powers[index - 1] * 10;
        index += 1;
    }
    powers
};

pub(super) fn write_int(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    write_uint(value.unsigned_abs(), out);
}

pub(super) fn write_uint(value: u64, out: &mut Vec<u8>) {
    const HALF: u64 = POWERS[8];
    if value < HALF {
        write_first(value, out);
    } else if value < HALF * HALF {
        write_first(value / HALF, out);
        out.extend_from_slice(&eight_digits(value % HALF).to_le_bytes());
    } else {
        write_first(value / (HALF * HALF), out);
        out.extend_from_slice(&eight_digits(value / HALF % HALF).to_le_bytes());
        out.extend_from_slice(&eight_digits(value % HALF).to_le_bytes());
    }
}

/// Writes a number of at most eight digits without leading zeros.
#[inline]
fn write_first(value: u64, out: &mut Vec<u8>) {
    let length = digits(value);
    append_of(&(eight_digits(value) >> (8 * (8 - length))).to_le_bytes(), length, out);
}

/// How many digits a number of at most eight has.
#[inline]
fn digits(value: u64) -> usize {
    // As many bits make either of two lengths; the power between them decides.
    let guess = (((64 - (value | 1).leading_zeros()) * 1233) >> 12) as usize;
    guess + usize::from(value >= POWERS[guess]) + usize::from(value == 0)
}

/// The eight digits of a number, the first in the lowest byte. All are made at once in one register: digits put into
/// memory one by one and read back together would have to wait for each other.
#[inline]
fn eight_digits(value: u64) -> u64 {
    // Two numbers of four digits, then four of two, then eight of one, each in a lane of its own.
    let fours = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007F_0000_007F;
    let twos = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((twos * 103) >> 10) & 0x000F_000F_000F_000F;
    (tens | ((twos - tens * 10) << 8)) + 0x3030_3030_3030_3030
}

/// The shortest digits that read back as the same number; never called for NaN and infinities.
pub(super) fn write_float(value: impl zmij::Float, out: &mut Vec<u8>) {
    out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
}

/// An unscaled value with its decimal point put in.
pub(super) fn write_decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    match (i64::try_from(value), usize::try_from(scale)) {
        (Ok(value), Ok(scale)) if scale < POWERS.len() => {
            if value < 0 {
                out.push(b'-');
            }
            let (value, power) = (value.unsigned_abs(), POWERS[scale]);
            write_uint(value / power, out);
            if scale > 0 {
                out.push(b'.');
                write_padded(value % power, scale, out);
            }
        }
        _ => write_digits(itoa::Buffer::new().format(value), scale, out),
    }
}

pub(super) fn write_wide_decimal(value: i256, scale: i8, out: &mut Vec<u8>) {
    match value.to_i128() {
        Some(value) => write_decimal(value, scale, out),
        None => write_digits(&value.to_string(), scale, out),
    }
}

/// Writes the last `width` digits of a number, with zeros before it.
fn write_padded(value: u64, width: usize, out: &mut Vec<u8>) {
    if width <= 8 {
        append_of(&(eight_digits(value) >> (8 * (8 - width))).to_le_bytes(), width, out);
    } else {
        write_padded(value / POWERS[8], width - 8, out);
        out.extend_from_slice(&eight_digits(value % POWERS[8]).to_le_bytes());
    }
}

fn write_digits(digits: &str, scale: i8, out: &mut Vec<u8>) {
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits),
    };
    out.extend_from_slice(sign.as_bytes());
    let Ok(scale) = usize::try_from(scale) else {
        out.extend_from_slice(digits.as_bytes());
        if digits != "0" {
            out.resize(out.len() + usize::from(scale.unsigned_abs()), b'0');
        }
        return;
    };
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale));
    out.extend_from_slice(if whole.is_empty() { b"0" } else { whole.as_bytes() });
    if scale > 0 {
        out.push(b'.');
        out.resize(out.len() + scale - fraction.len(), b'0');
        out.extend_from_slice(fraction.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(value: i128, scale: i8) -> String {
        let mut out = Vec::new();
        write_decimal(value, scale, &mut out);
        let mut wide = Vec::new();
        write_wide_decimal(i256::from_i128(value), scale, &mut wide);
        assert_eq!(out, wide);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn decimals_keep_every_digit_and_their_sign() {
        for (value, scale, expected) in [
            (0, 2, "0.00"),
            (5, 2, "0.05"),
            (-5, 2, "-0.05"),
            (123_456, 2, "1234.56"),
            (7, 0, "7"),
            (7, -3, "7000"),
            (-7, -3, "-7000"),
            (0, -3, "0"),
            (i128::from(i64::MIN), 19, "-0.9223372036854775808"),
            (i128::from(i64::MIN), 25, "-0.0000009223372036854775808"),
            (i128::MAX, 10, "17014118346046923173168730371.5884105727"),
            (i128::MIN, 0, "-170141183460469231731687303715884105728"),
        ] {
            assert_eq!(decimal(value, scale), expected);
        }
        let mut out = Vec::new();
        write_wide_decimal(i256::MIN, 70, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.replace('.', ""), i256::MIN.to_string());
        assert_eq!(text.split_once('.').unwrap().1.len(), 70);
    }

    #[test]
    fn integers_of_every_length_are_written_whole() {
        let edges = POWERS.iter().flat_map(|power| [power - 1, *power, power + 1]);
        for value in edges.chain([u64::MAX, u64::MAX - 1]) {
            let mut out = Vec::new();
            write_uint(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
        for value in [i64::MIN, -1, 0, i64::MAX] {
            let mut out = b"x".to_vec();
            write_int(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("x{value}"));
        }
    }

    #[test]
    fn floats_are_written_shortest() {
        for (value, expected) in
            [(1.0, "1.0"), (0.1, "0.1"), (-0.0, "-0.0"), (1e300, "1e+300"), (5e-324, "5e-324")]
        {
            let mut out = Vec::new();
            write_float(value, &mut out);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), f64::to_bits(value));
            assert_eq!(text, expected);
        }
        let mut out = Vec::new();
        write_float(0.1_f32, &mut out);
        assert_eq!(out, b"0.1");
    }
}
