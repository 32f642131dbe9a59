// What people write.

const WORDS = [
  'the',
  'meeting',
  'on',
  'Monday',
  'budget',
  'naïve',
  'Größe',
  'draft',
  'of',
  'a',
  'chapter',
  '東京',
  'résumé',
  'and',
  'review',
  '🎉',
  '👩‍👩‍👧',
  'العربية',
  '1,024',
  'e-mail',
]

export const word = (random) => random.pick(WORDS)
export const words = (random, count) => Array.from({ length: count }, () => word(random)).join(' ')
/** What a composition puts in the place of what was typed so far: an input method turns letters into signs. */
export const composed = (random) => random.pick(['日本語', '한국', 'ä', '漢字かな', 'é'])

/** The place at or before `at` that is not within a pair of surrogates: no cursor stands there. */
export function between(text, at) {
  return /[\udc00-\udfff]/.test(text[at] ?? '') && /[\ud800-\udbff]/.test(text[at - 1] ?? '') ? at - 1 : at
}
