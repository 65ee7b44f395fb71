//! The back end: where it is, how to call it, and what the template wants to have there.

use std::{env, fmt, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::{
    config::{Credentials, SharedCredentialsProvider},
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
        ProjectionType, ScalarAttributeType, TableStatus, TimeToLiveSpecification,
    },
};
use aws_sdk_s3::types::{
    BucketLocationConstraint, CreateBucketConfiguration, Delete, FilterRule, NotificationConfiguration,
    NotificationConfigurationFilter, ObjectIdentifier, QueueConfiguration, S3KeyFilter,
};
use aws_sdk_sqs::types::QueueAttributeName;
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

use crate::{
    Error, Overrides, Service,
    deployment::{BucketSpec, Deployment, KeySpec, QueueSpec, TableSpec},
    error::Source,
    template::Names,
};

/// How long a table may take until it can be used.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the back end answers, and what opens it.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// The address of every service that has none of its own. None is AWS itself.
    pub all: Option<String>,
    /// The address of S3.
    pub s3: Option<String>,
    /// The address of SQS.
    pub sqs: Option<String>,
    /// The address of DynamoDB.
    pub dynamodb: Option<String>,
    /// The region.
    pub region: String,
    /// The key's id.
    pub access_key: String,
    /// The key.
    pub secret_key: String,
    /// The session, where credentials are temporary.
    pub session_token: Option<String>,
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { all, s3, sqs, dynamodb, region, .. } = self;
        write!(
            f,
            "Endpoints {{ all: {all:?}, s3: {s3:?}, sqs: {sqs:?}, dynamodb: {dynamodb:?}, region: {region} }}"
        )
    }
}

impl Endpoints {
    /// All services at one address, with credentials that emulators take.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            all: Some(url.into()),
            s3: None,
            sqs: None,
            dynamodb: None,
            region: "eu-central-1".to_owned(),
            access_key: "test".to_owned(),
            secret_key: "test".to_owned(),
            session_token: None,
        }
    }

    /// What the environment names: `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_S3`, `_SQS` and `_DYNAMODB`, `AWS_REGION`,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`. None if it names no endpoint.
    pub fn from_env() -> Option<Self> {
        let var = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let mut found = Self::at("");
        found.all = var("AWS_ENDPOINT_URL");
        found.s3 = var("AWS_ENDPOINT_URL_S3");
        found.sqs = var("AWS_ENDPOINT_URL_SQS");
        found.dynamodb = var("AWS_ENDPOINT_URL_DYNAMODB");
        if let Some(region) = var("AWS_REGION").or_else(|| var("AWS_DEFAULT_REGION")) {
            found.region = region;
        }
        if let (Some(key), Some(secret)) = (var("AWS_ACCESS_KEY_ID"), var("AWS_SECRET_ACCESS_KEY")) {
            (found.access_key, found.secret_key) = (key, secret);
            found.session_token = var("AWS_SESSION_TOKEN");
        }
        let any = [&found.all, &found.s3, &found.sqs, &found.dynamodb].into_iter().any(Option::is_some);
        any.then_some(found)
    }

    /// The address of a service.
    pub fn of(&self, service: Service) -> Option<&str> {
        let own = match service {
            Service::S3 => &self.s3,
            Service::Sqs => &self.sqs,
            Service::DynamoDb => &self.dynamodb,
            Service::Events | Service::Other => &None,
        };
        own.as_deref().or(self.all.as_deref())
    }
}

/// Clients of the back end, past all faults.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    pub(crate) sdk: SdkConfig,
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) sqs: aws_sdk_sqs::Client,
}

impl Clients {
    pub(crate) fn new(endpoints: &Endpoints) -> Self {
        let Endpoints { access_key, secret_key, session_token, .. } = endpoints;
        let credentials =
            Credentials::new(access_key, secret_key, session_token.clone(), None, "willcall-aws-local");
        let https = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let mut sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(endpoints.region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(https);
        sdk.set_endpoint_url(endpoints.all.clone());
        let sdk = sdk.build();
        let mut dynamodb = aws_sdk_dynamodb::config::Builder::from(&sdk);
        let mut sqs = aws_sdk_sqs::config::Builder::from(&sdk);
        let mut s3 = aws_sdk_s3::config::Builder::from(&sdk);
        s3.set_force_path_style(Some(endpoints.of(Service::S3).is_some()));
        dynamodb.set_endpoint_url(endpoints.of(Service::DynamoDb).map(str::to_owned));
        sqs.set_endpoint_url(endpoints.of(Service::Sqs).map(str::to_owned));
        s3.set_endpoint_url(endpoints.of(Service::S3).map(str::to_owned));
        Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            sqs: aws_sdk_sqs::Client::from_conf(sqs.build()),
            sdk,
        }
    }

