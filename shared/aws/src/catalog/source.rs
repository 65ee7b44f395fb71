//! Reads the catalog, and looks from time to time whether it is still the same.
//!
//! Whoever asks when a look is due makes it himself: a function's process stands still between requests, so nothing can
//! be left to a task.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_s3::Client;
use willcall_core::{
    Timestamp,
    catalog::{BuiltCatalog, BuiltCatalogError, Catalog},
    chain,
    error::Source,
    ports::{CatalogError, CatalogSource, Clock},
};

use super::Location;
use crate::{
    Clients,
    failure::{CallFailed, status},
};

/// For how long the catalog is not looked at again.
const FRESH: Duration = Duration::from_secs(30);
/// The same after a look that failed.
const RETRY: Duration = Duration::from_secs(5);
/// How long a request waits for a look while there is a catalog to go on with.
const PATIENCE: Duration = Duration::from_secs(1);
/// What the patience grows to, doubling, while looks take longer: a line that is always slow must bring a new catalog
/// some time.
const MOST_PATIENCE: Duration = Duration::from_secs(4);

/// The catalog of a bucket. Nothing is read until it is asked for.
///
/// The first answer needs S3 and fails without it. From then on there always is one: a catalog that cannot be reached or
/// read any more leaves the last good one in force, and the log says so once.
pub struct S3Catalog {
    client: Client,
    location: Location,
    clock: Arc<dyn Clock>,
    /// Held by the one who looks.
    looking: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    good: Option<Arc<Catalog>>,
    /// What the object was when it was last read, good or not.
    seen: Option<Seen>,
    looked: Timestamp,
    /// When the next look is due.
    due: Timestamp,
    patience: Duration,
    /// What was logged last, if that was a failure.
    trouble: Option<String>,
}

#[derive(Debug, Clone)]
struct Seen {
    etag: String,
    /// Why it is not served.
    refused: Option<String>,
}

/// What a look found.
enum Found {
    /// The object is the one that was seen.
    Same,
    /// Another one.
    New { etag: Option<String>, catalog: Result<BuiltCatalog, BuiltCatalogError> },
}

