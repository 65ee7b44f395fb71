//! What a dry run makes of too little time: it looks everywhere, says how far it came, and ends.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{fmt::Write, fs, ops::Range, sync::Arc, thread, time::Duration};

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use async_trait::async_trait;
use bytes::Bytes;
use support::*;
use willcall_core::{
    catalog::DatasetSource,
    format::{Format, OutputFormat},
    job::{FoundBy, Inquiry, Survey, kinds::QueryWork},
    ports::*,
    query::{CompareOp, Filter, Literal, Operand},
};
use willcall_engine::{Engine, EngineConfig, LocalDataFiles};

/// The disk, where everything takes time.
#[derive(Debug, Clone, Copy, Default)]
struct Slow {
    /// To open a file.
    open: Duration,
    /// To read a range of one.
    range: Duration,
}

#[derive(Debug)]
struct SlowFile {
    file: Arc<dyn DataFile>,
    range: Duration,
}

#[async_trait]
impl DataFiles for Slow {
    async fn list(&self, source: &DatasetSource) -> Result<Vec<DataFileEntry>, DataFilesError> {
        LocalDataFiles.list(source).await
    }

    fn open(&self, entry: &DataFileEntry) -> Result<Arc<dyn DataFile>, DataFilesError> {
        thread::sleep(self.open);
        Ok(Arc::new(SlowFile { file: LocalDataFiles.open(entry)?, range: self.range }))
    }
}

impl DataFile for SlowFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, DataFilesError> {
        self.file.read_at(buffer, position)
    }

    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, DataFilesError> {
        ranges.iter().for_each(|_| thread::sleep(self.range));
        self.file.read_ranges(ranges)
    }

    fn is_far(&self) -> bool {
        false
    }

    fn check(&self) -> Result<(), DataFilesError> {
        self.file.check()
    }
}

/// What a sample of at most 1000 records finds out, read by one thread.
async fn survey_slowly(files: Slow, data: &Data, filter: Filter, count_for: Duration) -> Survey {
    let dataset = data.dataset().await;
    let work = QueryWork {
        dataset: "data".into(),
        filter: Some(filter),
        fields: dataset.facts.columns.iter().map(|column| column.name.clone()).collect(),
        sort: Vec::new(),
        limit: Some(1_000),
        offset: 0,
        max_records: u64::MAX,
        output: OutputFormat::plain(Format::Csv),
        page_size: 1_000,
    };
    let task = task(dataset, work, &Arc::default());
    task.control.inquire(Inquiry { sort: Vec::new(), offset: 0, cap: u64::MAX, count_for });
    let mut config = EngineConfig::new(std::env::temp_dir());
    config.threads = 1;
    let delivered = Engine::new(config, Arc::new(files)).execute(task.clone()).await.unwrap();
    let survey = task.control.survey().unwrap();
    assert_eq!(delivered.records_found, survey.is_exact().then_some(survey.likely));
    survey
}

fn is(column: &str, value: Literal) -> Filter {
    Filter::Compare { left: Operand::Column(column.into()), op: CompareOp::Eq, right: value }
}

const FILES: u64 = 60;
const ROWS: u64 = 100;

/// Files whose statistics tell nothing, in whose last quarter alone every record is late. More than are held open.
fn late_ones() -> Data {
    let data = Data::new();
    for file in 0..FILES {
        let late = i64::from(file >= FILES * 3 / 4);
        let late: ArrayRef = Arc::new(Int64Array::from_iter_values((0..ROWS).map(|_| late)));
        let rows = RecordBatch::try_from_iter([("late", late)]).unwrap();
        write_silent(&data.dir.path().join(format!("{file:02}.parquet")), &[rows], 1_000);
    }
    data
}

