/** Colours, where they are wanted. */

/** Text as it is to look. */
export type Style = (text: string) => string;

/** The styles there are. */
export interface Paint {
  readonly bold: Style;
  readonly dim: Style;
  readonly green: Style;
  readonly yellow: Style;
  readonly red: Style;
}

export const unstyled: Style = (text) => text;

const sgr =
  (on: number, off: number): Style =>
  (text) =>
    text === "" ? "" : `\x1b[${on}m${text}\x1b[${off}m`;

export const plain: Paint = { bold: unstyled, dim: unstyled, green: unstyled, yellow: unstyled, red: unstyled };
export const coloured: Paint = {
  bold: sgr(1, 22),
  dim: sgr(2, 22),
  green: sgr(32, 39),
  yellow: sgr(33, 39),
  red: sgr(31, 39),
};

/** How to paint on a terminal: https://no-color.org. */
export function paintFor(env: Readonly<Record<string, string | undefined>>): Paint {
  const { NO_COLOR: noColor = "" } = env;
  return noColor === "" ? coloured : plain;
}
