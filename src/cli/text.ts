/**
 * Text from a store on a terminal: nothing in it may be obeyed by the terminal, and its width in cells has to be
 * known, as far as it can be. Terminals do not agree about the width of rare characters; who draws must not depend on it.
 */

/**
 * What a terminal might obey, or what changes how other text looks: control characters (also those that UTF-8 has
 * beyond ASCII), line and paragraph separators, direction marks and other invisible format characters. Without the
 * joiners and tags that emoji and some scripts are made of, and the few format characters that are visible.
 */
const unsafe =
  /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]|(?![\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2]|\u200c|\u200d|[\u{e0020}-\u{e007f}])\p{Cf}/gu;

const short: ReadonlyMap<string, string> = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);

/** `text` with every unsafe character, but for those in `kept`, as an escape such as `\n`, `\x1b` or `\u202e`. */
export function escapeControls(text: string, kept = ""): string {
  return text.replace(unsafe, (character) => (kept.includes(character) ? character : escapeOf(character)));
}

function escapeOf(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const hex = code.toString(16);
  const escape =
    code < 0x100 ? `\\x${hex.padStart(2, "0")}` : code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\u{${hex}}`;
  return short.get(character) ?? escape;
}

/** `value` as JSON in one line that a terminal can show: `JSON.stringify` leaves C1 controls and direction marks as they are. */
export function toJson(value: unknown): string {
  return JSON.stringify(value).replace(unsafe, (character) =>
    Array.from(
      { length: character.length },
      (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`,
    ).join(""),
  );
}

/** A piece of text as it goes to the terminal, and what of it can be seen. */
export interface Piece {
  /** With control sequences for colours. */
  readonly styled: string;
  /** Without them. */
  readonly plain: string;
  /** The width of `plain`. */
  readonly cells: number;
}

/** As much of `text`, made safe, as `cells` hold; ends in `…` where that is not all. Escapes are shown by `style`. */
export function fit(text: string, cells: number, style: (escape: string) => string = (escape) => escape): Piece {
  const pieces: Piece[] = [];
  if (cells <= 0) return joined(pieces);
  let used = 0;
  for (const { segment } of graphemes.segment(text.slice(0, cells * mostUnits + 1))) {
    const plain = escapeControls(segment);
    const piece =
      plain === segment
        ? { styled: plain, plain, cells: cellsOf(segment) }
        : { styled: style(plain), plain, cells: plain.length };
    if (used + piece.cells > cells) {
      while (pieces.length > 0 && used + 1 > cells) used -= pieces.pop()?.cells ?? 0;
      pieces.push({ styled: "…", plain: "…", cells: 1 });
      break;
    }
    used += piece.cells;
    pieces.push(piece);
  }
  return joined(pieces);
}

/** The pieces as one. */
export function joined(pieces: readonly Piece[]): Piece {
  return {
    styled: pieces.map((piece) => piece.styled).join(""),
    plain: pieces.map((piece) => piece.plain).join(""),
    cells: pieces.reduce((sum, piece) => sum + piece.cells, 0),
  };
}

/** How many UTF-16 units a cell's character may have before the text behind it is not looked at. */
const mostUnits = 16;

const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });

/** How many rows a line takes on a terminal of so many columns. */
export function rowsOf(plain: string, columns: number): number {
  let rows = 1;
  let column = 0;
  for (const { segment } of graphemes.segment(plain)) {
    const cells = cellsOf(segment);
    if (column + cells > columns) {
      rows++;
      column = 0;
    }
    column += cells;
  }
  return rows;
}

/** The width of a grapheme: emoji of several characters are as wide as one, everything else is as wide as its parts. */
function cellsOf(grapheme: string): number {
  if (grapheme.length === 1 && grapheme >= " " && grapheme <= "~") return 1;
  if (emoji.test(grapheme)) return 2;
  let cells = 0;
  for (const character of grapheme) cells += invisible.test(character) ? 0 : wide.test(character) ? 2 : 1;
  return cells;
}

/** Shown as a picture by itself, or because a variation selector asks for it. */
const emoji = /^(?:\p{Emoji_Presentation}|\p{Emoji}\ufe0f)/u;
/** Marks on other characters, joiners, and the parts of a Korean syllable that follow its first. */
const invisible = /^[\p{Mn}\p{Me}\p{Cf}\u1160-\u11ff]$/u;
/** The blocks that Unicode's East Asian Width calls wide or full-width. */
const wide =
  /^[\u1100-\u115f\u2329\u232a\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18dff}\u{1aff0}-\u{1b2ff}\u{1f200}-\u{1f2ff}\u{20000}-\u{3fffd}]$/u;

/** Orders keys as the store does, by the bytes of their UTF-8; comparing strings goes by UTF-16. */
export function compareKeys(a: string, b: string): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    // Surrogates stand for characters beyond all others.
    const surrogateX = x >= 0xd800 && x <= 0xdfff;
    const surrogateY = y >= 0xd800 && y <= 0xdfff;
    return surrogateX === surrogateY ? x - y : surrogateX ? 1 : -1;
  }
  return a.length - b.length;
}
