// Willcall as a stack of its own, which tells what there is.

import { CfnOutput, Stack, type StackProps } from 'aws-cdk-lib/core';
import type { Construct } from 'constructs';
import { FUNCTIONS, constructId } from './names';
import { Willcall, type WillcallProps } from './willcall';

export class WillcallStack extends Stack {
  readonly willcall: Willcall;

  /** `props` may need the stack to be made first: keys, buckets and topics that are there already. */
  constructor(scope: Construct, id: string, props: (stack: Stack) => WillcallProps, stack?: StackProps) {
    super(scope, id, { description: 'Willcall turns any dataset into an asynchronous data API.', ...stack });
    // The library makes each function wait for its role, which the role's ARN in it says already.
    this.templateOptions.metadata = { 'cfn-lint': { config: { ignore_checks: ['W3005'] } } };
    const willcall = new Willcall(this, 'Willcall', props(this));
    this.willcall = willcall;
    const tell = (name: string, description: string, value: string) =>
      new CfnOutput(this, name, { description, value });
    tell('ApiUrl', 'The address of the API', willcall.url);
    if (willcall.domainTarget) {
      tell('ApiDomainTarget', 'What the DNS record of the domain name must lead to', willcall.domainTarget);
    }
    tell('TableName', 'The table of jobs and accounts, WILLCALL_TABLE of the command', willcall.table.tableName);
    const bucket = 'The bucket of results and the catalog, WILLCALL_BUCKET of the command';
    tell('BucketName', bucket, willcall.bucket.bucketName);
    tell('JobsQueueUrl', 'The queue that wakes workers', willcall.jobsQueue.queueUrl);
    tell('JobsDeadLettersUrl', 'Messages of jobs that were given up', willcall.jobsDeadLetters.queueUrl);
    tell('NotifyQueueUrl', 'The queue of notifications', willcall.notifyQueue.queueUrl);
    tell('NotifyDeadLettersUrl', 'Notifications that were given up', willcall.notifyDeadLetters.queueUrl);
    for (const name of FUNCTIONS) {
      const id = constructId(name);
      tell(`${id}FunctionName`, `${id}Function`, willcall.functions[name].functionName);
    }
  }
}
