// Willcall as a construct. infra/sam is the same as a template, and a test holds the two equal.

import { join } from 'node:path';
import { Duration, RemovalPolicy, Size, Stack } from 'aws-cdk-lib/core';
import * as acm from 'aws-cdk-lib/aws-certificatemanager';
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as s3 from 'aws-cdk-lib/aws-s3';
import * as sns from 'aws-cdk-lib/aws-sns';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import type * as apigw from 'aws-cdk-lib/aws-apigatewayv2';
import type * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import { Construct } from 'constructs';
import { api } from './api';
import { type Data, TIMEOUT, data } from './data';
import { FUNCTIONS, type FunctionName, constructId } from './names';
import { allow, readData, readSecrets, sendTraces, statements } from './policies';
import { alarms, dashboard } from './watch';

const DESCRIPTIONS: Record<FunctionName, string> = {
  submit: 'Everything that writes',
  records: 'Records and answers of upstreams at once, or a job where that takes too long',
  status: 'Everything that reads state, the pages about the service, and what is not there',
  download: 'Everything that reads results',
  worker: 'Runs jobs',
  notify: 'Tells others of what happened to jobs',
  sweeper: 'Moves jobs that got stuck, fails those that cannot be run, removes what has had its time',
};

const CATALOG = 'catalog/catalog.json';

/** Choices of the operator; all but `artifacts` may be left out. */
export interface WillcallProps {
  /** The directory with `willcall-submit/bootstrap.zip` and so on: `target/lambda` after `make lambdas`. */
  readonly artifacts: string;
  /** What queues, logs and metrics are called by, unique in the account and region. Default: the stack's name. */
  readonly name?: string;
  /** What the functions were built for. Default: arm64, which costs a fifth less. */
  readonly architecture?: lambda.Architecture;

  /** The address that links in answers begin with, without a slash at the end. Default: the domain name by which
   * API Gateway was asked. */
  readonly publicUrl?: string;
  /** A domain name of your own. The DNS record is yours to make, to the output `ApiDomainTarget`. */
  readonly domain?: { readonly name: string; readonly certificate: acm.ICertificate };
  /** Requests that API Gateway lets through: a second, and at once. Default: 500 and 1000. */
  readonly throttle?: { readonly rate: number; readonly burst: number };

  /** MB of the functions that answer HTTP, of the worker, and of those in the background. Default: 256, 2048, 256. */
  readonly memorySize?: { readonly http?: number; readonly worker?: number; readonly background?: number };
  /** The worker's /tmp, where sorts put aside what memory does not hold. Default: 2 GiB. */
  readonly workerStorage?: Size;
  /** Jobs that run at once, at least 2. Default: 10. */
  readonly workerConcurrency?: number;
  /** Requests for records that may wait at once, reserved. 0 reserves nothing: what a new account needs, whose limit is
   * 10. Default: 0. */
  readonly recordsConcurrency?: number;
  /** What webhooks may reach beside the public internet: addresses, networks, names. Default: nothing. */
  readonly webhooksAllow?: string[];

  /** The longest `retention_days` of any plan. The bucket removes a result that the sweeper has left behind 7 days
   * later. Default: 7. */
  readonly longestRetentionDays?: number;
  /** Buckets that data sets at `s3://` lie in; the worker may read them. Default: none. */
  readonly dataBuckets?: s3.IBucket[];
  /** ARNs of the secrets in Secrets Manager that headers of upstreams name; the worker may read them. Default: none. */
  readonly secretArns?: string[];
  /** Origins of the web pages that may follow signed links, as `https://app.example.com`: to read results, and to
   * upload files of batches. Default: all. */
  readonly browserOrigins?: string[];
  /** Whether the table refuses to be deleted. Default: true. */
  readonly tableDeletionProtection?: boolean;

  /** What the functions log, as `RUST_LOG` has it. Default: `info`. */
  readonly logLevel?: string;
  /** How long logs are kept. Default: 30 days. */
  readonly logRetention?: logs.RetentionDays;
  /** A key of your own for the logs, whose policy lets CloudWatch Logs use it. Default: CloudWatch's own key. */
  readonly logKey?: kms.IKey;
  /** Whether X-Ray traces a sample of all requests. Default: true. */
  readonly tracing?: boolean;
  /** Who hears of alarms. Default: nobody, but CloudWatch shows them. */
  readonly alarmTopic?: sns.ITopic;
  /** How old a message may be before there is an alarm; a job that runs counts too. Default: 30 minutes. */
  readonly queueAgeAlarm?: Duration;
}

