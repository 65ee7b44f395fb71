//! EventBridge: functions that are invoked by the clock.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    InvokeError,
    deployment::ScheduleSpec,
    lambda::{Function, trace},
};

/// One schedule of one function.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub(crate) spec: ScheduleSpec,
    pub(crate) function: Arc<Function>,
    pub(crate) every: Duration,
    pub(crate) account: String,
    pub(crate) region: String,
}

impl Schedule {
    /// Fires until it is dropped, for the first time when its interval has passed. One that falls into the time of the
    /// one before fires all the same, as on AWS.
    pub(crate) async fn run(self: Arc<Self>) {
        if self.every == Duration::MAX {
            return;
        }
        loop {
            tokio::time::sleep(self.every).await;
            let schedule = Arc::clone(&self);
            tokio::spawn(async move {
                if let Err(error) = schedule.fire().await {
                    let logical = &schedule.function.spec.logical;
                    schedule.function.logs.write(logical, 0, format!("schedule: {error}"));
                }
            });
        }
    }

    /// Invokes the function, and waits for its answer.
    pub(crate) async fn fire(&self) -> Result<Bytes, InvokeError> {
        self.function.invoke(self.event().to_string().into(), &trace()).await
    }

    fn event(&self) -> Value {
        let Self { account, region, .. } = self;
        if let Some(input) = &self.spec.input {
            return input.clone();
        }
        let (source, resource, detail) = match self.spec.scheduler {
            true => ("aws.scheduler", "schedule/default", json!("{}")),
            false => ("aws.events", "rule", json!({})),
        };
        let service = if self.spec.scheduler { "scheduler" } else { "events" };
        json!({
            "version": "0",
            "id": Uuid::new_v4(),
            "detail-type": "Scheduled Event",
            "source": source,
            "account": account,
            "time": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "region": region,
            "resources": [format!("arn:aws:{service}:{region}:{account}:{resource}/{}", self.spec.function)],
            "detail": detail,
        })
    }
}
