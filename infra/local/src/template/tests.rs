//! Small templates, and what is wrong with them.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use super::{Names, Template};
use crate::deployment::{Deployment, RoutePath};

const WHOLE: &str = "
Parameters:
  Stage: {Type: String, Default: prod}
  Concurrency: {Type: Number, Default: 0, MinValue: 0, MaxValue: 1000}
  Origins: {Type: CommaDelimitedList, Default: 'https://a.example,https://b.example'}
Mappings:
  Sizes: {prod: {Memory: 1024}, test: {Memory: 256}}
Conditions:
  Reserves: !Not [!Equals [!Ref Concurrency, 0]]
  IsTest: !Equals [!Ref Stage, test]
  Both: !And [!Condition Reserves, {Condition: IsTest}]
  Either: !Or [!Condition Reserves, !Condition IsTest]
Globals:
  Function:
    Runtime: provided.al2023
    Handler: bootstrap
    Timeout: 10
    Environment: {Variables: {QUEUE: !Ref Jobs, LEVEL: info}}
Resources:
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      CorsConfiguration: {AllowOrigins: !Ref Origins, AllowMethods: [GET], AllowHeaders: [X-A], MaxAge: 60}
  Submit:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: ../target/lambda/submit/bootstrap.zip
      MemorySize: !FindInMap [Sizes, !Ref Stage, Memory]
      ReservedConcurrentExecutions: !If [Reserves, !Ref Concurrency, !Ref AWS::NoValue]
      Environment:
        Variables:
          LEVEL: !If [Either, debug, !Ref AWS::NoValue]
          SUB: !Sub '${AWS::Region}/${Jobs.QueueName}/${!kept}'
          SUB_OWN: !Sub ['${Word}-${Table}', {Word: !Join [_, [a, !Ref Stage]]}]
          PART: !Select [1, !Split ['/', a/b/c]]
      Policies: [{anything: !GetAtt Jobs.Arn}]
      Events:
        One: {Type: HttpApi, Properties: {ApiId: !Ref Api, Method: get, Path: '/v1/{id}'}}
        Rest: {Type: HttpApi, Properties: {ApiId: !Ref Api}}
        Clock: {Type: Schedule, Properties: {Schedule: rate(5 minutes), Input: '{\"a\": 1}'}}
        Jobs:
          Type: SQS
          Properties:
            Queue: !GetAtt Jobs.Arn
            BatchSize: 1
            FunctionResponseTypes: [ReportBatchItemFailures]
            ScalingConfig: {MaximumConcurrency: 3}
  Twin:
    Type: AWS::Serverless::Function
    Condition: Both
    Properties: {CodeUri: build/twin}
  Jobs:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 60
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 4}
  Dead:
    Type: AWS::SQS::Queue
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
      TimeToLiveSpecification: {AttributeName: ttl, Enabled: true}
  Bucket:
    Type: AWS::S3::Bucket
    Properties:
      NotificationConfiguration:
        QueueConfigurations:
          - Event: s3:ObjectCreated:*
            Queue: !GetAtt Jobs.Arn
            Filter: {S3Key: {Rules: [{Name: prefix, Value: in/}, {Name: suffix, Value: .csv}]}}
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties: {Dimensions: [{Name: QueueName, Value: !GetAtt Dead.QueueName}], Whatever: !GetAZs ''}
";

fn read(text: &str, given: &[(&str, &str)]) -> Result<(Template, Deployment), String> {
    let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let template = Template::read(text, &given).map_err(|error| error.to_string())?;
    let deployment = template.deployment().map_err(|error| error.to_string())?;
    Ok((template, deployment))
}

fn names() -> Names {
    let mut names = Names::new("eu-west-1", "1", "stack");
    for (logical, attribute, value) in
        [("Jobs", "", "http://q"), ("Jobs", "QueueName", "q"), ("Table", "", "t"), ("Jobs", "Arn", "arn:q")]
    {
        names.set(logical, attribute, value);
    }
    names
}

