// Deploys Willcall: `npx cdk deploy -c name=willcall`. Each parameter of infra/sam is a context value here, with its
// first letter small.

import { resolve } from 'node:path';
import { App, Duration, Size } from 'aws-cdk-lib/core';
import * as acm from 'aws-cdk-lib/aws-certificatemanager';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as s3 from 'aws-cdk-lib/aws-s3';
import * as sns from 'aws-cdk-lib/aws-sns';
import { WillcallStack } from '../lib/stack';

const app = new App();

/** The context value, made of its text by `read`; undefined where it is not given. */
function value<T>(key: string, read: (text: string) => T): T | undefined {
  const found: unknown = app.node.tryGetContext(key);
  return found === undefined || found === '' ? undefined : read(String(found));
}
const text = (key: string) => value(key, (text) => text);
const number = (key: string) =>
  value(key, (text) => {
    if (!/^\d+$/.test(text)) throw new Error(`${key} must be a whole number, not ${JSON.stringify(text)}`);
    return Number(text);
  });
const oneOf = <T>(key: string, known: Record<string, T>) =>
  value(key, (text) => {
    const found = known[text];
    if (found === undefined) throw new Error(`${key} must be one of ${Object.keys(known).join(', ')}`);
    return found;
  });

const certificate = text('certificateArn');
const domain = text('domainName');
if ((domain === undefined) !== (certificate === undefined)) {
  throw new Error('domainName and certificateArn go together');
}

new WillcallStack(
  app,
  text('name') ?? 'willcall',
  (stack) => ({
    artifacts: resolve(text('artifacts') ?? '../../target/lambda'),
    architecture: oneOf('architecture', { arm64: lambda.Architecture.ARM_64, x86_64: lambda.Architecture.X86_64 }),
    publicUrl: text('publicUrl'),
    domain:
      domain && certificate
        ? { name: domain, certificate: acm.Certificate.fromCertificateArn(stack, 'Certificate', certificate) }
        : undefined,
    throttle: { rate: number('throttleRate') ?? 500, burst: number('throttleBurst') ?? 1000 },
    memorySize: {
      http: number('httpMemorySize'),
      worker: number('workerMemorySize'),
      background: number('backgroundMemorySize'),
    },
    workerStorage: value('workerEphemeralStorage', (text) => Size.mebibytes(Number(text))),
    workerConcurrency: number('workerConcurrency'),
    recordsConcurrency: number('recordsConcurrency'),
    webhooksAllow: text('webhooksAllow')?.split(','),
    longestRetentionDays: number('longestRetentionDays'),
    dataBuckets: text('dataBucketArns')
      ?.split(',')
      .map((arn, index) => s3.Bucket.fromBucketArn(stack, `DataBucket${index}`, arn.trim())),
    secretArns: text('secretArns')
      ?.split(',')
      .map((arn) => arn.trim()),
    browserOrigins: text('browserOrigins')
      ?.split(',')
      .map((origin) => origin.trim()),
    tableDeletionProtection: oneOf('tableDeletionProtection', { true: true, false: false }),
    logLevel: text('logLevel'),
    logRetention: number('logRetentionDays') as logs.RetentionDays | undefined,
    logKey: value('logKeyArn', (arn) => kms.Key.fromKeyArn(stack, 'LogKey', arn)),
    tracing: oneOf('tracing', { Active: true, PassThrough: false }),
    alarmTopic: value('alarmTopicArn', (arn) => sns.Topic.fromTopicArn(stack, 'AlarmTopic', arn)),
    queueAgeAlarm: value('queueAgeAlarmSeconds', (text) => Duration.seconds(Number(text))),
  }),
  { env: { account: process.env.CDK_DEFAULT_ACCOUNT, region: process.env.CDK_DEFAULT_REGION } },
);
