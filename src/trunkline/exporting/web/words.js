// A text as ids: of its words, as `trunkline.vocabulary` has them, or of a trunk's tokens.

// What Python's str.split() parts words by
const SPACE = /[\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/;

/** NFKC, lower case, single spaces, at most `characters` characters. */
export function normalise(text, characters) {
  const whole = first(first(text, characters).normalize("NFKC"), characters);
  return whole.toLowerCase().split(SPACE).filter(Boolean).join(" ");
}

/** Ids of a text's first words, never none; ids: a Map of words. */
export function wordIds(text, { characters, pattern, longest, unknown }, ids) {
  const found = [];
  for (const [word] of normalise(text, characters).matchAll(new RegExp(pattern, "gu"))) {
    if (found.push(ids.get(word) ?? unknown) === longest) break;
  }
  return found.length ? found : [unknown];
}

/** Ids of a text's tokens with the marks around them, at most `longest`; tokenizer: of @huggingface/tokenizers. */
export function tokenIds(text, { prefix, characters, before, after, longest }, tokenizer) {
  const { ids } = tokenizer.encode(prefix + first(text, characters), { add_special_tokens: false });
  return [...before, ...ids.slice(0, longest - before.length - after.length), ...after];
}

function first(text, characters) {
  return text.length <= characters ? text : Array.from(text).slice(0, characters).join("");
}