/** Willcall: an HTTP API, seven functions, two queues with their dead letters, a table, a bucket, and what watches
 * them. The table and the bucket outlive the stack. */
export class Willcall extends Construct {
  /** The HTTP API. */
  readonly api: apigw.HttpApi;
  /** Where it is. */
  readonly url: string;
  /** What the DNS record of the domain name of your own must lead to. */
  readonly domainTarget?: string;
  /** The table of jobs and accounts. */
  readonly table: dynamodb.Table;
  /** The bucket of results and of the catalog. */
  readonly bucket: s3.Bucket;
  /** The queue that wakes workers, and its dead letters. */
  readonly jobsQueue: sqs.Queue;
  readonly jobsDeadLetters: sqs.Queue;
  /** The queue of notifications, and its dead letters. */
  readonly notifyQueue: sqs.Queue;
  readonly notifyDeadLetters: sqs.Queue;
  /** The functions by name. */
  readonly functions: Record<FunctionName, lambda.Function>;

  constructor(scope: Construct, id: string, props: WillcallProps) {
    super(scope, id);
    const name = props.name ?? Stack.of(this).stackName;
    const kept = data(this, {
      name,
      longestRetentionDays: props.longestRetentionDays ?? 7,
      browserOrigins: props.browserOrigins ?? ['*'],
      deletionProtection: props.tableDeletionProtection ?? true,
    });
    this.table = kept.table;
    this.bucket = kept.bucket;
    this.jobsQueue = kept.jobs.queue;
    this.jobsDeadLetters = kept.jobs.deadLetters;
    this.notifyQueue = kept.notifications.queue;
    this.notifyDeadLetters = kept.notifications.deadLetters;
    this.functions = this.makeFunctions(name, props, kept);
    this.connect(props);

    const front = api(this, {
      name,
      throttle: props.throttle ?? { rate: 500, burst: 1000 },
      // A name under /aws/vendedlogs/ keeps the account's one policy for such deliveries short.
      logs: this.logGroup('Api', `/aws/vendedlogs/willcall/${name}/api`, props),
      functions: this.functions,
      domain: props.domain,
    });
    this.api = front.api;
    const { region, urlSuffix } = Stack.of(this);
    const host = props.domain?.name ?? `${front.api.apiId}.execute-api.${region}.${urlSuffix}`;
    this.url = `https://${host}`;
    this.domainTarget = front.domain?.regionalDomainName;

    const watched = {
      name,
      data: kept,
      api: this.api,
      functions: this.functions,
      queueAge: props.queueAgeAlarm ?? Duration.minutes(30),
      topic: props.alarmTopic,
    };
    alarms(this, watched);
    dashboard(this, watched);
  }