#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("the catalog {0} is not there: run willcall catalog build")]
    Missing(Location),
    #[error(
        "the catalog {0} may not be read, or is not there: it takes s3:GetObject, and s3:ListBucket to tell"
    )]
    Denied(Location, #[source] CallFailed),
    #[error("the catalog {0} cannot be read")]
    Failed(Location, #[source] CallFailed),
    #[error("the catalog {location} is not one that can be served: {reason}")]
    Refused { location: Location, reason: String },
    #[error("the catalog {0} did not come in time")]
    Slow(Location),
}

impl S3Catalog {
    /// The catalog under that key of that bucket.
    pub fn new(
        clients: &Clients,
        bucket: impl Into<String>,
        key: impl Into<String>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let never = Timestamp::from_millis(i64::MIN);
        let state =
            State { good: None, seen: None, looked: never, due: never, patience: PATIENCE, trouble: None };
        Self {
            client: clients.s3.clone(),
            location: Location { bucket: bucket.into(), key: key.into() },
            clock,
            looking: tokio::sync::Mutex::new(()),
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last good one, unless a look is due.
    fn fresh(&self) -> Option<Arc<Catalog>> {
        let (state, now) = (self.state(), self.clock.now());
        // A clock that went back makes it old.
        let fresh = state.looked <= now && now < state.due;
        state.good.clone().filter(|_| fresh)
    }

    /// Waits for S3 as long as its client does: there is nothing else to answer with.
    async fn first(&self) -> Result<Arc<Catalog>, LookError> {
        let _alone = self.looking.lock().await;
        if let Some(catalog) = self.fresh() {
            return Ok(catalog);
        }
        let outcome = self.look().await;
        self.take(outcome)
    }

    /// Looks again, with little patience.
    async fn again(&self, good: Arc<Catalog>) -> Arc<Catalog> {
        // While another looks, what he will replace serves.
        let Ok(_alone) = self.looking.try_lock() else { return good };
        let patience = self.state().patience;
        let outcome = tokio::time::timeout(patience, self.look()).await;
        let outcome = outcome.unwrap_or_else(|_| Err(LookError::Slow(self.location.clone())));
        // What failed has been logged.
        self.take(outcome).unwrap_or(good)
    }

    async fn look(&self) -> Result<Found, LookError> {
        let seen = self.state().seen.as_ref().map(|seen| seen.etag.clone());
        let Location { bucket, key } = &self.location;
        let get = self.client.get_object().bucket(bucket).key(key).set_if_none_match(seen.clone());
        let got = match get.send().await {
            Ok(got) => got,
            Err(error) => {
                let location = self.location.clone();
                return match status(&error) {
                    Some(304) if seen.is_some() => Ok(Found::Same),
                    Some(404) => Err(LookError::Missing(location)),
                    Some(403) => Err(LookError::Denied(location, CallFailed::new("GetObject", error))),
                    _ => Err(LookError::Failed(location, CallFailed::new("GetObject", error))),
                };
            }
        };
        let etag = got.e_tag;
        let body = got.body.collect().await.map_err(|error| {
            LookError::Failed(
                self.location.clone(),
                CallFailed::other("reading the body of GetObject", error),
            )
        })?;
        Ok(Found::New { etag, catalog: BuiltCatalog::from_json(&body.into_bytes()) })
    }

    /// Makes what a look found the state, and answers the catalog that it leaves in force. Tells the log what changed.
    fn take(&self, outcome: Result<Found, LookError>) -> Result<Arc<Catalog>, LookError> {
        let mut state = self.state();
        state.looked = self.clock.now();
        state.patience = match outcome {
            Err(LookError::Slow(_)) => (state.patience * 2).min(MOST_PATIENCE),
            _ => PATIENCE,
        };
        let outcome = outcome.and_then(|found| {
            if let Found::New { etag, catalog } = found {
                let refused = catalog.as_ref().err().map(|error| chain(error));
                // Without a tag the next look reads it anew.
                state.seen = etag.map(|etag| Seen { etag, refused: refused.clone() });
                match catalog {
                    Ok(built) => self.serve(&mut state, built),
                    Err(error) => {
                        let location = self.location.clone();
                        return Err(LookError::Refused { location, reason: chain(&error) });
                    }
                }
            }
            match state.seen.as_ref().and_then(|seen| seen.refused.clone()) {
                Some(reason) => Err(LookError::Refused { location: self.location.clone(), reason }),
                None => Ok(()),
            }
        });
        // A document that cannot be served is asked for no more often than a good one: only a new one helps.
        let wait = match outcome {
            Ok(()) | Err(LookError::Refused { .. }) => FRESH,
            Err(_) => RETRY,
        };
        state.due = state.looked.plus(wait);
        self.tell(&mut state, outcome.as_ref().err());
        outcome?;
        state.good.clone().ok_or_else(|| LookError::Missing(self.location.clone()))
    }

    fn serve(&self, state: &mut State, built: BuiltCatalog) {
        // Readers compare catalogs by address: one that did not change stays the same one.
        if state.good.as_deref() != Some(&built.catalog) {
            tracing::info!(location = %self.location, built = %built.built, hash = built.catalog.hash, "read catalog");
            state.good = Some(Arc::new(built.catalog));
        }
    }

    fn tell(&self, state: &mut State, error: Option<&LookError>) {
        // Without its causes: they name each request, and would be new each time.
        let trouble = error.map(ToString::to_string);
        match error {
            Some(error) if state.trouble != trouble => {
                let kept = state.good.is_some();
                tracing::warn!(error = chain(error), kept, "catalog does not work");
            }
            None if state.trouble.is_some() => {
                tracing::info!(location = %self.location, "catalog works again")
            }
            _ => {}
        }
        state.trouble = trouble;
    }
}

#[async_trait]
impl CatalogSource for S3Catalog {
    async fn catalog(&self) -> Result<Arc<Catalog>, CatalogError> {
        if let Some(catalog) = self.fresh() {
            return Ok(catalog);
        }
        let good = self.state().good.clone();
        match good {
            Some(good) => Ok(self.again(good).await),
            None => self.first().await.map_err(|error| CatalogError(Source::from(error))),
        }
    }
}
