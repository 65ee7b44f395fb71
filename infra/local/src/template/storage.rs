//! Queues, tables and buckets.

use std::{collections::BTreeSet, time::Duration};

use super::{Reader, TemplateError, at::At};
use crate::deployment::{
    BucketSpec, Deployment, IndexSpec, KeySpec, NotificationSpec, QueueSpec, RedriveSpec, TableSpec,
};

pub(super) fn queue(reader: &Reader<'_>, deployment: &mut Deployment) -> Result<(), TemplateError> {
    let used = [
        "VisibilityTimeout",
        "MessageRetentionPeriod",
        "DelaySeconds",
        "ReceiveMessageWaitTimeSeconds",
        "RedrivePolicy",
        "FifoQueue",
    ];
    let passed_over = [
        "QueueName",
        "Tags",
        "KmsMasterKeyId",
        "KmsDataKeyReusePeriodSeconds",
        "SqsManagedSseEnabled",
        "RedriveAllowPolicy",
        "MaximumMessageSize",
    ];
    let node = reader.properties(&used, &passed_over)?;
    let at = At::new(&node, reader.resource.place());
    if let Some(fifo) = at.get("FifoQueue")?
        && fifo.flag()?
    {
        return Err(fifo.wrong("is a FIFO queue, which the local runner does not know"));
    }
    let seconds = |key: &str, least, most, default| -> Result<Duration, TemplateError> {
        at.get(key)?.map_or(Ok(Duration::from_secs(default)), |at| at.seconds(least, most))
    };
    let redrive = at.get("RedrivePolicy")?.map(|at| redrive(reader, &at)).transpose()?;
    deployment.queues.push(QueueSpec {
        logical: reader.logical(),
        visibility: seconds("VisibilityTimeout", 0, 43_200, 30)?,
        retention: seconds("MessageRetentionPeriod", 60, 1_209_600, 345_600)?,
        delay: seconds("DelaySeconds", 0, 900, 0)?,
        wait: seconds("ReceiveMessageWaitTimeSeconds", 0, 20, 0)?,
        redrive,
    });
    Ok(())
}

fn redrive(reader: &Reader<'_>, at: &At<'_>) -> Result<RedriveSpec, TemplateError> {
    at.only(&["deadLetterTargetArn", "maxReceiveCount"])?;
    let dead_letters = reader.queue(&at.required("deadLetterTargetArn")?)?;
    Ok(RedriveSpec { dead_letters, max_receive_count: at.required("maxReceiveCount")?.number(1, 1000)? })
}

pub(super) fn table(reader: &Reader<'_>, deployment: &mut Deployment) -> Result<(), TemplateError> {
    let used = [
        "KeySchema",
        "AttributeDefinitions",
        "BillingMode",
        "GlobalSecondaryIndexes",
        "TimeToLiveSpecification",
    ];
    let passed_over = [
        "TableName",
        "Tags",
        "PointInTimeRecoverySpecification",
        "SSESpecification",
        "DeletionProtectionEnabled",
        "TableClass",
        "OnDemandThroughput",
        "ContributorInsightsSpecification",
        "WarmThroughput",
    ];
    let node = reader.properties(&used, &passed_over)?;
    let at = At::new(&node, reader.resource.place());
    at.required("BillingMode")?.one_of(&["PAY_PER_REQUEST"])?;
    let mut attributes = Vec::new();
    for item in at.required("AttributeDefinitions")?.items()? {
        item.only(&["AttributeName", "AttributeType"])?;
        let name = item.required("AttributeName")?.text()?.to_owned();
        attributes.push((name, item.required("AttributeType")?.one_of(&["S", "N", "B"])?.to_owned()));
    }
    let key = key(&at.required("KeySchema")?)?;
    let mut indexes = Vec::new();
    if let Some(list) = at.get("GlobalSecondaryIndexes")? {
        for item in list.items()? {
            indexes.push(index(&item)?);
        }
    }
    let needed: BTreeSet<&str> =
        indexes.iter().map(|index| &index.key).chain([&key]).flat_map(KeySpec::names).collect();
    let defined: BTreeSet<&str> = attributes.iter().map(|(name, _)| name.as_str()).collect();
    if needed != defined {
        // DynamoDB refuses both, what is missing and what no key uses.
        let place = at.required("AttributeDefinitions")?;
        return Err(place.wrong(format!("defines {defined:?}, and the keys are of {needed:?}")));
    }
    let mut ttl = None;
    if let Some(at) = at.get("TimeToLiveSpecification")? {
        at.only(&["AttributeName", "Enabled"])?;
        if at.required("Enabled")?.flag()? {
            ttl = Some(at.required("AttributeName")?.text()?.to_owned());
        }
    }
    deployment.tables.push(TableSpec { logical: reader.logical(), key, attributes, indexes, ttl });
    Ok(())
}

