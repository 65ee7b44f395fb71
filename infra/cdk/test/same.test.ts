// The construct and the SAM template make the same.

import { strict as assert } from 'node:assert';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { App, Duration, Size } from 'aws-cdk-lib/core';
import * as acm from 'aws-cdk-lib/aws-certificatemanager';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as s3 from 'aws-cdk-lib/aws-s3';
import * as sns from 'aws-cdk-lib/aws-sns';
import { WillcallStack } from '../lib/stack';
import type { WillcallProps } from '../lib/willcall';
import { model } from './model';
import { type Source, Template } from './template';

const directory = mkdtempSync(join(tmpdir(), 'willcall-cdk-'));
after(() => rmSync(directory, { recursive: true }));
const artifacts = join(directory, 'artifacts');
for (const program of ['submit', 'status', 'download', 'worker', 'notify', 'sweeper']) {
  mkdirSync(join(artifacts, `willcall-${program}`), { recursive: true });
  writeFileSync(join(artifacts, `willcall-${program}`, 'bootstrap.zip'), `willcall-${program}`);
}

function samSource(): Source {
  const path = process.env.WILLCALL_SAM_TEMPLATE;
  if (!path) throw new Error('WILLCALL_SAM_TEMPLATE must name the transformed SAM template: run make infra-check');
  return JSON.parse(readFileSync(path, 'utf8'));
}

function sam(parameters: Record<string, unknown> = {}, change: (source: any) => void = () => {}): unknown {
  const source = samSource();
  change(source);
  return model(new Template(source, parameters), (code) => code.S3Key.replace('.zip', ''));
}

function cdk(props: (stack: WillcallStack) => Partial<WillcallProps> = () => ({})): unknown {
  const context = { 'aws:cdk:enable-path-metadata': true };
  const app = new App({ outdir: mkdtempSync(join(directory, 'out-')), context });
  new WillcallStack(app, 'willcall', (stack) => ({ artifacts, ...props(stack as WillcallStack) }));
  const assembly = app.synth();
  const source = assembly.getStackByName('willcall').template;
  const name = (id: string) => {
    const path: string = source.Resources[id].Metadata['aws:cdk:path'];
    return path.split('/').slice(2).filter((part) => part !== 'Resource').join('');
  };
  return model(new Template(source, {}, name), (code) =>
    // The stand-ins for programs hold their names.
    readFileSync(join(assembly.directory, `asset.${code.S3Key}`), 'utf8'),
  );
}

const CERTIFICATE = 'arn:aws:acm:eu-central-1:123456789012:certificate/11112222-3333-4444-5555-666677778888';
const KEY = 'arn:aws:kms:eu-central-1:123456789012:key/11112222-3333-4444-5555-666677778888';
const SECRET = 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:enrich-a1b2c3';
const TOPIC = 'arn:aws:sns:eu-central-1:123456789012:alarms';

test('they are the same where nothing is chosen', () => {
  assert.deepEqual(cdk(), sam());
});

test('they are the same where everything is chosen', () => {
  const chosen = cdk((stack) => ({
    architecture: lambda.Architecture.X86_64,
    publicUrl: 'https://data.example.com',
    domain: {
      name: 'data.example.com',
      certificate: acm.Certificate.fromCertificateArn(stack, 'Certificate', CERTIFICATE),
    },
    throttle: { rate: 7, burst: 8 },
    memorySize: { http: 512, worker: 4096, background: 300 },
    workerStorage: Size.mebibytes(4000),
    workerConcurrency: 30,
    recordsConcurrency: 20,
    webhooksAllow: ['10.1.0.0/16', 'hooks.internal'],
    longestRetentionDays: 90,
    dataBuckets: ['one', 'two'].map((name) => s3.Bucket.fromBucketArn(stack, name, `arn:aws:s3:::data-${name}`)),
    secretArns: [SECRET, `${SECRET}2`],
    browserOrigins: ['https://one.example.com', 'https://two.example.com'],
    tableDeletionProtection: false,
    logLevel: 'debug',
    logRetention: logs.RetentionDays.ONE_YEAR,
    logKey: kms.Key.fromKeyArn(stack, 'LogKey', KEY),
    tracing: false,
    alarmTopic: sns.Topic.fromTopicArn(stack, 'Topic', TOPIC),
    queueAgeAlarm: Duration.hours(2),
  }));
  const same = sam({
    Architecture: 'x86_64',
    PublicUrl: 'https://data.example.com',
    DomainName: 'data.example.com',
    CertificateArn: CERTIFICATE,
    ThrottleRate: 7,
    ThrottleBurst: 8,
    HttpMemorySize: 512,
    WorkerMemorySize: 4096,
    WorkerEphemeralStorage: 4000,
    BackgroundMemorySize: 300,
    WorkerConcurrency: 30,
    RecordsConcurrency: 20,
    WebhooksAllow: '10.1.0.0/16,hooks.internal',
    LongestRetentionDays: '90',
    DataBucketArns: 'arn:aws:s3:::data-one,arn:aws:s3:::data-two',
    SecretArns: `${SECRET},${SECRET}2`,
    BrowserOrigins: 'https://one.example.com,https://two.example.com',
    TableDeletionProtection: 'false',
    LogLevel: 'debug',
    LogRetentionDays: 365,
    LogKeyArn: KEY,
    Tracing: 'PassThrough',
    AlarmTopicArn: TOPIC,
    QueueAgeAlarmSeconds: 7200,
  });
  assert.deepEqual(chosen, same);
});

