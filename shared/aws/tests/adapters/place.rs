//! A test's place on the emulator. A type of this crate's own, so that the suites' harnesses can be written for it.

use std::ops::Deref;

use aws_smithy_runtime_api::client::http::SharedHttpClient;

pub(crate) struct Place(willcall_aws_test::Place);

impl Place {
    pub(crate) async fn new() -> Self {
        Self(willcall_aws_test::Place::new().await)
    }

    /// A place whose adapters, but not its raw clients, call through `http`.
    pub(crate) async fn through(http: SharedHttpClient) -> Self {
        Self(willcall_aws_test::Place::through(Some(http)).await)
    }
}

impl Deref for Place {
    type Target = willcall_aws_test::Place;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
