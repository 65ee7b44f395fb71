// What matters of a template: all that it makes, without the words that differ between its authors.

import type { Resource, Template } from './template';

/** `program` tells which program a function's code is. */
export function model(template: Template, program: (code: any) => string): Record<string, unknown> {
  const byName = (type: string, of: (resource: Resource, name: string) => unknown) =>
    Object.fromEntries(template.ofType(type).map(([name, resource]) => [name, of(resource, name)]));
  const each = (type: string, of: (properties: any) => unknown) =>
    template
      .ofType(type)
      .map(([, resource]) => of(resource.Properties))
      .sort(byText);
  const whole = ({ Properties }: Resource) => without(Properties, 'Tags');
  const kept = ({ Properties, DeletionPolicy, UpdateReplacePolicy }: Resource) => {
    return { ...without(Properties, 'Tags'), DeletionPolicy, UpdateReplacePolicy };
  };

  return {
    functions: byName('AWS::Lambda::Function', ({ Properties }) => {
      return { ...without(Properties, 'Tags'), Code: program(Properties.Code) };
    }),
    invokeConfigs: each('AWS::Lambda::EventInvokeConfig', (config) => without(config, 'DestinationConfig')),
    eventSources: each('AWS::Lambda::EventSourceMapping', (source) => without(source, 'Tags')),
    schedules: each('AWS::Events::Rule', ({ ScheduleExpression, Targets }) => {
      return { ScheduleExpression, targets: Targets.map((target: any) => without(target, 'Id')) };
    }),
    invokers: invokers(template),
    routes: routes(template),
    cors: cors(template),
    stages: each('AWS::ApiGatewayV2::Stage', (stage) => {
      const { DestinationArn, Format } = stage.AccessLogSettings;
      return { ...without(stage, 'Tags'), AccessLogSettings: { DestinationArn, format: JSON.parse(Format) } };
    }),
    domains: each('AWS::ApiGatewayV2::DomainName', (domain) => without(domain, 'Tags')),
    mappings: each('AWS::ApiGatewayV2::ApiMapping', ({ ApiId, DomainName }) => ({ ApiId, DomainName })),
    roles: byName('AWS::IAM::Role', ({ Properties }, name) => role(template, name, Properties)),
    queues: byName('AWS::SQS::Queue', whole),
    tables: byName('AWS::DynamoDB::Table', kept),
    queuePolicies: byName('AWS::SQS::QueuePolicy', ({ Properties }) => {
      return { ...Properties, PolicyDocument: Properties.PolicyDocument.Statement.map(rights) };
    }),
    buckets: byName('AWS::S3::Bucket', (bucket) => ({ ...kept(bucket), waitsFor: bucket.DependsOn })),
    bucketPolicies: byName('AWS::S3::BucketPolicy', (policy) => {
      return { ...kept(policy), PolicyDocument: policy.Properties.PolicyDocument.Statement.map(rights) };
    }),
    logs: byName('AWS::Logs::LogGroup', whole),
    alarms: byName('AWS::CloudWatch::Alarm', alarm),
    dashboards: each('AWS::CloudWatch::Dashboard', dashboard),
    outputs: template.outputs,
  };
}

/** Which services may invoke each function. */
function invokers(template: Template): Record<string, string[]> {
  const found: Record<string, Set<string>> = {};
  for (const [, { Properties }] of template.ofType('AWS::Lambda::Permission')) {
    if (!Properties.SourceArn) throw new Error('a permission must name for what it is');
    (found[functionName(Properties.FunctionName)] ??= new Set()).add(Properties.Principal);
  }
  return Object.fromEntries(Object.entries(found).map(([name, principals]) => [name, [...principals].sort()]));
}

