//! Numbers as text, with every digit they have.

use arrow_buffer::i256;

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

pub(super) fn write_int(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
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
            write_int(value / power, out);
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

fn write_padded(mut value: u64, width: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    while value > 0 {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&digits[digits.len() - width..]);
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
