//! Queues and clocks that invoke functions.

use std::time::{Duration, Instant};

use aws_sdk_sqs::types::QueueAttributeName;
use willcall_aws_local::{Fault, Local, Rule, Service, Which};

use crate::setup::{Setup, until};

async fn send(local: &Local, bodies: &[&str]) {
    for body in bodies {
        let url = local.queue_url("Queue").unwrap();
        local.sqs().send_message().queue_url(url).message_body(*body).send().await.unwrap();
    }
}

/// Messages in a queue, those that are hidden too.
async fn left(local: &Local, queue: &str) -> i32 {
    let names = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    ];
    let call = local.sqs().get_queue_attributes().queue_url(local.queue_url(queue).unwrap());
    let found = call.set_attribute_names(Some(names.to_vec())).send().await.unwrap().attributes.unwrap();
    names.iter().map(|name| found[name].parse::<i32>().unwrap()).sum()
}

fn soon(options: &mut willcall_aws_local::Options) {
    options.overrides.visibility.insert("Queue".to_owned(), Duration::from_secs(1));
}

#[tokio::test]
async fn messages_are_handled_once_and_deleted() {
    let setup = Setup::new().await;
    send(&setup.local, &["a", "b", "c"]).await;
    let notes =
        setup.until_notes(|notes| notes.iter().filter(|note| note.starts_with("end")).count() == 3).await;
    until("all are deleted", async || left(&setup.local, "Queue").await == 0).await;
    for body in ["a", "b", "c"] {
        assert_eq!(notes.iter().filter(|note| note.starts_with(&format!("begin {body} 1 "))).count(), 1);
    }
    assert_eq!(left(&setup.local, "DeadLetters").await, 0);
}

#[tokio::test]
async fn what_fails_comes_again_and_ends_as_a_dead_letter() {
    let setup = Setup::with(soon).await;
    send(&setup.local, &["fail", "fine"]).await;
    until("it is a dead letter", async || left(&setup.local, "DeadLetters").await == 1).await;
    let notes = setup.notes();
    let begun: Vec<&str> =
        notes.iter().filter_map(|note| note.strip_prefix("begin fail ")).map(|rest| &rest[..1]).collect();
    assert_eq!(begun, ["1", "2", "3"]);
    assert_eq!(notes.iter().filter(|note| *note == "end fine").count(), 1);
    assert_eq!(left(&setup.local, "Queue").await, 0);
}

#[tokio::test]
async fn a_batch_whose_function_fails_comes_again_whole() {
    for how in ["crash", "throw"] {
        let setup = Setup::with(soon).await;
        send(&setup.local, &[how]).await;
        until("it is a dead letter", async || left(&setup.local, "DeadLetters").await == 1).await;
        assert_eq!(setup.notes().iter().filter(|note| note.starts_with(&format!("begin {how}"))).count(), 3);
        assert!(setup.logged("a batch of 1 messages failed"));
    }
}

#[tokio::test]
async fn no_more_run_at_once_than_the_template_says() {
    let setup = Setup::new().await;
    send(&setup.local, &["slow"; 12]).await;
    let notes =
        setup.until_notes(|notes| notes.iter().filter(|note| *note == "end slow").count() == 12).await;
    assert!(setup.local.environments("WorkFunction").unwrap().len() <= 2);
    assert!(
        notes
            .iter()
            .all(|note| !note.starts_with("begin") || note.ends_with("of 1") || note.ends_with("of 2"))
    );
}

#[tokio::test]
async fn a_throttled_batch_is_tried_again() {
    let setup = Setup::with(|options| {
        options.overrides.concurrency.insert("WorkFunction".to_owned(), 1);
    })
    .await;
    send(&setup.local, &["slow"; 6]).await;
    setup.until_notes(|notes| notes.iter().filter(|note| *note == "end slow").count() == 6).await;
    until("all are deleted", async || left(&setup.local, "Queue").await == 0).await;
}

