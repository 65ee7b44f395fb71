//! What a query would deliver and take.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use willcall_core::{
    job::{Estimate, FoundBy, Survey},
    time::iso8601,
};

/// What a query would deliver and take, and what each figure rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Estimate)]
pub struct EstimateResource {
    /// All records that match: exact, unless `records_bounds` is there. Null where they are not known: of a statement that
    /// gives more than the sample.
    #[schema(required)]
    pub records_found: Option<u64>,
    /// Between what they lie, where they are estimated; null where they are exact, or not known at all.
    #[schema(required)]
    pub records_bounds: Option<BoundsResource>,
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

/// Between what a number of records lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Bounds)]
pub struct BoundsResource {
    /// Not fewer.
    pub at_least: u64,
    /// Not more; null where nobody knows.
    #[schema(required)]
    pub at_most: Option<u64>,
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

/// What `bytes_read` rests on where the files were not asked.
const WHOLE: &str = "the size of all files of the data sets; columns that are not needed are not read";

fn found_by(survey: &Survey) -> &'static str {
    match survey.found_by {
        FoundBy::Statistics => "statistics of the files",
        FoundBy::Counting => "counted",
        FoundBy::Part => "a part that was counted in time, which stands for the rest",
    }
}

fn read_by(survey: &Survey) -> &'static str {
    if survey.whole_files {
        "the size of the files that may have a match, by their directories"
    } else {
        "the columns that are needed of the row groups that may have a match, as stored, by statistics of the files"
    }
}

/// Of `bytes_written`, where no record was found in time to be written.
fn sizes(known: Option<u64>) -> String {
    match known {
        Some(_) => "the size of the values in the files, and what the format usually makes of it".into(),
        None => "not known, as no record was found in time".into(),
    }
}

impl From<Estimate> for EstimateResource {
    fn from(estimate: Estimate) -> Self {
        let Estimate { sample_records, sample_bytes, .. } = estimate;
        let survey = estimate.survey.as_ref();
        let figures = estimate.records.zip(estimate.bytes_written);
        let sample = format!("a sample of {sample_records} records, which has {sample_bytes} bytes");
        let bytes_written = match estimate.records {
            Some(records) if records <= sample_records => "all of it was written".to_owned(),
            Some(_) if sample_records == 0 && survey.is_some() => sizes(estimate.bytes_written),
            Some(_) => sample.clone(),
            None => format!("not known, as the records are not counted; there is {sample}"),
        };
        let sort = if estimate.sorted { "; the sort comes on top" } else { "" };
        let cost_basis = match &estimate.cost {
            Some(cost) => format!("{}, by the plan, of the figures above", cost.basis),
            None if figures.is_none() => "not known, as the records are not counted".to_owned(),
            None => "the plan has no prices".to_owned(),
        };
        let cost = estimate
            .cost
            .map(|cost| CostResource { amount: cost.amount.to_string(), currency: cost.currency });
        Self {
            records_found: estimate.records_found,
            records_bounds: survey
                .filter(|survey| !survey.is_exact())
                .map(|survey| BoundsResource { at_least: survey.at_least, at_most: survey.at_most }),
            records: estimate.records,
            bytes_read: estimate.bytes_read,
            bytes_written: estimate.bytes_written,
            duration: estimate.duration.map(iso8601),
            cost,
            basis: EstimateBasis {
                records: match estimate.records {
                    Some(_) => survey.map_or("counted", found_by).into(),
                    None => format!(
                        "not counted: the statement gives more than the sample of {sample_records} records"
                    ),
                },
                bytes_read: survey.map_or(WHOLE, read_by).into(),
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
