//! What a function's environment makes of the adapters. A process of its own has each environment.

use std::{
    env,
    process::{Command, Output},
    time::Duration,
};

use bytes::Bytes;
use willcall_aws::{AwsConfig, Clients, DynamoJobStore, S3BlobStore, SqsJobQueue};
use willcall_conformance::{job_queue::JobQueueHarness, samples::job};
use willcall_core::ports::{BlobKey, BlobStore, JobQueue, JobStore};

use crate::place::Place;

const FUNCTION: &str = "environment::function";

/// What the other tests run in a process of its own: every adapter used once, wired as a function wires them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the environment that the other tests give it"]
async fn function() {
    let config = AwsConfig::from_env().unwrap_or_else(|error| panic!("{error}"));
    let clients = Clients::from_env(&config).await.unwrap_or_else(|error| panic!("{error}"));
    let job = job("acme");
    DynamoJobStore::new(&clients, &config.table).insert(&job, 1).await.unwrap();
    let key = BlobKey::Request(job.reference());
    let blobs = S3BlobStore::new(&clients, &config.bucket);
    blobs.put(&key, "application/json", Bytes::from_static(b"{}")).await.unwrap();
    SqsJobQueue::new(&clients, &config.queue_url).send(&job.reference(), Duration::ZERO).await.unwrap();
}

fn run(environment: &[(&str, String)]) -> Output {
    let mut function = Command::new(env::current_exe().unwrap());
    function.args([FUNCTION, "--exact", "--ignored", "--nocapture"]);
    for (name, _) in env::vars().filter(|(name, _)| name.starts_with("AWS_") || name.starts_with("WILLCALL_"))
    {
        function.env_remove(name);
    }
    // Neither the developer's own configuration nor the metadata of a machine is asked.
    function.env("AWS_CONFIG_FILE", "/nonexistent").env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent");
    function.env("AWS_EC2_METADATA_DISABLED", "true");
    function.envs(environment.iter().map(|(name, value)| (*name, value))).output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adapters_find_endpoint_region_and_credentials_in_the_environment() {
    let place = Place::new().await;
    let output = run(&place.environment());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let job = place.receive().await.unwrap();
    assert!(place.jobs().get(&job).await.unwrap().is_some());
    assert!(place.blobs().head(&BlobKey::Request(job)).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_environment_lacks_is_named() {
    let place = Place::new().await;
    for (missing, said) in [
        ("WILLCALL_TABLE", "WILLCALL_TABLE is not set"),
        ("AWS_REGION", "AWS_REGION is not set"),
        ("AWS_SECRET_ACCESS_KEY", "Unavailable"),
    ] {
        let mut environment = place.environment();
        environment.retain(|(name, _)| *name != missing);
        let output = run(&environment);
        assert!(!output.status.success());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(said), "{missing}: {stderr}");
    }
}
