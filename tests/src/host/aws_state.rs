//! What the AWS host keeps, looked at and moved by hand: the table, the queues, and what jobs left behind.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use willcall_aws_local::{Call, Service};

use super::aws::Aws;
use crate::{Operator as _, id};

const PATIENCE: Duration = Duration::from_secs(120);
const PAST: &str = "2020-01-01T00:00:00.000Z";
const QUEUES: [&str; 4] = ["JobsQueue", "JobsDeadLetters", "NotifyQueue", "NotifyDeadLetters"];

impl Aws {
    /// The body of the message of a job's notification.
    pub fn notice(job: &Value, notification: &Value) -> Result<String> {
        let name = notification["notification_id"].as_str().context("no id")?;
        let (sequence, target) = name.split_once("-url").context("no notification of an address")?;
        let id = json!({"sequence": sequence.parse::<u32>()?, "target": {"address": target.parse::<u32>()?}});
        let job = json!({"account": job["account"], "job": job["job_id"]});
        Ok(json!({"schema": 1, "notice": {"delivery": {"job": job, "id": id}}}).to_string())
    }

    /// The body of the job's message.
    pub fn message(job: &Value) -> String {
        json!({"schema": 1, "account": job["account"], "job": job["job_id"]}).to_string()
    }

    /// Sweeps as the schedule would, and fails if that fails.
    pub async fn sweep(&self) -> Result<()> {
        self.local.fire_schedule("SweeperFunction").await??;
        Ok(())
    }

    fn key(job: &Value) -> [(&'static str, AttributeValue); 2] {
        let account = job["account"].as_str().unwrap_or_default();
        [
            ("pk", AttributeValue::S(format!("ACCOUNT#{account}"))),
            ("sk", AttributeValue::S(format!("JOB#{}", id(job)))),
        ]
    }

    /// Lets the sweeper look at the job now, as if the time had come.
    pub async fn due_now(&self, job: &Value) -> Result<()> {
        let mut update = self
            .local
            .dynamodb()
            .update_item()
            .table_name(self.local.table()?)
            .update_expression("SET due_at = :now")
            .condition_expression("attribute_exists(due_at)")
            .expression_attribute_values(":now", AttributeValue::N("1".to_owned()));
        for (name, value) in Self::key(job) {
            update = update.key(name, value);
        }
        update.send().await.with_context(|| format!("the sweeper has no reason to look at {}", id(job)))?;
        Ok(())
    }

    /// Lets the sweeper look at a batch or a container that is open, as if it had not been fed for long.
    pub async fn waited(&self, job: &Value) -> Result<()> {
        let sort = format!("JOB#{}", id(job));
        self.rewrite(job, &sort, |body| {
            ensure!(body["state"] == "open", "{} is {}", id(job), body["state"]);
            body["due_at"] = json!(PAST);
            Ok(())
        })
        .await
    }

    /// Ends the lease of whoever holds the job, as if its time had passed, and lets the sweeper look at it. The holder
    /// must be dead.
    pub async fn lease_over(&self, job: &Value) -> Result<()> {
        let sort = format!("JOB#{}", id(job));
        let rewritten = self.rewrite(job, &sort, |body| {
            ensure!(body["leased_until"].is_string(), "nobody holds {}", id(job));
            body["leased_until"] = json!(PAST);
            Ok(())
        });
        rewritten.await.with_context(|| format!("whoever holds {} lives", id(job)))
    }

    /// Ends the lease of whoever packs the zip of a job, as if its time had passed, and lets the sweeper look at it. Whoever
    /// packed it must be dead.
    pub async fn packing_over(&self, job: &Value) -> Result<()> {
        let sort = format!("JOB#{}", id(job));
        self.rewrite(job, &sort, |body| {
            ensure!(body["zip"]["wanted"]["until"].is_string(), "nobody packs it: {}", body["zip"]);
            body["zip"]["wanted"]["until"] = json!(PAST);
            body["due_at"] = json!(PAST);
            Ok(())
        })
        .await
    }

    /// Lets the sweeper look at the job's event now, as if the time had come.
    pub async fn event_due_now(&self, job: &Value, sequence: u32) -> Result<()> {
        let sort = format!("EVENT#{}#{sequence:010}", id(job));
        self.rewrite(job, &sort, |body| {
            ensure!(body["told"] == false, "it is told: {body}");
            body["due_at"] = json!(PAST);
            Ok(())
        })
        .await
    }

    /// Lets the next attempt of the job's notification begin now, and the sweeper look at it, as if the time had come. Whoever
    /// is at it must be dead.
    pub async fn notification_due_now(&self, job: &Value, notification: &Value) -> Result<()> {
        let name = notification["notification_id"].as_str().context("no id")?;
        let sequence: u32 = name.split('-').next().unwrap_or_default().parse()?;
        let sort = format!("DELIVERY#{}#{sequence:010}#{name}", id(job));
        self.rewrite(job, &sort, |body| {
            ensure!(body["state"] == "pending", "it is over: {body}");
            for member in ["next_at", "leased_until", "due_at"] {
                if body[member].is_string() {
                    body[member] = json!(PAST);
                }
            }
            Ok(())
        })
        .await
    }

    /// Changes the record of an item of the account that is due at some time, which then is due, unless another writes it at
    /// the same time.
    async fn rewrite(
        &self,
        job: &Value,
        sort: &str,
        change: impl FnOnce(&mut Value) -> Result<()>,
    ) -> Result<()> {
        let account = job["account"].as_str().unwrap_or_default();
        let get = self.local.dynamodb().get_item().table_name(self.local.table()?).consistent_read(true);
        let get = get.key("pk", AttributeValue::S(format!("ACCOUNT#{account}")));
        let found = get.key("sk", AttributeValue::S(sort.to_owned())).send().await?;
        let mut item = found.item.with_context(|| format!("no {sort}"))?;
        let body = item.get("body").and_then(|body| body.as_s().ok()).context("no body")?;
        let mut body: Value = serde_json::from_str(body)?;
        change(&mut body)?;
        item.insert("body".into(), AttributeValue::S(body.to_string()));
        item.insert("due_at".into(), AttributeValue::N("1".to_owned()));
        let version = item.get("version").cloned().context("no version")?;
        let put = self.local.dynamodb().put_item().table_name(self.local.table()?).set_item(Some(item));
        let put = put.condition_expression("version = :read").expression_attribute_values(":read", version);
        put.send().await.with_context(|| format!("another has written {sort}"))?;
        Ok(())
    }

    /// Messages of a queue, waiting, delayed or received.
    pub async fn messages(&self, queue: &str) -> Result<u64> {
        let asked = self.local.sqs().get_queue_attributes().queue_url(self.local.queue_url(queue)?);
        let found = asked.attribute_names(QueueAttributeName::All).send().await?;
        let attributes = found.attributes.unwrap_or_default();
        let count = |name: QueueAttributeName| {
            attributes.get(&name).and_then(|count| count.parse::<u64>().ok()).unwrap_or(0)
        };
        Ok(count(QueueAttributeName::ApproximateNumberOfMessages)
            + count(QueueAttributeName::ApproximateNumberOfMessagesDelayed)
            + count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible))
    }

