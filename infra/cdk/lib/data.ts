// What is kept: the table, the bucket, the queues.

import { ArnFormat, Aws, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib/core';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as s3 from 'aws-cdk-lib/aws-s3';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';

/** A queue, and where its messages go after ten tries. */
export interface QueueWithDeadLetters {
  readonly queue: sqs.Queue;
  readonly deadLetters: sqs.Queue;
}

/** What the functions work with. */
export interface Data {
  readonly table: dynamodb.Table;
  readonly bucket: s3.Bucket;
  readonly jobs: QueueWithDeadLetters;
  readonly notifications: QueueWithDeadLetters;
}

/** How many seconds each kind of function may take. A message is seen again after six times as long. */
export const TIMEOUT = {
  /** A second less than API Gateway waits, so that a function that hangs is a time-out of its own. */
  http: Duration.seconds(29),
  worker: Duration.seconds(900),
  notify: Duration.seconds(60),
  sweeper: Duration.seconds(300),
};

const TRIES = 10;
const KEPT = Duration.days(14);

export interface DataProps {
  readonly name: string;
  readonly longestRetentionDays: number;
  readonly browserOrigins: string[];
  readonly deletionProtection: boolean;
}

export function data(scope: Construct, props: DataProps): Data {
  const kept = {
    table: table(scope, props),
    bucket: bucket(scope, props),
    jobs: queue(scope, 'Jobs', `${props.name}-jobs`, TIMEOUT.worker),
    notifications: queue(scope, 'Notify', `${props.name}-notify`, TIMEOUT.notify),
  };
  tellOfUploads(scope, kept.bucket, kept.jobs.queue);
  return kept;
}

/** What was uploaded for a batch is told to the workers. By properties, as the library would make a function that sets
 * the bucket's notifications, where CloudFormation can do it by itself. */
function tellOfUploads(scope: Construct, bucket: s3.Bucket, queue: sqs.Queue): void {
  const policy = new sqs.CfnQueuePolicy(scope, 'JobsQueuePolicy', {
    queues: [queue.queueUrl],
    policyDocument: new iam.PolicyDocument({
      statements: [
        new iam.PolicyStatement({
          sid: 'TakeEventsOfBuckets',
          principals: [new iam.ServicePrincipal('s3.amazonaws.com')],
          actions: ['sqs:SendMessage'],
          resources: [queue.queueArn],
          // The bucket cannot be named here, as it waits for this policy, and CloudFormation makes its name.
          conditions: {
            ArnLike: { 'aws:SourceArn': `arn:${Aws.PARTITION}:s3:::*` },
            StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID },
          },
        }),
      ],
    }),
  });
  const resource = bucket.node.defaultChild as s3.CfnBucket;
  resource.notificationConfiguration = {
    queueConfigurations: [
      {
        event: 's3:ObjectCreated:*',
        queue: queue.queueArn,
        filter: { s3Key: { rules: [{ name: 'prefix', value: 'uploads/' }] } },
      },
    ],
  };
  // S3 tries whether it may send there.
  resource.addDependency(policy);
}

function table(scope: Construct, { deletionProtection }: DataProps): dynamodb.Table {
  const { STRING, NUMBER } = dynamodb.AttributeType;
  const table = new dynamodb.Table(scope, 'Table', {
    partitionKey: { name: 'pk', type: STRING },
    sortKey: { name: 'sk', type: STRING },
    billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
    timeToLiveAttribute: 'ttl',
    pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
    encryption: dynamodb.TableEncryption.AWS_MANAGED,
    deletionProtection,
    removalPolicy: RemovalPolicy.RETAIN,
  });
  table.addGlobalSecondaryIndex({
    indexName: 'due',
    partitionKey: { name: 'due_shard', type: NUMBER },
    sortKey: { name: 'due_at', type: NUMBER },
    projectionType: dynamodb.ProjectionType.KEYS_ONLY,
  });
  return table;
}

/** Without versions: what has expired must be gone. */
function bucket(scope: Construct, { longestRetentionDays, browserOrigins }: DataProps): s3.Bucket {
  const { GET, HEAD, PUT } = s3.HttpMethods;
  const bucket = new s3.Bucket(scope, 'Bucket', {
    blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
    objectOwnership: s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
    encryption: s3.BucketEncryption.S3_MANAGED,
    enforceSSL: true,
    removalPolicy: RemovalPolicy.RETAIN,
    // The sweeper removes results, requests and uploads; these rules remove what it missed. A request is needed as long as its
    // job's record, 30 days more than the result, and the job may have waited 14 days in the queue first.
    lifecycleRules: [
      { id: 'results', prefix: 'results/', expiration: Duration.days(longestRetentionDays + 7) },
      { id: 'requests', prefix: 'requests/', expiration: Duration.days(longestRetentionDays + 51) },
      { id: 'uploads', prefix: 'uploads/', expiration: Duration.days(14) },
      { id: 'unfinished-uploads', abortIncompleteMultipartUploadAfter: Duration.days(1) },
    ],
    // A signed link is all that it takes, so any site may follow one, unless the operator names those that may.
    cors: [
      {
        allowedOrigins: browserOrigins,
        allowedMethods: [GET, HEAD, PUT],
        allowedHeaders: ['*'],
        exposedHeaders: ['etag', 'content-length', 'content-range', 'accept-ranges', 'content-disposition'],
        maxAge: 3600,
      },
    ],
  });
  // It outlives the stack with the bucket.
  bucket.policy?.applyRemovalPolicy(RemovalPolicy.RETAIN);
  return bucket;
}

/** A queue, consumed by a function of that time-out; the sweeper consumes its dead letters. */
function queue(scope: Construct, id: string, name: string, timeout: Duration): QueueWithDeadLetters {
  const sixfold = (timeout: Duration) => Duration.seconds(6 * timeout.toSeconds());
  const common = { retentionPeriod: KEPT, encryption: sqs.QueueEncryption.SQS_MANAGED };
  // By name, as each queue cannot wait for the other to be made first.
  const source = Stack.of(scope).formatArn({ service: 'sqs', resource: name, arnFormat: ArnFormat.NO_RESOURCE_NAME });
  const deadLetters = new sqs.Queue(scope, `${id}DeadLetters`, {
    ...common,
    queueName: `${name}-dead`,
    visibilityTimeout: sixfold(TIMEOUT.sweeper),
    redriveAllowPolicy: {
      sourceQueues: [sqs.Queue.fromQueueArn(scope, `${id}Source`, source)],
    },
  });
  const queue = new sqs.Queue(scope, `${id}Queue`, {
    ...common,
    queueName: name,
    visibilityTimeout: sixfold(timeout),
    deadLetterQueue: { queue: deadLetters, maxReceiveCount: TRIES },
  });
  return { queue, deadLetters };
}