// What has no eye for a difference holds nothing equal.
const role = (source: any, name: string) => source.Resources[name].Properties.Policies[0].PolicyDocument.Statement;
const changes: Record<string, (source: any) => void> = {
  'a time-out': (source) => (source.Resources.WorkerFunction.Properties.Timeout = 600),
  'a variable of the environment': (source) =>
    delete source.Resources.NotifyFunction.Properties.Environment.Variables.WILLCALL_STACK,
  'a route': (source) => delete source.Resources.HttpApi.Properties.Body.paths['/v1/account'],
  'the function of a route': (source) => {
    const { paths } = source.Resources.HttpApi.Properties.Body;
    paths['/v1/jobs'].post = paths['/v1/jobs'].get;
  },
  'an action': (source) => (role(source, 'StatusRole').at(-1).Action = ['s3:GetObject', 's3:PutObject']),
  'a resource': (source) => (role(source, 'SweeperRole').at(-1).Resource = '*'),
  'a condition': (source) => delete role(source, 'WorkerRole').at(-1).Condition,
  'a policy of every role': (source) => delete source.Resources.DownloadRole.Properties.ManagedPolicyArns,
  'a visibility time-out': (source) => (source.Resources.JobsQueue.Properties.VisibilityTimeout = 900),
  'where messages end': (source) => delete source.Resources.NotifyQueue.Properties.RedrivePolicy,
  'an index': (source) => delete source.Resources.Table.Properties.GlobalSecondaryIndexes,
  'what outlives the stack': (source) => delete source.Resources.Table.DeletionPolicy,
  'a rule of the bucket': (source) => source.Resources.Bucket.Properties.LifecycleConfiguration.Rules.pop(),
  'what the bucket tells': (source) => delete source.Resources.Bucket.Properties.NotificationConfiguration,
  'what the bucket waits for': (source) => delete source.Resources.Bucket.DependsOn,
  'who may send to a queue': (source) =>
    delete source.Resources.JobsQueuePolicy.Properties.PolicyDocument.Statement[0].Condition.StringEquals,
  'a refusal': (source) => delete source.Resources.BucketPolicy,
  'a threshold': (source) => (source.Resources.ApiErrorsAlarm.Properties.Threshold = 5),
  'a header for browsers': (source) =>
    source.Resources.HttpApi.Properties.Body['x-amazon-apigateway-cors'].exposeHeaders.pop(),
  'how long logs are kept': (source) => delete source.Resources.WorkerLogs.Properties.RetentionInDays,
  'how many messages at once': (source) => (source.Resources.WorkerFunctionJobs.Properties.BatchSize = 10),
  'who consumes dead letters': (source) => delete source.Resources.SweeperFunctionDeadNotifications,
  'what is retried': (source) => delete source.Resources.SweeperFunctionEventInvokeConfig,
};

test('a difference is seen in each thing that matters', () => {
  const right = sam();
  for (const [what, change] of Object.entries(changes)) {
    assert.notDeepEqual(sam({}, change), right, what);
  }
});
