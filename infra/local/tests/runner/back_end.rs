//! Starts that fail, and what is made on the back end.

use std::{collections::BTreeMap, fs};

use aws_sdk_sqs::types::QueueAttributeName;
use willcall_aws_local::{Endpoints, Error, Local, Options, check};

use crate::setup::{Setup, binaries, template};

#[tokio::test]
async fn the_back_end_has_what_the_template_says() {
    let setup = Setup::new().await;
    let local = &setup.local;
    let attributes = async |queue: &str| {
        let call = local.sqs().get_queue_attributes().queue_url(local.queue_url(queue).unwrap());
        call.attribute_names(QueueAttributeName::All).send().await.unwrap().attributes.unwrap()
    };
    let (queue, dead) = (attributes("Queue").await, attributes("DeadLetters").await);
    assert_eq!(queue[&QueueAttributeName::VisibilityTimeout], "120");
    assert_eq!(dead[&QueueAttributeName::MessageRetentionPeriod], "1209600");
    let redrive: serde_json::Value =
        serde_json::from_str(&queue[&QueueAttributeName::RedrivePolicy]).unwrap();
    assert_eq!(redrive["maxReceiveCount"].to_string().trim_matches('"'), "3");
    assert_eq!(redrive["deadLetterTargetArn"], dead[&QueueAttributeName::QueueArn].as_str());

    let name = local.table().unwrap();
    let table = local.dynamodb().describe_table().table_name(name).send().await.unwrap().table.unwrap();
    let keys: Vec<&str> = table.key_schema().iter().map(|key| key.attribute_name()).collect();
    assert_eq!((keys.as_slice(), table.global_secondary_indexes().len()), (&["pk", "sk"][..], 1));
    let ttl = local.dynamodb().describe_time_to_live().table_name(name).send().await.unwrap();
    assert_eq!(ttl.time_to_live_description().unwrap().attribute_name(), Some("ttl"));
    local.s3().head_bucket().bucket(local.bucket().unwrap()).send().await.unwrap();
}

#[tokio::test]
async fn a_back_end_that_is_missing_is_an_error() {
    let nowhere = Endpoints::at("http://127.0.0.1:9");
    let error = Local::start(Options::new(template(), binaries(), nowhere)).await.unwrap_err();
    assert!(matches!(error, Error::BackEnd(..)), "{error}");
}

#[tokio::test]
async fn what_is_missing_on_this_machine_is_named() {
    let nowhere = || Endpoints::at("http://127.0.0.1:9");
    let error = Local::start(Options::new(template(), "/nowhere", nowhere())).await.unwrap_err();
    assert!(error.to_string().contains("EchoFunction has no binary at /nowhere/willcall-probe"), "{error}");
    let error = Local::start(Options::new("/nowhere.yaml", binaries(), nowhere())).await.unwrap_err();
    assert!(matches!(error, Error::Unreadable(..)), "{error}");
    let mut options = Options::new(template(), binaries(), nowhere());
    options.overrides.timeouts.insert("EchoFunctoin".to_owned(), std::time::Duration::from_secs(1));
    let error = Local::start(options).await.unwrap_err();
    assert_eq!(error.to_string(), "the template has no function EchoFunctoin");
    let mut options = Options::new(template(), binaries(), Endpoints::at("https://127.0.0.1:9"));
    options.faults = false;
    assert!(matches!(Local::start(options).await.unwrap_err(), Error::BackEnd(..)));
}

#[test]
fn a_wrong_template_names_the_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("template.yaml");
    let text = fs::read_to_string(template()).unwrap();
    fs::write(&path, text.replace("Timeout: 2\n", "Timeout: 901\n")).unwrap();
    let error = check(&path, &BTreeMap::new()).unwrap_err().to_string();
    assert!(error.contains("Resources.NarrowFunction.Properties.Timeout (line "), "{error}");
}
