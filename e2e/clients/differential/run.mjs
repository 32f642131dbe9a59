// Compares a store of Yjs structs, which answers on a pipe, with Yjs itself.
//
//   STORE=path/to/program [SEED=n] [SECONDS=60 | ROUNDS=n] node run.mjs
//   STORE=path/to/program SEED=n ROUND=k node run.mjs      only that round
//   STORE=path/to/program node run.mjs --replay FILE       a case that failed
//
// KIND=live, lost, hostile, recorded or edited plays only such cases. KEEP_ON=1 goes on behind a failure. Of attacks, STRICT=1
// also fails those upon which Yjs disagrees with itself, and ORIGINALS=1 those that do harm to whoever is sent what
// came in and not the news of it (see attacks.mjs). A failing case is shrunk and written below target/differential.
// The last line is "N passed, N failed", of rounds; exit code 1 if any failed.

import { loadCase, makeCase, saveCase } from './cases.mjs'
import { Judge } from './judge.mjs'
import { Pipe } from './pipe.mjs'
import { shrink } from './shrink.mjs'
import { Tally } from './tally.mjs'

const SHRINK_SECONDS = 20

class Run {
  #pipe = null
  #passed = 0
  #failed = 0
  #started = performance.now()
  #tally = new Tally()

  constructor(environment) {
    const number = (name, fallback) => {
      const value = environment[name] ?? fallback
      if (value !== null && !(Number(value) >= 0)) throw new Error(`${name} is "${value}"; write a number from 0`)
      return value === null ? null : Number(value)
    }
    this.store = environment.STORE
    if (!this.store) throw new Error('STORE is missing; give it the path of the program that holds the store')
    this.seed = number('SEED', 1)
    this.only = number('ROUND', null)
    this.rounds = number('ROUNDS', null)
    this.seconds = number('SECONDS', this.rounds === null ? 60 : Infinity)
    this.kind = environment.KIND
    this.keepOn = Boolean(environment.KEEP_ON)
    this.demands = { strict: Boolean(environment.STRICT), originals: Boolean(environment.ORIGINALS) }
  }

  async all() {
    console.log(`SEED=${this.seed}`)
    if (this.only !== null) {
      await this.#round(makeCase(this.seed, this.only, this.kind))
      return
    }
    for (let round = 0; round !== this.rounds && this.#elapsed < this.seconds; round += 1) {
      await this.#round(makeCase(this.seed, round, this.kind))
      if (this.#failed > 0 && !this.keepOn) break
    }
  }

  async replay(path) {
    await this.#round(loadCase(path))
  }

  /** The last lines; gives the exit code. */
  end() {
    this.#pipe?.close()
    console.log(this.#tally.report(this.#elapsed))
    console.log(`${this.#passed} passed, ${this.#failed} failed`)
    return this.#failed === 0 ? 0 : 1
  }

  get #elapsed() {
    return (performance.now() - this.#started) / 1000
  }

  async #round(made) {
    this.#tally.round(made.kind)
    const error = await this.#play(made, this.#tally)
    if (error === null) {
      this.#passed += 1
      return
    }
    this.#failed += 1
    const { kind, seed, round } = made
    console.log(
      `FAILED KIND=${kind} SEED=${seed} ROUND=${round}: ${error.check === undefined ? error.stack : error.message}`,
    )
    // Written first as it is: whatever happens while it shrinks, it can be played again.
    console.log(`node run.mjs --replay ${saveCase(made)}`)
    const failure = async (smaller) => {
      const again = await this.#play(smaller, new Tally())
      return again === null ? null : name(again)
    }
    const small = await shrink(made, name(error), failure, SHRINK_SECONDS)
    console.log(`shrunk to ${small.steps.length} of ${made.steps.length} steps: ${saveCase(small)}`)
  }

  /** The error that a case ends with, or null. A store that died is started anew. */
  async #play({ steps }, tally) {
    if (!this.#pipe?.alive) this.#pipe = new Pipe(this.store)
    try {
      await new Judge(this.#pipe, tally, this.demands).play(steps)
      return null
    } catch (error) {
      // Answers that nobody waits for any more are on their way: the next case begins with a new store.
      this.#pipe.close()
      this.#pipe = null
      return error
    }
  }
}

const name = (error) => error.check ?? error.message

const run = new Run(process.env)
const replay = process.argv.indexOf('--replay')
await (replay === -1 ? run.all() : run.replay(process.argv[replay + 1]))
process.exitCode = run.end()
