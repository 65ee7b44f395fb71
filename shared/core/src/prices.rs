//! What a plan's jobs cost, for estimates. Willcall bills nobody: the operator says the prices, and a dry run tells what they
//! come to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bytes of a GiB.
const GIB: u64 = 1 << 30;
/// The records that a price is for.
const MILLION: u64 = 1_000_000;
/// The most of a single price.
const DEAREST: f64 = 1e9;

/// An amount of money in millionths of a currency's unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub u64);

impl Micros {
    /// The amount of that many units, to the millionth; an error where it is no price.
    pub fn from_units(units: f64) -> Result<Self, String> {
        if !(0.0..=DEAREST).contains(&units) {
            return Err(format!("must be 0 to {DEAREST}, not {units}"));
        }
        // Not negative and far below 2^64, as was just seen.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is within 0 and 1e15"
        )]
        Ok(Self((units * 1e6).round() as u64))
    }

    /// This price for `count` where it is the price for `of`, rounded to the millionth.
    fn share(self, count: u64, of: u64) -> u128 {
        (u128::from(self.0) * u128::from(count) + u128::from(of) / 2) / u128::from(of)
    }
}

impl fmt::Display for Micros {
    /// As a decimal number of units, without zeros at its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (units, millionths) = (self.0 / 1_000_000, self.0 % 1_000_000);
        if millionths == 0 {
            return write!(f, "{units}");
        }
        f.write_str(format!("{units}.{millionths:06}").trim_end_matches('0'))
    }
}

/// The prices of a plan; what has none costs nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prices {
    /// The currency, as ISO 4217 has it.
    pub currency: String,
    /// Of a job.
    #[serde(default)]
    pub per_job: Micros,
    /// Of a million records delivered.
    #[serde(default)]
    pub per_million_records: Micros,
    /// Of a GiB read of the data set's files.
    #[serde(default)]
    pub per_gib_read: Micros,
    /// Of a GiB of the result.
    #[serde(default)]
    pub per_gib_written: Micros,
}

/// What a job would cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// How much.
    pub amount: Micros,
    /// In which currency.
    pub currency: String,
    /// By which prices, in words.
    pub basis: String,
}

impl Prices {
    /// What a job that delivers and reads so much costs.
    pub fn cost(&self, records: u64, bytes_read: u64, bytes_written: u64) -> Cost {
        let amount = u128::from(self.per_job.0)
            + self.per_million_records.share(records, MILLION)
            + self.per_gib_read.share(bytes_read, GIB)
            + self.per_gib_written.share(bytes_written, GIB);
        Cost {
            amount: Micros(u64::try_from(amount).unwrap_or(u64::MAX)),
            currency: self.currency.clone(),
            basis: self.to_string(),
        }
    }
}

impl fmt::Display for Prices {
    /// The prices in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (price, of) in [
            (self.per_job, "a job"),
            (self.per_million_records, "a million records"),
            (self.per_gib_read, "a GiB read"),
            (self.per_gib_written, "a GiB written"),
        ] {
            if price > Micros(0) {
                parts.push(format!("{price} {} for {of}", self.currency));
            }
        }
        if parts.is_empty() {
            f.write_str("the plan's jobs are free")
        } else {
            f.write_str(&parts.join(", "))
        }
    }
}

/// Whether the text is a currency as ISO 4217 writes them.
pub fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices() -> Prices {
        Prices {
            currency: "EUR".into(),
            per_job: Micros::from_units(0.01).unwrap(),
            per_million_records: Micros::from_units(2.5).unwrap(),
            per_gib_read: Micros::from_units(0.005).unwrap(),
            per_gib_written: Micros(0),
        }
    }

    #[test]
    fn a_cost_is_the_sum_of_what_its_job_uses() {
        let cost = prices().cost(400_000, 3 * GIB, u64::MAX);
        assert_eq!((cost.amount.to_string().as_str(), cost.currency.as_str()), ("1.025", "EUR"));
        assert_eq!(cost.basis, "0.01 EUR for a job, 2.5 EUR for a million records, 0.005 EUR for a GiB read");
        assert_eq!(prices().cost(0, 0, 0).amount, Micros(10_000));
        assert!(prices().cost(u64::MAX, u64::MAX, 0).amount.0 > 46_000_000_000_000);
    }

    #[test]
    fn amounts_are_exact_decimals() {
        for (units, text) in
            [(0.0, "0"), (1.0, "1"), (0.1, "0.1"), (0.000_001, "0.000001"), (12.345_67, "12.34567")]
        {
            assert_eq!(Micros::from_units(units).unwrap().to_string(), text);
        }
        for wrong in [-0.1, f64::NAN, f64::INFINITY, 1e10] {
            assert!(Micros::from_units(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_plan_without_any_price_is_free_and_says_so() {
        let free = Prices {
            per_job: Micros(0),
            per_million_records: Micros(0),
            per_gib_read: Micros(0),
            ..prices()
        };
        assert_eq!(free.cost(1, 1, 1).amount, Micros(0));
        assert!(free.to_string().contains("free"));
        assert!(is_currency("USD") && !is_currency("usd") && !is_currency("US"));
    }
}