/** Route to function, from the API's OpenAPI document or from resources of their own. */
function routes(template: Template): Record<string, string> {
  const found: Record<string, string> = {};
  const add = (route: string, uri: string, version: string) => {
    if (version !== '2.0') throw new Error(`${route} has events of version ${version}`);
    found[route] = functionName(uri);
  };
  for (const [, { Properties }] of template.ofType('AWS::ApiGatewayV2::Api')) {
    for (const [path, methods] of Object.entries<any>(Properties.Body?.paths ?? {})) {
      for (const [method, operation] of Object.entries<any>(methods)) {
        const { uri, payloadFormatVersion } = operation['x-amazon-apigateway-integration'];
        const any = method === 'x-amazon-apigateway-any-method';
        const route = path === '/$default' ? '$default' : `${any ? 'ANY' : method.toUpperCase()} ${path}`;
        add(route, uri, payloadFormatVersion);
      }
    }
  }
  for (const [, { Properties }] of template.ofType('AWS::ApiGatewayV2::Route')) {
    const name = /^integrations\/<(.*)>$/.exec(Properties.Target)?.[1] ?? '';
    const { IntegrationUri, PayloadFormatVersion } = template.resources[name]?.Properties ?? {};
    add(Properties.RouteKey, IntegrationUri, PayloadFormatVersion);
  }
  return found;
}

function functionName(reference: string): string {
  const name = /<(\w+)(\.Arn)?>/.exec(reference)?.[1];
  if (!name) throw new Error(`${reference} leads to no function`);
  return name;
}

function cors(template: Template): unknown {
  return template.ofType('AWS::ApiGatewayV2::Api').map(([, { Properties }]) => {
    const given = Properties.CorsConfiguration ?? Properties.Body['x-amazon-apigateway-cors'];
    return Object.fromEntries(Object.entries(given).map(([key, value]) => [key.toLowerCase(), value]));
  });
}

/** What a role may do by whichever policy, and who may take it on. */
function role(template: Template, name: string, properties: any): unknown {
  const managed = (properties.ManagedPolicyArns ?? []).map((reference: string) => {
    const policy = template.resources[functionName(reference)];
    if (policy?.Type !== 'AWS::IAM::ManagedPolicy') throw new Error(`${name} has ${reference}, which is not seen here`);
    return policy.Properties;
  });
  const attached = [...template.ofType('AWS::IAM::RolePolicy'), ...template.ofType('AWS::IAM::Policy')]
    .map(([, resource]) => resource.Properties)
    .filter(({ RoleName, Roles }) => [RoleName, ...(Roles ?? [])].includes(`<${name}>`));
  const documents = [...(properties.Policies ?? []), ...managed, ...attached].map((policy) => policy.PolicyDocument);
  return {
    trusts: properties.AssumeRolePolicyDocument.Statement.map(rights),
    may: documents.flatMap((document) => document.Statement.map(rights)).sort(byText),
  };
}

/** A statement whose lists are lists, and in order. */
function rights(statement: any): unknown {
  const { Action, Resource } = statement;
  const sorted = (value: any) => [value].flat().sort();
  // `"AWS": "*"` is the same as `"*"` where a policy refuses.
  const Principal = statement.Principal?.AWS === '*' ? '*' : statement.Principal;
  const rest = { ...without(statement, 'Sid'), ...(Resource && { Resource: sorted(Resource) }) };
  return { ...rest, Action: sorted(Action), Principal };
}

function alarm({ Properties }: Resource): unknown {
  if (!Properties.Metrics) return Properties;
  const metrics = Properties.Metrics.map((metric: any) => {
    return metric.Expression ? without(metric, 'Id', 'ReturnData') : metric;
  });
  return { ...Properties, Metrics: metrics.sort(byText) };
}

/** Each graph with its place, and each line with all that is given once for all lines. */
function dashboard({ DashboardName, DashboardBody }: any): unknown {
  const graphs = JSON.parse(DashboardBody).widgets.map((widget: any) => {
    const { title, metrics, stat, period = 300 } = widget.properties;
    const lines = metrics.map((metric: any[]) => {
      const last = metric.at(-1);
      const options = typeof last === 'object' ? last : {};
      const path = metric.filter((part) => typeof part === 'string');
      return { path, stat, period, yAxis: 'left', ...options };
    });
    const { type, x, y, width, height } = widget;
    return { type, x, y, width, height, title, lines };
  });
  return { DashboardName, graphs };
}

function without(object: any, ...keys: string[]): any {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)));
}

function byText(a: unknown, b: unknown): number {
  const [left, right] = [text(a), text(b)];
  return left < right ? -1 : Number(left > right);
}

/** As JSON, whatever the order of members. */
function text(value: any): string {
  if (Array.isArray(value)) return `[${value.map(text).join()}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const members = Object.keys(value).sort();
  return `{${members.map((key) => `${key}:${text(value[key])}`).join()}}`;
}
