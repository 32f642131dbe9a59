// The steps of a case that ask the store for what it has, and compare that with Yjs.

import * as Y from 'yjs'
import {
  application,
  deletions,
  keptDeletions,
  expectEqual,
  expectSame,
  expectSettled,
  structure,
  vector,
  vectorText,
} from './compare.mjs'
import { Given, losesInYjs } from './content.mjs'
import { Difference } from './difference.mjs'
import { quiet, settled, waits } from './documents.mjs'
import { OP, STATUS } from './pipe.mjs'
import { readUpdate } from './wire.mjs'

export class Checks {
  #judge

  constructor(judge) {
    this.#judge = judge
  }

  /** The steps after this are of a document that keeps what was deleted. */
  keep() {
    return this.#judge.keep()
  }

  /** The whole document, its vector, the news so far, and that who has everything is sent nothing. */
  async check() {
    const judge = this.#judge
    const truth = this.#loaded()
    const all = Y.encodeStateVector(truth)
    const [whole, ownVector, nothing] = await Promise.all([
      judge.ask(OP.encode),
      judge.ask(OP.vector),
      judge.ask(OP.diff, all),
    ])
    const fresh = judge.open(whole)
    if (!waits(truth)) {
      expectSettled('encode', fresh)
      expectEqual('diff of all: structs', `${readUpdate(nothing).clients.length}`, '0')
    }
    expectEqual('vector', vectorText(Y.decodeStateVector(ownVector)), vector(truth))
    expectSame('encode', fresh, truth)
    // Of two forms of one item, with and without its content, Yjs may have taken the one for which nothing had to wait.
    if (judge.keeps && !judge.waited) expectSame('encode', fresh, truth, { keptDeletions })
    expectSame('news', judge.follower, truth)
    judge.given.expect('encode', whole)
  }

  /** As `check`, when everybody has told everything: nothing waits, nothing is news, and it is no larger than Yjs'. */
  async final() {
    const judge = this.#judge
    const everything = Y.encodeStateAsUpdate(judge.truth)
    const reloaded = judge.open(everything)
    if (waits(reloaded)) throw new Error('the case is over and something waits in Yjs')
    judge.truth = reloaded
    judge.hearNews('admit of all', await judge.ask(OP.admit, everything), new Map())
    const again = await judge.ask(OP.admit, everything)
    expectEqual('admit of all again: news', Buffer.from(again).toString('hex'), '')
    await this.check()
    const whole = await judge.ask(OP.encode)
    const wanted = Y.encodeStateAsUpdate(reloaded).length
    if (whole.length > wanted && losesInYjs(whole, judge.waited)) return
    judge.tally.size(whole.length, wanted)
    if (whole.length > wanted) throw new Difference('size', `${whole.length} bytes, Yjs needs ${wanted}`)
  }

  /** Somebody who had `state` reads the difference. */
  async diff(state) {
    const judge = this.#judge
    const peer = quiet(state)
    const had = Y.decodeStateVector(Y.encodeStateVector(peer))
    const difference = await judge.ask(OP.diff, Y.encodeStateVector(peer))
    for (const { client, clock } of readUpdate(difference).clients) {
      if (clock < (had.get(client) ?? 0))
        throw new Difference('diff: known', `${client} from ${clock}, had ${had.get(client)}`)
    }
    judge.given.expect('diff', difference)
    Y.applyUpdate(peer, difference)
    // What waits in the store is told to nobody.
    const wanted = quiet(state, settled(this.#loaded()))
    expectSettled('diff', peer)
    expectSame('diff', peer, wanted)
  }

  /** Updates put together by their bytes are the same as one after the other. */
  async merge(...updates) {
    const judge = this.#judge
    const list = updates.flatMap((update) => {
      const length = Buffer.alloc(4)
      length.writeUInt32LE(update.length)
      return [length, update]
    })
    const merged = await judge.ask(OP.merge, Buffer.concat(list))
    const given = new Given()
    for (const update of updates) given.add(update)
    given.expect('merge', merged)
    const [got, wanted] = [quiet(merged), quiet(...updates)]
    if (waits(got) || waits(wanted)) {
      // Two forms of one item can wait for different things, so only what all of it makes is compared.
      const rest = Y.encodeStateAsUpdate(judge.truth)
      for (const doc of [got, wanted]) Y.applyUpdate(doc, rest)
    }
    if (waits(got) !== waits(wanted))
      throw new Difference('merge: pending', `waits in ${waits(got) ? 'the store' : 'Yjs'} only`)
    expectSame('merge', got, wanted, { vector, deletions, structure, application })
  }

  /** Yjs tries what waits again when all of one client's that it needs is there, or, as the store did by then, at a load. */
  #loaded() {
    const { truth } = this.#judge
    return waits(truth) ? this.#judge.open(Y.encodeStateAsUpdate(truth)) : truth
  }

  /** The document goes to the database and comes back. */
  async reload() {
    const whole = await this.#judge.ask(OP.encode)
    await this.#judge.ask(OP.load, whole, [STATUS.done])
  }
}
