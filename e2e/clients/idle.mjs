// Many people have documents open and write nothing.
//
//   node idle.mjs --urls ws://A/yjs,ws://B/yjs --connections 580 --documents 40 [--prefix idle] [--patience 10]
//     [--deadline 60]
//
// Connection i is on URL i mod the number of URLs and in document i / URLs mod --documents. --patience: seconds after
// which a client without connection counts as not back. --deadline: seconds for the first connection of all.
// Prints a "status" line on every change, at most one each 250 ms, and one each second. Commands on standard input, one
// a line: `leave K` takes K clients away, `status` prints a line. On SIGTERM or the end of standard input all clients
// leave; the last line is a "summary", and the exit code is 1 if some client was not connected then.

import { setMaxListeners } from 'node:events'
import { createInterface } from 'node:readline'
import { Connection } from './lib/connection.mjs'
import { Deadline } from './lib/deadline.mjs'
import { options } from './lib/options.mjs'
import { Failure, report, runClient } from './lib/report.mjs'

/** Handshakes under way at a time: people do not all arrive in the same millisecond. */
const ARRIVING = 50

async function main() {
  const given = options({
    urls: undefined,
    connections: undefined,
    documents: '1',
    prefix: 'idle',
    patience: 10,
    deadline: 60,
  })
  const connections = whole('connections', given.connections)
  const crowd = new Crowd(given.urls.split(','), connections, whole('documents', given.documents), given)
  const end = ended(crowd)
  const reporting = setInterval(() => crowd.status(), 1000)
  await Promise.race([crowd.arrive(new Deadline(given.deadline)), end])
  await end
  clearInterval(reporting)
  const summary = crowd.summary()
  report('summary', summary)
  crowd.leave(Infinity)
  if (summary.failed > 0) throw new Failure(`${summary.failed} clients were not connected at the end`, summary)
}

class Crowd {
  /** Those that are to be connected. */
  #clients = []
  #gone = []
  #changed = null
  #arrivedAll = false

  constructor(urls, connections, documents, { prefix, patience }) {
    this.urls = urls
    this.wanted = connections
    this.documents = documents
    this.prefix = prefix
    this.patience = patience
    // Every y-websocket client listens for the end of the process.
    setMaxListeners(0, process)
  }

  /** Connects everybody, ARRIVING at a time; rejects when not all are up by the deadline. */
  async arrive(deadline) {
    const describe = () => this.#counts()
    while (this.#clients.length < this.wanted) {
      this.#join(this.#clients.length + this.#gone.length)
      await deadline.poll('room for the next client', () => this.#clients.length - this.#up() < ARRIVING, 2, describe)
    }
    await deadline.poll('all clients connected', () => this.#up() >= this.wanted, 10, describe)
    this.#arrivedAll = true
    report('connected', this.#counts())
  }

  #join(index) {
    const url = this.urls[index % this.urls.length]
    const document = Math.floor(index / this.urls.length) % this.documents
    this.#clients.push(new Connection(url, `${this.prefix}-${document}`, (event) => this.#note(event)))
  }

  #note(event) {
    if (!this.#arrivedAll || (event !== 'synced' && event !== 'lost')) return
    // Hundreds of clients change in one moment when a gateway drains.
    this.#changed ??= setTimeout(() => {
      this.#changed = null
      this.status()
    }, 250)
  }

  leave(count) {
    const leaving = this.#clients.splice(0, count)
    this.wanted -= leaving.length
    this.#gone.push(...leaving)
    leaving.forEach((client) => client.leave())
    return leaving.length
  }

  status() {
    report('status', this.#counts())
  }

  summary() {
    const counts = this.#counts()
    return { ...counts, failed: counts.wanted - counts.connected }
  }

  #up() {
    return this.#clients.filter((client) => client.up).length
  }

  #counts() {
    const everybody = [...this.#clients, ...this.#gone]
    const longest = everybody.map((client) => client.longestOutage)
    const down = this.#clients.map((client) => client.secondsDown)
    return {
      wanted: this.wanted,
      connected: this.#up(),
      reconnects: everybody.reduce((sum, client) => sum + client.reconnects, 0),
      notBack: down.filter((seconds) => seconds > this.patience).length,
      // Also those that came back, but later than they should have.
      late: everybody.filter((client, i) => Math.max(longest[i], down[i] ?? 0) > this.patience).length,
      longestOutage: Math.round(Math.max(0, ...longest, ...down) * 1000) / 1000,
    }
  }
}

/** Resolves when the caller wants the crowd gone; obeys the commands until then. */
function ended(crowd) {
  return new Promise((resolve) => {
    process.once('SIGTERM', resolve)
    const lines = createInterface({ input: process.stdin })
    lines.on('close', resolve)
    lines.on('line', (line) => {
      const [command, argument] = line.trim().split(/\s+/)
      if (command === 'status') crowd.status()
      else if (command === 'leave' && /^\d+$/.test(argument ?? '')) {
        report('left', { left: crowd.leave(Number(argument)), wanted: crowd.wanted })
      } else report('unknown-command', { line })
    })
  })
}

function whole(name, given) {
  if (!/^[1-9]\d*$/.test(given)) throw new Error(`--${name} is "${given}"; write a whole number from 1`)
  return Number(given)
}

await runClient(main)
