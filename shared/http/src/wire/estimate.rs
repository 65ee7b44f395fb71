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
    /// The bytes, as stored, of all that may be read, each counted once.
    pub bytes_read: u64,
    /// Bytes that would be written, as stored; null where the records are not counted, or nothing tells their size.
    #[schema(required)]
    pub bytes_written: Option<u64>,
    /// How long it would take, without waiting for a worker (ISO 8601); null where `bytes_written` is, and where nothing was
    /// counted in time.
    #[schema(required, pattern = r"^PT([0-9]+H)?([0-9]+M)?([0-9]+(\.[0-9]{3})?S)?$", example = "PT1.532S")]
    pub duration: Option<String>,
    /// What it would cost by the plan's prices; null where it has none, and where `bytes_written` is null.
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

/// Why a figure is not known that rests on the records.
const UNCOUNTED: &str = "not known, as the records are not counted";

/// The same, of one that rests on their size.
const SIZELESS: &str = "not known, as no record was found in time";

/// Of `duration`.
fn takes(estimate: &Estimate) -> String {
    match (estimate.duration, &estimate.survey) {
        (None, _) if estimate.records.is_none() => UNCOUNTED.into(),
        (None, _) if estimate.bytes_written.is_none() => SIZELESS.into(),
        (None, _) => "not known, as nothing was counted in time".into(),
        (Some(_), survey) => {
            let counting = match survey {
                Some(survey) if !survey.is_exact() => {
                    "the time that the sample and the counting of a part took, as much in proportion for what was not \
                     counted"
                }
                _ => "the time that counting and the sample took",
            };
            let sort = if estimate.sorted { "; the sort comes on top" } else { "" };
            format!("{counting}, and 50 MB a second for the rest{sort}")
        }
    }
}

impl From<Estimate> for EstimateResource {
    fn from(estimate: Estimate) -> Self {
        let Estimate { sample_records, sample_bytes, .. } = estimate;
        let survey = estimate.survey.as_ref();
        let sample = format!("a sample of {sample_records} records, which has {sample_bytes} bytes");
        let bytes_written = match (estimate.records, estimate.bytes_written) {
            (None, _) => format!("{UNCOUNTED}; there is {sample}"),
            (Some(_), None) => SIZELESS.into(),
            (Some(_), Some(_)) if estimate.is_whole => "all of it was written".into(),
            (Some(_), Some(_)) if sample_records == 0 && survey.is_some() => {
                "the size of the values in the files, and what the format usually makes of it".into()
            }
            (Some(_), Some(_)) => sample,
        };
        let duration = takes(&estimate);
        let cost_basis = match &estimate.cost {
            Some(cost) => format!("{}, by the plan, of the figures above", cost.basis),
            None if estimate.records.is_none() => UNCOUNTED.to_owned(),
            None if estimate.bytes_written.is_none() => SIZELESS.to_owned(),
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
                duration,
                cost: cost_basis,
            },
        }
    }
}
