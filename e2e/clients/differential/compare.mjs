// What two documents must have in common.

import * as Y from 'yjs'
import { Difference } from './difference.mjs'
import { waits } from './documents.mjs'
import { items } from './tree.mjs'
import { any } from './wire.mjs'

const hex = (bytes) => Buffer.from(bytes).toString('hex')
/** Kinds of content that can be cut. */
const JOINED = ['string', 'values']
const byKey = ([a], [b]) => (a < b ? -1 : 1)

/** The state vector as text, whatever order it is encoded in. */
export const vector = (doc) => vectorText(Y.decodeStateVector(Y.encodeStateVector(doc)))

export const vectorText = (map) =>
  [...map]
    .sort(([a], [b]) => a - b)
    .map((entry) => entry.join(':'))
    .join(' ')

/** The delete set as text, neighbours joined. */
export function deletions(doc) {
  const clients = [...Y.createDeleteSetFromStructStore(doc.store).clients].sort(([a], [b]) => a - b)
  return clients.map(([client, ranges]) => `${client}:${ranges.map(({ clock, len }) => `${clock}+${len}`)}`).join(' ')
}

/**
 * What is left of everything that was deleted, by the ids of its characters and values. Whether Yjs cut a pair of
 * surrogates, and lost it, depends on how its deletions came in, so that all halves are alike.
 */
export function keptDeletions(doc) {
  const lines = []
  for (const [client, structs] of [...doc.store.clients].sort(([a], [b]) => a - b)) {
    for (const struct of structs) {
      if (!(struct instanceof Y.Item) || !struct.deleted || struct.content instanceof Y.ContentDeleted) continue
      const { kind, text } = contentOf(struct)
      const joined = lines.at(-1)
      if (JOINED.includes(kind) && joined?.kind === kind && joined.client === client && joined.end === struct.id.clock) {
        Object.assign(joined, { text: joined.text + text, end: joined.end + struct.length })
      } else {
        lines.push({ client, clock: struct.id.clock, end: struct.id.clock + struct.length, kind, text })
      }
    }
  }
  const text = lines.map(({ client, clock, kind, text }) => `${client}:${clock} ${kind} ${text}`).join('\n')
  return text.replace(/[\ud800-\udfff]|\\ud[89a-f][0-9a-f]{2}/g, '\ufffd')
}

/**
 * Everything that can be seen, with the ids of its characters and values: independent of how items are cut, and of
 * which kind a root was opened as. Values are their bytes, so that the order of keys, -0, undefined and big integers
 * count.
 */
export function structure(doc) {
  const lines = []
  for (const [name, type] of [...doc.share].sort(byKey)) {
    const start = lines.push(`root ${JSON.stringify(name)}`)
    describe(type, lines)
    // A root that somebody merely asked for is as good as none.
    if (lines.length === start) lines.pop()
  }
  return lines.join('\n')
}

/** As a loop and not recursive: attacks nest types as deep as they can. */
function describe(root, lines) {
  const open = [{ entries: entriesOf(root), at: 0 }]
  while (open.length > 0) {
    const frame = open.at(-1)
    if (frame.at === frame.entries.length) {
      open.pop()
      if (open.length > 0) lines.push('}')
      continue
    }
    const { text, type } = frame.entries[frame.at]
    frame.at += 1
    lines.push(text)
    if (type !== undefined) {
      lines.push('{')
      open.push({ entries: entriesOf(type), at: 0 })
    }
  }
}

/** What is directly in a type, neighbours in the text with following ids put together. */
function entriesOf(type) {
  const { list, keyed } = items(type)
  const entries = []
  let last = null
  for (const item of list) {
    const { client, clock } = item.id
    const entry = { ...contentOf(item), client, end: clock + item.length }
    const follows = last !== null && last.client === client && last.end === clock
    if (follows && last.kind === entry.kind && JOINED.includes(entry.kind)) {
      Object.assign(last, { text: last.text + entry.text, end: entry.end })
      continue
    }
    entry.text = `${client}:${clock} ${entry.kind} ${entry.text}`
    entries.push(entry)
    last = entry
  }
  for (const [key, item] of keyed) {
    const { kind, text, type: inner } = contentOf(item)
    entries.push({ text: `key ${JSON.stringify(key)} ${item.id.client}:${item.id.clock} ${kind} ${text}`, type: inner })
  }
  return entries
}

