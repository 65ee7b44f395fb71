//! `prices` of a plan in `willcall.toml`.

use serde::Deserialize;

use crate::prices::{Micros, Prices, is_currency};

/// Prices as they are written, in units of the currency; those that are left out are 0.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PricesEntry {
    /// The currency, as ISO 4217 has it.
    pub currency: String,
    /// Of a job.
    #[serde(default)]
    pub per_job: f64,
    /// Of a million records delivered.
    #[serde(default)]
    pub per_million_records: f64,
    /// Of a GiB of the data set's files.
    #[serde(default)]
    pub per_gib_read: f64,
    /// Of a GiB of the result.
    #[serde(default)]
    pub per_gib_written: f64,
}

impl PricesEntry {
    /// The prices; else what is wrong, with the member in front.
    pub(super) fn into_prices(self) -> Result<Prices, String> {
        if !is_currency(&self.currency) {
            return Err(format!("prices.currency: {:?} is no currency: write it like EUR", self.currency));
        }
        let price = |member: &str, units: f64| {
            Micros::from_units(units).map_err(|detail| format!("prices.{member} {detail}"))
        };
        Ok(Prices {
            per_job: price("per_job", self.per_job)?,
            per_million_records: price("per_million_records", self.per_million_records)?,
            per_gib_read: price("per_gib_read", self.per_gib_read)?,
            per_gib_written: price("per_gib_written", self.per_gib_written)?,
            currency: self.currency,
        })
    }
}
