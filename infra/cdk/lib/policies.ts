// What each function may do: the actions that its adapters call, on what they call them.

import * as iam from 'aws-cdk-lib/aws-iam';
import type * as sqs from 'aws-cdk-lib/aws-sqs';
import type { Data } from './data';
import type { FunctionName } from './names';

/** The statements of each function's role but those for logs and traces. */
export function statements({ table, bucket, jobs, notifications }: Data): Record<FunctionName, iam.PolicyStatement[]> {
  const objects = (...keys: string[]) => keys.map((key) => bucket.arnForObjects(key));
  const onTable = (sid: string, ...actions: string[]) => allow(sid, actions, [table.tableArn]);
  // Jobs and what an account has beside them; no function can write a token.
  const onJobs = (sid: string, ...actions: string[]) => {
    const statement = onTable(sid, ...actions);
    statement.addCondition('ForAllValues:StringLike', { 'dynamodb:LeadingKeys': ['ACCOUNT#*'] });
    return statement;
  };
  const listIf = (condition: string, sid: string, prefixes: string[]) => {
    const statement = allow(sid, ['s3:ListBucket'], [bucket.bucketArn]);
    statement.addCondition(condition, { 's3:prefix': prefixes });
    return statement;
  };
  const list = (sid: string, ...prefixes: string[]) => listIf('StringLike', sid, prefixes);
  // Without a prefix too: S3 says of no key that it is not there to whoever may not list.
  const listAndTell = (sid: string, ...prefixes: string[]) => listIf('StringLikeIfExists', sid, prefixes);
  const consume = (sid: string, ...queues: sqs.IQueue[]) =>
    allow(
      sid,
      ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes'],
      queues.map((queue) => queue.queueArn),
    );
  const send = (sid: string) => allow(sid, ['sqs:SendMessage'], [jobs.queue.queueArn]);
  const wakeSenders = () => allow('WakeSenders', ['sqs:SendMessage'], [notifications.queue.queueArn]);
  // Whoever may not list gets the same refusal for what is not there.
  const keepKeyOfSecrets = () => [
    allow('KeepKeyOfSecrets', ['s3:GetObject', 's3:PutObject'], objects('keys/webhooks')),
    list('FindKeyOfSecrets', 'keys/*'),
  ];
  const readCatalog = () => allow('ReadCatalog', ['s3:GetObject'], objects('catalog/catalog.json'));
  const keepLargeRequests = () =>
    allow('KeepLargeRequests', ['s3:GetObject', 's3:PutObject', 's3:DeleteObject'], objects('requests/*'));

  return {
    submit: [
      onTable('ReadTokensAndJobs', 'dynamodb:GetItem', 'dynamodb:BatchGetItem', 'dynamodb:Query'),
      onJobs('WriteJobs', 'dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:DeleteItem'),
      readCatalog(),
      keepLargeRequests(),
      // A link is signed with the rights of who signs it.
      allow('SignLinksAndRemoveResults', ['s3:GetObject', 's3:DeleteObject'], objects('results/*')),
      allow('SignAndRemoveUploads', ['s3:PutObject', 's3:DeleteObject'], objects('uploads/*')),
      list('FindWhatToRemove', 'requests/*', 'results/*', 'uploads/*'),
      send('WakeWorkers'),
      wakeSenders(),
      ...keepKeyOfSecrets(),
    ],
    records: [
      onTable('ReadTokensAndJobs', 'dynamodb:GetItem', 'dynamodb:Query'),
      onJobs('WriteJobs', 'dynamodb:PutItem', 'dynamodb:UpdateItem'),
      readCatalog(),
      keepLargeRequests(),
      list('FindRequestToRemove', 'requests/*'),
      allow('ReadResults', ['s3:GetObject'], objects('results/*')),
      send('WakeWorkers'),
      wakeSenders(),
    ],
    status: [
      onTable('ReadTokensAndJobs', 'dynamodb:GetItem', 'dynamodb:BatchGetItem', 'dynamodb:Query'),
      readCatalog(),
      allow('ReadRequestsAndSignLinks', ['s3:GetObject'], objects('requests/*', 'results/*')),
      allow('SignUploads', ['s3:PutObject'], objects('uploads/*')),
    ],
    download: [
      onTable('ReadTokensAndJobs', 'dynamodb:GetItem'),
      // A zip that is asked for is noted in its job, and a worker is woken to pack it.
      onJobs('WantZips', 'dynamodb:PutItem'),
      readCatalog(),
      allow('ReadRequestsAndResults', ['s3:GetObject'], objects('requests/*', 'results/*')),
      send('WakeWorkers'),
    ],
    worker: [
      consume('ReceiveMessages', jobs.queue),
      send('SendRetries'),
      wakeSenders(),
      // A job that ends gives its place among the open ones back, and one that completes adds to the account's day.
      onJobs(
        'RunJobs',
        'dynamodb:GetItem',
        'dynamodb:BatchGetItem',
        'dynamodb:Query',
        'dynamodb:PutItem',
        'dynamodb:UpdateItem',
        'dynamodb:DeleteItem',
      ),
      allow(
        'ReadCatalogRequestsUploadsAndData',
        ['s3:GetObject'],
        objects('catalog/catalog.json', 'requests/*', 'datasets/*', 'uploads/*'),
      ),
      allow(
        'WriteResults',
        ['s3:GetObject', 's3:PutObject', 's3:AbortMultipartUpload', 's3:DeleteObject'],
        objects('results/*'),
      ),
      // What a worker began of a zip that died of it goes once another has packed it.
      allow('FindUnfinishedZips', ['s3:ListBucketMultipartUploads'], [bucket.bucketArn]),
      listAndTell('ListDataResultsAndUploads', 'datasets/*', 'results/*', 'uploads/*'),
    ],
    notify: [
      consume('ReceiveMessages', notifications.queue),
      wakeSenders(),
      onJobs('KeepDeliveries', 'dynamodb:GetItem', 'dynamodb:PutItem'),
      ...keepKeyOfSecrets(),
    ],
    sweeper: [
      allow('FindWhatIsDue', ['dynamodb:Query'], [`${table.tableArn}/index/due`]),
      onJobs('MoveJobs', 'dynamodb:GetItem', 'dynamodb:BatchGetItem', 'dynamodb:PutItem', 'dynamodb:DeleteItem'),
      onJobs('FindDeliveriesAndBatches', 'dynamodb:Query'),
      // Uploads that nobody told of.
      allow('LookForUploads', ['s3:GetObject'], objects('uploads/*')),
      allow('RemoveRequestsResultsAndUploads', ['s3:DeleteObject'], objects('requests/*', 'results/*', 'uploads/*')),
      listAndTell('FindWhatToRemove', 'requests/*', 'results/*', 'uploads/*'),
      send('SendMessagesAgain'),
      wakeSenders(),
      consume('ReceiveDeadLetters', jobs.deadLetters, notifications.deadLetters),
    ],
  };
}

/** What reads data sets outside the bucket. */
export function readData(bucketArns: string[]): iam.PolicyStatement[] {
  return [
    allow('ListData', ['s3:ListBucket'], bucketArns),
    allow('ReadData', ['s3:GetObject'], bucketArns.map((arn) => `${arn}/*`)),
  ];
}

/** What reads the secrets of upstreams. */
export function readSecrets(arns: string[]): iam.PolicyStatement {
  return allow('ReadSecretsOfUpstreams', ['secretsmanager:GetSecretValue'], arns);
}

/** X-Ray takes no resource; nothing else has "*". */
export function sendTraces(): iam.PolicyStatement {
  return allow('SendTraces', ['xray:PutTraceSegments', 'xray:PutTelemetryRecords'], ['*']);
}

export function allow(sid: string, actions: string[], resources: string[]): iam.PolicyStatement {
  return new iam.PolicyStatement({ sid, actions, resources });
}
