//! Exact numbers: what a literal means in units of a column, without rounding on the way.

/// A decimal number as it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

/// Where a number lies among the whole multiples of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Units {
    /// On this one.
    Exact(i128),
    /// Between this one and the next higher.
    Above(i128),
    /// Lower than any that can be held.
    TooLow,
    /// Higher than any that can be held.
    TooHigh,
}

impl<'a> Decimal<'a> {
    /// Reads `-12`, `+1.5`, `.5`, `5.`, `1e-3`.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
            return None;
        }
        Some(Self { negative, whole, fraction, exponent })
    }

    /// The number in units of 10 to the power of minus `scale`, among those from `lowest` to `highest`.
    pub(super) fn units(self, scale: i8, lowest: i128, highest: i128) -> Units {
        let digits = self.whole.bytes().chain(self.fraction.bytes()).skip_while(|digit| *digit == b'0');
        let significant = digits.clone().count() as i64;
        if significant == 0 {
            return Units::Exact(0).within(lowest, highest);
        }
        let shift = self.exponent - self.fraction.len() as i64 + i64::from(scale);
        let beyond = if self.negative { Units::TooLow } else { Units::TooHigh };
        // 10^39 is past what 128 bits hold.
        if significant + shift > 39 {
            return beyond;
        }
        let kept = (significant + shift).clamp(0, significant);
        let mut value = 0i128;
        let zeros = std::iter::repeat_n(b'0', usize::try_from(shift).unwrap_or(0));
        for digit in digits.clone().take(kept as usize).chain(zeros) {
            let Some(next) = value.checked_mul(10).and_then(|v| v.checked_add(i128::from(digit - b'0')))
            else {
                return beyond;
            };
            value = next;
        }
        let exact = digits.skip(kept as usize).all(|digit| digit == b'0');
        let units = match (self.negative, exact) {
            (false, true) => Units::Exact(value),
            (false, false) => Units::Above(value),
            (true, true) => Units::Exact(-value),
            (true, false) => Units::Above(-value - 1),
        };
        units.within(lowest, highest)
    }
}

/// An exponent; one of many digits counts as a million, which no column holds either.
fn parse_exponent(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(sign * digits.parse::<i64>().unwrap_or(i64::MAX).min(1_000_000))
}

impl Units {
    /// `value` in units of `size`, among those from `lowest` to `highest`.
    pub(super) fn of(value: i128, size: i128, lowest: i128, highest: i128) -> Self {
        let floor = value.div_euclid(size);
        let units = if value.rem_euclid(size) == 0 { Self::Exact(floor) } else { Self::Above(floor) };
        units.within(lowest, highest)
    }

    fn within(self, lowest: i128, highest: i128) -> Self {
        match self {
            Self::Exact(n) | Self::Above(n) if n < lowest => Self::TooLow,
            Self::Exact(n) if n > highest => Self::TooHigh,
            Self::Above(n) if n >= highest => Self::TooHigh,
            other => other,
        }
    }
}

/// `value` rounded to the nearest number of a float of so many bits, and whether that overflowed.
pub(super) fn round_float(text: &str, bits: u8) -> Option<(f64, bool)> {
    let exact = text.parse::<f64>().ok()?;
    let (rounded, largest) = match bits {
        64 => (exact, f64::MAX),
        32 => (f64::from(text.parse::<f32>().ok()?), f64::from(f32::MAX)),
        _ => (round_half(exact), 65504.0),
    };
    if rounded.is_infinite() {
        return Some((largest.copysign(rounded), true));
    }
    // There is one zero.
    Some((if rounded == 0.0 { 0.0 } else { rounded }, false))
}

/// The nearest 16-bit float: 11 significant bits, none below 2^-24.
fn round_half(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let exponent = (((value.to_bits() >> 52) & 0x7ff) as i32 - 1023).max(-14);
    let quantum = 2f64.powi(exponent - 10);
    let rounded = (value / quantum).round_ties_even() * quantum;
    if rounded.abs() > 65504.0 { f64::INFINITY.copysign(value) } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_land_on_or_between_units() {
        use Units::{Above, Exact, TooHigh, TooLow};
        for (text, scale, units) in [
            ("0", 0, Exact(0)),
            ("-0.000", 2, Exact(0)),
            ("2.50", 1, Exact(25)),
            ("2.505", 2, Above(250)),
            ("-2.505", 2, Above(-251)),
            ("1e2", 0, Exact(100)),
            ("100e-2", 0, Exact(1)),
            ("1e-999999999999999999999", 0, Above(0)),
            ("-1e-30", 0, Above(-1)),
            ("1e99999999999999999999", 0, TooHigh),
            ("-1000", 0, TooLow),
            ("-999.5", 0, Above(-1000)),
            ("999.5", 0, TooHigh),
            ("999", 0, Exact(999)),
            ("1500", -2, Exact(15)),
            ("1550", -2, Above(15)),
            ("00000000000000000000000000000000000000000000012", 0, Exact(12)),
        ] {
            let decimal = Decimal::parse(text).unwrap();
            let expected = if text == "-999.5" { TooLow } else { units };
            let lowest = if text == "-1000" || text == "-999.5" { -999 } else { -1000 };
            assert_eq!(decimal.units(scale, lowest, 999), expected, "{text}");
        }
        for bad in ["", ".", "-", "1e", "1e+", "1.2.3", "1_000", "0x10", "١", "--1", "1e1.5", " 1"] {
            assert!(Decimal::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_widest_decimals_are_exact() {
        let most = 10i128.pow(38) - 1;
        let text = "9".repeat(38);
        assert_eq!(Decimal::parse(&text).unwrap().units(0, -most, most), Units::Exact(most));
        assert_eq!(Decimal::parse(&"9".repeat(39)).unwrap().units(0, -most, most), Units::TooHigh);
    }

    #[test]
    fn floats_round_to_their_own_width() {
        assert_eq!(round_float("0.1", 64), Some((0.1, false)));
        assert_eq!(round_float("0.1", 32), Some((f64::from(0.1f32), false)));
        assert_eq!(round_float("0.1", 16), Some((0.099_975_585_937_5, false)));
        assert_eq!(round_float("65519", 16), Some((65504.0, false)));
        assert_eq!(round_float("65520", 16), Some((65504.0, true)));
        assert_eq!(round_float("-1e400", 64), Some((f64::MIN, true)));
        assert!(round_float("-0.0", 64).unwrap().0.is_sign_positive());
    }
}
