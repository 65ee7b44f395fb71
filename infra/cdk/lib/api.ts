// The HTTP API: which route leads to which function.

import { Duration } from 'aws-cdk-lib/core';
import * as apigateway from 'aws-cdk-lib/aws-apigateway';
import * as apigw from 'aws-cdk-lib/aws-apigatewayv2';
import * as acm from 'aws-cdk-lib/aws-certificatemanager';
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import type * as logs from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import type { FunctionName } from './names';

const { ANY, DELETE, GET, PATCH, POST } = apigw.HttpMethod;

/** All that no route here leads to goes to `status`: HEAD, and problem documents for what is not there. A resource that
 * one function has alone goes there with every method, so that a wrong one answers 405 with the methods there are. */
const ROUTES: [apigw.HttpMethod, string, FunctionName][] = [
  [POST, '/v1/jobs', 'submit'],
  [PATCH, '/v1/jobs/{id}', 'submit'],
  [DELETE, '/v1/jobs/{id}', 'submit'],
  [ANY, '/v1/jobs/{id}/cancel', 'submit'],
  [ANY, '/v1/jobs/{id}/rerun', 'submit'],
  [POST, '/v1/jobs/{id}/batches', 'submit'],
  [DELETE, '/v1/jobs/{id}/batches/{batch}', 'submit'],
  [ANY, '/v1/jobs/{id}/close', 'submit'],
  [ANY, '/v1/webhooks', 'submit'],
  [ANY, '/v1/webhooks/{webhook}', 'submit'],
  [ANY, '/v1/webhooks/{webhook}/test', 'submit'],
  [ANY, '/v1/webhooks/{webhook}/rotate', 'submit'],
  [ANY, '/v1/account/webhook-secret', 'submit'],
  [ANY, '/v1/account/webhook-secret/rotate', 'submit'],
  [ANY, '/v1/jobs/{id}/notifications/{notification}/resend', 'submit'],
  [ANY, '/v1/datasets/{dataset}/records', 'records'],
  [ANY, '/v1/upstreams/{name}', 'records'],
  [GET, '/v1/jobs', 'status'],
  [GET, '/v1/jobs/{id}', 'status'],
  [GET, '/v1/jobs/{id}/batches', 'status'],
  [GET, '/v1/jobs/{id}/batches/{batch}', 'status'],
  [ANY, '/v1/jobs/{id}/notifications', 'status'],
  [GET, '/v1/datasets', 'status'],
  [GET, '/v1/datasets/{dataset}', 'status'],
  [GET, '/v1/account', 'status'],
  [GET, '/v1/openapi.json', 'status'],
  [GET, '/docs', 'status'],
  [GET, '/healthz', 'status'],
  [GET, '/problems/{slug}', 'status'],
  [ANY, '/v1/jobs/{id}/download', 'download'],
  [ANY, '/v1/jobs/{id}/result', 'download'],
  [ANY, '/v1/jobs/{id}/result/pages/{n}', 'download'],
  [ANY, '/v1/jobs/{id}/manifest', 'download'],
];

/** No address of the caller and no query: neither personal data nor what was asked for. */
const ACCESS_LOG = {
  time: '$context.requestTime',
  api_request_id: '$context.requestId',
  method: '$context.httpMethod',
  path: '$context.path',
  route: '$context.routeKey',
  status: '$context.status',
  bytes: '$context.responseLength',
  latency_ms: '$context.responseLatency',
  integration_ms: '$context.integrationLatency',
  error: '$context.integrationErrorMessage',
};

export interface ApiProps {
  readonly name: string;
  readonly throttle: { readonly rate: number; readonly burst: number };
  readonly logs: logs.ILogGroup;
  readonly functions: Record<FunctionName, lambda.Function>;
  readonly domain?: { readonly name: string; readonly certificate: acm.ICertificate };
}

/** The API, and its custom domain where it has one. */
export interface Api {
  readonly api: apigw.HttpApi;
  readonly domain?: apigw.DomainName;
}

export function api(scope: Construct, props: ApiProps): Api {
  const names: FunctionName[] = ['submit', 'records', 'status', 'download'];
  const integrations = Object.fromEntries(
    names.map((name) => [name, new HttpLambdaIntegration(`${name}-integration`, props.functions[name])]),
  );
  const api = new apigw.HttpApi(scope, 'HttpApi', {
    apiName: props.name,
    description: `Willcall, ${props.name}`,
    createDefaultStage: false,
    corsPreflight: cors(),
    defaultIntegration: integrations.status,
  });
  for (const [method, path, name] of ROUTES) {
    const integration = integrations[name];
    if (integration) api.addRoutes({ path, methods: [method], integration });
  }
  const stage = new apigw.HttpStage(scope, 'HttpApiStage', {
    httpApi: api,
    autoDeploy: true,
    throttle: { rateLimit: props.throttle.rate, burstLimit: props.throttle.burst },
    detailedMetricsEnabled: true,
    accessLogSettings: {
      destination: new apigw.LogGroupLogDestination(props.logs),
      format: apigateway.AccessLogFormat.custom(JSON.stringify(ACCESS_LOG)),
    },
  });
  if (!props.domain) return { api };
  const domain = new apigw.DomainName(scope, 'ApiDomain', {
    domainName: props.domain.name,
    certificate: props.domain.certificate,
    securityPolicy: apigw.SecurityPolicy.TLS_1_2,
  });
  new apigw.ApiMapping(scope, 'ApiDomainMapping', { api, domainName: domain, stage });
  return { api, domain };
}

/** The same as the functions' own: API Gateway answers preflights, and sets these headers in place of theirs. */
function cors(): apigw.CorsPreflightOptions {
  const { GET, HEAD, POST, PATCH, DELETE } = apigw.CorsHttpMethod;
  return {
    allowOrigins: ['*'],
    allowMethods: [GET, HEAD, POST, PATCH, DELETE],
    allowHeaders: [
      'authorization',
      'x-api-key',
      'content-type',
      'prefer',
      'idempotency-key',
      'range',
      'if-range',
      'if-match',
      'if-none-match',
      'if-modified-since',
      'x-request-id',
    ],
    exposeHeaders: [
      'etag',
      'link',
      'location',
      'content-location',
      'content-disposition',
      'content-range',
      'accept-ranges',
      'retry-after',
      'preference-applied',
      'idempotent-replayed',
      'ratelimit',
      'ratelimit-policy',
      'repr-digest',
      'total-count',
      'willcall-job-id',
      'willcall-truncated',
      'x-request-id',
    ],
    maxAge: Duration.hours(1),
  };
}