  private makeFunctions(name: string, props: WillcallProps, kept: Data): Record<FunctionName, lambda.Function> {
    const { http = 256, worker = 2048, background = 256 } = props.memorySize ?? {};
    const tracing = props.tracing ?? true;
    const traces = tracing ? [this.tracingPolicy()] : undefined;
    const allowed = statements(kept);
    const dataBuckets = (props.dataBuckets ?? []).map((bucket) => bucket.bucketArn);
    if (dataBuckets.length > 0) allowed.worker.push(...readData(dataBuckets));
    if (props.secretArns?.length) allowed.worker.push(readSecrets(props.secretArns));
    const environment = {
      WILLCALL_TABLE: kept.table.tableName,
      WILLCALL_BUCKET: kept.bucket.bucketName,
      WILLCALL_QUEUE_URL: kept.jobs.queue.queueUrl,
      WILLCALL_NOTIFY_QUEUE_URL: kept.notifications.queue.queueUrl,
      WILLCALL_CATALOG: CATALOG,
      WILLCALL_PUBLIC_URL: props.publicUrl ?? '',
      WILLCALL_STACK: name,
      WILLCALL_WEBHOOKS_ALLOW: (props.webhooksAllow ?? []).join(','),
      RUST_LOG: props.logLevel ?? 'info',
    };
    const front = { memorySize: http, timeout: TIMEOUT.http };
    const records = props.recordsConcurrency ?? 0;
    const own: Record<FunctionName, Partial<lambda.FunctionProps>> = {
      submit: front,
      records: { ...front, reservedConcurrentExecutions: records > 0 ? records : undefined },
      status: front,
      download: front,
      worker: {
        memorySize: worker,
        timeout: TIMEOUT.worker,
        ephemeralStorageSize: props.workerStorage ?? Size.gibibytes(2),
      },
      notify: { memorySize: background, timeout: TIMEOUT.notify },
      // The next minute's sweep is the next try.
      sweeper: { memorySize: background, timeout: TIMEOUT.sweeper, retryAttempts: 0, maxEventAge: Duration.minutes(1) },
    };

    const make = (each: FunctionName): lambda.Function => {
      const id = constructId(each);
      const logGroup = this.logGroup(id, `/willcall/${name}/${each}`, props);
      const role = new iam.Role(this, `${id}Role`, {
        assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
        managedPolicies: traces,
        inlinePolicies: {
          [each]: new iam.PolicyDocument({
            statements: [
              allow('WriteOwnLogs', ['logs:CreateLogStream', 'logs:PutLogEvents'], [logGroup.logGroupArn]),
              ...allowed[each],
            ],
          }),
        },
      });
      const program = each === 'records' ? 'submit' : each;
      return new lambda.Function(this, `${id}Function`, {
        description: DESCRIPTIONS[each],
        runtime: lambda.Runtime.PROVIDED_AL2023,
        handler: 'bootstrap',
        architecture: props.architecture ?? lambda.Architecture.ARM_64,
        code: lambda.Code.fromAsset(join(props.artifacts, `willcall-${program}`, 'bootstrap.zip')),
        // The role has all that is needed, and nothing that the library would add.
        role: role.withoutPolicyUpdates(),
        environment,
        tracing: tracing ? lambda.Tracing.ACTIVE : lambda.Tracing.PASS_THROUGH,
        logGroup,
        // The program writes JSON lines itself, and Lambda passes them on as they are.
        loggingFormat: lambda.LoggingFormat.TEXT,
        ...own[each],
      });
    };
    return Object.fromEntries(FUNCTIONS.map((each) => [each, make(each)])) as Record<FunctionName, lambda.Function>;
  }

  private tracingPolicy(): iam.ManagedPolicy {
    const statements = [sendTraces()];
    return new iam.ManagedPolicy(this, 'TracingPolicy', { description: 'Sends traces to X-Ray', statements });
  }

  /** What wakes the functions that answer nobody. */
  private connect(props: WillcallProps): void {
    const { worker, notify, sweeper } = this.functions;
    const consume = (
      id: string,
      target: lambda.Function,
      queue: sqs.Queue,
      batchSize: number,
      maxConcurrency: number,
    ) =>
      new lambda.EventSourceMapping(this, id, {
        target,
        eventSourceArn: queue.queueArn,
        batchSize,
        maxConcurrency,
        reportBatchItemFailures: true,
      });
    consume('WorkerFunctionJobs', worker, this.jobsQueue, 1, props.workerConcurrency ?? 10);
    consume('NotifyFunctionNotifications', notify, this.notifyQueue, 1, 10);
    consume('SweeperFunctionDeadLetters', sweeper, this.jobsDeadLetters, 10, 2);
    consume('SweeperFunctionDeadNotifications', sweeper, this.notifyDeadLetters, 10, 2);
    new events.Rule(this, 'SweeperFunctionEveryMinute', {
      schedule: events.Schedule.rate(Duration.minutes(1)),
      targets: [new targets.LambdaFunction(sweeper, { retryAttempts: 0, maxEventAge: Duration.minutes(1) })],
    });
  }

  private logGroup(id: string, logGroupName: string, props: WillcallProps): logs.LogGroup {
    return new logs.LogGroup(this, `${id}Logs`, {
      logGroupName,
      retention: props.logRetention ?? logs.RetentionDays.ONE_MONTH,
      encryptionKey: props.logKey,
      removalPolicy: RemovalPolicy.DESTROY,
    });
  }
}
