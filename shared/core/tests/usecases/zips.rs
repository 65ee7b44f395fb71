//! A result and its manifest in one zip.

use willcall_core::{
    job::{Transition, UNSENT_DUE, ZIP_TRIES, Zip},
    ports::TransitionError,
    usecases::zips::{ZipAnswer, zip},
};

use super::{unzip::unzip, *};

const FILE: &[u8] = b"{\"flight\":1}\n{\"flight\":2}\n";

impl World {
    async fn completed(&self) -> JobRef {
        let about = AboutDraft { name: Some("late / ../départs".into()), ..about() };
        let job = self.submit_as(QueryDraft { about, ..draft() }).await;
        let job = job.unwrap().job.reference();
        self.queue.receive();
        assert_eq!(self.work(&job).await, Disposition::Done);
        job
    }

    async fn zip(&self, job: &JobRef) -> Result<ZipAnswer, Error> {
        zip(&self.app, &self.caller(), job.job).await
    }

    async fn packing(&self, job: &JobRef) {
        assert!(matches!(self.zip(job).await, Ok(ZipAnswer::Packing { .. })));
    }

    /// The files of the zip, once it is there.
    async fn unpacked(&self, job: &JobRef) -> Vec<(String, Vec<u8>)> {
        let Ok(ZipAnswer::Made(made)) = self.zip(job).await else { panic!("not made") };
        let bytes = self.blobs.follow(&made.link.url, self.clock_now()).unwrap();
        assert_eq!(made.head.size, bytes.len() as u64);
        assert_eq!(made.file_name, "late-..-départs.zip");
        unzip(&bytes).unwrap()
    }

    fn clock_now(&self) -> Timestamp {
        self.app.clock.now()
    }

    fn zips(&self) -> usize {
        self.blobs.keys().iter().filter(|key| key.ends_with(".zip")).count()
    }
}

#[tokio::test]
async fn the_first_who_asks_has_it_packed_and_it_is_kept() {
    let world = World::delivering();
    let job = world.completed().await;
    assert_eq!(world.zips(), 0, "nobody has asked");
    for _ in 0..3 {
        world.packing(&job).await;
    }
    assert_eq!(world.queue.receive(), Some(job.clone()));
    assert_eq!(world.queue.receive(), None, "one message for all who ask");
    assert_eq!(world.work(&job).await, Disposition::Done);
    let files = world.unpacked(&job).await;
    assert_eq!(files[0], ("late-..-départs.jsonl".into(), FILE.to_vec()), "a name that leads nowhere");
    assert_eq!(files[1].0, "manifest.json");
    let manifest: Value = serde_json::from_slice(&files[1].1).unwrap();
    assert_eq!((manifest["records"].as_u64(), files.len()), (Some(2), 2));
    assert_eq!(world.work(&job).await, Disposition::Done, "a message that comes again");
    let done = world.job(&job).await;
    assert_eq!((done.zip, done.due_at, done.state), (Some(Zip::Made), done.expires, JobState::Completed));
}

#[tokio::test]
async fn only_a_result_that_is_there_is_packed() {
    let world = World::delivering();
    let waiting = world.submit().await;
    assert!(matches!(world.zip(&waiting).await, Err(Error::NotReady(JobState::Accepted))));
    let stranger = JobRef { account: waiting.account.clone(), job: JobId::generate() };
    assert!(matches!(world.zip(&stranger).await, Err(Error::NotFound(_))));
    jobs::cancel(&world.app, &world.caller(), waiting.job).await.unwrap();
    assert!(matches!(world.zip(&waiting).await, Err(Error::NotReady(JobState::Cancelled))));
    let job = world.completed().await;
    world.packing(&job).await;
    world.clock.advance(8 * DAY);
    assert!(matches!(world.zip(&job).await, Err(Error::Expired)), "by the clock, before any sweep");
    assert_eq!(world.work(&job).await, Disposition::Done);
    assert_eq!(world.zips(), 0, "nobody packs what has expired");
}

#[tokio::test]
async fn a_lost_message_is_made_up_for() {
    let world = World::delivering();
    let job = world.completed().await;
    world.queue.set_broken(true);
    world.packing(&job).await;
    world.queue.set_broken(false);
    assert_eq!(sweep(&world.app).await.unwrap(), Swept::default(), "not due yet");
    for waited in [1, 2, 4] {
        world.clock.advance(UNSENT_DUE * waited);
        assert_eq!(sweep(&world.app).await.unwrap().resent, 1);
        assert_eq!(world.queue.receive(), Some(job.clone()));
        assert_eq!(sweep(&world.app).await.unwrap(), Swept::default(), "a backlog is not sent again at once");
    }
    assert_eq!(world.work(&job).await, Disposition::Done);
    assert_eq!(world.unpacked(&job).await.len(), 2);
    world.clock.advance(UNSENT_DUE * 300);
    assert_eq!(sweep(&world.app).await.unwrap(), Swept::default());
}

