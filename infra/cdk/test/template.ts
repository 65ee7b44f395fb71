// A CloudFormation template with every function in it worked out, so that two can be compared that say the same in
// different words. What refers to a resource becomes `<Name>` or `<Name.Attribute>`.

export interface Resource {
  readonly Type: string;
  readonly Condition?: string;
  readonly DependsOn?: string[];
  readonly DeletionPolicy?: string;
  readonly UpdateReplacePolicy?: string;
  readonly Properties: any;
}

interface Parameter {
  readonly Type: string;
  readonly Default?: unknown;
  readonly AllowedValues?: unknown[];
}

export interface Source {
  readonly Parameters?: Record<string, Parameter>;
  readonly Mappings?: Record<string, any>;
  readonly Conditions?: Record<string, unknown>;
  readonly Resources: Record<string, any>;
  readonly Outputs?: Record<string, any>;
}

const PSEUDO: Record<string, string | undefined> = {
  'AWS::StackName': 'willcall',
  'AWS::Region': 'eu-central-1',
  'AWS::AccountId': '123456789012',
  'AWS::Partition': 'aws',
  'AWS::URLSuffix': 'amazonaws.com',
  'AWS::NoValue': undefined,
};

/** The template's resources by name, as they are with those parameters. */
export class Template {
  readonly resources: Record<string, Resource> = {};
  readonly outputs: Record<string, any> = {};
  private readonly parameters: Record<string, unknown>;

  /** `name` says what a resource is called whose logical id is given. */
  constructor(
    private readonly source: Source,
    parameters: Record<string, unknown> = {},
    private readonly name: (logicalId: string) => string = (id) => id,
  ) {
    const unknown = Object.keys(parameters).filter((key) => !source.Parameters?.[key]);
    if (unknown.length > 0) throw new Error(`the template has no parameter ${unknown.join(', ')}`);
    const known = Object.entries(source.Parameters ?? {});
    this.parameters = Object.fromEntries(
      known.map(([key, parameter]) => [key, read(parameter, parameters[key] ?? parameter.Default)]),
    );
    for (const [id, resource] of Object.entries(source.Resources)) {
      if (resource.Condition && !this.condition(resource.Condition)) continue;
      if (this.resources[name(id)]) throw new Error(`two resources are called ${name(id)}`);
      const waitsFor = [resource.DependsOn ?? []].flat().map((other: string) => name(other));
      const Properties = this.value(resource.Properties ?? {});
      this.resources[name(id)] = { ...resource, DependsOn: waitsFor, Properties };
    }
    for (const [id, output] of Object.entries(source.Outputs ?? {})) {
      if (!output.Condition || this.condition(output.Condition)) this.outputs[id] = this.value(output.Value);
    }
  }

  ofType(type: string): [string, Resource][] {
    return Object.entries(this.resources).filter(([, resource]) => resource.Type === type);
  }

  private condition(name: string): boolean {
    const condition = this.source.Conditions?.[name];
    if (condition === undefined) throw new Error(`there is no condition ${name}`);
    return this.value(condition) === true;
  }

  private value(node: any): any {
    if (Array.isArray(node)) return node.map((item) => this.value(item)).filter((item) => item !== undefined);
    if (node === null || typeof node !== 'object') return node;
    const keys = Object.keys(node);
    const key = keys[0];
    if (keys.length === 1 && key && (key === 'Ref' || key === 'Condition' || key.startsWith('Fn::'))) {
      return this.call(key, node[key]);
    }
    const members = keys.map((key) => [key, this.value(node[key])]).filter(([, value]) => value !== undefined);
    return Object.fromEntries(members);
  }

  private call(name: string, argument: any): any {
    switch (name) {
      case 'Ref':
        return this.reference(argument);
      case 'Condition':
        return this.condition(argument);
      case 'Fn::GetAtt': {
        const [id, ...path] = Array.isArray(argument) ? argument : argument.split('.');
        return `<${this.resourceName(id)}.${path.join('.')}>`;
      }
      case 'Fn::If':
        return this.value(argument[this.condition(argument[0]) ? 1 : 2]);
      case 'Fn::Equals': {
        const [left, right] = argument.map((item: any) => String(this.value(item)));
        return left === right;
      }
      case 'Fn::Not':
        return !this.value(argument[0]);
      case 'Fn::And':
        return argument.every((item: any) => this.value(item) === true);
      case 'Fn::FindInMap': {
        const [map, first, second] = argument.map((item: any) => this.value(item));
        const found = this.source.Mappings?.[map]?.[first]?.[second];
        if (found === undefined) throw new Error(`${map} has no ${first}, ${second}`);
        return found;
      }
      case 'Fn::Join':
        return this.value(argument[1]).join(argument[0]);
      case 'Fn::Split':
        return this.value(argument[1]).split(argument[0]);
      case 'Fn::Sub': {
        const [text, variables] = Array.isArray(argument) ? argument : [argument, {}];
        return text.replace(/\$\{([^!}]+)\}/g, (_: string, place: string) => {
          if (place in variables) return this.value(variables[place]);
          return place.includes('.') ? this.call('Fn::GetAtt', place) : this.reference(place);
        });
      }
      default:
        throw new Error(`${name} is not known here`);
    }
  }

  private reference(id: string): any {
    if (id in PSEUDO) return PSEUDO[id];
    return id in this.parameters ? this.parameters[id] : `<${this.resourceName(id)}>`;
  }

  private resourceName(id: string): string {
    if (!this.source.Resources[id]) throw new Error(`there is no resource ${id}`);
    return this.name(id);
  }
}

/** A parameter's value as a resource gets it: there is no truth among the types of parameters. */
function read({ Type, AllowedValues = [] }: Parameter, value: unknown): unknown {
  if (Type === 'CommaDelimitedList') return String(value).split(',');
  return AllowedValues.includes('true') ? value === 'true' : value;
}
