// People write while something breaks; afterwards every acknowledged edit is looked for.
//
//   node faults.mjs --urls ws://A/yjs,ws://B/yjs [--kept 3] [--left 3] [--rate 10] [--deletes 4]
//     [--trace friendsforever] [--prefix NAME] [--deadline 90] [--attacks 2] [--seed N]
//
// Three authors in each of --kept documents, in the first of which two write a recorded session, and two in each of
// --left documents; each makes --rate edits a second, and every edit of number --deletes also deletes something. The
// documents' names begin with --prefix.
//
// As long as they write, somebody attacks each document, and one that nobody else has, --attacks times a second, as
// --seed draws it (lib/attacks.mjs). What the others have in the end must be what it would be without.
//
// Prints a "status" line each second, with the seed in it. Commands on standard input:
//
//   vanish        the last author of each kept document, and all who are in the documents left, are gone without a word
//   rest / write  nobody writes any more; everybody writes again. Prints "rested", "writing"
//   reconnect     everybody leaves and comes back; prints "reconnected"
//   slow / read   somebody who takes nothing joins the first document, in which 16 MiB are written; and reads on
//   attack N      N bad messages are sent to the first document; prints "attacked"
//   settle URLS [SECONDS]
//                 the writing ends, and attackers vanish; waits until everybody in a document has the same, all is
//                 acknowledged, and readers at each of URLS see that and nobody who is gone; then all leave; prints
//                 "settled"
//   cold URL      reads every document again and compares with what it was when they were settled, if they were; prints
//                 "cold"; the program ends
//
// What has not come to pass SECONDS or --deadline seconds after "settle" or "cold" is counted, not waited for.

import { setMaxListeners } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import * as Y from 'yjs'
import { Attacker } from './lib/attacker.mjs'
import { Author, Bulk, Recorded, Words } from './lib/author.mjs'
import { Connection } from './lib/connection.mjs'
import { Deadline } from './lib/deadline.mjs'
import { attack } from './lib/hostile.mjs'
import { options } from './lib/options.mjs'
import { report, runClient } from './lib/report.mjs'
import { loadTrace, replayOffline } from './lib/trace.mjs'

/** A trace's first transactions: more than are written in the longest scenario. */
const TRANSACTIONS = 6000
/** By how much attacks are larger where nobody else is. */
const ALONE = 10
/** How long a reader may need to hear who else is there. */
const HEARS_WITHIN = 5

async function main() {
  const given = options({
    urls: undefined,
    kept: 3,
    left: 3,
    rate: 10,
    deletes: 4,
    trace: 'friendsforever',
    prefix: '',
    deadline: 90,
    attacks: 2,
    seed: Date.now() % 2 ** 32,
  })
  // Every y-websocket client listens for the end of the process.
  setMaxListeners(0, process)
  const crowd = new Crowd(given)
  await crowd.arrive()
  const timer = setInterval(() => crowd.status(), 1000)
  const commands = {
    vanish: () => crowd.vanish(),
    rest: () => crowd.rest(),
    write: () => crowd.write(),
    reconnect: () => crowd.reconnect(),
    slow: () => crowd.slow(),
    read: () => crowd.read(),
    attack: (count) => crowd.attack(Number(count)),
    settle: (urls, seconds) => crowd.settle(urls.split(','), seconds),
    cold: (url) => crowd.cold(url),
  }
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, ...words] = line.trim().split(' ')
    await commands[command](...words)
    if (command === 'cold') break
  }
  clearInterval(timer)
}

/** A document, its authors, whoever attacks it, and what it was when they left. */
class Page {
  constructor(name, kept, authors) {
    Object.assign(this, { name, kept, authors, attackers: [], last: null })
  }

  get here() {
    return this.authors.filter(({ here }) => here)
  }

  /** Everybody who is here has the same, and the server has acknowledged it. */
  get settled() {
    const [first, ...others] = this.here.map(({ connection }) => digest(connection.doc))
    return (
      this.here.every(({ connection, ledger }) => connection.up && ledger.waiting === 0) &&
      others.every((other) => other === first)
    )
  }

  lost(doc) {
    return this.authors.reduce((sum, { ledger }) => sum + ledger.lost(doc), 0)
  }
}

