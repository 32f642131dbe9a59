// What must hold when somebody sends what no editor makes: it is refused without a trace, or Yjs can live with it.

import * as Y from 'yjs'
import { deletions, expectEqual, expectSame, expectSettled, structure, vector, vectorText } from './compare.mjs'
import { expectOrder } from './content.mjs'
import { Difference } from './difference.mjs'
import { quiet } from './documents.mjs'
import { STATUS } from './pipe.mjs'
import { isSteady } from './steady.mjs'
import { readUpdate } from './wire.mjs'

/**
 * Who wrote the text that attacks must leave alone, and where. The text has no pairs of surrogates: those can be cut.
 */
export const HONEST = { client: 1000, root: 'honest', text: 'what somebody honest has written' }

const VIEWS = { vector, deletions, structure }

export class Attacks {
  #judge
  #unsteady = false
  #mayDelete = false

  constructor(judge) {
    this.#judge = judge
  }

  /** A new row is there. */
  reset() {
    this.#unsteady = false
    this.#mayDelete = false
  }

  judge([before, { status, payload }, after, ownVector], update) {
    const { tally, demands, truth, follower } = this.#judge
    tally.attack(['taken', 'in part', 'refused'][status])
    if (status === STATUS.refused) {
      if (payload.length === 0) throw new Difference('attack: refused', 'without a reason')
      new TextDecoder('utf-8', { fatal: true }).decode(payload)
    }
    if (status === STATUS.refused || payload.length === 0) {
      expectEqual('attack: no news and still changed', hex(after.payload), hex(before.payload))
      return
    }
    expectOrder('attack: news', payload)
    expectOrder('attack: encode', after.payload)
    // What follows upon a document on which Yjs does not agree with itself proves nothing.
    if (this.#unsteady) return
    // The gateway tells everybody the news and not what was sent, so only that has to be harmless.
    const told = demands.originals && status === STATUS.done ? update : payload
    const fresh = quiet()
    for (const [what, doc, bytes] of [
      ['live', truth, told],
      ['news', follower, payload],
      ['encode', fresh, after.payload],
    ]) {
      apply(what, doc, bytes)
    }
    this.#mayDelete ||= readUpdate(told).deletes.some(({ client }) => client === HONEST.client)
    if (quiet(before.payload).share.has(HONEST.root)) {
      for (const [what, doc] of [
        ['live', truth],
        ['encode', fresh],
      ])
        this.#expectHonest(what, doc)
    }
    expectSame('attack: news', follower, truth, VIEWS)
    if (!isSteady(truth, before.payload, payload)) {
      tally.attack('unsteady')
      this.#unsteady = true
      if (!demands.strict) return
    }
    expectSame('attack: encode', fresh, truth, VIEWS)
    expectEqual('attack: vector', vectorText(Y.decodeStateVector(ownVector.payload)), vector(truth))
  }

  #expectHonest(what, doc) {
    const deleted = Y.createDeleteSetFromStructStore(doc.store).clients.has(HONEST.client)
    if (deleted && this.#mayDelete) return
    const text = doc.getText(HONEST.root).toString()
    let at = -1
    for (const character of HONEST.text) {
      at = text.indexOf(character, at + 1)
      if (at === -1) throw new Difference(`attack: honest text, ${what}`, JSON.stringify(text))
    }
  }
}

function apply(what, doc, update) {
  try {
    Y.applyUpdate(doc, update)
  } catch (error) {
    throw new Difference(`attack: Yjs throws, ${what}`, error.message)
  }
  expectSettled(`attack: ${what}`, doc)
}

const hex = (bytes) => Buffer.from(bytes).toString('hex')
