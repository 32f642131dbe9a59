// pycrdt, in a process of its own (person.py). The document here only carries updates to and from the one in Python.

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import * as Y from 'yjs'
import { composed, words } from '../words.mjs'

const SCRIPT = fileURLToPath(new URL('person.py', import.meta.url))

export class Editor {
  #child
  #answers
  #doc

  constructor(doc) {
    this.#doc = doc
    // Neighbouring numbers are as likely as any.
    const about = JSON.stringify({ client: doc.clientID - 1, gc: doc.gc })
    this.#child = spawn(process.env.PYTHON ?? 'python3', [SCRIPT, about], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
    doc.on('update', (update, origin) => {
      if (origin !== this) this.#tell({ read: Buffer.from(update).toString('base64') })
    })
  }

  /** What is written in one action comes as one update for each transaction. */
  async act(random) {
    this.#tell({
      seed: random.bits(),
      text: random.chance(0.1) ? composed(random) : words(random, random.between(1, 3)),
    })
    const { value, done } = await this.#answers.next()
    if (done) throw new Error('the process of pycrdt has ended')
    const { updates, failed } = JSON.parse(value)
    for (const update of updates) Y.applyUpdate(this.#doc, Buffer.from(update, 'base64'), this)
    if (failed) throw new Error(failed)
  }

  destroy() {
    this.#child.stdin.end()
  }

  #tell(line) {
    this.#child.stdin.write(`${JSON.stringify(line)}\n`)
  }
}