fn key(at: &At<'_>) -> Result<KeySpec, TemplateError> {
    let (mut partition, mut sort) = (None, None);
    for item in at.items()? {
        item.only(&["AttributeName", "KeyType"])?;
        let name = item.required("AttributeName")?.text()?.to_owned();
        let place = match item.required("KeyType")?.one_of(&["HASH", "RANGE"])? {
            "HASH" => &mut partition,
            _ => &mut sort,
        };
        if place.replace(name).is_some() {
            return Err(item.wrong("is the second key of its kind"));
        }
    }
    let partition = partition.ok_or_else(|| at.wrong("has no key of the kind HASH"))?;
    Ok(KeySpec { partition, sort })
}

fn index(at: &At<'_>) -> Result<IndexSpec, TemplateError> {
    at.only(&[
        "IndexName",
        "KeySchema",
        "Projection",
        "ContributorInsightsSpecification",
        "OnDemandThroughput",
    ])?;
    let projection = at.required("Projection")?;
    projection.only(&["ProjectionType", "NonKeyAttributes"])?;
    let mut included = Vec::new();
    let kind = projection.required("ProjectionType")?.one_of(&["KEYS_ONLY", "ALL", "INCLUDE"])?;
    if let Some(names) = projection.get("NonKeyAttributes")? {
        included = names.texts()?;
    }
    Ok(IndexSpec {
        name: at.required("IndexName")?.text()?.to_owned(),
        key: key(&at.required("KeySchema")?)?,
        projection: kind.to_owned(),
        included,
    })
}

pub(super) fn bucket(reader: &Reader<'_>, deployment: &mut Deployment) -> Result<(), TemplateError> {
    let passed_over = [
        "BucketName",
        "Tags",
        "BucketEncryption",
        "PublicAccessBlockConfiguration",
        "OwnershipControls",
        "LifecycleConfiguration",
        "CorsConfiguration",
        "LoggingConfiguration",
        "MetricsConfigurations",
        "AccelerateConfiguration",
    ];
    let node = reader.properties(&["VersioningConfiguration", "NotificationConfiguration"], &passed_over)?;
    let at = At::new(&node, reader.resource.place());
    if let Some(versions) = at.get("VersioningConfiguration")?
        && versions.required("Status")?.one_of(&["Enabled", "Suspended"])? == "Enabled"
    {
        return Err(versions.wrong("keeps versions, which the local runner does not know"));
    }
    let mut notifications = Vec::new();
    if let Some(at) = at.get("NotificationConfiguration")? {
        // Of functions and topics, the local runner knows nothing.
        at.only(&["QueueConfigurations"])?;
        for item in at.required("QueueConfigurations")?.items()? {
            notifications.push(notification(reader, &item)?);
        }
    }
    deployment.buckets.push(BucketSpec { logical: reader.logical(), notifications });
    Ok(())
}

fn notification(reader: &Reader<'_>, at: &At<'_>) -> Result<NotificationSpec, TemplateError> {
    at.only(&["Event", "Queue", "Filter"])?;
    let event = at.required("Event")?;
    if !event.text()?.starts_with("s3:") {
        return Err(event.wrong("is no event of S3"));
    }
    let mut filters = Vec::new();
    if let Some(filter) = at.get("Filter")? {
        filter.only(&["S3Key"])?;
        let key = filter.required("S3Key")?;
        key.only(&["Rules"])?;
        for rule in key.required("Rules")?.items()? {
            rule.only(&["Name", "Value"])?;
            let name = rule.required("Name")?.one_of(&["prefix", "suffix"])?;
            filters.push((name.to_owned(), rule.required("Value")?.text()?.to_owned()));
        }
    }
    let queue = reader.queue(&at.required("Queue")?)?;
    Ok(NotificationSpec { queue, event: event.text()?.to_owned(), filters })
}
