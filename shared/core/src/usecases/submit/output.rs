//! Checks how a result is to be written.

use crate::{
    FieldError,
    account::Plan,
    format::{Compression, CsvOptions, Format, OutputFormat, ParquetCodec, ParquetOptions},
    job::kinds::{MAX_PAGE_SIZE, MIN_PAGE_SIZE},
    usecases::{AboutDraft, CsvDraft, ParquetDraft, limits::DEFAULT_PAGE_SIZE},
};

pub(super) fn page_size(wanted: Option<u64>, errors: &mut Vec<FieldError>) -> u32 {
    let Some(size) = wanted else { return DEFAULT_PAGE_SIZE };
    let fits = u32::try_from(size).ok().filter(|size| (MIN_PAGE_SIZE..=MAX_PAGE_SIZE).contains(size));
    fits.unwrap_or_else(|| {
        let detail = format!("must be {MIN_PAGE_SIZE} to {MAX_PAGE_SIZE}, not {size}");
        errors.push(FieldError::at("page_size", detail));
        DEFAULT_PAGE_SIZE
    })
}

pub(super) fn output(
    plan: &Plan,
    draft: &AboutDraft,
    default: Format,
    errors: &mut Vec<FieldError>,
) -> OutputFormat {
    let named = match draft.format.as_deref().unwrap_or(default.as_str()).parse::<Format>() {
        Ok(format) => {
            if !plan.allows_format(format) {
                let detail = format!("the plan {:?} does not allow the format {format}", plan.name);
                errors.push(FieldError::at("format", detail));
            }
            Some(format)
        }
        Err(detail) => {
            errors.push(FieldError::at("format", detail));
            None
        }
    };
    let compression = match draft.compression.as_deref().unwrap_or("none").parse::<Compression>() {
        Ok(compression) => compression,
        Err(detail) => {
            errors.push(FieldError::at("compression", detail));
            Compression::None
        }
    };
    let Some(format) = named else {
        // Whichever was meant, what its options say is right or wrong.
        let _ = (csv(draft.csv.as_ref(), errors), parquet(draft.parquet.as_ref(), errors));
        return OutputFormat::plain(default);
    };
    if compression != Compression::None && !format.is_text() {
        let detail = match format {
            Format::Parquet => {
                "parquet is compressed inside: leave compression out, and choose with parquet.compression"
                    .into()
            }
            Format::Xlsx => "xlsx is compressed inside: leave compression out".into(),
            _ => format!("is for text, and {format} is none: leave compression out"),
        };
        errors.push(FieldError::at("compression", detail));
    }
    if draft.csv.is_some() && format != Format::Csv {
        errors.push(FieldError::at("csv", format!("is for the format csv, and the format is {format}")));
        let _ = csv(draft.csv.as_ref(), errors);
    }
    if draft.parquet.is_some() && format != Format::Parquet {
        let detail = format!("is for the format parquet, and the format is {format}");
        errors.push(FieldError::at("parquet", detail));
        let _ = parquet(draft.parquet.as_ref(), errors);
    }
    OutputFormat {
        format,
        compression,
        csv: (format == Format::Csv).then(|| csv(draft.csv.as_ref(), errors)),
        parquet: (format == Format::Parquet).then(|| parquet(draft.parquet.as_ref(), errors)),
    }
}

fn csv(draft: Option<&CsvDraft>, errors: &mut Vec<FieldError>) -> CsvOptions {
    let mut options = CsvOptions::default();
    let Some(draft) = draft else { return options };
    if let Some(text) = &draft.delimiter {
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) if c.is_ascii() && (c == '\t' || !c.is_ascii_control()) && c != '"' => {
                options.delimiter = c;
            }
            _ => errors.push(FieldError::at(
                "csv/delimiter",
                "must be one ASCII character, neither a quote nor a line break",
            )),
        }
    }
    if let Some(null) = &draft.null {
        let allowed = null.len() <= 64 && !null.contains(['"', '\r', '\n', options.delimiter]);
        if allowed {
            options.null.clone_from(null);
        } else {
            let detail = "must have at most 64 bytes, and no quote, line break or delimiter";
            errors.push(FieldError::at("csv/null", detail));
        }
    }
    options.header = draft.header.unwrap_or(options.header);
    options.spreadsheet_safe = draft.spreadsheet_safe.unwrap_or(options.spreadsheet_safe);
    options
}

fn parquet(draft: Option<&ParquetDraft>, errors: &mut Vec<FieldError>) -> ParquetOptions {
    let mut options = ParquetOptions::default();
    let Some(draft) = draft else { return options };
    match draft.compression.as_deref() {
        None => {}
        Some("none") => options.codec = ParquetCodec::None,
        Some("snappy") => options.codec = ParquetCodec::Snappy,
        Some("zstd") => options.codec = ParquetCodec::Zstd,
        Some(other) => {
            let detail = format!("{other:?} is not one of none, snappy and zstd");
            errors.push(FieldError::at("parquet/compression", detail));
        }
    }
    if let Some(size) = draft.row_group_size {
        match u32::try_from(size).ok().filter(|size| (1_000..=1_048_576).contains(size)) {
            Some(size) => options.row_group_size = size,
            None => errors.push(FieldError::at("parquet/row_group_size", "must be 1000 to 1048576")),
        }
    }
    options
}
