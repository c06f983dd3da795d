// Cells as the server reads them: texts cleaned, numbers, names by their codes.

const CONTROL = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]/g;
const LONE = /[\ud800-\udfff]/gu; // half a character
const BLANK = /^[\s\x85\p{Cf}]*$/u;
const MOST = 1_000_000; // bytes of UTF-8
const WHOLE = /^-?(0|[1-9]\d*)\.0+$/;
const WORDS = { True: "true", False: "false" };

/** A cell that can't be answered; code as in the API: missing, too_long, unreadable. */
export class RefusedError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** NFC, line ends as newline, no control characters, halves of characters replaced. */
export function clean(text) {
  const lines = text.replace(/\r\n?|\x85/g, "\n");
  return lines.replace(CONTROL, "").replace(LONE, "\ufffd").normalize("NFC");
}

export function readText(raw) {
  if (raw === null || raw === undefined) throw new RefusedError("missing", "the text is missing");
  if (typeof raw !== "string") throw new RefusedError("unreadable", "that is not a text");
  const text = clean(raw);
  if (text.length < 64 ? BLANK.test(text) : !text.trim()) throw new RefusedError("missing", "the text is empty");
  if (text.length * 4 > MOST && new TextEncoder().encode(text).length > MOST) {
    throw new RefusedError("too_long", "the text has more than 1 MB");
  }
  return text;
}

/** A number, yes or no, or a name, as the network's input takes it. */
export function readCell(raw, { mean, scale, codes }, { unseen, missing }) {
  const cell = codes === null ? number(raw) : code(raw, codes, unseen);
  return ((cell === null ? (missing ?? NaN) : cell) - mean) / scale;
}

function number(raw) {
  if (raw === null || raw === undefined || Number.isNaN(raw)) return null;
  if (typeof raw === "boolean") return raw ? 1 : 0;
  if (typeof raw !== "number") throw new RefusedError("unreadable", "that is not a number");
  return raw;
}

function code(raw, codes, unseen) {
  if (raw === null || raw === undefined || Number.isNaN(raw)) return null;
  const name = clean(String(raw)).trim();
  const plain = WHOLE.test(name) ? name.split(".")[0] : (WORDS[name] ?? name);
  if (plain === "") return null;
  const at = codes.indexOf(plain === "-0" ? "0" : plain);
  return at < 0 ? unseen : at;
}
