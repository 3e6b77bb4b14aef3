// Payment card numbers, by the rules of callerid/card_number.py: the desk refuses such a text.

const SHORTEST = 13;
const LONGEST = 19;
const SHORTEST_INSIDE = 15;
const SCHEMES = [
  [/^4/, [13, 16, 19]],
  [/^(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)/, [16]],
  [/^3[47]/, [15]],
  [/^(?:30[0-5]|3095|3[689])/, [14, 15, 16, 17, 18, 19]],
  [/^(?:6011|64[4-9]|65)/, [16, 17, 18, 19]],
  [/^(?:352[89]|35[3-8])/, [16, 17, 18, 19]],
  [/^(?:62|81)/, [16, 17, 18, 19]],
  [/^(?:50|5[6-8]|6)/, [16, 18, 19]],
];
const RUN = /[0-9]+(?:[ .,/\\·•‧:*|'\u2019~]{1,4}[0-9]+)*/g;
const NOT_CARDS = new RegExp(
  "(?<![0-9])(?:" +
    "(?:19|20)[0-9]{2}([ ./])(?:0?[1-9]|1[0-2])\\1(?:0?[1-9]|[12][0-9]|3[01])" +
    "|(?:0?[1-9]|[12][0-9]|3[01])([ ./])(?:0?[1-9]|1[0-2])\\2(?:19|20)[0-9]{2}" +
    "|(?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?" +
    "|[0-9]{2} ?[0-9]{2} ?[0-9]{2}[ ,/]{1,3}[0-9]{8}(?![ ,./]{1,4}[0-9])" +
    "|9826[0-9]{15}" +
    "|\\b(?=[0-9]*[a-f])[0-9a-f]{64}\\b" +
    ")(?![0-9])",
  "g",
);
const WORD = "[\\p{L}\\p{N}_]";
const IBAN = new RegExp(`(?<!${WORD})[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!${WORD})`, "gu");

/** Whether `text` has a number that looks like the number of a payment card. */
export function hasCardNumber(text) {
  const known = plain(text)
    .replace(IBAN, (found) => (isIban(found) ? "#" : found))
    .replace(NOT_CARDS, "#");
  return (known.match(RUN) ?? []).some((run) => windows(run.match(/[0-9]+/g)).some(isCard));
}

function plain(text) {
  return text
    .normalize("NFKC")
    .replace(/\p{Nd}/gu, digit)
    .replace(/[\p{Zs}\p{Zl}\p{Zp}\p{Cc}\p{Pd}\p{Pc}]/gu, " ")
    .replace(/[\p{Cf}\p{Mn}\p{Me}]/gu, "");
}

/** The ASCII digit of a digit of any script: Unicode has them in rows of ten, from zero to nine. */
function digit(character) {
  const code = character.codePointAt(0);
  let first = code;
  while (/\p{Nd}/u.test(String.fromCodePoint(first - 1))) first -= 1;
  return String((code - first) % 10);
}

/** Each part of a group, and each sequence of whole groups, that can be a card number. */
function windows(groups) {
  const found = [];
  for (const group of groups) {
    for (let start = 0; start + SHORTEST <= group.length; start += 1) {
      const shortest = start ? SHORTEST_INSIDE : SHORTEST;
      const longest = Math.min(group.length - start, LONGEST);
      for (let size = shortest; size <= longest; size += 1) found.push(group.slice(start, start + size));
    }
  }
  groups.forEach((group, first) => {
    let digits = group;
    for (const next of groups.slice(first + 1)) {
      digits += next;
      if (digits.length > LONGEST) break;
      if (digits.length >= SHORTEST) found.push(digits);
    }
  });
  return found;
}

function isCard(digits) {
  return SCHEMES.some(([first, lengths]) => lengths.includes(digits.length) && first.test(digits)) && luhn(digits);
}

function luhn(digits) {
  let sum = 0;
  [...digits].reverse().forEach((each, place) => {
    const value = Number(each) * (place % 2 ? 2 : 1);
    sum += value > 9 ? value - 9 : value;
  });
  return sum % 10 === 0;
}

function isIban(text) {
  const compact = text.replaceAll(" ", "");
  const moved = compact.slice(4) + compact.slice(0, 4);
  let rest = 0;
  for (const each of moved) rest = Number(`${rest}${parseInt(each, 36)}`) % 97;
  return rest === 1;
}
