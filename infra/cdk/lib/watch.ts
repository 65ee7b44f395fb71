// What watches it: alarms and a dashboard. docs/aws.md says what to do at each alarm.

import { Duration, Stack } from 'aws-cdk-lib/core';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as actions from 'aws-cdk-lib/aws-cloudwatch-actions';
import type * as apigw from 'aws-cdk-lib/aws-apigatewayv2';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import type * as sns from 'aws-cdk-lib/aws-sns';
import type * as sqs from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';
import type { Data } from './data';
import { FUNCTIONS, type FunctionName, constructId } from './names';

export interface WatchProps {
  readonly name: string;
  readonly data: Data;
  readonly api: apigw.HttpApi;
  readonly functions: Record<FunctionName, lambda.Function>;
  readonly queueAge: Duration;
  readonly topic?: sns.ITopic;
}

/** The metrics that all of this speaks of. */
function metrics({ name, data, api, functions }: WatchProps) {
  const period = Duration.minutes(5);
  const metric =
    (namespace: string, dimensionsMap: Record<string, string>) =>
    (metricName: string, options: cloudwatch.MetricOptions) =>
      new cloudwatch.Metric({ namespace, dimensionsMap, metricName, period, ...options });
  return {
    willcall: metric('Willcall', { Stack: name }),
    gateway: metric('AWS/ApiGateway', { ApiId: api.apiId }),
    table: metric('AWS/DynamoDB', { TableName: data.table.tableName }),
    queue: (queue: sqs.IQueue) => metric('AWS/SQS', { QueueName: queue.queueName }),
    lambda: (name: FunctionName) => metric('AWS/Lambda', { FunctionName: functions[name].functionName }),
  };
}

export function alarms(scope: Construct, props: WatchProps): void {
  const { gateway, lambda, queue } = metrics(props);
  const { jobs, notifications } = props.data;
  const minute = Duration.minutes(1);

  const alarm = (
    id: string,
    metric: cloudwatch.IMetric,
    alarmDescription: string,
    other: Partial<cloudwatch.AlarmProps> = {},
  ) => {
    const alarm = new cloudwatch.Alarm(scope, `${id}Alarm`, {
      metric,
      alarmDescription,
      threshold: 0,
      evaluationPeriods: 1,
      comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
      treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
      ...other,
    });
    if (!props.topic) return;
    const action = new actions.SnsAction(props.topic);
    alarm.addAlarmAction(action);
    alarm.addOkAction(action);
  };

  // The sweeper takes them away within seconds, so those that it received count too.
  const dead = (letters: sqs.IQueue) =>
    new cloudwatch.MathExpression({
      expression: 'waiting + received',
      label: 'dead letters',
      period: minute,
      usingMetrics: {
        waiting: queue(letters)('ApproximateNumberOfMessagesVisible', { statistic: 'Maximum', period: minute }),
        received: queue(letters)('NumberOfMessagesReceived', { statistic: 'Sum', period: minute }),
      },
    });
  const job = 'A message of a job was given up after ten tries; the sweeper fails its job.';
  alarm('JobsDeadLetters', dead(jobs.deadLetters), job);
  const notice = 'A message of a notification was given up after ten tries; the sweeper sees to its next attempt.';
  alarm('NotifyDeadLetters', dead(notifications.deadLetters), notice);
  const old = { threshold: props.queueAge.toSeconds() };
  const age = (of: sqs.IQueue) => queue(of)('ApproximateAgeOfOldestMessage', { statistic: 'Maximum' });
  alarm('JobsQueueAge', age(jobs.queue), 'Jobs wait long for a worker.', old);
  alarm('NotifyQueueAge', age(notifications.queue), 'Notifications wait long to be sent.', old);
  alarm('ApiErrors', gateway('5xx', { statistic: 'Sum' }), 'The API answered with 500 or above.');
  // All else relies on it, so its silence is told of too.
  const runs = lambda('sweeper')('Invocations', { statistic: 'Sum' });
  alarm('SweeperSilent', runs, 'The sweeper has not run for ten minutes.', {
    threshold: 1,
    evaluationPeriods: 2,
    comparisonOperator: cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
    treatMissingData: cloudwatch.TreatMissingData.BREACHING,
  });
  for (const name of FUNCTIONS) {
    const id = constructId(name);
    const failed = 'failed, by a crash, a time-out or an error that it did not answer.';
    alarm(`${id}Errors`, lambda(name)('Errors', { statistic: 'Sum' }), `${id}Function ${failed}`);
    const refused = 'was refused for want of concurrency.';
    alarm(`${id}Throttles`, lambda(name)('Throttles', { statistic: 'Sum' }), `${id}Function ${refused}`);
  }
}