#[tokio::test]
async fn records_that_lie_at_the_end_are_found_by_looking_everywhere() {
    let data = late_ones();
    let slow = Slow { open: Duration::from_millis(120), ..Slow::default() };
    // Enough to read a third of the files: the sample's search from the start on must not use all of it.
    let survey = survey_slowly(slow, &data, is("late", Literal::Int(1)), Duration::from_secs(3)).await;
    let (all, late) = (FILES * ROWS, FILES * ROWS / 4);
    assert_eq!(survey.found_by, FoundBy::Part);
    assert!(survey.at_least > 0 && survey.at_least <= late && late <= survey.at_most.unwrap(), "{survey:?}");
    assert!((late / 2..late * 2).contains(&survey.likely), "{survey:?}");
    let part = survey.part.unwrap();
    assert!(part.weight > 0 && part.weight < part.of && part.of == all, "{survey:?}");
    assert!((2_000..600_000).contains(&part.millis), "{survey:?}");
}

#[tokio::test]
async fn footers_that_take_longer_than_the_counting_may_leave_it_its_time() {
    let data = late_ones();
    let slow = Slow { open: Duration::from_millis(60), ..Slow::default() };
    // Eight at once are opened before the first record is read.
    let survey = survey_slowly(slow, &data, is("late", Literal::Int(0)), Duration::from_millis(300)).await;
    assert_eq!(survey.found_by, FoundBy::Part);
    assert!(survey.at_least > 0 && survey.part.unwrap().weight > 0, "{survey:?}");
}

#[tokio::test]
async fn what_was_counted_to_its_end_tells_no_part() {
    let (data, late) = (late_ones(), is("late", Literal::Int(1)));
    let survey = survey_slowly(Slow::default(), &data, late, Duration::from_secs(600)).await;
    assert_eq!((survey.found_by, survey.likely), (FoundBy::Counting, FILES * ROWS / 4));
    assert_eq!(survey.part, None);
}

/// A file of text in which every fourth record is red, of about eight megabytes.
fn reds() -> Data {
    let data = Data::new();
    let mut text = String::from("n,colour,filling\n");
    for n in 0..4_000 {
        let colour = if n % 4 == 0 { "red" } else { "blue" };
        writeln!(text, "{n},{colour},{n:0>2000}").unwrap();
    }
    fs::write(data.dir.path().join("a.csv"), text).unwrap();
    data
}

#[tokio::test]
async fn a_large_file_of_text_is_left_when_the_time_is_over() {
    let data = reds();
    let slow = Slow { range: Duration::from_millis(150), ..Slow::default() };
    let size = fs::metadata(data.dir.path().join("a.csv")).unwrap().len();
    for (colour, records) in [("red", 1_000), ("green", 0)] {
        let filter = is("colour", Literal::Text(colour.into()));
        // Half of what reading the file takes, and the sample has a part of that.
        let survey = survey_slowly(slow, &data, filter, Duration::from_millis(900)).await;
        assert_eq!((survey.found_by, survey.at_most), (FoundBy::Part, Some(4_000)), "{survey:?}");
        let part = survey.part.unwrap();
        assert!(part.weight > 0 && part.weight < size && part.of == size, "{survey:?}");
        assert!(survey.at_least < records.max(1), "{survey:?}");
        assert!(survey.likely >= records * 3 / 4 && survey.likely <= records * 5 / 4, "{survey:?}");
    }
}

#[tokio::test]
async fn files_of_text_that_were_read_whole_stand_for_those_that_were_not_begun() {
    let data = Data::new();
    for file in 0..24 {
        let text = "colour\nred\nblue\nblue\nblue\n";
        fs::write(data.dir.path().join(format!("{file:02}.csv")), text).unwrap();
    }
    let slow = Slow { range: Duration::from_millis(100), ..Slow::default() };
    let filter = is("colour", Literal::Text("red".into()));
    let survey = survey_slowly(slow, &data, filter, Duration::from_millis(800)).await;
    assert_eq!((survey.found_by, survey.likely), (FoundBy::Part, 24), "{survey:?}");
    assert!((1..24).contains(&survey.at_least), "{survey:?}");
}
