// Updates as they are on the wire (Yjs v1), read without understanding more than where each part ends: what a store
// must keep byte by byte can be compared, and anything can be written, also what no Yjs would.

import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'

/** What an item holds; the numbers are those of the format. */
export const KIND = {
  gc: 0,
  deleted: 1,
  json: 2,
  binary: 3,
  string: 4,
  embed: 5,
  format: 6,
  type: 7,
  any: 8,
  doc: 9,
  skip: 10,
}
/** Types whose name follows. */
const NAMED_TYPES = [3, 5]
const HAS_ORIGIN = 128
const HAS_RIGHT = 64
const HAS_SUB = 32

/**
 * `{clients: [{client, clock, structs}], deletes: [{client, ranges: [[clock, length]]}]}`. A struct has `info`,
 * `kind`, `length` (of its clock range) and, if it is an item, `origin`, `right`, `parent`, `sub` and `values`: the
 * bytes of its content, one for each value if it can hold several.
 */
export function readUpdate(update) {
  const decoder = decoding.createDecoder(update)
  const clients = times(decoding.readVarUint(decoder), () => {
    const count = decoding.readVarUint(decoder)
    const client = decoding.readVarUint(decoder)
    const clock = decoding.readVarUint(decoder)
    return { client, clock, structs: times(count, () => readStruct(decoder)) }
  })
  const deletes = times(decoding.readVarUint(decoder), () => {
    const client = decoding.readVarUint(decoder)
    return { client, ranges: times(decoding.readVarUint(decoder), () => readPair(decoder)) }
  })
  return { clients, deletes }
}

/** The inverse of `readUpdate`. */
export function writeUpdate({ clients, deletes }) {
  const encoder = encoding.createEncoder()
  encoding.writeVarUint(encoder, clients.length)
  for (const { client, clock, structs } of clients) {
    for (const number of [structs.length, client, clock]) encoding.writeVarUint(encoder, number)
    for (const struct of structs) writeStruct(encoder, struct)
  }
  encoding.writeVarUint(encoder, deletes.length)
  for (const { client, ranges } of deletes) {
    encoding.writeVarUint(encoder, client)
    encoding.writeVarUint(encoder, ranges.length)
    for (const pair of ranges) writePair(encoder, pair)
  }
  return encoding.toUint8Array(encoder)
}

/** The bytes of a string with its length. */
export const varString = (string) => encoding.encode((encoder) => encoding.writeVarString(encoder, string))
export const varUint = (number) => encoding.encode((encoder) => encoding.writeVarUint(encoder, number))
export const any = (value) => encoding.encode((encoder) => encoding.writeAny(encoder, value))
export const decodeAny = (bytes) => decoding.readAny(decoding.createDecoder(bytes))
export const decodeString = (bytes) => decoding.readVarString(decoding.createDecoder(bytes))

function readStruct(decoder) {
  const info = decoding.readUint8(decoder)
  const kind = info & 31
  if (kind === KIND.gc || kind === KIND.skip) return { info, kind, length: decoding.readVarUint(decoder) }
  const origin = info & HAS_ORIGIN ? readPair(decoder) : null
  const right = info & HAS_RIGHT ? readPair(decoder) : null
  let parent = null
  let sub = null
  if (origin === null && right === null) {
    parent = decoding.readVarUint(decoder) === 1 ? decoding.readVarString(decoder) : readPair(decoder)
    if (info & HAS_SUB) sub = decoding.readVarString(decoder)
  }
  return { info, kind, origin, right, parent, sub, ...readContent(decoder, kind) }
}

function readContent(decoder, kind) {
  const span = (read) => {
    const start = decoder.pos
    read(decoder)
    return decoder.arr.slice(start, decoder.pos)
  }
  const bytes = () => span(decoding.readVarUint8Array)
  switch (kind) {
    case KIND.deleted:
      return { length: decoding.readVarUint(decoder), values: [] }
    case KIND.json:
    case KIND.any: {
      const values = times(decoding.readVarUint(decoder), kind === KIND.json ? bytes : () => span(decoding.readAny))
      return { length: values.length, values }
    }
    case KIND.string: {
      const value = bytes()
      return { length: decodeString(value).length, values: [value] }
    }
    case KIND.binary:
    case KIND.embed:
      return { length: 1, values: [bytes()] }
    case KIND.format:
      return { length: 1, values: [span(() => times(2, () => decoding.readVarUint8Array(decoder)))] }
    case KIND.type:
      return { length: 1, values: [span(() => NAMED_TYPES.includes(decoding.readVarUint(decoder)) && bytes())] }
    case KIND.doc:
      return { length: 1, values: [span(() => [bytes(), decoding.readAny(decoder)])] }
    default:
      throw new Error(`kind ${kind} is no content`)
  }
}

function writeStruct(encoder, { info, kind, origin, right, parent, sub, length, values }) {
  encoding.writeUint8(encoder, (info & ~31) | kind)
  if (kind === KIND.gc || kind === KIND.skip) return encoding.writeVarUint(encoder, length)
  if (origin !== null) writePair(encoder, origin)
  if (right !== null) writePair(encoder, right)
  if (parent !== null) {
    encoding.writeVarUint(encoder, typeof parent === 'string' ? 1 : 0)
    if (typeof parent === 'string') encoding.writeVarString(encoder, parent)
    else writePair(encoder, parent)
    if (sub !== null) encoding.writeVarString(encoder, sub)
  }
  if ([KIND.deleted, KIND.json, KIND.any].includes(kind)) encoding.writeVarUint(encoder, length)
  for (const value of values) encoding.writeUint8Array(encoder, value)
}

function readPair(decoder) {
  return [decoding.readVarUint(decoder), decoding.readVarUint(decoder)]
}

function writePair(encoder, [a, b]) {
  encoding.writeVarUint(encoder, a)
  encoding.writeVarUint(encoder, b)
}

/** As a loop: a count that somebody made up must end at the end of the bytes and not in memory. */
function times(count, make) {
  const made = []
  for (let index = 0; index < count; index += 1) made.push(make())
  return made
}

/** Sets which of origin, right origin and parent key the first byte of an item announces. */
export function announce(struct) {
  const flags = (struct.origin ? HAS_ORIGIN : 0) | (struct.right ? HAS_RIGHT : 0) | (struct.sub !== null ? HAS_SUB : 0)
  struct.info = struct.kind | flags
  return struct
}