#[tokio::test]
async fn a_worker_that_died_is_followed_by_another_but_not_for_ever() {
    let world = World::delivering();
    let job = world.completed().await;
    world.packing(&job).await;
    let begin = Transition::PackZip { lease: Duration::from_secs(60) };
    for _ in 0..ZIP_TRIES {
        world.jobs.transition(&job, &begin, world.clock_now()).await.unwrap();
        assert_eq!(world.work(&job).await, Disposition::Done, "another packs it");
        assert_eq!(world.zips(), 0);
        world.clock.advance(Duration::from_secs(61));
        assert_eq!(sweep(&world.app).await.unwrap().resent, 1);
    }
    assert_eq!(world.work(&job).await, Disposition::Done);
    assert!(matches!(world.zip(&job).await, Err(Error::Internal(_))));
    world.packing(&job).await;
    assert_eq!(world.work(&job).await, Disposition::Done);
    assert_eq!(world.unpacked(&job).await.len(), 2);
}

#[tokio::test]
async fn what_keeps_failing_is_told_once_and_tried_anew() {
    let world = World::delivering();
    let job = world.completed().await;
    world.packing(&job).await;
    world.blobs.set_full(true);
    for _ in 1..ZIP_TRIES {
        assert!(matches!(world.work(&job).await, Disposition::RetryAfter(_)));
        world.packing(&job).await;
    }
    assert_eq!(world.work(&job).await, Disposition::Done);
    assert!(
        matches!(&world.job(&job).await.zip, Some(Zip::Failed(problem)) if problem.kind == ProblemType::Unavailable)
    );
    world.blobs.set_full(false);
    assert_eq!(world.zips(), 0);
    assert!(matches!(world.zip(&job).await, Err(Error::Unavailable(_))));
    world.packing(&job).await;
    assert_eq!(world.work(&job).await, Disposition::Done);
    assert_eq!(world.unpacked(&job).await.len(), 2);
}

#[tokio::test]
async fn a_result_that_is_damaged_is_not_packed() {
    let world = World::delivering();
    let job = world.completed().await;
    let key = BlobKey::Result { job: job.clone(), attempt: 1, file: "result.jsonl".into() };
    assert!(world.blobs.tamper(&key, "shorter"));
    world.packing(&job).await;
    for _ in 0..ZIP_TRIES {
        world.work(&job).await;
    }
    assert!(matches!(world.zip(&job).await, Err(Error::Internal(_))));
    assert_eq!(world.zips(), 0);
}

#[tokio::test]
async fn a_shutdown_leaves_the_zip_to_another_worker() {
    let world = World::delivering();
    let job = world.completed().await;
    world.packing(&job).await;
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    // Whether it is packed just in time or handed back is left to chance; it is never half there.
    let first = work(&world.worker(), &job, &shutdown).await;
    if first != Disposition::Done {
        assert!(matches!(first, Disposition::RetryAfter(_)));
        assert_eq!(world.work(&job).await, Disposition::Done);
    }
    assert_eq!(world.unpacked(&job).await.len(), 2);
}

#[tokio::test]
async fn the_zip_goes_with_the_job() {
    let world = World::delivering();
    for deleted in [true, false] {
        let job = world.completed().await;
        world.packing(&job).await;
        world.work(&job).await;
        assert_eq!(world.zips(), 1);
        if deleted {
            jobs::delete(&world.app, &world.caller(), job.job).await.unwrap();
            assert!(matches!(world.zip(&job).await, Err(Error::NotFound(_))));
        } else {
            world.clock.advance(8 * DAY);
            sweep(&world.app).await.unwrap();
            assert!(matches!(world.zip(&job).await, Err(Error::Expired)));
        }
        assert!(!world.has_files_of(&job));
    }
}

#[tokio::test]
async fn a_job_that_is_deleted_while_its_zip_is_packed_leaves_nothing() {
    let world = World::delivering();
    let job = world.completed().await;
    world.packing(&job).await;
    let found = world.job(&job).await;
    let begin = Transition::PackZip { lease: Duration::from_secs(60) };
    world.jobs.transition(&job, &begin, world.clock_now()).await.unwrap();
    jobs::delete(&world.app, &world.caller(), job.job).await.unwrap();
    // The worker's last write comes after the delete, and what it writes down is refused.
    let key = BlobKey::Zip { job: found.reference(), attempt: 1 };
    world.app.blobs.put(&key, "application/zip", bytes::Bytes::from_static(b"late")).await.unwrap();
    let late = world.jobs.transition(&job, &Transition::ZipMade, world.clock_now()).await;
    assert!(matches!(late, Err(TransitionError::NotFound)));
    jobs::delete(&world.app, &world.caller(), job.job).await.unwrap_err();
}

#[tokio::test]
async fn what_is_amended_while_a_zip_is_wanted_does_not_put_it_off() {
    let world = World::delivering();
    let job = world.completed().await;
    world.queue.set_broken(true);
    world.packing(&job).await;
    world.queue.set_broken(false);
    let expires = Some(world.clock_now().plus(DAY));
    let change = jobs::Amendment { expires, ..jobs::Amendment::default() };
    jobs::amend(&world.app, &world.caller(), job.job, change).await.unwrap();
    world.clock.advance(UNSENT_DUE);
    assert_eq!(sweep(&world.app).await.unwrap().resent, 1);
}
