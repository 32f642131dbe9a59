// Updates written struct by struct: what no Yjs document would ever make. Encoding v1, as Yjs 13 reads it.

import * as encoding from 'lib0/encoding'

const HAS_PARENT_SUB = 32
const HAS_RIGHT_ORIGIN = 64
const HAS_ORIGIN = 128

/**
 * `clients`: for each one `{client, clock, structs}`, the structs being made by the functions below. `deletions`: pairs
 * of a client and its ranges, each a clock and a length.
 */
export function update(clients, deletions = []) {
  const encoder = encoding.createEncoder()
  numbers(encoder, clients.length)
  for (const { client, clock = 0, structs } of clients) {
    numbers(encoder, structs.length, client, clock)
    for (const write of structs) write(encoder)
  }
  numbers(encoder, deletions.length)
  for (const [client, ranges] of deletions) numbers(encoder, client, ranges.length, ...ranges.flat())
  return encoding.toUint8Array(encoder)
}

/** The update of one client that has made nothing before. */
export const by = (client, ...structs) => update([{ client, structs }])

export const gc = (length) => (encoder) => {
  encoding.writeUint8(encoder, 0)
  numbers(encoder, length)
}

export const skip = (length) => (encoder) => {
  encoding.writeUint8(encoder, 10)
  numbers(encoder, length)
}

/*
 * An item's place: `origin`, `right` and `parent` are each a pair of client and clock; a parent may also be the name of
 * a shared type, and `key` is the place in a map. Yjs takes parent and key from the neighbours if there are any.
 */

export const deleted = (place, length) => item(1, place, (encoder) => numbers(encoder, length))

export const json = (place, values) =>
  item(2, place, (encoder) => {
    numbers(encoder, values.length)
    for (const value of values) encoding.writeVarString(encoder, JSON.stringify(value))
  })

export const string = (place, text) => item(4, place, (encoder) => encoding.writeVarString(encoder, text))

export const embed = (place, value) =>
  item(5, place, (encoder) => encoding.writeVarString(encoder, JSON.stringify(value)))

export const format = (place, name, value) =>
  item(6, place, (encoder) => {
    encoding.writeVarString(encoder, name)
    encoding.writeVarString(encoder, JSON.stringify(value))
  })

/** A shared type: 0 is an array, 1 a map, 2 a text, 3 an XML element, which has a `tag`. */
export const type = (place, kind, tag) =>
  item(7, place, (encoder) => {
    numbers(encoder, kind)
    if (tag !== undefined) encoding.writeVarString(encoder, tag)
  })

export const any = (place, values) =>
  item(8, place, (encoder) => {
    numbers(encoder, values.length)
    for (const value of values) encoding.writeAny(encoder, value)
  })

export const subdocument = (place, guid, options) =>
  item(9, place, (encoder) => {
    encoding.writeVarString(encoder, guid)
    encoding.writeAny(encoder, options)
  })

function item(kind, { origin, right, parent, key }, content) {
  return (encoder) => {
    const neighbours = (origin ? HAS_ORIGIN : 0) | (right ? HAS_RIGHT_ORIGIN : 0)
    encoding.writeUint8(encoder, kind | neighbours | (key === undefined ? 0 : HAS_PARENT_SUB))
    if (origin) numbers(encoder, ...origin)
    if (right) numbers(encoder, ...right)
    if (neighbours === 0) {
      if (Array.isArray(parent)) {
        numbers(encoder, 0, ...parent)
      } else {
        numbers(encoder, 1)
        encoding.writeVarString(encoder, parent)
      }
      if (key !== undefined) encoding.writeVarString(encoder, key)
    }
    content(encoder)
  }
}

function numbers(encoder, ...values) {
  for (const value of values) encoding.writeVarUint(encoder, value)
}
