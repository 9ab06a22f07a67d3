/** See mutations.mjs. */
export interface Mutation {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  readonly caughtBy: { readonly files: readonly string[]; readonly tests: string };
}

export const mutations: readonly Mutation[];

export function mutate(name: string, file: string, source: string): string;
