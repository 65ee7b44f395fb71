//! As many columns as a sheet has, and one more.

use willcall_core::usecases::{AboutDraft, AppendDraft, Draft, MatchDraft, limits::MAX_SHEET_COLUMNS};

use super::*;

/// A world whose data set has that many columns.
fn wide(columns: usize) -> World {
    let world = World::delivering();
    let mut wide = catalog(Plan { max_open_jobs: 3, ..Plan::default_named("pro") });
    let mut dataset = (*wide.datasets["flights"]).clone();
    let column = |n| Column { name: format!("c{n}"), data_type: ColumnType::Text, nullable: true };
    dataset.facts.columns = (0..columns).map(column).collect();
    wide.datasets.insert("flights".into(), Arc::new(dataset));
    world.catalog.set(wide);
    world
}

fn complaints<T: std::fmt::Debug>(outcome: Result<T, Error>) -> Vec<String> {
    match outcome {
        Err(Error::Invalid(errors)) => {
            errors.into_iter().map(|error| format!("{} {}", error.pointer, error.detail)).collect()
        }
        Ok(_) => Vec::new(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_query_for_more_columns_than_a_sheet_has_is_refused_at_submit() {
    let about = || AboutDraft { format: Some("xlsx".into()), ..AboutDraft::default() };
    let xlsx = || QueryDraft { about: about(), ..draft() };
    assert_eq!(complaints(wide(MAX_SHEET_COLUMNS).submit_as(xlsx()).await), [""; 0]);
    let world = wide(MAX_SHEET_COLUMNS + 1);
    let told = complaints(world.submit_as(xlsx()).await);
    assert_eq!(told, ["#/fields are 16385 columns, and a sheet of xlsx has at most 16384"]);
    assert_eq!(complaints(world.submit_as(draft()).await), [""; 0], "other formats have room");
    let some = QueryDraft { fields: Some(vec!["c0".into(), "c16384".into()]), ..xlsx() };
    assert_eq!(complaints(world.submit_as(some).await), [""; 0]);
}

#[tokio::test]
async fn an_append_counts_what_it_adds_and_what_is_known_of_the_rows() {
    // Beside the data set's columns: the rows' own, `_match` and `_error`.
    for (columns, items, fits) in [
        (MAX_SHEET_COLUMNS - 3, None, true),
        (MAX_SHEET_COLUMNS - 2, None, false),
        (MAX_SHEET_COLUMNS - 4, Some(json!([{"id": "1"}, {"id": "2", "note": "x"}])), true),
        (MAX_SHEET_COLUMNS - 3, Some(json!([{"id": "1"}, {"id": "2", "note": "x"}])), false),
    ] {
        let world = wide(columns);
        let draft = AppendDraft {
            dataset: "flights".into(),
            on: vec![("id".into(), MatchDraft { column: "c0".into(), compare: None })],
            items: items.as_ref().map(|items| serde_json::from_value(items.clone()).unwrap()),
            about: AboutDraft { format: Some("xlsx".into()), ..AboutDraft::default() },
            ..AppendDraft::default()
        };
        let submission = Submission::new(Draft::Append(Box::new(draft)), json!({}));
        let told = complaints(usecases::submit::submit(&world.app, &world.caller(), submission).await);
        assert_eq!(told.is_empty(), fits, "{columns}: {told:?}");
        assert!(fits || told[0].contains("16385") && told[0].starts_with("#/fields"), "{told:?}");
    }
}
