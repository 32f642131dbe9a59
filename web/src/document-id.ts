/** The document that `/` opens, so that two people who open the same server meet. */
export const WELCOME = 'welcome'

const LONGEST_BYTES = 512
const CONTROL = /\p{Cc}/u

/**
 * The document that a path names: the percent-decoded segment behind `/d/`. Null when it names none, or one that the
 * gateway would refuse (empty, over 512 bytes, with control characters, or not UTF-8).
 */
export function documentFromPath(path: string): string | null {
  const segment = /^\/d\/([^/]+)\/?$/.exec(path)?.[1]
  if (segment === undefined) return null
  let id: string
  try {
    id = decodeURIComponent(segment)
  } catch {
    return null
  }
  const bytes = new TextEncoder().encode(id).length
  return bytes > LONGEST_BYTES || CONTROL.test(id) ? null : id
}

/** The path of a document's page. */
export function pathOf(id: string): string {
  return `/d/${encodeURIComponent(id)}`
}

/** A document name that nobody has: 12 characters that are easy to read aloud. */
export function freshDocumentId(random: Uint8Array = crypto.getRandomValues(new Uint8Array(12))): string {
  // 32 characters, so that each is equally likely; none that looks like another.
  const alphabet = 'abcdefghijkmnpqrstuvwxyz23456789'
  return Array.from(random, (byte) => alphabet.charAt(byte % alphabet.length)).join('')
}