#[test]
fn a_template_says_what_runs() {
    let (_, deployment) = read(WHOLE, &[]).unwrap();
    let [function] = deployment.functions.as_slice() else { panic!("{:?}", deployment.functions) };
    assert_eq!((function.logical.as_str(), function.binary.as_str()), ("Submit", "submit"));
    assert_eq!((function.timeout, function.memory, function.storage), (Duration::from_secs(10), 1024, 512));
    assert_eq!(function.reserved, None);
    let keys: Vec<String> = deployment.routes.iter().map(super::super::deployment::RouteSpec::key).collect();
    assert_eq!(keys, ["GET /v1/{id}", "$default"]);
    assert_eq!(deployment.routes[1].path, RoutePath::Default);
    let api = deployment.api.unwrap();
    let cors = api.cors.unwrap();
    assert_eq!(
        (api.stage.as_str(), cors.origins.len(), cors.headers),
        ("$default", 2, vec!["x-a".to_owned()])
    );
    let source = &deployment.sources[0];
    assert_eq!((source.queue.as_str(), source.batch_size, source.report_failures), ("Jobs", 1, true));
    assert_eq!(source.maximum_concurrency, Some(3));
    let schedule = &deployment.schedules[0];
    assert_eq!(
        (schedule.every, &schedule.input),
        (Duration::from_secs(300), &Some(serde_json::json!({"a": 1})))
    );
    let queue = &deployment.queues[0];
    let redrive = queue.redrive.as_ref().unwrap();
    assert_eq!((redrive.dead_letters.as_str(), redrive.max_receive_count), ("Dead", 4));
    assert_eq!((queue.visibility, deployment.queues[1].visibility.as_secs()), (Duration::from_secs(60), 30));
    assert_eq!(deployment.tables[0].ttl.as_deref(), Some("ttl"));
    let [notification] = deployment.buckets[0].notifications.as_slice() else { panic!("not one") };
    assert_eq!((notification.queue.as_str(), notification.event.as_str()), ("Jobs", "s3:ObjectCreated:*"));
    let filters = [("prefix", "in/"), ("suffix", ".csv")];
    assert_eq!(notification.filters, filters.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn parameters_decide_conditions_and_values() {
    let (template, deployment) = read(WHOLE, &[("Stage", "test"), ("Concurrency", "5")]).unwrap();
    let functions: Vec<_> = deployment.functions.iter().map(|function| function.logical.as_str()).collect();
    assert_eq!(functions, ["Submit", "Twin"]);
    assert_eq!((deployment.functions[0].memory, deployment.functions[0].reserved), (256, Some(5)));
    let variables = template.variables("Submit", &names()).unwrap();
    let expected = [
        ("LEVEL", "debug"),
        ("PART", "b"),
        ("QUEUE", "http://q"),
        ("SUB", "eu-west-1/q/${kept}"),
        ("SUB_OWN", "a_test-t"),
    ];
    let expected: BTreeMap<String, String> =
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(variables, expected);
    let (template, _) = read(WHOLE, &[]).unwrap();
    assert_eq!(template.variables("Submit", &names()).unwrap()["LEVEL"], "info");
}

#[test]
fn what_is_wrong_is_an_error_that_names_the_place() {
    for (from, to, complaint) in [
        ("Timeout: 10", "Timeout: 901", "Timeout (line "),
        ("Timeout: 10", "Timeout: soon", "must be a whole number from 1 to 900"),
        ("Timeout: 10", "TimeOut: 10", "Globals.Function.TimeOut (line "),
        ("VisibilityTimeout: 60", "VisibilityTimeout: 9", "less than the 10 s that Submit may take"),
        ("!GetAtt Dead.Arn", "!GetAtt Daed.Arn", "refers to Daed, which is not there"),
        ("Value: !GetAtt Dead.QueueName", "Value: !Sub '${Daed.QueueName}'", "refers to Daed"),
        ("QUEUE: !Ref Jobs", "QUEUE: !Ref Alarm", "refers to Alarm, which is not there, or not known"),
        ("QUEUE: !Ref Jobs", "QUEUE: !ImportValue x", "has the function ImportValue"),
        ("QUEUE: !Ref Jobs", "AWS_REGION: x", "keeps for itself"),
        ("QUEUE: !Ref Jobs", "QUEUE: [a]", "must be text"),
        ("Queue: !GetAtt Jobs.Arn", "Queue: !GetAtt Table.Arn", "names no AWS::SQS::Queue"),
        ("Queue: !GetAtt Jobs.Arn", "Queue: !Ref Jobs", "must be an ARN"),
        ("deadLetterTargetArn: !GetAtt Dead.Arn", "deadLetterTargetArn: !Ref Dead", "must be an ARN"),
        ("BatchSize: 1", "BatchSize: 11", "no MaximumBatchingWindowInSeconds"),
        ("BatchSize: 1", "FilterCriteria: {}", "FilterCriteria (line "),
        ("MaximumConcurrency: 3", "MaximumConcurrency: 1", "from 2 to 1000"),
        ("rate(5 minutes)", "rate(1 minutes)", "the local runner knows only rate(1 minute)"),
        ("rate(5 minutes)", "cron(0 * * * ? *)", "the local runner knows only"),
        ("Input: '{\"a\": 1}'", "Input: '{'", "is not JSON"),
        ("Method: get, Path: '/v1/{id}'", "Method: get", "both Path and Method"),
        ("Method: get, Path", "Method: fetch, Path", "which is no method"),
        ("'/v1/{id}'", "'/v1/{id+}/x'", "only the last variable may be greedy"),
        ("'/v1/{id}'", "'/v1/a{id}'", "a variable is a whole segment"),
        ("Rest: {Type: HttpApi, Properties: {ApiId: !Ref Api}}", "Rest: {Type: Api}", "is a Api, which"),
        (
            "Rest: {Type: HttpApi, Properties: {ApiId: !Ref Api}}",
            "Rest: {Type: HttpApi, Properties: {Method: GET, Path: '/v1/{x}'}}",
            "is a second route GET /v1/{x}",
        ),
        ("AllowMethods: [GET]", "AllowMethods: [GTE]", "allows the method GTE"),
        ("AllowMethods: [GET]", "AllowMethods: ['*'], AllowCredentials: true", "allows credentials"),
        ("Event: s3:ObjectCreated:*", "Event: ObjectCreated", "is no event of S3"),
        ("Name: suffix,", "Name: infix,", "must be one of prefix, suffix"),
        ("QueueConfigurations:", "LambdaConfigurations:", "NotificationConfiguration.LambdaConfigurations"),
        ("maxReceiveCount: 4", "maxReceiveCount: 0", "from 1 to 1000"),
        (
            "[{AttributeName: pk, AttributeType: S}]",
            "[{AttributeName: sk, AttributeType: S}]",
            "the keys are of",
        ),
        ("BillingMode: PAY_PER_REQUEST", "BillingMode: PROVISIONED", "must be one of PAY_PER_REQUEST"),
        ("Type: AWS::CloudWatch::Alarm", "Type: AWS::Lambda::Alias", "is a AWS::Lambda::Alias, which"),
        (
            "CodeUri: ../target/lambda/submit/bootstrap.zip",
            "CodeUri: ./x.zip",
            "must end with the binary's name",
        ),
        ("Runtime: provided.al2023", "Runtime: python3.13", "must be one of provided.al2023"),
        ("!If [Reserves,", "!If [Reserved,", "names no condition: Reserved"),
        ("Condition: Both", "Condition: Bath", "names no condition: Bath"),
        (
            "!Condition Reserves, !Condition IsTest",
            "!Condition Either, !Condition IsTest",
            "names no condition: Either",
        ),
        (
            "!FindInMap [Sizes, !Ref Stage, Memory]",
            "!FindInMap [Sizes, !Ref Stage, Disk]",
            "finds no Sizes.prod.Disk",
        ),
        ("!Select [1,", "!Select [3,", "selects 3 of 3 values"),
        ("${Jobs.QueueName}/", "${Jobs.QueueName/", "asks for Jobs.QueueName/"),
        ("Default: 0, MinValue: 0", "Default: -1, MinValue: 0", "against MinValue 0"),
        ("Default: prod}", "Default: prod, AllowedValues: [a, b]}", "must be one of a, b"),
        ("Default: prod}", "Description: x}", "has no default, and no value was given"),
        ("Conditions:\n", "Condition:\n", "Condition (line "),
    ] {
        assert!(WHOLE.contains(from), "{from}");
        let error = read(&WHOLE.replacen(from, to, 1), &[]).map(|_| "nothing").unwrap_err();
        assert!(error.contains(complaint), "{from} -> {to}: {error}");
        assert!(error.contains("(line "), "{error}");
    }
    let error = read(WHOLE, &[("Stages", "x")]).map(|_| "nothing").unwrap_err();
    assert!(error.contains("has no Stages, for which a value was given"), "{error}");
}

#[test]
fn routes_may_be_resources_of_their_own() {
    let text = WHOLE.replace("  Alarm:", "  Integration:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Api
      IntegrationType: AWS_PROXY
      PayloadFormatVersion: '2.0'
      TimeoutInMillis: 5000
      IntegrationUri: !Sub arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/${Submit.Arn}/invocations
  Route:
    Type: AWS::ApiGatewayV2::Route
    Properties: {ApiId: !Ref Api, RouteKey: 'POST /x/{rest+}', Target: !Sub 'integrations/${Integration}'}
  Alarm:");
    let (_, deployment) = read(&text, &[]).unwrap();
    let route = deployment.routes.iter().find(|route| route.key() == "POST /x/{rest+}").unwrap();
    assert_eq!((route.function.as_str(), route.timeout), ("Submit", Duration::from_secs(5)));
    let error = read(&text.replace("'2.0'", "'1.0'"), &[]).map(|_| "nothing").unwrap_err();
    assert!(error.contains("must be one of 2.0"), "{error}");
}

/// What is deployed is what runs here.
#[test]
fn the_template_of_this_repository_is_understood() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sam/template.yaml");
    let (_, deployment) = read(&fs::read_to_string(path).unwrap(), &[]).unwrap();
    let functions: Vec<_> = deployment.functions.iter().map(|function| function.logical.as_str()).collect();
    for name in ["Submit", "Records", "Status", "Download", "Worker", "Notify", "Sweeper"] {
        assert!(functions.contains(&format!("{name}Function").as_str()), "{functions:?}");
    }
    assert!(deployment.routes.iter().any(|route| route.path == RoutePath::Default));
    assert_eq!((deployment.tables.len(), deployment.buckets.len(), deployment.queues.len()), (1, 1, 4));
    assert!(deployment.sources.iter().any(|source| source.queue == "JobsDeadLetters"));
    assert!(deployment.buckets[0].notifications.iter().any(|to| to.queue == "JobsQueue"));
}
