// What others may use.

export { FUNCTIONS, type FunctionName } from './names';
export { WillcallStack } from './stack';
export { Willcall, type WillcallProps } from './willcall';
