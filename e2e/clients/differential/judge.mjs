// Plays a case: each step goes to the store and to Yjs, and what the store answers is compared.
//
// A case is plain data, `{kind, seed, round, steps}`, so that it can be written to a file, played again and shrunk.
// What a step must bring is taken from Yjs while the case is played and never from whoever made the case: any part of
// a case is a case too.

import * as Y from 'yjs'
import { Attacks } from './attacks.mjs'
import { Checks } from './checks.mjs'
import { expectEqual, expectSettled } from './compare.mjs'
import { Given } from './content.mjs'
import { Difference } from './difference.mjs'
import { forget, keeping, quiet, waits } from './documents.mjs'
import { OP, STATUS } from './pipe.mjs'
import { readUpdate } from './wire.mjs'

/** The requests of the steps that need no answer of an earlier one: they are sent ahead. */
const AHEAD = {
  admit: (update) => [[OP.admit, update]],
  twice: (update) => [
    [OP.admit, update],
    [OP.admit, update],
  ],
  take: (update) => [[OP.take, update]],
  row: (update) => [[OP.load, update]],
  attack: (update) => [[OP.encode], [OP.admit, update], [OP.encode], [OP.vector]],
  endure: (op, bytes) => [[op, bytes]],
}

export class Judge {
  /** What Yjs has of the same updates. */
  truth = quiet()
  /** Somebody who has read only the news that the store answered. */
  follower = quiet()
  given = new Given()
  /** Whether anything has waited in `truth`. */
  waited = false
  /** Whether the document keeps what was deleted. */
  keeps = false

  /** `demands` are those beyond what the gateway relies on, see run.mjs. */
  constructor(pipe, tally, demands = {}) {
    Object.assign(this, { pipe, tally, demands })
    this.checks = new Checks(this)
    this.attacks = new Attacks(this)
  }

  /** Throws at the first difference. */
  async play(steps) {
    this.#answered(await this.pipe.request(OP.reset), [STATUS.done])
    for (let index = 0; index < steps.length;) {
      const [name, ...rest] = steps[index]
      if (name in AHEAD) {
        const end = steps.findIndex(([later], at) => at > index && !(later in AHEAD))
        await this.#ahead(steps.slice(index, end === -1 ? undefined : end))
        index = end === -1 ? steps.length : end
      } else {
        await this.checks[name](...rest)
        index += 1
      }
    }
  }

  /** One answer of the store's that must come in time and with one of these statuses; gives its payload. */
  async ask(op, payload, statuses = [STATUS.done]) {
    return this.#answered(await this.pipe.request(op, payload), statuses).payload
  }

  async #ahead(steps) {
    const requests = steps.map(([name, ...rest]) =>
      AHEAD[name](...rest).map((request) => this.pipe.request(...request)),
    )
    for (const [index, [name, ...rest]] of steps.entries()) {
      const answers = await Promise.all(requests[index])
      for (const answer of answers) this.#answered(answer, Object.values(STATUS))
      this[name](answers, ...rest)
    }
  }

  #answered(answer, statuses) {
    if (answer.slow) throw new Difference('slow', `op ${answer.op} took more than 2 s`)
    if (!statuses.includes(answer.status)) {
      throw new Difference('status', `${answer.status} (${new TextDecoder().decode(answer.payload)}), not ${statuses}`)
    }
    return answer
  }

  /** A document like the one that the store has, with these updates. */
  open(...updates) {
    return this.keeps ? keeping(...updates) : quiet(...updates)
  }

  /** From here on the document is an empty one that keeps what was deleted. */
  async keep() {
    await this.ask(OP.keep)
    this.keeps = true
    this.truth = this.open()
    this.follower = this.open()
    this.given = new Given()
    this.waited = false
    this.attacks.reset()
  }

  /** What a client sent. */
  admit([answer], update) {
    this.#heard('admit', answer, update)
    // Yjs keeps what waits; whoever admits from clients does not, and is told again.
    forget(this.truth)
  }

  twice([first, second], update) {
    this.admit([first], update)
    this.admit([second], update)
    expectEqual('admit again: news', Buffer.from(second.payload).toString('hex'), '')
  }

  /** What the log or the database holds. */
  take([answer], update) {
    this.#heard('take', answer, update)
    this.waited ||= waits(this.truth)
  }

  row([answer], update) {
    this.#answered(answer, [STATUS.done])
    this.truth = this.open(update)
    this.follower = this.open(update)
    this.attacks.reset()
  }

  attack(answers, update) {
    this.attacks.judge(answers, update)
  }

  /** Anything may come back, as long as something does. */
  endure() {}

  #heard(what, { status, payload }, update) {
    this.tally.updates += 1
    this.given.add(update)
    const known = Y.decodeStateVector(Y.encodeStateVector(this.truth))
    Y.applyUpdate(this.truth, update)
    if (status === STATUS.refused) throw new Difference(`${what}: refused`, new TextDecoder().decode(payload))
    const wanted = waits(this.truth) ? STATUS.waits : STATUS.done
    // In Yjs things can still be listed as waiting that came another way since: it looks again when it loads.
    const stale = wanted !== status && waits(this.truth) && !waits(quiet(Y.encodeStateAsUpdate(this.truth)))
    if (!stale) expectEqual(`${what}: status`, `${status}`, `${wanted}`)
    this.hearNews(what, payload, known)
  }

  /** Passes news on to the follower; news repeats nothing that was known. */
  hearNews(what, news, known) {
    if (news.length === 0) return
    this.given.expect(`${what}: news`, news)
    for (const { client, clock } of readUpdate(news).clients) {
      if (clock < (known.get(client) ?? 0)) throw new Difference(`${what}: news`, `${client} from ${clock} is known`)
    }
    Y.applyUpdate(this.follower, news)
    expectSettled(`${what}: news`, this.follower)
  }
}