    /// Makes what the template describes, all under the stack's name, and says what it is called.
    pub(crate) async fn create(
        &self,
        deployment: &Deployment,
        overrides: &Overrides,
        region: &str,
        stack: &str,
    ) -> Result<Names, Error> {
        let mut names = Names::new(region, "000000000000", stack);
        for queue in in_order(&deployment.queues) {
            self.create_queue(queue, overrides, &mut names).await?;
        }
        for table in &deployment.tables {
            let name = physical(stack, &table.logical);
            self.create_table(table, &name).await?;
            names.set(&table.logical, "", &name);
            let arn = format!("arn:aws:dynamodb:{region}:{}:table/{name}", names.account);
            names.set(&table.logical, "Arn", arn);
        }
        for bucket in &deployment.buckets {
            let name = physical(stack, &bucket.logical);
            let place = BucketLocationConstraint::from(region);
            let place = CreateBucketConfiguration::builder().location_constraint(place).build();
            // The oldest region takes no name.
            let place = (region != "us-east-1").then_some(place);
            let call = self.s3.create_bucket().bucket(&name).set_create_bucket_configuration(place);
            call.send().await.map_err(|error| failed(format!("create the bucket {name}"), error))?;
            names.set(&bucket.logical, "", &name);
            names.set(&bucket.logical, "Arn", format!("arn:aws:s3:::{name}"));
            self.notify(bucket, &name, &names).await?;
        }
        Ok(names)
    }

    /// Lets the bucket tell the queues, if it is to.
    async fn notify(&self, bucket: &BucketSpec, name: &str, names: &Names) -> Result<(), Error> {
        if bucket.notifications.is_empty() {
            return Ok(());
        }
        let what = || format!("set the notifications of {name}");
        let mut all = NotificationConfiguration::builder();
        for notification in &bucket.notifications {
            let rule = |(name, value): &(String, String)| {
                FilterRule::builder().name(name.as_str().into()).value(value).build()
            };
            let rules = notification.filters.iter().map(rule).collect();
            let filter = S3KeyFilter::builder().set_filter_rules(Some(rules)).build();
            let queue = QueueConfiguration::builder()
                .queue_arn(names.get(&notification.queue, "Arn").unwrap_or_default())
                .events(notification.event.as_str().into())
                .filter(NotificationConfigurationFilter::builder().key(filter).build());
            all = all.queue_configurations(queue.build().map_err(|error| failed(what(), error))?);
        }
        let call = self.s3.put_bucket_notification_configuration().bucket(name);
        let call = call.notification_configuration(all.build());
        call.send().await.map(drop).map_err(|error| failed(what(), error))
    }