#[tokio::test]
async fn a_message_may_be_delivered_twice_at_once() {
    let setup = Setup::new().await;
    let answers = setup.local.deliver("Queue", "slow", 2).await.unwrap();
    assert_eq!(answers.len(), 2);
    for answer in answers {
        assert_eq!(answer.unwrap(), serde_json::json!({"batchItemFailures": []}));
    }
    assert_eq!(setup.local.environments("WorkFunction").unwrap().len(), 2);
}

#[tokio::test]
async fn a_schedule_fires_at_its_rate_and_when_it_is_told() {
    let setup = Setup::new().await;
    assert_eq!(setup.local.fire_schedule("TickFunction").await.unwrap().unwrap(), "swept");
    assert_eq!(setup.notes(), ["scheduled by aws.events"]);
    assert!(setup.local.fire_schedule("EchoFunction").await.is_err());
    let setup = Setup::with(|options| {
        options.overrides.schedules.insert("TickFunction".to_owned(), Duration::from_millis(100));
    })
    .await;
    setup.until_notes(|notes| notes.len() >= 3).await;
}

/// A bucket that tells of what is made below `uploads/`.
async fn notifying() -> Setup {
    let notifies = |options: &mut willcall_aws_local::Options| {
        options.parameters.insert("Notifies".to_owned(), "yes".to_owned());
    };
    Setup::with(notifies).await
}

async fn make(local: &Local, key: &str) {
    let put = local.s3().put_object().bucket(local.bucket().unwrap()).key(key);
    put.body(vec![b'x'; 3].into()).send().await.unwrap();
}

/// What the bucket told of so far, without the word that it will.
fn told(notes: &[String]) -> Vec<&str> {
    let ends = notes.iter().filter_map(|note| note.strip_prefix("end "));
    ends.filter(|body| !body.contains("s3:TestEvent")).collect()
}

#[tokio::test]
async fn a_bucket_tells_of_what_the_template_names() {
    let setup = notifying().await;
    for key in ["other/a", "uploads/b c"] {
        make(&setup.local, key).await;
    }
    let notes = setup.until_notes(|notes| !told(notes).is_empty()).await;
    let [event] = told(&notes).try_into().unwrap();
    let event: serde_json::Value = serde_json::from_str(event).unwrap();
    assert_eq!(event["Records"][0]["eventName"], "ObjectCreated:Put");
    assert!(event["Records"][0]["s3"]["object"]["key"].as_str().unwrap().ends_with("b+c"), "{event}");
    until("all are deleted", async || left(&setup.local, "Uploads").await == 0).await;
    let calls = setup.local.faults().calls();
    let events: Vec<_> = calls.iter().filter(|call| call.service == Service::Events).collect();
    let [call] = events.try_into().unwrap();
    assert_eq!((call.function.as_str(), call.path.as_str()), ("UploadFunction", "uploads/b c"));
}

#[tokio::test]
async fn an_event_can_be_lost_and_another_late() {
    let setup = notifying().await;
    let rule = Rule::new(Service::Events, Fault::CutBefore).operation("ObjectCreated:Put").path("uploads/");
    let lost = setup.local.faults().add(rule.only(Which::First(1)));
    let late = Rule::new(Service::Events, Fault::Delay(Duration::from_millis(700))).path("uploads/late");
    setup.local.faults().add(late);
    make(&setup.local, "uploads/lost").await;
    until("the event is lost", async || setup.local.faults().met(lost) == 1).await;
    make(&setup.local, "uploads/late").await;
    let began = Instant::now();
    let notes = setup.until_notes(|notes| !told(notes).is_empty()).await;
    assert!(began.elapsed() > Duration::from_millis(600), "{:?}", began.elapsed());
    assert!(!notes.iter().any(|note| note.contains("lost")), "{notes:?}");
    until("all are deleted", async || left(&setup.local, "Uploads").await == 0).await;
}
