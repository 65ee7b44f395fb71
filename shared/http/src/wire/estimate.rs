//! What a query would deliver and take.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use willcall_core::{job::Estimate, time::iso8601};

/// What a query would deliver and take, and what each figure rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Estimate)]
pub struct EstimateResource {
    /// All records that match: counted. Null where they are not: of a statement that gives more than the sample.
    #[schema(required)]
    pub records_found: Option<u64>,
    /// Records that would be delivered, after offset, limit and plan; null where not counted.
    #[schema(required)]
    pub records: Option<u64>,
    /// The most bytes that would be read.
    pub bytes_read: u64,
    /// Bytes that would be written, as stored; null where the records are not counted.
    #[schema(required)]
    pub bytes_written: Option<u64>,
    /// How long it would take, without waiting for a worker (ISO 8601); null where the records are not counted.
    #[schema(required, pattern = r"^PT([0-9]+H)?([0-9]+M)?([0-9]+(\.[0-9]{3})?S)?$", example = "PT1.532S")]
    pub duration: Option<String>,
    /// What it would cost by the plan's prices; null where it has none.
    #[schema(required)]
    pub cost: Option<CostResource>,
    /// What each figure rests on, in words.
    pub basis: EstimateBasis,
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Cost)]
pub struct CostResource {
    /// How much: a decimal number, to the millionth of the currency's unit.
    #[schema(pattern = r"^[0-9]+(\.[0-9]{1,6})?$", example = "0.226834")]
    pub amount: String,
    /// In which currency (ISO 4217).
    #[schema(example = "EUR")]
    pub currency: String,
}

/// What each figure of an estimate rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EstimateBasis {
    /// Of `records_found` and `records`.
    pub records: String,
    /// Of `bytes_read`.
    pub bytes_read: String,
    /// Of `bytes_written`.
    pub bytes_written: String,
    /// Of `duration`.
    pub duration: String,
    /// Of `cost`.
    pub cost: String,
}

impl From<Estimate> for EstimateResource {
    fn from(estimate: Estimate) -> Self {
        let Estimate { sample_records, sample_bytes, .. } = estimate;
        let sample = format!("a sample of {sample_records} records, which has {sample_bytes} bytes");
        let bytes_written = match estimate.records {
            Some(records) if records <= sample_records => "all of it was written".to_owned(),
            Some(_) => sample.clone(),
            None => format!("not known, as the records are not counted; there is {sample}"),
        };
        let sort = if estimate.sorted { "; the sort comes on top" } else { "" };
        let cost_basis = match &estimate.cost {
            Some(cost) => format!("{}, by the plan, of the figures above", cost.basis),
            None if estimate.records.is_none() => "not known, as the records are not counted".to_owned(),
            None => "the plan has no prices".to_owned(),
        };
        let cost = estimate
            .cost
            .map(|cost| CostResource { amount: cost.amount.to_string(), currency: cost.currency });
        Self {
            records_found: estimate.records_found,
            records: estimate.records,
            bytes_read: estimate.bytes_read,
            bytes_written: estimate.bytes_written,
            duration: estimate.duration.map(iso8601),
            cost,
            basis: EstimateBasis {
                records: match estimate.records {
                    Some(_) => "counted".into(),
                    None => format!(
                        "not counted: the statement gives more than the sample of {sample_records} records"
                    ),
                },
                bytes_read:
                    "the size of all files of the data sets; columns that are not needed are not read".into(),
                bytes_written,
                duration: match estimate.duration {
                    None => "not known, as the records are not counted".into(),
                    Some(_) => format!(
                        "the time that counting and the sample took, and 50 MB a second for the rest{sort}"
                    ),
                },
                cost: cost_basis,
            },
        }
    }
}
