// What the functions are called.

/** The functions. `records` is a second deployment of `submit`, for the requests that wait. */
export const FUNCTIONS = ['submit', 'records', 'status', 'download', 'worker', 'notify', 'sweeper'] as const;
export type FunctionName = (typeof FUNCTIONS)[number];

/** `submit` as `Submit`, which ids of its resources begin with. */
export function constructId(name: FunctionName): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}
