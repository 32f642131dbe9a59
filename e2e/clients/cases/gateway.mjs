// A gateway process of the cases' own. The system chooses its ports, and its data directory goes with it.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { after, afterEach, before } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { Deadline } from '../lib/deadline.mjs'
import { Failure } from '../lib/report.mjs'

/** How many lines of the log an error shows. */
const LINES = 5

/** Waits until an answer that has to be asked for is a yes. */
export async function eventually(what, ask, seconds = 10) {
  const deadline = new Deadline(seconds)
  while (!(await ask())) {
    if (deadline.left === 0) throw new Failure(`not within ${seconds} s: ${what}`)
    await pause(10)
  }
}

/** A gateway for all tests of a file. Whoever is still there at the end of a test leaves. */
export function gatewayOfFile(...args) {
  const gateway = new Gateway()
  before(() => gateway.run(...args))
  afterEach(() => gateway.empty())
  after(() => gateway.close())
  return gateway
}

/** A gateway for one test. */
export async function gatewayOf(test, ...args) {
  const gateway = new Gateway()
  test.after(() => gateway.close())
  await gateway.run(...args)
  return gateway
}

const started = new Set()

// The runner breaks tests off with a signal, at which Node.js ends without the event `exit`.
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))
process.once('exit', () => {
  for (const gateway of started) gateway.abandon()
})

class Gateway {
  #directory = null
  #process = null
  #admin = null
  #lines = []
  /** How the process ended; null while it runs. */
  ended = null
  /** Where y-websocket clients connect. */
  url = null
  /** For each client that is there, what ends it: one that a failed test left behind would connect again for ever. */
  clients = new Map()

  /** Runs the binary that GATEWAY names, on the data of earlier runs if there were any, and waits until it is ready. */
  async run(...args) {
    const { GATEWAY, ...rest } = process.env
    if (!GATEWAY) throw new Error('GATEWAY is not set; name the binary to try, such as ../../target/release/gateway')
    this.#directory ??= await mkdtemp(join(tmpdir(), 'gateway-case-'))
    // What configures a gateway of the developer's own must not reach this one.
    const env = Object.fromEntries(Object.entries(rest).filter(([name]) => !name.startsWith('EDITORCLUSTER_')))
    const own = ['--listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0', '--data-dir', this.#directory]
    const child = spawn(resolve(GATEWAY), [...own, '--log-format', 'json', ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env,
    })
    this.#process = child
    this.#lines = []
    this.#admin = null
    this.ended = null
    started.add(this)
    child.once('exit', (code, signal) => {
      this.ended = signal ?? `exit code ${code}`
    })
    child.once('error', (error) => {
      this.ended = error.message
    })
    createInterface({ input: child.stderr }).on('line', (line) => this.#read(line))
    await eventually('the gateway is ready', () => {
      this.#assertLives()
      return this.#admin !== null && this.#ask('readyz').then(({ ok }) => ok)
    })
  }

  /** The address of a document in the REST interface; the gateway must run with `--api admin`. */
  api(document, path = '') {
    return `http://${this.#admin}/api/v1/documents/${encodeURIComponent(document)}${path}`
  }

  async metric(name) {
    const text = await (await this.#ask('metrics')).text()
    return Number(new RegExp(`^editorcluster_${name} (\\S+)$`, 'm').exec(text)[1])
  }

  /** Waits until no more than `documents` are open: what nobody has open any more is in the database. */
  async quiet(documents = 0, seconds = 10) {
    const what = `no more than ${documents} documents are open`
    await eventually(what, async () => (await this.metric('documents')) <= documents, seconds)
  }

  /** A process that crashes ends its connections a moment before its end is known, so it is asked for an answer. */
  async assertRuns() {
    await this.#ask('livez')
  }

  #assertLives() {
    if (this.ended !== null) throw new Failure(`the gateway has ended: ${this.ended}; ${this.#lines.join(' | ')}`)
  }

  /** kill -9. */
  async kill() {
    if (this.ended !== null) return
    this.#process.kill('SIGKILL')
    await once(this.#process, 'exit')
  }

  /** What is left to do when the tests are broken off. */
  abandon() {
    this.#process.kill('SIGKILL')
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 5 })
  }

  /** Everybody leaves. */
  empty() {
    for (const end of this.clients.values()) end()
  }

  async close() {
    this.empty()
    if (this.#process !== null) await this.kill()
    if (this.#directory !== null) await rm(this.#directory, { recursive: true, force: true })
    started.delete(this)
  }

  async #ask(path) {
    try {
      return await fetch(`http://${this.#admin}/${path}`)
    } catch (error) {
      // Nothing else refuses the connection.
      if (this.ended === null) await once(this.#process, 'close', { signal: AbortSignal.timeout(5000) })
      this.#assertLives()
      throw error
    }
  }

  #read(line) {
    this.#lines = [...this.#lines, line].slice(-LINES)
    if (!line.includes('"public_addr"')) return
    const { public_addr: open, admin_addr: admin } = JSON.parse(line).fields
    this.url = `ws://${open}/yjs`
    this.#admin = admin
  }
}
