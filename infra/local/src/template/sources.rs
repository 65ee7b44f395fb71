//! Queues and clocks that invoke functions.

use std::time::Duration;

use super::{Reader, TemplateError, at::At};
use crate::deployment::{Deployment, ScheduleSpec, SourceSpec};

const FUNCTION: &str = "AWS::Serverless::Function";
const MAPPING: [&str; 5] =
    ["BatchSize", "MaximumBatchingWindowInSeconds", "FunctionResponseTypes", "ScalingConfig", "Enabled"];

/// An event `SQS` of a function.
pub(super) fn sqs(
    reader: &Reader<'_>,
    event: &At<'_>,
    deployment: &mut Deployment,
) -> Result<(), TemplateError> {
    let at = event.required("Properties")?;
    at.only(&[&MAPPING[..], &["Queue"]].concat())?;
    let queue = reader.queue(&at.required("Queue")?)?;
    deployment.sources.extend(source(&at, reader.logical(), queue)?);
    Ok(())
}

/// A resource `AWS::Lambda::EventSourceMapping`.
pub(super) fn mapping(reader: &Reader<'_>, deployment: &mut Deployment) -> Result<(), TemplateError> {
    let node = reader.properties(&[&MAPPING[..], &["EventSourceArn", "FunctionName"]].concat(), &["Tags"])?;
    let at = At::new(&node, reader.resource.place());
    let queue = reader.queue(&at.required("EventSourceArn")?)?;
    let function = reader.target(&at.required("FunctionName")?, &[FUNCTION])?;
    deployment.sources.extend(source(&at, function, queue)?);
    Ok(())
}

fn source(at: &At<'_>, function: String, queue: String) -> Result<Option<SourceSpec>, TemplateError> {
    if let Some(enabled) = at.get("Enabled")?
        && !enabled.flag()?
    {
        return Ok(None);
    }
    let window = at.get("MaximumBatchingWindowInSeconds")?;
    let window = window.map_or(Ok(Duration::ZERO), |at| at.seconds(0, 300))?;
    let mut batch_size = 10;
    if let Some(at) = at.get("BatchSize")? {
        batch_size = at.number(1, 10_000)?;
        if batch_size > 10 && window.is_zero() {
            return Err(at.wrong("is above 10, and there is no MaximumBatchingWindowInSeconds"));
        }
    }
    let mut report_failures = false;
    if let Some(types) = at.get("FunctionResponseTypes")? {
        for item in types.items()? {
            item.one_of(&["ReportBatchItemFailures"])?;
            report_failures = true;
        }
    }
    let mut maximum_concurrency = None;
    if let Some(scaling) = at.get("ScalingConfig")? {
        scaling.only(&["MaximumConcurrency"])?;
        maximum_concurrency = scaling.get("MaximumConcurrency")?.map(|at| at.number(2, 1000)).transpose()?;
    }
    Ok(Some(SourceSpec {
        function,
        queue,
        batch_size,
        window,
        report_failures,
        maximum_concurrency,
        place: (at.place.clone(), at.node.line),
    }))
}

/// An event `Schedule` or `ScheduleV2` of a function.
pub(super) fn schedule(
    reader: &Reader<'_>,
    event: &At<'_>,
    deployment: &mut Deployment,
) -> Result<(), TemplateError> {
    let scheduler = event.required("Type")?.text()? == "ScheduleV2";
    let at = event.required("Properties")?;
    let (expression, state) =
        if scheduler { ("ScheduleExpression", "State") } else { ("Schedule", "Enabled") };
    let passed_over =
        ["Name", "Description", "RetryPolicy", "FlexibleTimeWindow", "PermissionsBoundary", "RoleArn"];
    at.only(&[&[expression, state, "State", "Input"][..], &passed_over].concat())?;
    let enabled = match (at.get("Enabled")?, at.get("State")?) {
        (Some(enabled), _) => enabled.flag()?,
        (None, Some(state)) => state.one_of(&["ENABLED", "DISABLED"])? == "ENABLED",
        (None, None) => true,
    };
    let every = rate(&at.required(expression)?)?;
    let input = match at.get("Input")? {
        None => None,
        Some(input) => {
            let read = serde_json::from_str(input.text()?);
            Some(read.map_err(|error| input.wrong(format!("is not JSON: {error}")))?)
        }
    };
    if enabled {
        deployment.schedules.push(ScheduleSpec { function: reader.logical(), every, input, scheduler });
    }
    Ok(())
}

/// `rate(1 minute)`, `rate(5 minutes)`: the unit is singular exactly for one, or EventBridge refuses it.
fn rate(at: &At<'_>) -> Result<Duration, TemplateError> {
    let text = at.text()?;
    let wrong =
        || at.wrong(format!("is {text:?}, and the local runner knows only rate(1 minute), rate(2 hours), …"));
    let inner = text.strip_prefix("rate(").and_then(|rest| rest.strip_suffix(')')).ok_or_else(wrong)?;
    let (count, unit) = inner.split_once(' ').ok_or_else(wrong)?;
    let count: u64 = count.parse().map_err(|_| wrong())?;
    let seconds = match (count, unit) {
        (1, "minute") => 60,
        (1, "hour") => 3600,
        (1, "day") => 86_400,
        (2.., "minutes") => 60,
        (2.., "hours") => 3600,
        (2.., "days") => 86_400,
        _ => return Err(wrong()),
    };
    Ok(Duration::from_secs(count.saturating_mul(seconds)))
}
