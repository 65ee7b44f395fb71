//! What one test has of the emulator: a table, a bucket and a queue that nobody else uses.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    config::SharedHttpClient,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
        ProjectionType, ScalarAttributeType,
    },
};
use aws_smithy_http_client::Builder;
use willcall_aws::{Clients, DUE_AT, DUE_INDEX, DUE_SHARD, PARTITION_KEY, SORT_KEY};
use willcall_core::JobId;

use crate::{Emulator, REGION};

/// A table, a bucket and a queue as a deployment makes them, all of one name that nobody else has.
pub struct Place {
    /// The clients of adapters.
    pub clients: Clients,
    /// S3 itself, to look behind the adapters.
    pub raw_s3: aws_sdk_s3::Client,
    /// SQS itself.
    pub raw_sqs: aws_sdk_sqs::Client,
    /// Secrets Manager itself.
    pub raw_secrets: aws_sdk_secretsmanager::Client,
    /// DynamoDB itself.
    pub raw_dynamodb: aws_sdk_dynamodb::Client,
    /// The name of the table, the bucket and the queue.
    pub name: String,
    /// Where the queue is.
    pub queue_url: String,
    emulator: &'static Emulator,
}

impl Place {
    /// A place on the emulator of this run.
    pub async fn new() -> Self {
        Self::through(None).await
    }

    /// A place whose adapters, but not its raw clients, call through `http`.
    pub async fn through(http: Option<SharedHttpClient>) -> Self {
        let emulator = Emulator::of_this_run();
        let sdk = emulator.sdk(Builder::new().build_http());
        let clients = Clients::new(&http.map_or_else(|| sdk.clone(), |http| emulator.sdk(http)), true);
        let mut place = Self {
            clients,
            raw_s3: raw_s3(&sdk),
            raw_sqs: aws_sdk_sqs::Client::new(&sdk),
            raw_secrets: aws_sdk_secretsmanager::Client::new(&sdk),
            raw_dynamodb: aws_sdk_dynamodb::Client::new(&sdk),
            name: format!("t-{}", JobId::generate()),
            queue_url: String::new(),
            emulator,
        };
        place.create().await;
        place
    }

    /// The environment of a process that works here.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = self.emulator.environment();
        environment.extend([
            ("WILLCALL_TABLE", self.name.clone()),
            ("WILLCALL_BUCKET", self.name.clone()),
            ("WILLCALL_QUEUE_URL", self.queue_url.clone()),
        ]);
        environment
    }

    async fn create(&mut self) {
        create_table(&self.raw_dynamodb, &self.name).await;
        let location = aws_sdk_s3::types::CreateBucketConfiguration::builder()
            .location_constraint(REGION.into())
            .build();
        let bucket = self.raw_s3.create_bucket().bucket(&self.name);
        bucket.create_bucket_configuration(location).send().await.unwrap();
        let queue = self.raw_sqs.create_queue().queue_name(&self.name).send().await.unwrap();
        self.queue_url = queue.queue_url.unwrap();
    }
}

fn raw_s3(sdk: &SdkConfig) -> aws_sdk_s3::Client {
    let path_style = aws_sdk_s3::config::Builder::from(sdk).force_path_style(true).build();
    aws_sdk_s3::Client::from_conf(path_style)
}

/// The table as the deployment makes it.
async fn create_table(dynamodb: &aws_sdk_dynamodb::Client, name: &str) {
    let attribute = |name: &str, kind| {
        AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
    };
    let key =
        |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    let due = GlobalSecondaryIndex::builder()
        .index_name(DUE_INDEX)
        .key_schema(key(DUE_SHARD, KeyType::Hash))
        .key_schema(key(DUE_AT, KeyType::Range))
        .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build());
    dynamodb
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute(PARTITION_KEY, ScalarAttributeType::S))
        .attribute_definitions(attribute(SORT_KEY, ScalarAttributeType::S))
        .attribute_definitions(attribute(DUE_SHARD, ScalarAttributeType::N))
        .attribute_definitions(attribute(DUE_AT, ScalarAttributeType::N))
        .key_schema(key(PARTITION_KEY, KeyType::Hash))
        .key_schema(key(SORT_KEY, KeyType::Range))
        .global_secondary_indexes(due.build().unwrap())
        .send()
        .await
        .unwrap();
}
