//! Changes under a condition.

use futures::FutureExt;
use willcall_core::{job::Transition, ports::Clock, usecases::jobs::Amendment};

use super::*;

#[tokio::test]
async fn a_condition_is_judged_on_the_very_job_that_is_changed() {
    let world = World::delivering();
    let job = world.submit().await;
    let seen = jobs::status(&world.app, &world.caller(), job.job, Duration::ZERO).await.unwrap().etag();
    let name = |name: &str| Amendment { name: Some(Some(name.into())), ..Amendment::default() };
    // Another changes the job between the judgement and the change.
    let holds = |view: &JobView| {
        let holds = view.etag() == seen;
        if holds {
            let other = Transition::Amend {
                name: Some(Some("other".into())),
                labels: None,
                expires: None,
                version: None,
            };
            let now = world.clock.now();
            world.app.jobs.transition(&job, &other, now).now_or_never().unwrap().unwrap();
        }
        holds
    };
    let amended = jobs::amend_if(&world.app, &world.caller(), job.job, name("mine"), holds).await.unwrap();
    assert!(amended.is_none());
    assert_eq!(world.job(&job).await.name.as_deref(), Some("other"));
    // A change that the condition does not see is no reason to refuse.
    let changes = std::cell::Cell::new(0);
    let holds = |_: &JobView| {
        changes.set(changes.get() + 1);
        if changes.get() == 1 {
            let now = world.clock.now();
            world.app.jobs.transition(&job, &Transition::Sent, now).now_or_never().unwrap().unwrap();
        }
        true
    };
    let amended = jobs::amend_if(&world.app, &world.caller(), job.job, name("mine"), holds).await.unwrap();
    assert_eq!((amended.unwrap().job.name.as_deref(), changes.get()), (Some("mine"), 2));
}