class Crowd {
  constructor({ urls, kept, left, rate, deletes, trace, prefix, deadline, attacks, seed }) {
    this.urls = urls.split(',')
    Object.assign(this, { rate, attacks, seed, seconds: deadline })
    let placed = 0
    const author = (name, source) => {
      placed += 1
      return new Author(this.urls[placed % this.urls.length], name, source)
    }
    const page = (name, isKept, sources) =>
      new Page(
        prefix + name,
        isKept,
        sources.map((source) => author(prefix + name, source)),
      )
    const words = (count) => Array.from({ length: count }, (_, i) => new Words(`w${i}`, deletes))
    this.pages = [
      ...Array.from({ length: kept }, (_, i) =>
        page(`kept-${i}`, true, i === 0 ? [...recorded(trace), ...words(1)] : words(3)),
      ),
      ...Array.from({ length: left }, (_, i) => page(`left-${i}`, false, words(2))),
    ]
    if (attacks > 0) this.pages.push(page('attacked', true, []))
  }

  get #authors() {
    return this.pages.flatMap(({ authors }) => authors)
  }

  get #attackers() {
    return this.pages.flatMap(({ attackers }) => attackers)
  }

  async arrive() {
    const deadline = new Deadline(this.seconds)
    await Promise.all(this.#authors.map(({ connection }) => connection.ready(deadline)))
    if (this.attacks > 0) {
      this.pages.forEach((page, number) => {
        const scale = page.authors.length > 0 ? 1 : ALONE
        page.attackers.push(new Attacker(this.urls, page.name, { seed: this.seed, number, scale }))
      })
    }
    this.write()
  }

  write() {
    this.#authors.forEach((author) => author.write(this.rate))
    this.#attackers.forEach((attacker) => attacker.attack(this.attacks))
    report('writing', this.#counts())
  }

  rest() {
    for (const one of [...this.#authors, ...this.#attackers]) one.stop()
    report('rested', this.#counts())
  }

  async reconnect() {
    const deadline = new Deadline(this.seconds)
    await Promise.all(this.#authors.map(({ connection }) => connection.again(deadline)))
    report('reconnected', this.#counts())
  }

  status() {
    report('status', this.#counts())
  }

  #counts() {
    const authors = this.#authors
    const attackers = this.#attackers
    const done = (what) => attackers.reduce((total, attacker) => total + attacker[what], 0)
    const sum = (of) => authors.reduce((total, author) => total + of(author), 0)
    const stalls = authors.map(({ ledger, here }) => Math.max(ledger.longestStall, here ? ledger.stall : 0))
    return {
      clients: authors.length,
      connected: authors.filter(({ here, connection }) => here && connection.up).length,
      written: sum(({ ledger }) => ledger.written),
      acknowledged: sum(({ ledger }) => ledger.acknowledged),
      reconnects: sum(({ connection }) => connection.reconnects),
      longestStall: Math.round(Math.max(...stalls)) / 1000,
      seed: this.seed,
      attackers: { sessions: done('sessions'), messages: done('messages'), refused: done('refused') },
    }
  }

  vanish() {
    for (const { kept, authors, attackers } of this.pages) {
      for (const one of kept ? authors.slice(-1) : [...authors, ...attackers]) one.vanish()
    }
    report('vanished', this.#counts())
  }

  async slow() {
    const page = this.pages[0]
    const reader = new Author(this.urls[0], page.name, null)
    await reader.connection.ready(new Deadline(this.seconds))
    const { provider } = reader.connection
    provider.ws.pause()
    // Its own watchdog would otherwise connect it again.
    this.watchdog = setInterval(() => {
      provider.wsLastMessageReceived = Date.now()
    }, 1000)
    const writer = new Author(this.urls[0], page.name, new Bulk(256 << 10))
    await writer.connection.ready(new Deadline(this.seconds))
    page.authors.push(reader, writer)
    writer.write(4)
    await new Deadline(this.seconds).poll('16 MiB written', () => writer.ledger.written >= 64, 50)
    writer.stop()
    report('slowed', this.#counts())
  }

  read() {
    clearInterval(this.watchdog)
    for (const { connection } of this.#authors) connection.provider.ws?.resume()
  }

  async attack(count) {
    report('attacked', await attack(this.urls[0], this.pages[0].name, count, new Deadline(20)))
  }

  async settle(urls, seconds = this.seconds) {
    const deadline = new Deadline(Number(seconds))
    this.#authors.forEach((author) => author.stop())
    this.#attackers.forEach((attacker) => attacker.vanish())
    const results = await Promise.all(this.pages.map((page) => settlePage(page, urls, deadline)))
    report('settled', { ...this.#counts(), ...totals(results) })
    this.#authors.forEach((author) => author.leave())
  }

  async cold(url) {
    const deadline = new Deadline(this.seconds)
    const results = await Promise.all(
      this.pages.map(async (page) => {
        const { doc, present } = await look(url, page, deadline)
        const same = page.last === null || digest(doc) === page.last
        return { lost: page.lost(doc), divergent: same ? 0 : 1, ghosts: present.length, unseen: 0 }
      }),
    )
    report('cold', { ...this.#counts(), ...totals(results) })
  }
}

async function settlePage(page, urls, deadline) {
  // Who is not equal then is counted below.
  await deadline.poll(`document ${page.name} the same for all`, () => page.settled, 50).catch(() => {})
  let views
  let good
  do {
    views = await Promise.all(urls.map((url) => look(url, page, deadline)))
    page.last = digest(page.here[0]?.connection.doc ?? views[0].doc)
    good = views.every(({ doc, ghosts, unseen }) => digest(doc) === page.last && ghosts + unseen === 0)
    // Who crashed is seen until nobody has renewed it for 30 s.
    if (!good) await pause(Math.min(1000, deadline.left))
  } while (!good && deadline.left > 0)
  const docs = [...page.here.map(({ connection }) => connection.doc), ...views.map(({ doc }) => doc)]
  return {
    lost: Math.max(...docs.map((doc) => page.lost(doc))),
    divergent: docs.filter((doc) => digest(doc) !== page.last).length,
    ghosts: Math.max(...views.map(({ ghosts }) => ghosts)),
    unseen: Math.max(...views.map(({ unseen }) => unseen)),
    waiting: page.here.reduce((sum, { ledger }) => sum + ledger.waiting, 0),
  }
}

/**
 * What a new reader sees at `url`: the document, and who is present. Always a new one: y-protocols itself forgets who
 * was not renewed, whatever the server says.
 */
async function look(url, page, deadline) {
  const reader = new Connection(url, page.name)
  const { awareness } = reader.provider
  awareness.setLocalState(null)
  const here = new Set(page.here.map(({ connection }) => connection.doc.clientID))
  const present = () => [...awareness.getStates().keys()]
  const unseen = () => [...here].filter((client) => !awareness.getStates().has(client)).length
  // What is not there then is counted. The last look of those that have found something needs time as well.
  await reader.ready(new Deadline(Math.max(deadline.left / 1000, HEARS_WITHIN))).catch(() => {})
  await new Deadline(HEARS_WITHIN).poll('who is present', () => unseen() === 0, 20).catch(() => {})
  const doc = new Y.Doc()
  Y.applyUpdate(doc, Y.encodeStateAsUpdate(reader.doc))
  const seen = present()
  const view = { doc, present: seen, ghosts: seen.filter((client) => !here.has(client)).length, unseen: unseen() }
  reader.leave()
  return view
}

/** Equal for equal documents: the text, and how much there is of each author. */
function digest(doc) {
  const vector = [...Y.decodeStateVector(Y.encodeStateVector(doc))].sort(([a], [b]) => a - b)
  return JSON.stringify([doc.getText('text').toString(), doc.getMap('bulk').toJSON(), vector])
}

function totals(results) {
  const total = (name) => results.reduce((sum, result) => sum + (result[name] ?? 0), 0)
  return Object.fromEntries(['lost', 'divergent', 'ghosts', 'unseen', 'waiting'].map((name) => [name, total(name)]))
}

function recorded(name) {
  const trace = loadTrace(name)
  const { authors, clientIDs } = replayOffline({ ...trace, txns: trace.txns.slice(0, TRANSACTIONS) })
  return authors.map((own, i) => new Recorded(clientIDs[i], own, clientIDs[1 - i]))
}

await runClient(main)