    async fn create_queue(
        &self,
        queue: &QueueSpec,
        overrides: &Overrides,
        names: &mut Names,
    ) -> Result<(), Error> {
        let name = physical(&names.stack, &queue.logical);
        let visibility = overrides.visibility.get(&queue.logical).copied().unwrap_or(queue.visibility);
        let seconds = |time: Duration| time.as_secs().to_string();
        let mut call = self
            .sqs
            .create_queue()
            .queue_name(&name)
            .attributes(QueueAttributeName::VisibilityTimeout, seconds(visibility))
            .attributes(QueueAttributeName::MessageRetentionPeriod, seconds(queue.retention))
            .attributes(QueueAttributeName::DelaySeconds, seconds(queue.delay))
            .attributes(QueueAttributeName::ReceiveMessageWaitTimeSeconds, seconds(queue.wait));
        if let Some(redrive) = &queue.redrive {
            let arn = names.get(&redrive.dead_letters, "Arn").unwrap_or_default();
            let most = overrides.max_receive_count.get(&queue.logical).unwrap_or(&redrive.max_receive_count);
            let policy = serde_json::json!({"deadLetterTargetArn": arn, "maxReceiveCount": most});
            call = call.attributes(QueueAttributeName::RedrivePolicy, policy.to_string());
        }
        let created = call.send().await.map_err(|error| failed(format!("create the queue {name}"), error))?;
        let url = created.queue_url.unwrap_or_default();
        let call =
            self.sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::QueueArn);
        let found = call.send().await.map_err(|error| failed(format!("describe the queue {name}"), error))?;
        let arn = found.attributes.and_then(|mut known| known.remove(&QueueAttributeName::QueueArn));
        let arn = arn.unwrap_or_default();
        if let Some(account) = arn.split(':').nth(4) {
            account.clone_into(&mut names.account);
        }
        names.set(&queue.logical, "", &url);
        names.set(&queue.logical, "QueueUrl", url);
        names.set(&queue.logical, "Arn", arn);
        names.set(&queue.logical, "QueueName", name);
        Ok(())
    }

    async fn create_table(&self, table: &TableSpec, name: &str) -> Result<(), Error> {
        let wrong =
            |error: aws_sdk_dynamodb::error::BuildError| failed(format!("describe the table {name}"), error);
        let mut call = self
            .dynamodb
            .create_table()
            .table_name(name)
            .billing_mode(BillingMode::PayPerRequest)
            .set_key_schema(Some(schema(&table.key).map_err(wrong)?));
        for (name, kind) in &table.attributes {
            let kind = ScalarAttributeType::from(kind.as_str());
            let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(kind);
            call = call.attribute_definitions(attribute.build().map_err(wrong)?);
        }
        for index in &table.indexes {
            let kind = ProjectionType::from(index.projection.as_str());
            let included = (!index.included.is_empty()).then(|| index.included.clone());
            let projection =
                Projection::builder().projection_type(kind).set_non_key_attributes(included).build();
            let index = GlobalSecondaryIndex::builder()
                .index_name(&index.name)
                .set_key_schema(Some(schema(&index.key).map_err(wrong)?))
                .projection(projection);
            call = call.global_secondary_indexes(index.build().map_err(wrong)?);
        }
        call.send().await.map_err(|error| failed(format!("create the table {name}"), error))?;
        self.await_table(name).await?;
        if let Some(attribute) = &table.ttl {
            let ttl = TimeToLiveSpecification::builder().enabled(true).attribute_name(attribute);
            let ttl = ttl.build().map_err(wrong)?;
            let call = self.dynamodb.update_time_to_live().table_name(name).time_to_live_specification(ttl);
            call.send().await.map_err(|error| failed(format!("set the expiry of {name}"), error))?;
        }
        Ok(())
    }

    async fn await_table(&self, name: &str) -> Result<(), Error> {
        let wait = async {
            loop {
                let found = self.dynamodb.describe_table().table_name(name).send().await;
                let found = found.map_err(|error| failed(format!("describe the table {name}"), error))?;
                if found.table.and_then(|table| table.table_status) == Some(TableStatus::Active) {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let late = |error| failed(format!("bring up the table {name}"), error);
        tokio::time::timeout(PATIENCE, wait).await.map_err(late)?
    }

    /// Removes what [`Clients::create`] made, and all that is in it.
    pub(crate) async fn remove(&self, deployment: &Deployment, names: &Names) -> Result<(), Error> {
        let name = |logical: &str| names.get(logical, "").unwrap_or_default().to_owned();
        for queue in &deployment.queues {
            let url = name(&queue.logical);
            let gone = self.sqs.delete_queue().queue_url(&url).send().await;
            gone.map_err(|error| failed(format!("delete the queue {url}"), error))?;
        }
        for table in &deployment.tables {
            let name = name(&table.logical);
            let gone = self.dynamodb.delete_table().table_name(&name).send().await;
            gone.map_err(|error| failed(format!("delete the table {name}"), error))?;
        }
        for bucket in &deployment.buckets {
            let name = name(&bucket.logical);
            self.empty(&name).await?;
            let gone = self.s3.delete_bucket().bucket(&name).send().await;
            gone.map_err(|error| failed(format!("delete the bucket {name}"), error))?;
        }
        Ok(())
    }

    async fn empty(&self, bucket: &str) -> Result<(), Error> {
        loop {
            let found = self.s3.list_objects_v2().bucket(bucket).send().await;
            let found = found.map_err(|error| failed(format!("list the bucket {bucket}"), error))?;
            let wrong = |error| failed(format!("empty the bucket {bucket}"), error);
            let mut all = Delete::builder().quiet(true);
            let keys: Vec<String> = found.contents().iter().filter_map(|object| object.key.clone()).collect();
            if keys.is_empty() {
                return Ok(());
            }
            for key in keys {
                all = all.objects(ObjectIdentifier::builder().key(key).build().map_err(wrong)?);
            }
            let call = self.s3.delete_objects().bucket(bucket).delete(all.build().map_err(wrong)?);
            call.send().await.map_err(|error| failed(format!("empty the bucket {bucket}"), error))?;
        }
    }
}

/// The name of a resource of a stack: what buckets take too.
pub(crate) fn physical(stack: &str, logical: &str) -> String {
    format!("{stack}-{}", logical.to_ascii_lowercase())
}

pub(crate) fn failed(what: String, error: impl Into<Source>) -> Error {
    Error::BackEnd(what, error.into())
}

/// Queues of dead letters first: the others refer to them.
fn in_order(queues: &[QueueSpec]) -> Vec<&QueueSpec> {
    let (mut first, last): (Vec<_>, Vec<_>) = queues.iter().partition(|queue| queue.redrive.is_none());
    first.extend(last);
    first
}

fn schema(key: &KeySpec) -> Result<Vec<KeySchemaElement>, aws_sdk_dynamodb::error::BuildError> {
    let element =
        |name: &String, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
    let sort = key.sort.iter().map(|name| element(name, KeyType::Range));
    std::iter::once(element(&key.partition, KeyType::Hash)).chain(sort).collect()
}
