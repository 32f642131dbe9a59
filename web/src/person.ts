/** Somebody in the document, as the others see them. */
export interface Person {
  readonly name: string
  /** `#rrggbb`; dark enough to carry white text. */
  readonly color: string
}

const STORAGE_KEY = 'editorcluster.name'
const LONGEST_NAME = 40
const ANONYMOUS = 'Somebody'
const COLORS = [
  '#1d4ed8',
  '#b91c1c',
  '#047857',
  '#7c3aed',
  '#b45309',
  '#be185d',
  '#0e7490',
  '#4d7c0f',
  '#a21caf',
  '#475569',
] as const
const ANIMALS = ['Badger', 'Crane', 'Dolphin', 'Falcon', 'Gecko', 'Heron', 'Lynx', 'Marten', 'Otter', 'Raven'] as const

/** The colour of a name: always the same one, so that people keep theirs on every machine. */
export function colorOf(name: string): string {
  let hash = 0x811c9dc5
  for (const byte of new TextEncoder().encode(name)) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  }
  return COLORS[hash % COLORS.length] ?? COLORS[0]
}

/** A name as it may be shown: one line, without control characters or surrounding space, at most 40 characters. */
export function cleanName(name: string): string {
  const line = name.replace(/[\p{Cc}\s]+/gu, ' ').trim()
  return Array.from(line).slice(0, LONGEST_NAME).join('').trim()
}

export function person(name: string): Person {
  const clean = cleanName(name) || ANONYMOUS
  return { name: clean, color: colorOf(clean) }
}

/** Reads what another client says about its user: it may be anything, and it goes into the page. */
export function personFromAwareness(user: unknown): Person {
  const { name, color } = typeof user === 'object' && user !== null ? (user as Record<string, unknown>) : {}
  const known = person(typeof name === 'string' ? name : '')
  return typeof color === 'string' && /^#[0-9a-f]{6}$/i.test(color) ? { ...known, color } : known
}

/** The name chosen in this browser before, or a new one. */
export function rememberedName(): string {
  return cleanName(storage()?.getItem(STORAGE_KEY) ?? '') || animal()
}

export function rememberName(name: string): void {
  try {
    storage()?.setItem(STORAGE_KEY, name)
  } catch {
    // A full storage: the name then lasts as long as the page.
  }
}

function animal(): string {
  return ANIMALS[Math.floor(Math.random() * ANIMALS.length)] ?? ANIMALS[0]
}

/** Browsers that keep nothing for the site throw at the mere property. */
function storage(): Storage | null {
  try {
    return window.localStorage
  } catch {
    return null
  }
}