export function dashboard(scope: Construct, props: WatchProps): void {
  const { willcall, gateway, table, lambda, queue } = metrics(props);
  const { jobs, notifications } = props.data;
  const sum = { statistic: 'Sum' };
  const maximum = (label: string) => ({ statistic: 'Maximum', label });
  const graph = (title: string, left: cloudwatch.IMetric[], right: cloudwatch.IMetric[] = []) =>
    new cloudwatch.GraphWidget({ title, left, right, width: 8, height: 6 });
  const each = (metric: string, statistic: string) =>
    FUNCTIONS.map((name) => lambda(name)(metric, { statistic, label: name }));

  new cloudwatch.Dashboard(scope, 'Dashboard', {
    dashboardName: `${props.name}-${Stack.of(scope).region}`,
    widgets: [
      [
        graph('Jobs', [willcall('Submitted', sum), willcall('Completed', sum), willcall('Failed', sum)]),
        graph('Duration and wait of jobs, ms', [
          willcall('Duration', { statistic: 'p50', label: 'duration p50' }),
          willcall('Duration', { statistic: 'p99', label: 'duration p99' }),
          willcall('QueueAge', { statistic: 'p99', label: 'wait p99' }),
        ]),
        graph('Records and bytes delivered', [willcall('Records', sum)], [willcall('Bytes', sum)]),
      ],
      [
        graph('Queues: messages waiting and on their way', [
          queue(jobs.queue)('ApproximateNumberOfMessagesVisible', maximum('jobs waiting')),
          queue(jobs.queue)('ApproximateNumberOfMessagesNotVisible', maximum('jobs running')),
          queue(notifications.queue)('ApproximateNumberOfMessagesVisible', maximum('notifications waiting')),
          queue(jobs.deadLetters)('NumberOfMessagesReceived', maximum('dead jobs')),
          queue(notifications.deadLetters)('NumberOfMessagesReceived', maximum('dead notifications')),
        ]),
        graph('Queues: age of the oldest message, s', [
          queue(jobs.queue)('ApproximateAgeOfOldestMessage', maximum('jobs')),
          queue(notifications.queue)('ApproximateAgeOfOldestMessage', maximum('notifications')),
        ]),
        graph('API: requests and failures', [gateway('Count', sum), gateway('4xx', sum), gateway('5xx', sum)]),
      ],
      [
        graph('API: latency, ms', [
          gateway('Latency', { statistic: 'p50', label: 'p50' }),
          gateway('Latency', { statistic: 'p99', label: 'p99' }),
        ]),
        graph('Functions: errors', each('Errors', 'Sum')),
        graph('Functions: throttles', each('Throttles', 'Sum')),
      ],
      [
        graph('Functions: running at once', each('ConcurrentExecutions', 'Maximum')),
        graph('Functions: duration p99, ms', each('Duration', 'p99')),
        graph(
          'Table: units used, and throttled requests',
          [table('ConsumedReadCapacityUnits', sum), table('ConsumedWriteCapacityUnits', sum)],
          [table('ReadThrottleEvents', sum), table('WriteThrottleEvents', sum)],
        ),
      ],
    ],
  });
}
