// Two people write one text through two gateways, keystroke by keystroke as it was recorded; a third reads it later.
//
//   node replay.mjs --url-a ws://HOST/yjs --url-b ws://HOST/yjs [--url-c ws://HOST/yjs] --document ID
//     [--trace friendsforever] [--batch 20] [--rate 0] [--deadline 120]
//
// --batch: how many updates an author applies before it lets others run. --rate: updates a second and author, 0 for as
// fast as it goes; 200 makes the trace last a little over a minute. --deadline: seconds for everything.
// The last line is {"event":"done","equal":true,...}; exit code 1 and a "failed" line otherwise.

import { setImmediate as turn } from 'node:timers/promises'
import * as Y from 'yjs'
import { Connection } from './lib/connection.mjs'
import { Deadline } from './lib/deadline.mjs'
import { options } from './lib/options.mjs'
import { report, runClient } from './lib/report.mjs'
import { loadTrace, replayOffline } from './lib/trace.mjs'

/** An author writes no faster than its socket carries: more than this waiting in it, in bytes, and it pauses. */
const BUFFERED_LOW = 64 * 1024
const PROGRESS_EVERY = 500

async function main() {
  const given = options({
    'url-a': undefined,
    'url-b': undefined,
    'url-c': null,
    document: undefined,
    trace: 'friendsforever',
    batch: 20,
    rate: 0,
    deadline: 120,
  })
  const trace = loadTrace(given.trace)
  const { authors, clientIDs, contents } = replayOffline(trace)
  if (contents.some((content) => content !== trace.endContent)) {
    throw new Error('the updates do not make the recorded text, so nothing was sent')
  }
  const total = trace.txns.length
  report('prepared', { updates: total, chars: [...trace.endContent].length })

  const deadline = new Deadline(given.deadline)
  const log = (author) => (event, fields) => report(event, { author, ...fields })
  const writers = [given['url-a'], given['url-b']].map((url, index) => {
    const name = 'ab'[index]
    return new Writer(new Connection(url, given.document, log(name)), authors[index], clientIDs[1 - index])
  })
  await Promise.all(writers.map(({ connection }) => connection.ready(deadline)))
  if (writers.some(({ connection }) => connection.text.length > 0)) {
    throw new Error(`document ${given.document} is not empty; name a new one`)
  }

  const started = performance.now()
  let sent = 0
  const count = (n) => {
    const before = sent
    sent += n
    if (Math.floor(sent / PROGRESS_EVERY) > Math.floor(before / PROGRESS_EVERY)) report('progress', { sent, total })
  }
  await Promise.all(writers.map((writer) => writer.write(Math.max(1, given.batch), given.rate, deadline, count)))
  report('sent', { sent, total, seconds: seconds(started) })
  await Promise.all(writers.map(({ connection }) => connection.reads(trace.endContent, deadline)))
  const writing = seconds(started)

  const late = new Connection(given['url-c'] ?? given['url-b'], given.document, log('c'))
  await late.reads(trace.endContent, deadline)
  const everyone = [...writers.map(({ connection }) => connection), late]
  report('done', {
    equal: true,
    chars: [...trace.endContent].length,
    updates: sent,
    seconds: writing,
    reconnects: everyone.reduce((sum, { reconnects }) => sum + reconnects, 0),
    longestOutage: Math.max(...everyone.map(({ longestOutage }) => longestOutage)),
  })
  everyone.forEach((connection) => connection.leave())
}

/** One author at its editor. */
class Writer {
  constructor(connection, own, otherID) {
    this.connection = connection
    this.own = own
    this.otherID = otherID
  }

  /**
   * Writes all of its updates in order. Like a person it writes on through a lost connection, and like a person it
   * answers only what it has seen: an update waits for those of the other author that it was made upon. (Applied
   * earlier, Yjs would hold it back and y-websocket would take it for the server's when it is let in, and not send it.)
   */
  async write(batch, rate, deadline, count) {
    const { connection, own } = this
    const started = performance.now()
    let next = 0
    while (next < own.length) {
      await this.#seen(own[next].needs, deadline)
      if (connection.buffered > BUFFERED_LOW) {
        await deadline.poll(`room in the socket to ${connection.url}`, () => connection.buffered <= BUFFERED_LOW)
      }
      const due = rate > 0 ? () => Math.floor((rate * (performance.now() - started)) / 1000) + 1 : () => own.length
      if (due() <= next) await deadline.poll('the time of the next update', () => due() > next)
      const end = Math.min(own.length, next + batch, due())
      const first = next
      while (next < end && own[next].needs <= this.#clock()) {
        Y.applyUpdate(connection.doc, own[next].update, this)
        next += 1
      }
      count(next - first)
      await turn()
      if (deadline.left === 0) throw new Error(`not within ${deadline.seconds} s: all updates written`)
    }
  }

  #clock() {
    return Y.getState(this.connection.doc.store, this.otherID)
  }

  #seen(clock, deadline) {
    if (this.#clock() >= clock) return undefined
    const { doc, url } = this.connection
    return deadline.until(
      `what the other author wrote, from ${url}`,
      () => this.#clock() >= clock,
      (look) => {
        doc.on('update', look)
        return () => doc.off('update', look)
      },
      () => ({ url, synced: this.connection.up, clock: this.#clock(), needs: clock }),
    )
  }
}

function seconds(since) {
  return Math.round(performance.now() - since) / 1000
}

await runClient(main)
