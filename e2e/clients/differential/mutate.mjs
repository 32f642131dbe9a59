// Updates that were honest: one or several things in them are changed, in their bytes or in what the bytes mean.

import { CONTENTS, NUMBERS } from './contents.mjs'
import { announce, KIND, readUpdate, writeUpdate } from './wire.mjs'

/** `known` are ids that exist, `[client, clock]`. */
export function mutate(random, update, known) {
  if (random.chance(0.2)) return mangle(random, update)
  const model = readUpdate(update)
  for (let count = random.pick([1, 1, 1, 2, 4]); count > 0; count -= 1) random.pick(CHANGES)(random, model, known)
  const changed = writeUpdate(model)
  return random.chance(0.05) ? mangle(random, changed) : changed
}

function mangle(random, update) {
  const bytes = [...update]
  const at = random.below(bytes.length)
  switch (random.below(7)) {
    case 0:
      bytes[at] ^= 1 << random.below(8)
      break
    case 1:
      for (let count = random.between(1, 5); count > 0; count -= 1)
        bytes[random.below(bytes.length)] = random.below(256)
      break
    case 2:
      bytes.length = at
      break
    case 3:
      bytes.splice(at, 0, ...random.bytes(random.between(1, 4)))
      break
    case 4:
      bytes.splice(at, random.between(1, 4))
      break
    case 5:
      // A number written in more bytes than it needs.
      if (bytes[at] < 128) bytes.splice(at, 1, bytes[at] | 128, ...Array(random.below(11)).fill(128), 0)
      break
    default:
      bytes.splice(at, 0, ...bytes.slice(at, at + random.between(1, 20)))
  }
  return Uint8Array.from(bytes)
}

/** An id that exists, or that is the item's own or near it, or that nobody has. */
function someId(random, known, [client, clock]) {
  switch (random.below(7)) {
    case 0:
      return [client, clock]
    case 1:
      return [client, Math.max(0, clock + random.between(-3, 3))]
    case 2:
      return [random.pick(NUMBERS), random.pick(NUMBERS)]
    case 3:
      return [random.pick(known)[0], random.pick(NUMBERS)]
    default:
      return random.pick(known)
  }
}

/** A struct of the update with its id, in the list that holds it; null if there is none. */
function someStruct(random, { clients }) {
  const section = random.pick(clients.filter(({ structs }) => structs.length > 0))
  if (section === undefined) return null
  const index = random.below(section.structs.length)
  const clock = section.structs.slice(0, index).reduce((sum, { length }) => sum + length, section.clock)
  return { section, index, struct: section.structs[index], id: [section.client, clock] }
}

/** A change of one item, which keeps announcing what it names, as otherwise nothing behind it can be read. */
const ofItem = (change) => (random, model, known) => {
  const found = someStruct(random, model)
  if (found === null || found.struct.values === undefined) return
  change(random, found.struct, known, found.id)
  announce(found.struct)
}

const ofList = (change) => (random, model, known) => {
  const found = someStruct(random, model)
  if (found !== null) change(random, found.section.structs, found.index, known)
}

const ofSection =
  (change) =>
  (random, { clients }, known) => {
    if (clients.length > 0) change(random, random.pick(clients), clients, known)
  }

const ofDeletes =
  (change) =>
  (random, { deletes }, known) => {
    if (deletes.length === 0) deletes.push({ client: random.pick(known)[0], ranges: [] })
    change(random, random.pick(deletes), deletes, known)
  }

const CHANGES = [
  ofItem((random, item, known, id) => {
    item.origin = random.chance(0.2) ? null : someId(random, known, id)
    if (item.origin === null && item.right === null) item.parent ??= 'text'
    else Object.assign(item, { parent: null, sub: null })
  }),
  ofItem((random, item, known, id) => {
    item.right = random.chance(0.2) ? null : someId(random, known, id)
    if (item.origin === null && item.right === null) item.parent ??= 'map'
    else Object.assign(item, { parent: null, sub: null })
  }),
  ofItem((random, item, known, id) => {
    Object.assign(item, { origin: null, right: null, sub: item.sub ?? null })
    item.parent = random.chance(0.3)
      ? random.pick(['text', 'map', 'array', 'xml', '', 'new', 'honest'])
      : someId(random, known, id)
  }),
  ofItem((random, item) => {
    if (item.parent !== null)
      item.sub = random.chance(0.3) ? null : random.pick(['k0', 'k1', '', 'é', '__proto__', 'x'.repeat(1000)])
  }),
  ofItem((random, item) => Object.assign(item, random.pick(CONTENTS)(random))),
  ofItem((random, item) => {
    item.length = random.pick([0, item.length + 1, Math.max(0, item.length - 1), random.pick(NUMBERS)])
  }),
  ofItem((random, item) => {
    if (item.values.length > 0) item.values[random.below(item.values.length)] = random.bytes(random.below(6))
  }),
  // Unlike the others this leaves the first byte as it is: what follows is read as something else.
  (random, model) => {
    const found = someStruct(random, model)
    if (found === null) return
    const flags = found.struct.info & ~31
    if (random.chance(0.5)) found.struct.kind = random.below(32)
    else found.struct.info = (flags ^ (32 << random.below(3))) | found.struct.kind
    found.struct.values ??= []
    found.struct.origin ??= null
    found.struct.right ??= null
    found.struct.parent ??= null
    found.struct.sub ??= null
  },
  ofList((random, structs, index) => {
    const other = random.below(structs.length)
    ;[structs[index], structs[other]] = [structs[other], structs[index]]
  }),
  ofList((random, structs, index) => structs.splice(random.below(structs.length + 1), 0, { ...structs[index] })),
  ofList((random, structs, index) => structs.splice(index, 1)),
  ofList((random, structs, index) => {
    const length = random.pick([0, 1, 3, random.pick(NUMBERS)])
    structs.splice(index, random.below(2), { info: 0, kind: random.pick([KIND.gc, KIND.skip]), length })
  }),
  ofSection((random, section, _, known) => {
    section.client = random.pick([random.pick(known)[0], section.client + 1, random.pick(NUMBERS)])
  }),
  ofSection((random, section) => {
    section.clock = random.pick([0, section.clock + 1, Math.max(0, section.clock - 1), random.pick(NUMBERS)])
  }),
  ofSection((random, section, clients) =>
    clients.splice(random.below(clients.length + 1), 0, structuredClone(section)),
  ),
  ofSection((random, section, clients) => {
    clients.splice(clients.indexOf(section), 1)
    clients.splice(random.below(clients.length + 1), 0, section)
  }),
  ofSection((random, section, clients) => {
    // One client's structs in two sections, in order or not.
    const tail = section.structs.splice(random.below(section.structs.length + 1))
    const clock = section.structs.reduce((sum, { length }) => sum + length, section.clock)
    clients.splice(random.below(clients.length + 1), 0, { client: section.client, clock, structs: tail })
  }),
  ofDeletes((random, { ranges }, _, known) => {
    const clock = random.pick([random.pick(known)[1], random.pick(NUMBERS)])
    ranges.splice(random.below(ranges.length + 1), 0, [clock, random.pick([0, 1, 2, 5, random.pick(NUMBERS)])])
  }),
  ofDeletes((random, one, _, known) => {
    one.client = random.pick([random.pick(known)[0], random.pick(NUMBERS)])
  }),
  ofDeletes((random, one, deletes) => deletes.push(structuredClone(one))),
  ofDeletes((random, { ranges }) => ranges.reverse()),
]