    /// Puts a message into a queue.
    pub async fn send(&self, queue: &str, body: &str) -> Result<()> {
        let send = self.local.sqs().send_message().queue_url(self.local.queue_url(queue)?);
        send.message_body(body).message_group_id("tests").send().await?;
        Ok(())
    }

    /// Waits until functions have called that operation so often.
    pub async fn called(&self, service: Service, operation: &str, times: usize) -> Result<()> {
        let is_it = |call: &&Call| call.service == service && call.operation == operation;
        let deadline = Instant::now() + PATIENCE;
        while self.faults().calls().iter().filter(is_it).count() < times {
            ensure!(Instant::now() < deadline, "nobody called {operation} {times} times: {}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Fails unless these jobs, which are all there are, have each ended once, whole or with a reason, and nothing is
    /// left of them but what they deliver. `uploads` tells whether parts of uploads may be left too, which a rule of the
    /// bucket removes.
    pub async fn assert_settled(&self, jobs: &[Value], uploads: bool) -> Result<()> {
        let mut delivered = BTreeMap::new();
        for job in jobs {
            let job = self.client().ended(job).await?;
            match job["state"].as_str() {
                Some("completed") => {
                    self.client().assert_whole(&job).await?;
                    delivered.insert(id(&job).to_owned(), job["attempts"].to_string());
                }
                Some("failed") => {
                    ensure!(job["error"]["detail"].is_string() && job["result"].is_null(), "{job}");
                    self.due_now(&job).await?;
                }
                _ => self.due_now(&job).await?,
            }
        }
        self.queues_run_dry().await?;
        self.sweep().await?;
        for key in self.keys("results/").await? {
            let mut parts = key.split('/').skip(2);
            let (job, place) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let attempt =
                delivered.get(job).with_context(|| format!("{key} is left of a job without a result"))?;
            ensure!(
                place == "snapshot.json" || place == attempt,
                "{key} is left of an attempt before {attempt}"
            );
        }
        if !uploads {
            let left = self.open_uploads("").await?;
            ensure!(left.is_empty(), "uploads are left: {left:?}");
        }
        let places = self.places().await?;
        ensure!(places.is_empty(), "places of open jobs are left: {places:?}");
        Ok(())
    }

    /// The places that open jobs hold.
    pub async fn places(&self) -> Result<Vec<String>> {
        let mut pages = self
            .local
            .dynamodb()
            .scan()
            .table_name(self.local.table()?)
            .consistent_read(true)
            .filter_expression("begins_with(sk, :slot)")
            .expression_attribute_values(":slot", AttributeValue::S("SLOT#".to_owned()))
            .into_paginator()
            .items()
            .send();
        let mut places = Vec::new();
        while let Some(item) = pages.next().await {
            places.push(format!("{:?}", item?.get("sk")));
        }
        Ok(places)
    }

    async fn queues_run_dry(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut left = BTreeMap::new();
            for queue in QUEUES {
                left.insert(queue, self.messages(queue).await?);
            }
            if left.values().all(|count| *count == 0) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("messages are left: {left:?}\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A number that differs from call to call, to choose moments by.
pub fn chance(below: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) / 7 % below
}