function contentOf({ content }) {
  switch (content.constructor) {
    case Y.ContentString:
      return { kind: 'string', text: JSON.stringify(content.str).slice(1, -1) }
    case Y.ContentAny:
    case Y.ContentJSON:
      // Whoever wrote a value as JSON and whoever read that since mean the same value.
      return { kind: 'values', text: content.arr.map((value) => `${hex(any(value))},`).join('') }
    case Y.ContentType:
      return {
        kind: content.type.constructor.name,
        text: content.type.nodeName ?? content.type.hookName ?? '',
        type: content.type,
      }
    case Y.ContentBinary:
      return { kind: 'binary', text: hex(content.content) }
    case Y.ContentEmbed:
      return { kind: 'embed', text: json(content.embed) }
    case Y.ContentFormat:
      return { kind: 'format', text: json([content.key, content.value]) }
    case Y.ContentDoc:
      return { kind: 'subdocument', text: `${JSON.stringify(content.doc.guid)} ${hex(any(content.opts))}` }
    default:
      throw new Error(`content ${content.constructor.name} cannot be seen`)
  }
}

/** What an application reads through the types that the editors open. Plain objects keep the order of their keys. */
export function application(doc) {
  const roots = [
    doc.getMap('map'),
    doc.getArray('array'),
    doc.getText('text'),
    doc.getXmlFragment('xml'),
    // Lexical's.
    doc.get('root', Y.XmlText),
  ]
  return json(roots.map(read))
}

/**
 * As JSON, halves of surrogate pairs as U+FFFD: where they are escaped they travel whole, but a Yjs in which they had
 * to wait for something passes them on as U+FFFD. That the bytes stay is for content.mjs to see.
 */
function json(value) {
  const text = JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? `${inner}n` : inner))
  return text.replace(/\\ud[89a-f][0-9a-f]{2}/g, '\ufffd')
}

function read(value) {
  if (value instanceof Y.Text) {
    const delta = value.toDelta().map(({ insert, attributes }) => [read(insert), attributes])
    return [value.toString(), delta, Object.entries(value.getAttributes()).sort(byKey)]
  }
  if (value instanceof Y.Array) return value.toArray().map(read)
  // The order of a shared map's keys is that of their arrival.
  if (value instanceof Y.Map) return [...value.entries()].sort(byKey).map(([key, inner]) => [key, read(inner)])
  if (value instanceof Y.XmlElement) {
    return [value.toString(), Object.entries(value.getAttributes()).sort(byKey), value.toArray().map(read)]
  }
  if (value instanceof Y.XmlFragment) return [value.toString(), value.toArray().map(read)]
  return value instanceof Y.Doc ? `subdocument ${value.guid}` : value
}

/** `what` says which of the store's answers `doc` was made of; `truth` is Yjs'. */
export function expectSame(what, doc, truth, views = { vector, deletions, structure, application }) {
  for (const [name, view] of Object.entries(views)) expectEqual(`${what}: ${name}`, view(doc), view(truth))
}

export function expectSettled(what, doc) {
  if (!waits(doc)) return
  const { pendingStructs, pendingDs } = doc.store
  const missing = pendingStructs === null ? 'deletions wait' : `structs wait for ${vectorText(pendingStructs.missing)}`
  throw new Difference(`${what}: pending`, pendingDs === null ? missing : `${missing}, deletions wait`)
}

/** Throws and shows where two texts part. */
export function expectEqual(check, got, wanted) {
  if (got === wanted) return
  let at = 0
  while (got[at] === wanted[at]) at += 1
  const near = (text) => JSON.stringify(text.slice(Math.max(0, at - 80), at + 160))
  throw new Difference(check, `at ${at}\n  store ${near(got)}\n  Yjs   ${near(wanted)}`)
}
