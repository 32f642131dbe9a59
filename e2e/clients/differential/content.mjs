// Whether content comes out of the store byte by byte as it went in.

import { Difference } from './difference.mjs'
import { decodeString, KIND, readUpdate } from './wire.mjs'

const LONGEST_SHOWN = 100
const REPLACEMENT = '\ufffd'
const isSurrogate = (unit) => unit >= '\ud800' && unit <= '\udfff'

/** What every clock of every client was given as. */
export class Given {
  #clients = new Map()

  /** Remembers the content of an update. The same clock can come in several forms, such as cut pairs of surrogates. */
  add(update) {
    eachUnit(update, (client, clock, kind, unit) => {
      if (!this.#clients.has(client)) this.#clients.set(client, [])
      const clocks = this.#clients.get(client)
      clocks[clock] ??= []
      if (!clocks[clock].some((form) => form.kind === kind && form.unit === unit)) clocks[clock].push({ kind, unit })
    })
  }

  /** Throws if an update of the store's has content that was not given in this form, or clients in another order. */
  expect(what, update) {
    expectOrder(what, update)
    eachUnit(update, (client, clock, kind, unit) => {
      const forms = this.#clients.get(client)?.[clock] ?? []
      const same = forms.some((form) => form.kind === kind && (form.unit === unit || isCut(unit, form.unit)))
      if (!same) {
        const given = forms.map(named).join(' or ') || 'not given'
        throw new Difference(`${what}: content`, `${client}:${clock} is ${named({ kind, unit })}, was ${given}`)
      }
    })
  }
}

/** Whoever cuts a pair of surrogates, as Yjs does too, leaves this on both sides. */
const isCut = (unit, given) => unit === REPLACEMENT && isSurrogate(given)

/**
 * Throws if an update is not in Yjs' order, higher clients first and each once: to apply it that would not matter, but
 * whoever puts it together with others by Y.mergeUpdates loses what is out of order.
 */
export function expectOrder(what, update) {
  const clients = readUpdate(update).clients.map(({ client }) => client)
  const wrong = clients.findIndex((client, index) => index > 0 && client >= clients[index - 1])
  if (wrong !== -1) throw new Difference(`${what}: order`, `client ${clients[wrong]} behind ${clients[wrong - 1]}`)
}

/**
 * Whether there are values of which Yjs loses a part when it reads them, so that what it writes is smaller: always a
 * key of this name, and a half of a surrogate pair where it waited for something (see `json` in compare.mjs).
 */
export function losesInYjs(update, waited) {
  const values = readUpdate(update).clients.flatMap(({ structs }) => structs.flatMap((struct) => struct.values ?? []))
  const lost = waited ? ['__proto__', '\\ud'] : ['__proto__']
  return values.some((value) => lost.some((part) => Buffer.from(value).includes(part)))
}

const named = ({ kind, unit }) => `kind ${kind} ${JSON.stringify(unit.slice(0, LONGEST_SHOWN))}`

function eachUnit(update, see) {
  for (const { client, clock, structs } of readUpdate(update).clients) {
    let at = clock
    for (const { kind, length, values } of structs) {
      if (kind === KIND.string) {
        const string = decodeString(values[0])
        for (let index = 0; index < length; index += 1) see(client, at + index, kind, string[index])
      } else if (values !== undefined) {
        values.forEach((value, index) => see(client, at + index, kind, Buffer.from(value).toString('latin1')))
      }
      at += length
    }
  }
}
