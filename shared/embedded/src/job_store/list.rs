//! Lists jobs, no batches, newest first, with work that is bounded whatever the filter and however many jobs there are.

use rusqlite::{Connection, Row, ToSql};
use willcall_core::{
    AccountId, JobId,
    job::Job,
    ports::{JobFilter, JobPage},
};

use super::row::{parse, reference};
use crate::database::{Failed, Never};

/// The most rows that one call looks at.
const SCANNED: u32 = 5_000;

/// The condition that narrows most goes to an index which has the wanted order; the others are judged row by row.
/// Where those leave too few rows, the page is short and names where to go on.
pub(super) fn list<E>(
    connection: &Connection,
    account: &AccountId,
    filter: &JobFilter,
    before: Option<JobId>,
    limit: u32,
) -> Result<JobPage, Failed<E>> {
    // Greater than every id, as `g` follows the hexadecimal digits.
    let before = before.map_or_else(|| "g".to_owned(), |id| id.to_string());
    let account = account.as_str();
    let (mut parameters, source): (Vec<&dyn ToSql>, &str) = (vec![&account, &before], narrowest(filter));
    let state = filter.state.map(|state| state.as_str());
    if let Some((key, value)) = filter.labels.first_key_value() {
        parameters.extend([key as &dyn ToSql, value]);
    } else if let Some(name) = &filter.name {
        parameters.push(name);
    } else if let Some(dataset) = &filter.dataset {
        parameters.push(dataset);
    } else if let Some(state) = &state {
        parameters.push(state);
    }

    let mut statement = connection.prepare_cached(source)?;
    let mut rows = statement.query(parameters.as_slice())?;
    let mut page = JobPage::default();
    let mut last = None;
    let mut scanned = 0;
    while let Some(row) = rows.next()? {
        // There is more, so the page ends at the row before this one.
        if page.jobs.len() >= limit as usize || scanned >= SCANNED {
            page.next = last;
            break;
        }
        scanned += 1;
        // One row that cannot be read must not hide the others.
        match judge(row, filter, &mut last) {
            Ok(Some(job)) => page.jobs.push(job),
            Ok(None) => {}
            Err(failed) => {
                let id = row.get::<_, String>(1).unwrap_or_default();
                tracing::error!(job.id = %id, error = %failed.source(), "a job cannot be read and is not listed");
            }
        }
    }
    Ok(page)
}

/// The job of a row where it fits the filter; `last` is moved to it whether it does or not.
fn judge(row: &Row<'_>, filter: &JobFilter, last: &mut Option<JobId>) -> Result<Option<Job>, Failed<Never>> {
    let id = reference(row, 0, 1)?.job;
    *last = Some(id);
    let (state, created): (String, i64) = (row.get(2)?, row.get(3)?);
    let fits = filter.state.is_none_or(|wanted| wanted.as_str() == state)
        && filter.created_after.is_none_or(|moment| created > moment.as_millis())
        && filter.created_before.is_none_or(|moment| created < moment.as_millis());
    if !fits {
        return Ok(None);
    }
    let job = parse(id, row.get(4)?, row.get_ref(5)?.as_bytes().map_err(rusqlite::Error::from)?)?;
    Ok(filter.matches(&job).then_some(job))
}

/// The statement for the most selective condition that is set.
fn narrowest(filter: &JobFilter) -> &'static str {
    if !filter.labels.is_empty() {
        "SELECT j.account, j.id, j.state, j.created, j.schema, j.body
            FROM job_labels AS l CROSS JOIN jobs AS j ON j.account = l.account AND j.id = l.id
            WHERE l.account = ?1 AND l.id < ?2 AND l.key = ?3 AND l.value = ?4 ORDER BY l.id DESC"
    } else if filter.name.is_some() {
        "SELECT account, id, state, created, schema, body FROM jobs INDEXED BY jobs_by_name
            WHERE account = ?1 AND id < ?2 AND name = ?3 AND container IS NULL ORDER BY id DESC"
    } else if filter.dataset.is_some() {
        "SELECT account, id, state, created, schema, body FROM jobs INDEXED BY jobs_by_dataset
            WHERE account = ?1 AND id < ?2 AND dataset = ?3 AND container IS NULL ORDER BY id DESC"
    } else if filter.state.is_some() {
        "SELECT account, id, state, created, schema, body FROM jobs INDEXED BY jobs_by_state
            WHERE account = ?1 AND id < ?2 AND state = ?3 AND container IS NULL ORDER BY id DESC"
    } else {
        "SELECT account, id, state, created, schema, body FROM jobs INDEXED BY jobs_listed
            WHERE account = ?1 AND id < ?2 AND container IS NULL ORDER BY id DESC"
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use willcall_core::job::JobState;

    use super::*;
    use crate::database::MIGRATIONS;

    /// A scan or a sort would make a list slower with every job there is.
    #[test]
    fn every_list_walks_an_index_in_its_order() {
        let connection = Connection::open_in_memory().unwrap();
        MIGRATIONS.iter().for_each(|migration| connection.execute_batch(migration).unwrap());
        let any = JobFilter::default;
        for filter in [
            any(),
            JobFilter { state: Some(JobState::Failed), ..any() },
            JobFilter { dataset: Some("x".into()), ..any() },
            JobFilter { name: Some("x".into()), ..any() },
            JobFilter { labels: BTreeMap::from([("k".into(), "v".into())]), ..any() },
        ] {
            let mut statement =
                connection.prepare(&format!("EXPLAIN QUERY PLAN {}", narrowest(&filter))).unwrap();
            let count = statement.parameter_count();
            let rows = statement
                .query_map(rusqlite::params_from_iter(vec!["x"; count]), |row| row.get::<_, String>(3))
                .unwrap();
            let plan: Vec<String> = rows.map(|row| row.unwrap()).collect();
            assert!(plan.iter().all(|step| step.starts_with("SEARCH")), "{plan:?}");
        }
    }
}
