//! What goes wrong between functions and the back end.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use serde_json::{Value, json};
use willcall_aws_local::{Fault, Rule, Service, Which};

use crate::setup::Setup;

/// What a call of S3 by a function comes to.
async fn call(setup: &Setup, function: &str, method: &str, key: &str) -> Value {
    let (s3, bucket) = (setup.local.s3(), setup.local.bucket().unwrap());
    let signing = PresigningConfig::expires_in(Duration::from_secs(600)).unwrap();
    let signed = match method {
        "DELETE" => s3.delete_object().bucket(bucket).key(key).presigned(signing).await,
        _ => s3
            .get_object()
            .bucket(bucket)
            .key(key)
            .presigned(signing)
            .await
            .map_err(|error| panic!("{error}")),
    };
    let path = signed.unwrap().uri().split_once("//").unwrap().1.split_once('/').unwrap().1.to_owned();
    let path = format!("/{path}");
    let event = json!({"queryStringParameters": {"do": "call", "method": method, "path": path}});
    let answer = setup.local.invoke(function, &event).await.unwrap().unwrap();
    serde_json::from_str(answer["body"].as_str().unwrap()).unwrap()
}

async fn with_object(bytes: usize) -> Setup {
    let setup = Setup::new().await;
    let put = setup.local.s3().put_object().bucket(setup.local.bucket().unwrap()).key("a");
    put.body(vec![b'x'; bytes].into()).send().await.unwrap();
    setup
}

#[tokio::test]
async fn calls_pass_through_and_are_noted() {
    let setup = with_object(3).await;
    let answer = call(&setup, "EchoFunction", "GET", "a").await;
    assert_eq!((&answer["status"], &answer["body"]), (&json!(200), &json!("xxx")));
    let calls = setup.local.faults().calls();
    assert_eq!((calls.len(), calls[0].operation.as_str()), (1, "GetObject"));
    assert_eq!((calls[0].function.as_str(), calls[0].service), ("EchoFunction", Service::S3));
}

/// The emulator would take them all.
#[tokio::test]
async fn a_signed_link_works_as_it_was_signed_only() {
    let setup = with_object(3).await;
    assert_eq!(call(&setup, "EchoFunction", "GET", "a").await["status"], 200);
    let (s3, bucket) = (setup.local.s3(), setup.local.bucket().unwrap());
    let ask = async |method: &str, path: String| {
        let event = json!({"queryStringParameters": {"do": "call", "method": method, "path": path}});
        let answer = setup.local.invoke("EchoFunction", &event).await.unwrap().unwrap();
        let answer: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        (answer["status"].as_u64().unwrap(), answer["body"].as_str().unwrap().to_owned())
    };
    let signing = || PresigningConfig::expires_in(Duration::from_secs(600)).unwrap();
    let put = s3.put_object().bucket(bucket).key("b").content_length(0).presigned(signing()).await.unwrap();
    let path = format!("/{}", put.uri().split_once("//").unwrap().1.split_once('/').unwrap().1);
    assert_eq!(ask("PUT", path.clone()).await.0, 200);
    for (method, path) in [
        ("GET", path.clone()),
        ("PUT", path.replace("/b?", "/c?")),
        ("PUT", path.replace("Expires=600", "Expires=601")),
    ] {
        let (status, body) = ask(method, path).await;
        assert_eq!(status, 403, "{body}");
        assert!(body.contains("<Code>SignatureDoesNotMatch</Code>"), "{body}");
    }
    let longer =
        s3.put_object().bucket(bucket).key("b").content_length(1).presigned(signing()).await.unwrap();
    let path = format!("/{}", longer.uri().split_once("//").unwrap().1.split_once('/').unwrap().1);
    assert_eq!(ask("PUT", path).await.0, 403, "it has another length");
}

#[tokio::test]
async fn errors_are_answered_to_those_that_a_rule_names() {
    let setup = with_object(3).await;
    let rule = Rule::new(Service::S3, Fault::SLOW_DOWN).operation("GetObject").function("EchoFunction");
    let rule = setup.local.faults().add(rule.only(Which::First(1)));
    assert_eq!(call(&setup, "NarrowFunction", "GET", "a").await["status"], 200);
    let answer = call(&setup, "EchoFunction", "GET", "a").await;
    assert_eq!(answer["status"], 503);
    assert!(answer["body"].as_str().unwrap().contains("<Code>SlowDown</Code>"));
    assert_eq!(call(&setup, "EchoFunction", "GET", "a").await["status"], 200);
    assert_eq!(setup.local.faults().met(rule), 1);
}

#[tokio::test]
async fn a_cut_loses_the_call_or_only_its_answer() {
    let setup = with_object(3).await;
    let there = async || {
        let head = setup.local.s3().head_object().bucket(setup.local.bucket().unwrap()).key("a");
        head.send().await.is_ok()
    };
    setup.local.faults().add(Rule::new(Service::S3, Fault::CutBefore).only(Which::First(1)));
    assert_eq!(call(&setup, "EchoFunction", "DELETE", "a").await["status"], 0);
    assert!(there().await);
    setup.local.faults().add(Rule::new(Service::S3, Fault::CutAfter).only(Which::First(1)));
    assert_eq!(call(&setup, "EchoFunction", "DELETE", "a").await["status"], 0);
    assert!(!there().await);
}

#[tokio::test]
async fn answers_may_be_late_or_come_in_drops() {
    let setup = with_object(1000).await;
    let took = async |fault| {
        setup.local.faults().clear();
        setup.local.faults().add(Rule::new(Service::S3, fault));
        let answer = call(&setup, "EchoFunction", "GET", "a").await;
        assert_eq!((&answer["status"], &answer["bytes"]), (&json!(200), &json!(1000)));
        answer["took"].as_u64().unwrap()
    };
    assert!(took(Fault::Delay(Duration::from_millis(400))).await >= 400);
    assert!(took(Fault::Drip(250, Duration::from_millis(100))).await >= 400);
}
